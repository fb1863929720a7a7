//! Benchmarks of the stages besides reconstruction, each beside the least work it could be done with on this machine,
//! whose speed is measured in the same run.

mod convergence;

pub use convergence::convergence;

use super::JobError;
use crate::analyze::{AnalyzeParams, Analyzed};
use crate::model::{Atoms, Volume};
use crate::monitor::Monitor;
use crate::preprocess::Bm3dParams;
use crate::projection::bench::multiply_adds_per_second;
use crate::trace::TraceParams;
use ndarray::{Array3, Axis};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;

/// Distance of nearest neighbours of the crystal that is traced and analysed, Å (fcc Zr).
const NEAREST: f64 = 3.2;
/// Width of an atom in the volume, Å.
const SIGMA: f64 = 0.45;
/// Edge of a voxel, Å.
const PIXEL: f64 = 0.35;

/// A ball of an fcc crystal that fills `share` of a box of `size` Å; each atom displaced by up to 0.1 Å, so that nothing
/// is degenerate.
fn crystal(size: [f64; 3], share: f64) -> Vec<[f64; 3]> {
    let half_cell = NEAREST / 2f64.sqrt();
    let radius = share * size.iter().copied().fold(f64::INFINITY, f64::min) / 2.0;
    let reach = (radius / half_cell).ceil() as i64;
    let mut positions = Vec::new();
    for i in -reach..=reach {
        for j in -reach..=reach {
            for k in -reach..=reach {
                if (i + j + k).rem_euclid(2) != 0 {
                    continue;
                }
                let place = [i, j, k].map(|n| n as f64 * half_cell);
                if place.iter().map(|x| x * x).sum::<f64>() > radius * radius {
                    continue;
                }
                let mut seed = (i * 7919 + j * 104_729 + k * 1_299_709) as u64;
                positions.push(place.map(|x| x + 0.1 * noise(&mut seed)));
            }
        }
    }
    positions
}

