//! Slabs of a reconstruction in files: what each is a part of is written beside it, and the parts are joined.
//!
//! A volume's file has no place for this in every format, so it is a small JSON file of the same name that ends in
//! `.slab.json`. It holds what must be equal in all parts (series, parameters, iterations), so that parts of different
//! reconstructions are never joined, and the hash of the voxels, so that it is known to belong to its volume.

use super::JobError;
use super::execute::{series_hash, volume_hash};
use crate::io;
use crate::model::{TiltSeries, Volume};
use crate::reconstruct::{ReconstructParams, Reconstructed, Slab, volume_size};
use ndarray::{Array3, s};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What is written beside a slab's volume.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlabNote {
    /// Which slab, counted from 1.
    pub number: usize,
    /// Of how many.
    pub count: usize,
    /// Its first y-slice, and the one after its last.
    pub y_slices: [usize; 2],
    /// Voxels of the whole on x, y, z.
    pub whole: [usize; 3],
    /// Edge of a voxel, Å: not every format holds it, and not every one exactly.
    #[serde(rename = "pixel_size_A")]
    pub pixel_size: f64,
    /// Hash of the tilt series.
    pub series: String,
    /// Parameters, with the hashes of the volumes to start from and to stay within.
    pub parameters: serde_json::Value,
    /// Iterations done.
    pub iterations: usize,
    /// What ran.
    pub engine: String,
    /// Version of the program.
    pub version: String,
    /// Hash of the slab's voxels.
    pub voxels: String,
}

/// What a slab was made from, and what came of it.
pub struct Made<'a> {
    /// The whole series.
    pub series: &'a TiltSeries,
    /// How.
    pub params: &'a ReconstructParams,
    /// Volumes to start from and to stay within.
    pub volumes: [Option<&'a Volume>; 2],
    /// The outcome.
    pub outcome: &'a Reconstructed,
}

/// A whole volume joined from slabs.
#[derive(Debug)]
pub struct Merged {
    /// The volume.
    pub volume: Volume,
    /// What to know about the parts, in sentences.
    pub notes: Vec<String>,
}

/// Where a slab's note lies: beside its volume.
#[must_use]
pub fn note_path(volume: &Path) -> PathBuf {
    volume.with_extension("slab.json")
}

/// Writes beside a slab's volume what it is a part of.
///
/// # Errors
/// An existing file without `force`, or what the system says.
pub fn write_note(slab: Slab, made: &Made, volume: &Path, force: bool) -> Result<(), JobError> {
    let whole = volume_size(made.series, made.params);
    let range = slab.range(whole[1]);
    let mut parameters = serde_json::to_value(made.params).map_err(JobError::failed)?;
    for (name, volume) in ["start", "support"].into_iter().zip(made.volumes) {
        parameters[name] = volume.map(volume_hash).into();
    }
    let note = SlabNote {
        number: slab.number,
        count: slab.count,
        y_slices: [range.start, range.end],
        whole,
        pixel_size: made.outcome.volume.pixel_size,
        series: series_hash(made.series),
        parameters,
        iterations: made.outcome.iterations.len(),
        engine: made.outcome.engine.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        voxels: volume_hash(&made.outcome.volume),
    };
    io::save_json(&note_path(volume), &note, force).map_err(JobError::failed)
}

struct Part {
    path: PathBuf,
    note: SlabNote,
    volume: Volume,
}

fn failed<T>(path: &Path, text: &str) -> Result<T, JobError> {
    Err(JobError::Failed(format!("{}: {text}", path.display())))
}

fn read(path: &Path) -> Result<Part, JobError> {
    let beside = note_path(path);
    let text = match std::fs::read_to_string(&beside) {
        Ok(text) => text,
        Err(error) => {
            let named = beside.display();
            return failed(
                path,
                &format!("expected {named} beside it, which says what it is a part of ({error})"),
            );
        }
    };
    let note: SlabNote = match serde_json::from_str(&text) {
        Ok(note) => note,
        Err(error) => return failed(&beside, &format!("not the note of a slab: {error}")),
    };
    let volume = io::load_volume(&path.display().to_string(), Some(note.pixel_size))
        .map_err(JobError::failed)?;
    if volume_hash(&volume) != note.voxels {
        return failed(
            path,
            &format!("not the volume that {} was written for", beside.display()),
        );
    }
    let [from, to] = note.y_slices;
    let [nx, ny, nz] = note.whole;
    if from >= to || to > ny || volume.size() != [nx, to - from, nz] {
        return failed(
            path,
            &format!(
                "expected y-slices {from} to {to} of {nx} × {ny} × {nz} voxels, found {:?} voxels",
                volume.size()
            ),
        );
    }
    Ok(Part {
        path: path.to_owned(),
        note,
        volume,
    })
}

