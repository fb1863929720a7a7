//! The document on disk.
//!
//! `name.aetlas` is JSON: the [`Project`] and what is small. Beside it `name.aetlas-data/` holds the arrays, each
//! under a name that contains its hash, so that a save writes new arrays next to the old ones, renames the project
//! file over the old one, and only then removes what nobody refers to: a kill at any moment leaves a project that
//! opens.

use super::carry::Unrepeated;
use super::edits::{Edits, Entry};
use super::workspace::{Project, Workspace};
use crate::io::{IoError, write_atomically};
use crate::model::{Atoms, EulerAngles, Frames, Scan, TiltSeries, Volume};
use crate::numeric::fsc::Fsc;
use crate::reconstruct::{Iteration, Reconstructed, Trial};
use crate::trace::{Candidate, Traced};
use ndarray::Array3;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a project cannot be saved or opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// File or folder.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// An array file cannot be read or written.
    #[error(transparent)]
    Array(#[from] IoError),
    /// The file is not what it should be.
    #[error("{path}: expected {expected}, found {found}")]
    Format {
        /// The file.
        path: String,
        /// What is needed.
        expected: String,
        /// What there is.
        found: String,
    },
}

impl StoreError {
    pub(super) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.display().to_string(),
            source,
        }
    }

    pub(super) fn format(path: &Path, error: &serde_json::Error) -> Self {
        Self::Format {
            path: path.display().to_string(),
            expected: "a project file of this program".to_owned(),
            found: error.to_string(),
        }
    }

    pub(super) fn missing(path: &Path) -> Self {
        Self::Format {
            path: path.display().to_string(),
            expected: "a file".to_owned(),
            found: "nothing".to_owned(),
        }
    }
}

/// The newest format this program writes.
pub const FORMAT_VERSION: u32 = 1;