/// A number in [−1, 1] and the next seed (splitmix64).
fn noise(seed: &mut u64) -> f64 {
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

/// Gaussian atoms on a grid.
fn paint(size: [usize; 3], positions: &[[f64; 3]]) -> Volume {
    let mut data = Array3::<f32>::zeros(size);
    let reach = (4.0 * SIGMA / PIXEL).ceil() as i64;
    for place in positions {
        let at: [f64; 3] =
            std::array::from_fn(|axis| place[axis] / PIXEL + (size[axis] / 2) as f64);
        let near = at.map(|x| x.round() as i64);
        let weights: [Vec<f64>; 3] = std::array::from_fn(|axis| {
            (near[axis] - reach..=near[axis] + reach)
                .map(|n| (-((n as f64 - at[axis]) * PIXEL / SIGMA).powi(2) / 2.0).exp())
                .collect()
        });
        for (i, wx) in weights[0].iter().enumerate() {
            for (j, wy) in weights[1].iter().enumerate() {
                for (k, wz) in weights[2].iter().enumerate() {
                    let offsets = [i, j, k];
                    let index: [i64; 3] =
                        std::array::from_fn(|axis| near[axis] - reach + offsets[axis] as i64);
                    let index = index.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
                    if let Some(voxel) = data.get_mut(index) {
                        *voxel += (wx * wy * wz) as f32;
                    }
                }
            }
        }
    }
    Volume::new(data, PIXEL)
}

/// Largest memory this process has held, bytes; `None` where the system does not tell.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// Processor time of this process, all threads, seconds; `None` where the system does not tell.
fn processor_seconds() -> Option<f64> {
    // Thread by thread in nanoseconds; the threads that compute do not end.
    let tasks = std::fs::read_dir("/proc/self/task").ok();
    let exact = tasks.and_then(|tasks| -> Option<f64> {
        let seconds = tasks.map(|task| {
            let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<f64>().ok()
        });
        Some(1e-9 * seconds.sum::<Option<f64>>()?)
    });
    if exact.is_some() {
        return exact;
    }
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may hold spaces; user and system time are fields 14 and 15, in hundredths.
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some((next()? + next()?) / 100.0)
}

/// Denoising `tilts` noisy images of a crystal, `size` pixels; and how near five levels of noise on a crystal and on an
/// amorphous ball come to the Python reference of BM3D. The least work is the block matching of the two stages: one
/// multiply-add per pixel of the eight-row strip of every reference row and displacement.
///
/// # Errors
/// The stage's.
pub fn denoise(
    size: [usize; 2],
    tilts: usize,
    monitor: &Monitor,
) -> Result<(Value, Vec<String>), JobError> {
    let [nx, ny] = size;
    let depth = nx.min(ny);
    let positions = crystal([nx, ny, depth].map(|n| n as f64 * PIXEL), 0.9);
    let picture = paint([nx, ny, depth], &positions).data.sum_axis(Axis(2));
    let mut seed = 1;
    let images = Array3::from_shape_fn((tilts, nx, ny), |(_, x, y)| {
        let mean = f64::from(picture[[x, y]]) + 1.0;
        // Uniform numbers of variance 1 instead of Poisson ones: the same work.
        (mean + (3.0 * mean).sqrt() * noise(&mut seed)) as f32
    });
    let params = Bm3dParams::default();
    let (started, before) = (Instant::now(), processor_seconds());
    let denoised = crate::preprocess::bm3d::denoise(&images, &[], &params, monitor)
        .map_err(|error| super::execute::stopped_or(error, "bench denoise"))?;
    let seconds = started.elapsed().as_secs_f64();
    let processor = processor_seconds()
        .zip(before)
        .map(|(after, before)| after - before);
    let threads = rayon::current_num_threads();
    let rows = nx.saturating_sub(8).div_ceil(params.step_px) + 1;
    let displacements = (2 * params.search_px + 1).pow(2);
    let least = (2 * tilts * rows * displacements * 8 * ny) as f64;
    let limit_ratio = least / multiply_adds_per_second(threads) / seconds;
    let each = seconds / tilts.max(1) as f64;
    let qualities = crate::preprocess::bm3d::reference::qualities(monitor)
        .map_err(|error| super::execute::stopped_or(error, "bench denoise"))?;
    let json = json!({
        "size_px": size, "tilts": tilts, "threads": threads, "seconds": seconds, "seconds_per_image": each,
        "processor_seconds": processor, "limit_ratio": limit_ratio, "noise": denoised.noise, "quality": qualities,
    });
    let mut lines = vec![
        format!("{tilts} images of {nx} × {ny}, {threads} threads"),
        format!(
            "{seconds:.2} s, {each:.3} s per image, {:.0} % of the limit of block matching alone",
            100.0 * limit_ratio
        ),
    ];
    lines.extend(processor.map(|s| {
        let image = s / tilts.max(1) as f64;
        format!("{s:.2} processor seconds, {image:.3} per image")
    }));
    lines.push(
        "PSNR of 128 × 128 pictures, noisy and denoised, beside the Python reference's:".to_owned(),
    );
    lines.extend(qualities.iter().map(|q| {
        format!(
            "  {}, noise {:.2} of the peak: {:.2} dB, {:.2} dB (reference {:.2} dB, {:+.2})",
            q.picture,
            q.sigma,
            q.noisy_db,
            q.denoised_db,
            q.reference_db,
            q.denoised_db - q.reference_db
        )
    }));
    Ok((json, lines))
}

/// Tracing a particle that fills a volume of `size` voxels. The least work is the separable up-sampling alone: 4 taps for
/// each of the 3 + 9 + 27 values a voxel becomes.
///
/// # Errors
/// The stage's.
pub fn trace(size: [usize; 3], monitor: &Monitor) -> Result<(Value, Vec<String>), JobError> {
    let positions = crystal(size.map(|n| n as f64 * PIXEL), 0.9);
    let volume = paint(size, &positions);
    let params = TraceParams::default();
    let started = Instant::now();
    let traced = crate::trace::trace(&volume, &params, None, monitor)
        .map_err(|error| super::execute::stopped_or(error, "bench trace"))?;
    let seconds = started.elapsed().as_secs_f64();
    let threads = rayon::current_num_threads();
    let least = 4.0 * (3.0 + 9.0 + 27.0) * size.iter().product::<usize>() as f64;
    let limit_ratio = least / multiply_adds_per_second(threads) / seconds;
    let peak_bytes = peak_memory();
    let json = json!({
        "shape": size, "threads": threads, "planted": positions.len(), "atoms": traced.atoms.len(),
        "seconds": seconds, "limit_ratio": limit_ratio, "peak_bytes": peak_bytes,
    });
    let [x, y, z] = size;
    let mut lines = vec![
        format!(
            "{x} × {y} × {z} voxels, up-sampled {} times, {threads} threads",
            params.upsample
        ),
        format!(
            "{} of {} atoms in {seconds:.2} s, {:.0} % of the limit of up-sampling alone",
            traced.atoms.len(),
            positions.len(),
            100.0 * limit_ratio
        ),
    ];
    lines.extend(peak_bytes.map(|bytes| format!("peak memory {:.2} GB", bytes as f64 / 1e9)));
    Ok((json, lines))
}

/// All analyses of a model, or of a particle of about `atoms` atoms, and each slider moved once. The least work is a distance
/// (three multiply-adds) for each pair within the range of the PDF.
///
/// # Errors
/// The stage's.
pub fn analyze(
    atoms: usize,
    model: Option<Atoms>,
    monitor: &Monitor,
) -> Result<(Value, Vec<String>), JobError> {
    let cell = NEAREST.powi(3) / 2f64.sqrt();
    let model = model.unwrap_or_else(|| {
        let radius = (0.75 * atoms as f64 * cell / std::f64::consts::PI).cbrt();
        Atoms::from_positions(crystal([2.0 * radius; 3], 1.0), "Zr")
    });
    let params = AnalyzeParams::default();
    let fail = |error| super::execute::stopped_or(error, "bench analyze");
    let (started, before) = (Instant::now(), processor_seconds());
    let analyzed = Arc::new(crate::analyze::analyze(&model, &params, monitor).map_err(fail)?);
    let seconds = started.elapsed().as_secs_f64();
    let processor = processor_seconds()
        .zip(before)
        .map(|(after, before)| after - before);
    let mut sliders = serde_json::Map::new();
    for (name, moved) in sliders_of(&params, analyzed.cutoff) {
        let times = slide(&analyzed, &moved).map_err(fail)?;
        sliders.insert(
            name.to_owned(),
            json!({
                "milliseconds": times.first, "processor_milliseconds": times.first_processor,
                "all_milliseconds": times.all,
            }),
        );
    }
    let each = each_alone(&model, analyzed.cutoff, monitor);
    let slowest = sliders
        .values()
        .filter_map(|s| s["milliseconds"].as_f64())
        .fold(0.0, f64::max);
    let threads = rayon::current_num_threads();
    let ball = 4.0 / 3.0 * std::f64::consts::PI * params.pdf_range.powi(3) / cell;
    let least = 3.0 * model.len() as f64 * ball / 2.0;
    let limit_ratio = least / multiply_adds_per_second(threads) / seconds;
    let stages: serde_json::Map<String, Value> = analyzed
        .seconds
        .iter()
        .map(|(name, s)| (name.clone(), json!(s)))
        .collect();
    let mut lines = vec![
        format!("{} atoms, {threads} threads", model.len()),
        format!(
            "all analyses in {seconds:.3} s, {:.1} % of the limit of the pair distances alone",
            100.0 * limit_ratio
        ),
    ];
    lines.extend(processor.map(|s| format!("{s:.2} processor seconds")));
    lines.extend(
        analyzed
            .seconds
            .iter()
            .map(|(name, s)| format!("  {name}: {s:.3} s")),
    );
    lines.push("each by itself, the cutoff known, processor seconds:".to_owned());
    lines.extend(
        each.iter().map(|(name, seconds)| {
            format!("  {name}: {:.3} s", seconds.as_f64().unwrap_or(f64::NAN))
        }),
    );
    lines.push("what a slider changes, with its plots and tables, after it was moved:".to_owned());
    lines.extend(sliders.iter().map(|(name, times)| {
        let number = |key: &str| times[key].as_f64().unwrap_or(f64::NAN);
        format!(
            "  {name}: {:.1} ms ({:.1} ms of processor), all {:.1} ms",
            number("milliseconds"),
            number("processor_milliseconds"),
            number("all_milliseconds")
        )
    }));
    let json = json!({
        "atoms": model.len(), "threads": threads, "seconds": seconds, "processor_seconds": processor,
        "again_seconds": 1e-3 * slowest, "limit_ratio": limit_ratio, "stages": stages, "sliders": sliders, "each_processor_seconds": each,
    });
    Ok((json, lines))
}

/// Every slider of the panel moved a little.
fn sliders_of(params: &AnalyzeParams, cutoff: f64) -> Vec<(&'static str, AnalyzeParams)> {
    type Move = (&'static str, fn(&mut AnalyzeParams));
    let moves: [Move; 13] = [
        ("boo_threshold", |p| p.boo_threshold += 0.02),
        ("oxygen_volume", |p| p.oxygen_volume += 0.1),
        ("max_distortion", |p| p.max_distortion += 0.01),
        ("sliver_volume", |p| p.sliver_volume += 0.1),
        ("map_sigma", |p| p.map_sigma += 0.2),
        ("void_radius", |p| p.void_radius += 0.05),
        ("ptm_rmsd", |p| p.ptm_rmsd += 0.01),
        ("grain_misorientation", |p| {
            p.grain_misorientation_deg += 0.5
        }),
        ("face_share", |p| p.face_share += 0.002),
        ("pdf_smoothing", |p| p.pdf_smoothing += 0.02),
        ("pdf_bin", |p| p.pdf_bin += 0.01),
        ("profile_bin", |p| p.profile_bin = Some(2.0)),
        ("strain_sigma", |p| p.strain_sigma += 0.2),
    ];
    let mut all: Vec<(&'static str, AnalyzeParams)> = moves
        .into_iter()
        .map(|(name, change)| {
            let mut moved = params.clone();
            change(&mut moved);
            (name, moved)
        })
        .collect();
    let moved = AnalyzeParams {
        cutoff: Some(cutoff + 0.05),
        ..params.clone()
    };
    all.push(("cutoff", moved));
    all
}

/// Milliseconds after a slider was moved.
struct Slide {
    /// Until what it changes is there with its figures.
    first: f64,
    /// Those of the processor.
    first_processor: Option<f64>,
    /// Until all is there.
    all: f64,
}

/// The best of three.
fn slide(
    analyzed: &Arc<Analyzed>,
    moved: &AnalyzeParams,
) -> Result<Slide, crate::analyze::AnalyzeError> {
    let mut best: Option<Slide> = None;
    for _ in 0..3 {
        let (started, before) = (Instant::now(), processor_seconds());
        let mut first = None;
        let mut shown = |outcome: &Analyzed| {
            drop(crate::figures::plots::analysis_figures(outcome, moved));
            let processor = processor_seconds().zip(before);
            let wall = 1e3 * started.elapsed().as_secs_f64();
            first.get_or_insert((
                wall,
                processor.map(|(after, before)| 1e3 * (after - before)),
            ));
        };
        let mut early = |outcome| shown(&outcome);
        let silent = Monitor::silent();
        let by_hand = None;
        let again =
            crate::analyze::reanalyze_in_steps(analyzed, by_hand, moved, &mut early, &silent)?;
        shown(&again);
        let all = 1e3 * started.elapsed().as_secs_f64();
        if let Some((wall, processor)) = first
            && best.as_ref().is_none_or(|best| wall < best.first)
        {
            best = Some(Slide {
                first: wall,
                first_processor: processor,
                all,
            });
        }
    }
    Ok(best.expect("every round has a first outcome"))
}

/// Processor seconds of each analysis by itself: what other programs can be compared with. The least of three.
fn each_alone(model: &Atoms, cutoff: f64, monitor: &Monitor) -> serde_json::Map<String, Value> {
    use crate::analyze::oxidation::{Region, Space, alpha_shape};
    use crate::analyze::{analyze, order, pdf, ptm};
    use crate::numeric::neighbors::neighbors_within;
    use crate::numeric::tessellation::delaunay;
    let positions = &model.positions;
    let mut each = serde_json::Map::new();
    let mut time = |name: &str, work: &mut dyn FnMut()| {
        let mut least = f64::INFINITY;
        for _ in 0..3 {
            let before = processor_seconds();
            work();
            if let Some((after, before)) = processor_seconds().zip(before) {
                least = least.min(after - before);
            }
        }
        each.insert(name.to_owned(), json!(least));
    };
    time("neighbours within the cutoff", &mut || {
        drop(neighbors_within(positions, cutoff));
    });
    let sampling = pdf::Sampling {
        range: 20.0,
        bin: 0.1,
        smoothing: 0.15,
    };
    let spacing = 0.7 * cutoff;
    time("PDF to 20 Å, 200 bins", &mut || {
        drop(pdf::pair_distribution(positions, &sampling, spacing, None));
    });
    time("Q̄4 and Q̄6", &mut || {
        let neighbors = neighbors_within(positions, cutoff);
        drop(order::averaged_q4_q6(positions, &neighbors));
    });
    time("template matching", &mut || {
        let wanted = ptm::Structure::ALL.to_vec();
        drop(ptm::Matches::new(positions, wanted, spacing, monitor));
    });
    time("Delaunay tessellation", &mut || drop(delaunay(positions)));
    time(
        "tessellation with the volumes and faces of the cells",
        &mut || {
            drop(Space::new(positions));
        },
    );
    time("surface of the alpha shape", &mut || {
        drop(alpha_shape(positions, cutoff));
    });
    if let Some(space) = Space::new(positions) {
        time("region of the alpha shape, tessellated", &mut || {
            drop(Region::new(&space, cutoff, positions.len()));
        });
    }
    let only = |name: &str| AnalyzeParams {
        cutoff: Some(cutoff),
        only: Some(vec![name.to_owned()]),
        ..AnalyzeParams::default()
    };
    for part in crate::analyze::PARTS {
        let params = only(part);
        time(part, &mut || drop(analyze(model, &params, monitor)));
    }
    each
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noise_of_the_denoising_bench_is_that_of_counts() {
        let (json, lines) = denoise([160, 152], 4, &Monitor::silent()).unwrap();
        let gain = json["noise"]["gain"].as_f64().unwrap();
        assert!((gain - 1.0).abs() < 0.2, "{json}");
        assert!(json["limit_ratio"].as_f64().unwrap() > 0.0);
        assert_eq!(json["quality"].as_array().map(Vec::len), Some(10));
        assert!(lines.len() >= 12);
    }

    #[test]
    fn a_small_particle_is_traced_and_analysed_whole() {
        let (json, _) = trace([56, 52, 60], &Monitor::silent()).unwrap();
        assert!(json["planted"].as_u64().unwrap() > 50);
        assert_eq!(json["atoms"], json["planted"]);
        let (json, lines) = analyze(500, None, &Monitor::silent()).unwrap();
        let atoms = json["atoms"].as_f64().unwrap();
        assert!((atoms / 500.0 - 1.0).abs() < 0.1, "{atoms}");
        assert!(lines.len() > 4);
    }
}