/// Reads slabs and joins them.
///
/// # Errors
/// One clear line: a slab without its note or changed since, one of another reconstruction, slices that are missing
/// or there twice.
pub fn merge(paths: &[PathBuf]) -> Result<Merged, JobError> {
    let mut parts = paths
        .iter()
        .map(|path| read(path))
        .collect::<Result<Vec<_>, _>>()?;
    parts.sort_by_key(|part| part.note.y_slices);
    let Some(first) = parts.first() else {
        return Err(JobError::Failed("no slabs to merge".to_owned()));
    };
    for part in &parts[1..] {
        same_reconstruction(first, part)?;
    }
    covered(&parts)?;
    let [nx, ny, nz] = first.note.whole;
    let mut data = Array3::zeros((nx, ny, nz));
    for part in &parts {
        let [from, to] = part.note.y_slices;
        data.slice_mut(s![.., from..to, ..])
            .assign(&part.volume.data);
    }
    Ok(Merged {
        volume: Volume::new(data, first.volume.pixel_size),
        notes: instructions(&parts),
    })
}

/// Refuses a part of something else.
fn same_reconstruction(a: &Part, b: &Part) -> Result<(), JobError> {
    let (one, two) = (&a.note, &b.note);
    let differs = if one.series != two.series {
        "the tilt series differ".to_owned()
    } else if one.parameters != two.parameters {
        format!(
            "the parameters differ ({})",
            different(&one.parameters, &two.parameters)
        )
    } else if one.whole != two.whole {
        format!("the wholes are {:?} and {:?} voxels", one.whole, two.whole)
    } else if one.pixel_size != two.pixel_size {
        let (one, two) = (one.pixel_size, two.pixel_size);
        format!("the voxels are {one} and {two} Å wide")
    } else if one.iterations != two.iterations {
        format!(
            "{} and {} iterations were done",
            one.iterations, two.iterations
        )
    } else {
        return Ok(());
    };
    let (a, b) = (a.path.display(), b.path.display());
    Err(JobError::Failed(format!(
        "{a} and {b} are not of one reconstruction: {differs}"
    )))
}

