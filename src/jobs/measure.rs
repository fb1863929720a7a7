//! Small pieces of work that a command or a view asks for outside the road: projections, comparisons, suggestions,
//! benchmarks, and what a project needs next.

use super::{Job, JobError};
use crate::analyze::Analyzed;
use crate::analyze::compare::Comparison;
use crate::model::{Atoms, EulerAngles, TiltSeries, Volume};
use crate::monitor::Monitor;
use crate::project::{Stage, StageStatus, Workspace, pipeline};
use crate::projection::Method;
use crate::projection::bench::{Bench, angles};
use crate::projection::fourier::OVERSAMPLING;
use crate::projection::gpu::{self, CopyLimit, GpuError, Which};
use crate::reconstruct::Engine;
use crate::simulate::{AcquisitionParams, CompareParams, Compared};
use crate::trace::TraceParams;
use crate::trace::auto::{TraceHints, suggest};
use crate::trace::doubts::{Doubt, DoubtInput, DoubtKind, DoubtParams};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Projects a volume; the images are as wide as the volume.
///
/// # Errors
/// An oversampling out of its range; a stop.
pub fn project(
    volume: &Volume,
    angles: &[EulerAngles],
    method: Method,
    monitor: &Monitor,
) -> Result<TiltSeries, JobError> {
    check_method(method)?;
    monitor.phase("Project");
    let [x, y, _] = volume.size();
    let images = crate::projection::forward_by(method, volume, angles, [x, y], monitor)?;
    let mut series = TiltSeries::new(
        "projection",
        images,
        angles.to_vec(),
        Some(volume.pixel_size),
    );
    series.included = vec![true; angles.len()];
    Ok(series)
}

fn check_method(method: Method) -> Result<(), JobError> {
    if OVERSAMPLING.contains(&method.oversampling) {
        return Ok(());
    }
    Err(JobError::Failed(format!(
        "--oversampling {}: expected a grid 1.25 to 4 times as fine",
        method.oversampling
    )))
}

/// Processor time of this thread, seconds; `None` where the system does not tell.
#[must_use]
pub fn thread_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds: u64 = text.split_whitespace().next()?.parse().ok()?;
    Some(nanoseconds as f64 * 1e-9)
}

/// Parameters of tracing chosen from the volume, keeping what the user set about species.
#[must_use]
pub fn suggest_trace(volume: &Volume, asked: &TraceParams) -> (TraceParams, Vec<String>) {
    let suggestion = suggest(volume, &TraceHints::default());
    let params = TraceParams {
        species: asked.species,
        species_names: asked.species_names.clone(),
        ..suggestion.params
    };
    (params, suggestion.notes)
}

/// Sorts atoms into species.
///
/// # Errors
/// As many names as species are needed.
pub fn classify(
    volume: &Volume,
    atoms: &Atoms,
    species: usize,
    names: &[String],
    box_size: f64,
) -> Result<Atoms, JobError> {
    if !(1..=8).contains(&species) || (!names.is_empty() && names.len() != species) {
        return Err(JobError::Failed(format!(
            "--species {species} with {} names: expected 1 to 8 species and a name for each",
            names.len()
        )));
    }
    if !(box_size.is_finite() && box_size > 0.0) {
        return Err(JobError::Failed(format!(
            "--box {box_size}: expected a positive length in Å"
        )));
    }
    Ok(crate::trace::classify(
        volume, atoms, species, names, box_size,
    ))
}

/// Compares a model with its truth.
///
/// # Errors
/// Empty models, a cutoff out of its range.
pub fn compare(
    traced: &Atoms,
    truth: &Atoms,
    params: &CompareParams,
) -> Result<Compared, JobError> {
    crate::simulate::compare(traced, truth, params).map_err(JobError::failed)
}

/// A tilt series of a model.
///
/// # Errors
/// Unknown elements, parameters out of their range, a stop.
pub fn simulate(
    atoms: &Atoms,
    params: &AcquisitionParams,
    monitor: &Monitor,
) -> Result<TiltSeries, JobError> {
    monitor.phase("Simulate");
    let scatterers = crate::simulate::scatterers_of(atoms).map_err(JobError::failed)?;
    crate::simulate::acquire(&scatterers, params, monitor)
        .map(|acquired| acquired.series)
        .map_err(|error| super::execute::stopped_or(error, "simulate"))
}

