//! `aetlas`: without a command the window, with one the headless command line.

use aetlas::cli::{self, args::Cli};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.command.is_some() {
        return cli::run(cli);
    }
    match aetlas::ui::run_with(cli.files, aetlas::jobs::execute::execute, |_| {}) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
