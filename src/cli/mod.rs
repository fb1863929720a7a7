//! The headless command line: the same jobs and parameter structs as the window, told in flags.

pub mod args;
mod commands;
mod progress;

use crate::jobs::worker::JobContext;
use crate::jobs::{Job, JobError, JobEvent, JobId, JobOutput, latest::Slot};
use crate::monitor::{Control, Monitor, Stopped};
use anyhow::anyhow;
use args::{Cli, Command, Common};
use progress::Bar;
use std::io::Write;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

/// What a command needs besides its own flags.
pub(crate) struct Runner {
    common: Common,
    bar: Arc<Bar>,
    control: Arc<Control>,
}

/// How a command ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Done,
    /// Ctrl+C: what was finished is kept.
    Cancelled,
}

/// What a command's outputs and prints come from.
pub(crate) struct Ran {
    pub outputs: Vec<JobOutput>,
    pub end: End,
}

impl Runner {
    fn new(common: Common) -> anyhow::Result<Self> {
        if let Some(threads) = common.threads {
            anyhow::ensure!(threads > 0, "--threads is 0, expected at least 1");
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build_global()?;
        }
        let control = Arc::new(Control::default());
        listen_for_ctrl_c(Arc::clone(&control))?;
        let bar = Arc::new(Bar::new(common.quiet));
        Ok(Self {
            common,
            bar,
            control,
        })
    }

    pub(crate) fn monitor(&self) -> Monitor {
        Monitor::new(self.bar.clone(), Arc::clone(&self.control))
    }

    /// Runs a job as the worker would.
    pub(crate) fn run(&self, job: Job) -> anyhow::Result<Ran> {
        let outputs: Arc<Mutex<Vec<JobOutput>>> = Arc::default();
        let theirs = Arc::clone(&outputs);
        let context = JobContext {
            monitor: self.monitor(),
            emit: Arc::new(move |event| {
                if let JobEvent::Output { output, .. } = event {
                    theirs
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(*output);
                }
            }),
            id: JobId(0),
            snapshots: Arc::new(Slot::default()),
            show_snapshots: false,
        };
        let result = crate::jobs::execute::execute(job, &context);
        self.bar.clear();
        let outputs = std::mem::take(&mut *outputs.lock().unwrap_or_else(PoisonError::into_inner));
        match result {
            Ok(crate::jobs::worker::JobEnd::Finished) => Ok(Ran {
                outputs,
                end: End::Done,
            }),
            Ok(crate::jobs::worker::JobEnd::Kept) | Err(JobError::Stopped(Stopped::Keep)) => {
                Ok(Ran {
                    outputs,
                    end: End::Cancelled,
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Prints the result: one JSON object, or lines for a person.
    pub(crate) fn print(&self, json: &serde_json::Value, lines: &[String]) {
        let text = if self.common.json {
            json.to_string()
        } else if self.common.quiet || lines.is_empty() {
            return;
        } else {
            lines.join("\n")
        };
        // A reader that has seen enough (`| head`) is no failure; what was computed is in its files.
        let _ = writeln!(std::io::stdout(), "{text}");
    }
}

/// Ctrl+C once: finish now and keep. Twice: abandon.
fn listen_for_ctrl_c(control: Arc<Control>) -> anyhow::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    std::thread::Builder::new()
        .name("aetlas-signals".to_owned())
        .spawn(move || {
            for (count, _) in signals.forever().enumerate() {
                control.stop(if count == 0 {
                    Stopped::Keep
                } else {
                    Stopped::Abandon
                });
            }
        })?;
    Ok(())
}

/// Runs a headless command and says how it ended: 0 done, 1 failed, 130 cancelled with what was finished kept.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    let Some(command) = cli.command else {
        return ExitCode::SUCCESS;
    };
    match Runner::new(cli.common).and_then(|runner| dispatch(&runner, command)) {
        Ok(End::Done) => ExitCode::SUCCESS,
        Ok(End::Cancelled) => ExitCode::from(130),
        Err(error) => {
            if error
                .downcast_ref::<JobError>()
                .is_some_and(|e| matches!(e, JobError::Stopped(_)))
            {
                eprintln!("cancelled");
                return ExitCode::from(130);
            }
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(runner: &Runner, command: Command) -> anyhow::Result<End> {
    match command {
        Command::Demo(args) => commands::demo(runner, &args),
        Command::Auto(args) => commands::auto(runner, args),
        Command::Info(args) => commands::info(runner, &args),
        Command::Preprocess(args) => commands::preprocess(runner, args),
        Command::Calibrate(args) => commands::calibrate(runner, &args),
        Command::Gallery(args) => commands::gallery(runner, args),
        Command::Reconstruct(args) => commands::reconstruct(runner, args),
        Command::Merge(args) => commands::merge(runner, &args),
        Command::RefineGeometry(args) => commands::refine_geometry(runner, args),
        Command::Project(args) => commands::project(runner, &args),
        Command::Trace(args) => commands::trace(runner, args),
        Command::Classify(args) => commands::classify(runner, &args),
        Command::RefineAtoms(args) => commands::refine_atoms(runner, args),
        Command::Residual(args) => commands::residual(runner, &args),
        Command::Analyze(args) => commands::analyze(runner, args),
        Command::Simulate(args) => commands::simulate(runner, &args),
        Command::Compare(args) => commands::compare(runner, &args),
        Command::Run { project } => commands::run_project(runner, &project),
        Command::Report { project, output } => commands::report(runner, &project, &output),
        Command::Bench(args) => commands::bench(runner, &args),
    }
}

/// A file that must not be overwritten without `--force`.
/// As [`refuse_to_overwrite`], and refuses at once what could not be written after all the work.
fn can_be_written(path: &std::path::Path, force: bool, endings: &[&str]) -> anyhow::Result<()> {
    refuse_to_overwrite(path, force)?;
    let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    if !ending.is_some_and(|ending| endings.contains(&ending.as_str())) {
        return Err(anyhow!(
            "{}: the ending chooses the format: expected one of .{}",
            path.display(),
            endings.join(" .")
        ));
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    match folder {
        Some(folder) if !folder.is_dir() => Err(anyhow!(
            "{}: there is no folder {}",
            path.display(),
            folder.display()
        )),
        _ => Ok(()),
    }
}

/// Endings that volumes, tilt series and models are written with.
const VOLUMES: [&str; 5] = ["mrc", "rec", "map", "npy", "mat"];
const SERIES: [&str; 5] = ["mrc", "st", "ali", "npy", "mat"];
const MODELS: [&str; 3] = ["xyz", "extxyz", "csv"];

fn refuse_to_overwrite(path: &std::path::Path, force: bool) -> anyhow::Result<()> {
    if path.exists() && !force {
        return Err(anyhow!("{} exists; --force overwrites it", path.display()));
    }
    Ok(())
}