/// The ranked list of doubtful places of a model.
///
/// # Errors
/// The stage's.
pub fn doubts(
    input: &DoubtInput,
    params: &DoubtParams,
    monitor: &Monitor,
) -> Result<Vec<Doubt>, JobError> {
    crate::trace::doubts::doubtful_places(input, params, monitor)
        .map_err(|error| super::execute::stopped_or(error, "doubtful places"))
}

/// How many places are of each kind, by the kind's name in files; every kind has its entry.
#[must_use]
pub fn count_doubts(doubts: &[Doubt]) -> BTreeMap<&'static str, usize> {
    let mut counts: BTreeMap<_, _> = DoubtKind::ALL.map(|kind| (kind.key(), 0)).into();
    for doubt in doubts {
        *counts.entry(doubt.kind.key()).or_insert(0) += 1;
    }
    counts
}

/// The analysis in a few lines for a terminal.
#[must_use]
pub fn analysis_lines(analyzed: &Analyzed) -> Vec<String> {
    let summary = &analyzed.summary;
    let number = |path: &str| summary.pointer(path).and_then(Value::as_f64);
    let mut lines = vec![format!(
        "{} atoms, neighbour cutoff {:.2} Å",
        analyzed.atoms.len(),
        analyzed.cutoff
    )];
    if let Some(peaks) = summary.pointer("/pdf/peaks_A").and_then(Value::as_array) {
        let peaks: Vec<String> = peaks
            .iter()
            .filter_map(Value::as_f64)
            .take(4)
            .map(|peak| format!("{peak:.2}"))
            .collect();
        lines.push(format!("PDF peaks at {} Å", peaks.join(", ")));
    }
    if let (Some(q4), Some(q6)) = (number("/boo/q4bar_mean"), number("/boo/q6bar_mean")) {
        let disordered = number("/boo/disordered_count").unwrap_or(0.0);
        let share = 100.0 * disordered / analyzed.atoms.len().max(1) as f64;
        lines.push(format!(
            "mean Q̄4 {q4:.4}, Q̄6 {q6:.4}, {share:.1} % disordered"
        ));
    }
    lines.extend(structure_line(analyzed));
    if let Some(rho) = number("/rho_n/all/mean") {
        let n = number("/rho_n/all/n").unwrap_or(0.0);
        lines.push(format!("ρ_N {rho:.5} Å⁻³ over {n:.0} inner atoms"));
    }
    if let Some(oxidation) = number("/oxidation/all/mean") {
        lines.push(format!(
            "degree of oxidation {oxidation:.3} (O atoms are inferred)"
        ));
    }
    if let Some(stack) = &analyzed.stack {
        let (mean, sd, n) = stack.spacing();
        lines.push(if stack.atomic {
            format!(
                "{} layers along {}, {mean:.3} ± {sd:.3} Å apart (n = {n})",
                stack.sheets.len(),
                stack.spec
            )
        } else {
            format!("no atomic layers along {}", stack.spec)
        });
    }
    lines.extend(analyzed.notes.iter().map(|note| format!("note: {note}")));
    lines
}

/// The numbers of an analysis; with a volume also how dense the voids are against the atoms.
#[must_use]
pub fn summary_with(analyzed: &Analyzed, volume: Option<&Volume>) -> Value {
    let mut summary = analyzed.summary.clone();
    if let (Some(volume), Some(list)) = (volume, summary.pointer_mut("/voids/list"))
        && let Some(list) = list.as_array_mut()
    {
        let inner = analyzed.voids.iter().filter(|void| !void.at_surface);
        let places: Vec<[f64; 3]> = inner.map(|void| void.center).collect();
        let densities = super::maps::relative_density(volume, &analyzed.atoms, &places);
        for (void, density) in list.iter_mut().zip(densities) {
            void["density_over_atoms"] = json!(density);
        }
    }
    summary
}

