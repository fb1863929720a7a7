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
    if let Some(missing) = cli.files.iter().find(|file| !file.exists()) {
        eprintln!(
            "error: {} is neither a command nor a file that exists (see aetlas --help)",
            missing.display()
        );
        return ExitCode::from(2);
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