/// Names of the entries that differ.
fn different(a: &serde_json::Value, b: &serde_json::Value) -> String {
    let empty = serde_json::Map::new();
    let (a, b) = (
        a.as_object().unwrap_or(&empty),
        b.as_object().unwrap_or(&empty),
    );
    let mut names: Vec<&str> = a
        .keys()
        .chain(b.keys())
        .filter(|name| a.get(*name) != b.get(*name))
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

/// Refuses slices that are missing or there twice; parts are in order.
fn covered(parts: &[Part]) -> Result<(), JobError> {
    let mut next = 0;
    let mut before: Option<&Part> = None;
    let missing = |from: usize, to: usize, ny: usize| {
        Err(JobError::Failed(format!(
            "expected all {ny} y-slices, those from {from} to {} are missing",
            to - 1
        )))
    };
    for part in parts {
        let ([from, to], ny) = (part.note.y_slices, part.note.whole[1]);
        if from > next {
            return missing(next, from, ny);
        }
        if let Some(before) = before.filter(|_| from < next) {
            return Err(JobError::Failed(format!(
                "{} and {} overlap: both hold y-slice {from}",
                before.path.display(),
                part.path.display()
            )));
        }
        next = to;
        before = Some(part);
    }
    match before.map(|part| part.note.whole[1]) {
        Some(ny) if next < ny => missing(next, ny, ny),
        _ => Ok(()),
    }
}

/// Says so when not all parts were made with the same instructions: sums are then rounded differently.
fn instructions(parts: &[Part]) -> Vec<String> {
    // `cpu, 2 threads, avx512`: the number of threads does not matter.
    let kind = |part: &Part| -> Vec<String> {
        let names = part.note.engine.split(", ");
        names
            .filter(|name| !name.ends_with(" threads"))
            .map(str::to_owned)
            .collect()
    };
    let version = |part: &Part| part.note.version.clone();
    let first = &parts[0];
    let other = parts[1..]
        .iter()
        .find(|part| kind(part) != kind(first) || version(part) != version(first));
    other
        .map(|other| {
            format!(
                "{} was made on {} (version {}), {} on {} (version {}): the parts may be rounded differently",
                first.path.display(),
                kind(first).join(", "),
                version(first),
                other.path.display(),
                kind(other).join(", "),
                version(other)
            )
        })
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EulerAngles;
    use crate::monitor::Monitor;
    use crate::reconstruct::{Projector, reconstruct};

    /// A few balls, each with its own y, seen at 11 tilts; every second tilt has another brightness, so that nothing
    /// fits exactly.
    fn series() -> TiltSeries {
        let truth = Array3::from_shape_fn((21, 150, 21), |(x, y, z)| {
            let ball = |center: [f64; 3]| {
                let d = [x as f64, y as f64, z as f64];
                let squares: f64 = (0..3).map(|axis| (d[axis] - center[axis]).powi(2)).sum();
                (1.0 - squares.sqrt() / 6.0).max(0.0) as f32
            };
            ball([10.0, 20.0, 8.0]) + 2.0 * ball([8.0, 71.0, 12.0]) + ball([11.0, 131.0, 10.0])
        });
        let angles: Vec<_> = (0..11)
            .map(|tilt| EulerAngles::from_tilt_deg(-65.0 + 13.0 * f64::from(tilt)))
            .collect();
        let truth = Volume::new(truth, 0.347);
        let silent = Monitor::silent();
        let mut images = crate::projection::forward(&truth, &angles, [21, 150], &silent).unwrap();
        for mut image in images.outer_iter_mut().step_by(2) {
            image.mapv_inplace(|v| 1.1 * v + 0.01);
        }
        TiltSeries::new("three balls", images, angles, Some(0.347))
    }

    fn run(series: &TiltSeries, params: &ReconstructParams) -> Reconstructed {
        let silent = Monitor::silent();
        reconstruct(series, params, None, None, &silent, &mut |_, _| {}).unwrap()
    }

    fn slab(params: &ReconstructParams, number: usize, count: usize) -> ReconstructParams {
        ReconstructParams {
            slab: Some(Slab { number, count }),
            ..params.clone()
        }
    }

    /// Reconstructs one slab into a file.
    fn make(series: &TiltSeries, params: &ReconstructParams, path: &Path) -> PathBuf {
        let outcome = run(series, params);
        io::save_volume(path, &outcome.volume, true).unwrap();
        let made = Made {
            series,
            params,
            volumes: [None, None],
            outcome: &outcome,
        };
        write_note(params.slab.unwrap(), &made, path, true).unwrap();
        path.to_owned()
    }

    #[test]
    fn the_joined_volume_is_the_whole_one_bit_for_bit() {
        let series = series();
        let folder = tempfile::tempdir().unwrap();
        for (projector, volume_size) in [
            (Projector::Linear, None),
            (Projector::Linear, Some(vec![25, 145, 19])),
            (Projector::Fourier, None),
        ] {
            let params = ReconstructParams {
                iterations: 12,
                projector,
                volume_size,
                leave_out: Some(5),
                ..Default::default()
            };
            let whole = run(&series, &params).volume;
            for (count, ending) in [(1, "npy"), (3, "mrc"), (4, "mat")] {
                let mut paths: Vec<_> = (1..=count)
                    .map(|number| {
                        let path = folder.path().join(format!("part{number}.{ending}"));
                        make(&series, &slab(&params, number, count), &path)
                    })
                    .collect();
                paths.rotate_left(1);
                let merged = merge(&paths).unwrap();
                assert!(merged.volume == *whole, "{projector:?} {count} {ending}");
                assert!(merged.notes.is_empty());
            }
        }
    }

    #[test]
    fn parts_that_do_not_make_a_whole_are_refused_with_the_reason() {
        let series = series();
        let folder = tempfile::tempdir().unwrap();
        let params = ReconstructParams {
            iterations: 2,
            ..Default::default()
        };
        let other = ReconstructParams {
            step: 1.5,
            ..params.clone()
        };
        let part = |name: &str, params: &ReconstructParams, number, count| {
            let path = folder.path().join(name);
            make(&series, &slab(params, number, count), &path)
        };
        let (a, b, c) = (
            part("a.mrc", &params, 1, 3),
            part("b.mrc", &params, 2, 3),
            part("c.mrc", &params, 3, 3),
        );
        let half = part("half.mrc", &params, 1, 2);
        let foreign = part("foreign.mrc", &other, 3, 3);
        let mut brighter = series.clone();
        brighter.images *= 1.5;
        let second = make(
            &brighter,
            &slab(&params, 2, 3),
            &folder.path().join("second.mrc"),
        );
        let refused = |paths: &[&PathBuf], why: &str| {
            let paths: Vec<_> = paths.iter().map(|path| (*path).clone()).collect();
            let text = merge(&paths).unwrap_err().to_string();
            assert!(text.contains(why) && !text.contains('\n'), "{text}");
        };
        merge(&[c.clone(), a.clone(), b.clone()]).unwrap();
        refused(&[&a, &c], "those from 50 to 99 are missing");
        refused(&[&b, &c], "those from 0 to 49 are missing");
        refused(&[&a, &b], "those from 100 to 149 are missing");
        refused(&[&a, &a, &b, &c], "overlap");
        refused(&[&half, &b, &c], "half.mrc and");
        refused(&[&a, &b, &foreign], "the parameters differ (step)");
        refused(&[&a, &second, &c], "the tilt series differ");
        std::fs::copy(&c, &b).unwrap();
        refused(&[&a, &b, &c], "not the volume that");
        std::fs::remove_file(note_path(&c)).unwrap();
        refused(&[&a, &c], "c.slab.json beside it");
        refused(&[], "no slabs");
    }
}