/// The differences that stand out, for a terminal: those of at least three standard errors, the largest first.
#[must_use]
pub fn comparison_lines(found: &Comparison) -> Vec<String> {
    const MOST: usize = 12;
    let first = found.models.first().map_or("", String::as_str);
    let mut lines = Vec::new();
    for (model, name) in found.models.iter().enumerate().skip(1) {
        let mut clear: Vec<(f64, String)> = found
            .rows
            .iter()
            .filter_map(|row| {
                let (value, error) = row.difference(model)?;
                let error = error.filter(|e| *e > 0.0)?;
                let text = format!("  {}: {value:+.4} ± {error:.4}", row.name);
                ((value / error).abs() >= 3.0).then_some(((value / error).abs(), text))
            })
            .collect();
        clear.sort_by(|a, b| b.0.total_cmp(&a.0));
        lines.push(format!(
            "{name} − {first}: {} of {} quantities differ by three standard errors or more",
            clear.len(),
            found.rows.len()
        ));
        lines.extend(clear.into_iter().take(MOST).map(|(_, text)| text));
    }
    lines
}

/// How many atoms have which structure, and the grains and twin planes they form.
fn structure_line(analyzed: &Analyzed) -> Option<String> {
    let found = analyzed.summary.get("ptm")?;
    let counts: Vec<String> = ["fcc", "hcp", "bcc", "ico", "sc", "other"]
        .iter()
        .filter_map(|name| Some((name, found.get(name)?.as_u64()?)))
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    Some(format!(
        "structures at RMSD {}: {}; {} grains, {} twin planes",
        found.get("rmsd_cutoff")?,
        counts.join(", "),
        analyzed.grains.len(),
        analyzed.twins.len()
    ))
}

/// The next stage that is ready or outdated, as the job that runs it; `None` when the project is up to date.
#[must_use]
pub fn next_job(workspace: &Workspace) -> Option<Job> {
    let due = |stage| {
        matches!(
            pipeline::status(workspace, stage),
            StageStatus::Ready | StageStatus::Stale(_)
        )
    };
    let parameters = &workspace.project.parameters;
    let series = workspace
        .best_series()
        .filter(|series| series.pixel_size.is_some());
    // A loaded volume or model has no record and is never overwritten; preparation is the user's choice.
    let outdated = |stage| workspace.stale_reason(stage).is_some();
    if outdated(Stage::Prepare)
        && let Some(series) = &workspace.series
    {
        return Some(Job::Prepare {
            series: Arc::clone(series),
            params: parameters.prepare.clone(),
            earlier: None,
        });
    }
    if due(Stage::Reconstruct)
        && (workspace.volume.is_none() || outdated(Stage::Reconstruct))
        && workspace.atoms_are_ours()
        && let Some(series) = series
    {
        return Some(Job::Reconstruct {
            series: Arc::clone(series),
            start: None,
            support: None,
            follow: parameters.trace_while_running,
            params: parameters.reconstruct.clone(),
        });
    }
    if due(Stage::Trace)
        && workspace.atoms_are_ours()
        && let Some(volume) = &workspace.volume
    {
        return Some(Job::Trace {
            volume: Arc::clone(volume),
            ghosts: workspace.ghosts.clone(),
            params: parameters.trace.clone(),
        });
    }
    if due(Stage::Analyze)
        && let Some(atoms) = &workspace.atoms
    {
        return Some(Job::Analyze {
            atoms: Arc::clone(atoms),
            params: parameters.analyze.clone(),
        });
    }
    None
}

/// What to measure.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchRequest {
    /// Voxels on x, y, z.
    pub volume_size: Option<Vec<usize>>,
    /// Number of tilts.
    pub tilts: usize,
    /// Iterations timed.
    pub iterations: usize,
    /// Small errors in φ and ψ, so that the general path runs.
    pub general: bool,
    /// Where.
    pub engine: Engine,
    /// Which projector.
    pub method: Method,
    /// Atoms of a made-up model.
    pub atoms: usize,
    /// The model that is analysed instead.
    pub model: Option<super::input::AtomsInput>,
}

impl BenchRequest {
    /// The size asked for, or `usual`.
    ///
    /// # Errors
    /// Other than three positive numbers.
    pub fn size_or(&self, usual: [usize; 3]) -> Result<[usize; 3], JobError> {
        match self.volume_size.as_deref() {
            None => Ok(usual),
            Some(&[x, y, z]) if x > 0 && y > 0 && z > 0 => Ok([x, y, z]),
            Some(other) => Err(JobError::Failed(format!(
                "--volume-size {other:?}: expected three positive numbers"
            ))),
        }
    }
}