/// What the project file holds besides [`Project`].
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Stored {
    #[serde(flatten)]
    project: Project,
    series: Option<StoredSeries>,
    prepared: Option<StoredSeries>,
    volume_pixel_size: Option<f64>,
    reconstructed: Option<StoredRun>,
    traced: Option<StoredTrace>,
    /// Journal entries at the time of saving.
    edits: Vec<Entry>,
    /// Journal entries that the base model holds already.
    settled_edits: Vec<Entry>,
    /// Hand edits that a new trace could not take over.
    unrepeated: Vec<Unrepeated>,
    comparison: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredSeries {
    name: String,
    angles: Vec<EulerAngles>,
    included: Vec<bool>,
    pixel_size: Option<f64>,
    #[serde(default)]
    nominal_pixel_size: Option<f64>,
    #[serde(default)]
    frames: Option<StoredFrames>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredFrames {
    per_tilt: usize,
    scan: Scan,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredRun {
    iterations: Vec<Iteration>,
    r1: f64,
    r1_per_tilt: Vec<f64>,
    r_free: Option<f64>,
    #[serde(default)]
    kernel_width: Option<f64>,
    #[serde(default)]
    trials: Vec<Trial>,
    #[serde(default)]
    fsc: Option<Fsc>,
    #[serde(default)]
    notes: Vec<String>,
    engine: String,
    stopped_early: bool,
    seconds: f64,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredTrace {
    threshold: f64,
    sigma_mean: f64,
    sigma_sd: f64,
    seconds: f64,
}

impl StoredSeries {
    fn of(series: &TiltSeries) -> Self {
        Self {
            name: series.name.clone(),
            angles: series.angles.clone(),
            included: series.included.clone(),
            pixel_size: series.pixel_size,
            nominal_pixel_size: series.nominal_pixel_size,
            frames: series.frames.as_ref().map(|frames| StoredFrames {
                per_tilt: frames.per_tilt,
                scan: frames.scan,
            }),
        }
    }
}

/// The folder beside a project file that holds its arrays.
#[must_use]
pub fn data_folder(project: &Path) -> PathBuf {
    let mut name = project.file_name().unwrap_or_default().to_os_string();
    name.push("-data");
    project.with_file_name(name)
}

pub(super) fn create_folder(folder: &Path) -> Result<(), StoreError> {
    std::fs::create_dir_all(folder).map_err(|source| StoreError::io(folder, source))
}

/// Writes the document: the project file and every array it needs.
///
/// # Errors
/// When a file cannot be written; the project that was there before is then still whole.
pub fn save(workspace: &Workspace, path: &Path) -> Result<(), StoreError> {
    let folder = data_folder(path);
    create_folder(&folder)?;
    let mut stored = Stored {
        project: workspace.project.clone(),
        ..Stored::default()
    };
    stored.project.format_version = FORMAT_VERSION;
    stored.project.arrays.clear();
    let mut arrays = ArrayWriter {
        folder: &folder,
        project: &mut stored.project,
    };
    if let Some(series) = &workspace.series {
        arrays.write_grid("series", &series.images)?;
        if let Some(frames) = &series.frames {
            arrays.write_grid("frames", &frames.counts)?;
        }
    }
    if let Some(series) = &workspace.prepared {
        arrays.write_grid("prepared", &series.images)?;
    }
    if let Some(volume) = &workspace.volume {
        arrays.write_grid("volume", &volume.data)?;
    }
    if let Some(atoms) = &workspace.base_atoms {
        arrays.write_json("atoms", atoms.as_ref())?;
    }
    if let Some(atoms) = &workspace.truth {
        arrays.write_json("truth", atoms.as_ref())?;
    }
    if let Some(traced) = &workspace.traced {
        arrays.write_json("candidates", &traced.candidates)?;
        arrays.write_json("traced-atoms", &traced.atoms)?;
    }
    stored.series = workspace.series.as_deref().map(StoredSeries::of);
    stored.prepared = workspace.prepared.as_deref().map(StoredSeries::of);
    stored.volume_pixel_size = workspace.volume.as_ref().map(|volume| volume.pixel_size);
    stored.reconstructed = workspace.reconstructed.as_deref().map(|run| StoredRun {
        iterations: run.iterations.clone(),
        r1: run.r1,
        r1_per_tilt: run.r1_per_tilt.clone(),
        r_free: run.r_free,
        kernel_width: run.kernel_width,
        trials: run.trials.clone(),
        fsc: run.fsc.clone(),
        notes: run.notes.clone(),
        engine: run.engine.clone(),
        stopped_early: run.stopped_early,
        seconds: run.seconds,
    });
    stored.traced = workspace.traced.as_deref().map(|traced| StoredTrace {
        threshold: traced.threshold,
        sigma_mean: traced.sigma_mean,
        sigma_sd: traced.sigma_sd,
        seconds: traced.seconds,
    });
    stored.edits = workspace.edits.entries().to_vec();
    stored.settled_edits = workspace.edits.settled().to_vec();
    stored.unrepeated.clone_from(&workspace.unrepeated);
    stored.comparison.clone_from(&workspace.comparison);
    let text = serde_json::to_string_pretty(&stored).map_err(|e| StoreError::format(path, &e))?;
    write_atomically(path, true, |out| out.write_all(text.as_bytes()))?;
    remove_unused(&folder, &stored.project);
    Ok(())
}

struct ArrayWriter<'a> {
    folder: &'a Path,
    project: &'a mut Project,
}

impl ArrayWriter<'_> {
    fn write_grid(&mut self, name: &str, data: &Array3<f32>) -> Result<(), StoreError> {
        let values = data.as_slice().expect("grids are kept in standard layout");
        let hash = hash_of(bytemuck::cast_slice(values));
        let file = PathBuf::from(format!("{name}-{}.npy", &hash[..12]));
        let path = self.folder.join(&file);
        // The name contains the hash: a file that is there is this very array.
        if !path.exists() {
            crate::io::numpy::write(&path, data.view().into_dyn(), true)?;
        }
        self.project.arrays.insert(name.to_owned(), (file, hash));
        Ok(())
    }

    fn write_json<T: Serialize>(&mut self, name: &str, value: &T) -> Result<(), StoreError> {
        let path = self.folder.join(name);
        let text = serde_json::to_vec(value).map_err(|e| StoreError::format(&path, &e))?;
        let hash = hash_of(&text);
        let file = PathBuf::from(format!("{name}-{}.json", &hash[..12]));
        let path = self.folder.join(&file);
        if !path.exists() {
            write_atomically(&path, true, |out| out.write_all(&text))?;
        }
        self.project.arrays.insert(name.to_owned(), (file, hash));
        Ok(())
    }
}

/// SHA-256 in hexadecimal.
#[must_use]
pub fn hash_of(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Removes arrays of earlier saves. Failing to is harmless: they only take room.
fn remove_unused(folder: &Path, project: &Project) {
    let used: BTreeSet<PathBuf> = project
        .arrays
        .values()
        .map(|(file, _)| folder.join(file))
        .collect();
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        let ours = path.extension().is_some_and(|e| e == "npy" || e == "json");
        if ours && !used.contains(&path) {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Reads a document back, exactly as it was saved; the analysis is not stored and is for the caller to repeat.
/// Also returns remarks (an array that changed since).
///
/// # Errors
/// When the project file or an array it names cannot be read.
pub fn open(path: &Path) -> Result<(Workspace, Vec<String>), StoreError> {
    let text = std::fs::read_to_string(path).map_err(|source| StoreError::io(path, source))?;
    let stored: Stored = serde_json::from_str(&text).map_err(|e| StoreError::format(path, &e))?;
    if stored.project.format_version == 0 || stored.project.format_version > FORMAT_VERSION {
        return Err(StoreError::Format {
            path: path.display().to_string(),
            expected: format!("a project of format 1 to {FORMAT_VERSION}"),
            found: format!("format {}", stored.project.format_version),
        });
    }
    let folder = data_folder(path);
    let mut reader = ArrayReader {
        folder: &folder,
        project: &stored.project,
        notes: Vec::new(),
    };
    let mut workspace = Workspace {
        path: Some(path.to_path_buf()),
        comparison: stored.comparison.clone(),
        ..Workspace::default()
    };
    if let Some(series) = stored.series {
        workspace.series = Some(reader.read_series("series", series)?);
    }
    if let Some(series) = stored.prepared {
        workspace.prepared = Some(reader.read_series("prepared", series)?);
    }
    if let Some(pixel_size) = stored.volume_pixel_size {
        workspace.volume = Some(Arc::new(Volume::new(
            reader.read_grid("volume")?,
            pixel_size,
        )));
    }
    if let (Some(run), Some(volume)) = (stored.reconstructed, &workspace.volume) {
        workspace.reconstructed = Some(Arc::new(Reconstructed {
            volume: Arc::clone(volume),
            iterations: run.iterations,
            r1: run.r1,
            r1_per_tilt: run.r1_per_tilt,
            r_free: run.r_free,
            kernel_width: run.kernel_width,
            trials: run.trials,
            fsc: run.fsc,
            notes: run.notes,
            engine: run.engine,
            stopped_early: run.stopped_early,
            seconds: run.seconds,
        }));
    }
    if let Some(traced) = stored.traced {
        let candidates: Vec<Candidate> = reader.read_json("candidates")?.unwrap_or_default();
        let atoms: Atoms = reader.read_json("traced-atoms")?.unwrap_or_default();
        workspace.traced = Some(Arc::new(Traced {
            atoms,
            candidates,
            threshold: traced.threshold,
            sigma_mean: traced.sigma_mean,
            sigma_sd: traced.sigma_sd,
            seconds: traced.seconds,
        }));
    }
    workspace.truth = reader.read_json("truth")?.map(Arc::new);
    if let Some(base) = reader.read_json::<Atoms>("atoms")? {
        let mut atoms = base.clone();
        let (edits, conflicts) = Edits::replay(stored.settled_edits, stored.edits, &mut atoms);
        for (entry, conflict) in conflicts {
            reader.notes.push(format!(
                "edit {} ({}) left out: {conflict}",
                entry.number, entry.label
            ));
        }
        workspace.base_atoms = Some(Arc::new(base));
        workspace.atoms = Some(Arc::new(atoms));
        workspace.edits = edits;
        workspace.unrepeated = stored.unrepeated;
    }
    let notes = std::mem::take(&mut reader.notes);
    workspace.project = stored.project;
    Ok((workspace, notes))
}

struct ArrayReader<'a> {
    folder: &'a Path,
    project: &'a Project,
    notes: Vec<String>,
}

impl ArrayReader<'_> {
    fn place(&self, name: &str) -> Option<(PathBuf, &str)> {
        let (file, hash) = self.project.arrays.get(name)?;
        // Only a plain file name: a project from elsewhere must not read outside its folder.
        let file = file.file_name()?;
        Some((self.folder.join(file), hash))
    }

    fn compare_hash(&mut self, path: &Path, expected: &str, bytes: &[u8]) {
        if hash_of(bytes) != expected {
            self.notes.push(format!(
                "{} changed since the project was saved",
                path.display()
            ));
        }
    }

    fn read_grid(&mut self, name: &str) -> Result<Array3<f32>, StoreError> {
        let (path, hash) = self
            .place(name)
            .map(|(path, hash)| (path, hash.to_owned()))
            .ok_or_else(|| StoreError::missing(&self.folder.join(name)))?;
        let grid = crate::io::read_array(&path.display().to_string())?.data;
        let shape = format!("{:?}", grid.shape());
        let grid = grid
            .into_dimensionality::<ndarray::Ix3>()
            .map_err(|_| StoreError::Format {
                path: path.display().to_string(),
                expected: "an array of three dimensions".to_owned(),
                found: shape,
            })?;
        let grid = grid.as_standard_layout().into_owned();
        if let Some(values) = grid.as_slice() {
            self.compare_hash(&path, &hash, bytemuck::cast_slice(values));
        }
        Ok(grid)
    }

    fn read_series(
        &mut self,
        name: &str,
        stored: StoredSeries,
    ) -> Result<Arc<TiltSeries>, StoreError> {
        let images = self.read_grid(name)?;
        let (n, expected) = (images.dim().0, stored.angles.len());
        if n != expected || stored.included.len() != expected {
            return Err(StoreError::Format {
                path: self.folder.join(name).display().to_string(),
                expected: format!("{expected} images"),
                found: format!("{n}"),
            });
        }
        let mut series = TiltSeries::new(stored.name, images, stored.angles, stored.pixel_size);
        series.included = stored.included;
        series.nominal_pixel_size = stored.nominal_pixel_size;
        if let Some(stored) = stored.frames {
            let counts = self.read_grid("frames")?;
            let (found, x, y) = counts.dim();
            if stored.per_tilt == 0
                || found != n.saturating_mul(stored.per_tilt)
                || [x, y] != series.image_size()
            {
                return Err(StoreError::Format {
                    path: self.folder.join("frames").display().to_string(),
                    expected: format!("{} frames of each of {n} images", stored.per_tilt),
                    found: format!("{found} frames of {x} × {y} pixels"),
                });
            }
            series.frames = Some(Arc::new(Frames {
                counts,
                per_tilt: stored.per_tilt,
                scan: stored.scan,
            }));
        }
        Ok(Arc::new(series))
    }

    fn read_json<T: serde::de::DeserializeOwned>(
        &mut self,
        name: &str,
    ) -> Result<Option<T>, StoreError> {
        let Some((path, hash)) = self.place(name).map(|(path, hash)| (path, hash.to_owned()))
        else {
            return Ok(None);
        };
        let bytes = std::fs::read(&path).map_err(|source| StoreError::io(&path, source))?;
        self.compare_hash(&path, &hash, &bytes);
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| StoreError::format(&path, &e))
    }
}

/// Writes a whole journal, one entry a line.
pub(super) fn write_journal(path: &Path, entries: &[Entry]) -> Result<(), StoreError> {
    let mut text = String::new();
    for entry in entries {
        text += &serde_json::to_string(entry).map_err(|e| StoreError::format(path, &e))?;
        text.push('\n');
    }
    Ok(write_atomically(path, true, |out| {
        out.write_all(text.as_bytes())
    })?)
}

/// Reads a journal as far as it is whole; also says how many damaged lines were left out.
pub(super) fn read_journal(path: &Path) -> Result<(Vec<Entry>, usize), StoreError> {
    let text = std::fs::read_to_string(path).map_err(|source| StoreError::io(path, source))?;
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let entries: Vec<Entry> = lines
        .iter()
        .map_while(|line| serde_json::from_str(line).ok())
        .collect();
    let cut = lines.len() - entries.len();
    Ok((entries, cut))
}
