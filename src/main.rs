//! `aetlas`: without a command the window, with one the headless command line.

use aetlas::cli::{self, args::Cli};
use aetlas::project::session::Session;
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.command.is_some() {
        return cli::run(cli);
    }
    let safe = |app: &mut aetlas::ui::App| app.keep_safe(&Session::default_root());
    match aetlas::ui::run_with(cli.files, aetlas::jobs::execute::execute, safe) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