/// Runs a benchmark by name.
///
/// # Errors
/// An unknown name, an engine that is not there, a stop.
pub fn bench(
    name: &str,
    request: &BenchRequest,
    monitor: &Monitor,
) -> Result<(Value, Vec<String>), JobError> {
    match name {
        "reconstruct" => bench_reconstruct(request, monitor),
        "convergence" => {
            let size = request.size_or([160; 3])?;
            super::bench::convergence(size, request.tilts, request.general, monitor)
        }
        "denoise" => {
            let [x, y, _] = request.size_or([290; 3])?;
            super::bench::denoise([x, y], request.tilts, monitor)
        }
        "trace" => super::bench::trace(request.size_or([290; 3])?, monitor),
        "analyze" => {
            let model = request.model.as_ref().map(super::input::load_atoms);
            super::bench::analyze(request.atoms, model.transpose()?, monitor)
        }
        _ => Err(JobError::Failed(format!(
            "bench {name}: expected reconstruct, convergence, denoise, trace, analyze or frame"
        ))),
    }
}

fn bench_reconstruct(
    request: &BenchRequest,
    monitor: &Monitor,
) -> Result<(Value, Vec<String>), JobError> {
    let size = request.size_or([160; 3])?;
    let which = match request.engine {
        Engine::Cpu => None,
        Engine::Auto => Some(Which::Hardware),
        Engine::Gpu => Some(Which::Any),
    };
    if let Some(which) = which {
        let angles = angles(request.tilts, request.general);
        match gpu::bench(which, size, &angles, request.iterations, monitor) {
            Ok((bench, limit)) => return Ok(bench_of_device(&bench, &limit)),
            Err(GpuError::Stopped(how)) => return Err(JobError::Stopped(how)),
            Err(error) if request.engine == Engine::Gpu => {
                return Err(JobError::Failed(format!("--engine gpu: {error}")));
            }
            Err(error) => monitor.note(&format!("measured on the CPU: {error}")),
        }
    }
    check_method(request.method)?;
    let bench = crate::projection::bench::bench(
        request.method,
        size,
        request.tilts,
        request.iterations,
        request.general,
        monitor,
    )?;
    let mut lines = bench_lines(&bench);
    lines.push(format!(
        "{:.0} % of this machine's multiply-add limit",
        100.0 * bench.limit_ratio
    ));
    Ok((bench_json(&bench), lines))
}

fn bench_of_device(bench: &Bench, limit: &CopyLimit) -> (Value, Vec<String>) {
    let mut json = bench_json(bench);
    json["copy_bytes_per_second"] = json!(limit.bytes_per_second);
    json["bytes_per_iteration"] = json!(limit.bytes_per_iteration);
    json["forward_seconds"] = json!(limit.kernel_seconds.map(|s| s[0]));
    json["adjoint_seconds"] = json!(limit.kernel_seconds.map(|s| s[1]));
    let mut lines = bench_lines(bench);
    if let Some([forward, adjoint]) = limit.kernel_seconds {
        lines.push(format!(
            "by the device's clock {:.3} ms forward, {:.3} ms back",
            1e3 * forward,
            1e3 * adjoint
        ));
    }
    lines.push(format!(
        "{:.1} % of the limit of its memory ({:.1} GB/s copied, {:.3} GB an iteration)",
        100.0 * bench.limit_ratio,
        limit.bytes_per_second / 1e9,
        limit.bytes_per_iteration / 1e9
    ));
    (json, lines)
}

fn bench_json(bench: &Bench) -> Value {
    json!({
        "shape": bench.shape, "tilts": bench.tilts, "threads": bench.threads,
        "seconds_per_iteration": bench.seconds_per_iteration,
        "samples_per_second": bench.samples_per_second,
        "limit_ratio": bench.limit_ratio, "engine": bench.engine,
    })
}

fn bench_lines(bench: &Bench) -> Vec<String> {
    let [x, y, z] = bench.shape;
    vec![
        format!(
            "{x} × {y} × {z}, {} tilts, {} threads, {}",
            bench.tilts, bench.threads, bench.engine
        ),
        format!(
            "{:.5} s per iteration, {:.2e} samples/s",
            bench.seconds_per_iteration, bench.samples_per_second
        ),
    ]
}
