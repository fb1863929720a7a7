//! What files dropped together are: projections, angles, a volume, a model, a project.

use super::arrays::{ArrayInfo, Contents, Format};
use super::error::label;
use super::folder::{image_files, is_image};
use super::save::load_atoms;
use super::series::{is_angle_file, load_angles};
use std::path::{Path, PathBuf};

/// The roles found; specs as [`super::read_array`] takes them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pairing {
    /// Stack of images.
    pub projections: Option<String>,
    /// Angles; `None` with a stack means: in its own file, or beside it.
    pub angles: Option<String>,
    /// Reconstructed volume.
    pub volume: Option<String>,
    /// Atomic model.
    pub model: Option<PathBuf>,
    /// Project.
    pub project: Option<PathBuf>,
    /// Files without a role, and why.
    pub unused: Vec<(PathBuf, String)>,
}

impl Pairing {
    /// One sentence per file, for the window and the log.
    #[must_use]
    pub fn describe(&self) -> String {
        let name = |spec: &String| label(Path::new(spec));
        let mut lines = Vec::new();
        let mut say = |role: &str, what: Option<String>| {
            lines.extend(what.map(|what| format!("{role}: {what}")))
        };
        say("Project", self.project.as_deref().map(label));
        say("Projections", self.projections.as_ref().map(name));
        say("Angles", self.angles.as_ref().map(name));
        say("Volume", self.volume.as_ref().map(name));
        say("Model", self.model.as_deref().map(label));
        for (path, reason) in &self.unused {
            lines.push(format!("Not used: {} ({reason})", label(path)));
        }
        if lines.is_empty() {
            "Nothing that can be read was found".to_owned()
        } else {
            lines.join("\n")
        }
    }
}

struct Stack {
    path: PathBuf,
    info: ArrayInfo,
    is_volume: Option<bool>,
    has_angles: bool,
    several: bool,
}

impl Stack {
    fn spec(&self) -> String {
        let path = self.path.display();
        if self.several && !self.info.name.is_empty() {
            format!("{path}:{}", self.info.name)
        } else {
            path.to_string()
        }
    }

    fn hinted(&self, hints: &[&str]) -> bool {
        let text = format!("{} {}", label(&self.path), self.info.name).to_ascii_lowercase();
        hints.iter().any(|hint| text.contains(hint))
    }
}

/// Sorts files (and the files of folders, not their sub-folders) into roles by name and content.
#[must_use]
pub fn pair_files(paths: &[PathBuf]) -> Pairing {
    let mut files = Vec::new();
    let mut pairing = Pairing::default();
    for path in paths {
        let is_project = path.extension().is_some_and(|e| e == "aetlas");
        match std::fs::read_dir(path) {
            Ok(entries) if !is_project => {
                let mut inside: Vec<PathBuf> = entries
                    .filter_map(|e| Some(e.ok()?.path()))
                    .filter(|p| p.is_file() || p.extension().is_some_and(|e| e == "aetlas"))
                    .collect();
                inside.sort();
                if pairing.projections.is_none() && is_series(path) {
                    pairing.projections = Some(path.display().to_string());
                    inside.retain(|file| !is_image(file));
                }
                files.extend(inside);
            }
            _ => files.push(path.clone()),
        }
    }
    let (mut stacks, mut angles) = (Vec::new(), Vec::new());
    for path in files {
        sort_file(path, &mut pairing, &mut stacks, &mut angles);
    }
    if let ([stack], true) = (stacks.as_slice(), angles.is_empty()) {
        angles.extend(angles_beside(stack));
    }
    assign(&mut pairing, stacks, angles);
    pairing
}

/// Angles in the folder of a stack that was opened alone: one for each of its images. A cube may as well be a volume, and
/// is left one.
fn angles_beside(stack: &Stack) -> Option<(PathBuf, usize)> {
    let shape = &stack.info.shape;
    let cubic = shape.windows(2).all(|pair| pair[0] == pair[1]);
    if stack.has_angles || stack.is_volume == Some(true) || cubic {
        return None;
    }
    let mut fitting: Vec<(PathBuf, usize)> = std::fs::read_dir(stack.path.parent()?)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| *path != stack.path && path.is_file() && is_angle_file(path))
        .filter_map(|path| {
            let count = load_angles(&path.to_string_lossy()).ok()?.angles.len();
            Some((path, count))
        })
        .filter(|(_, count)| shape.contains(count))
        .collect();
    fitting.sort();
    fitting.into_iter().next()
}

/// Whether a folder holds a series of single images, one file each.
fn is_series(folder: &Path) -> bool {
    let Ok(files) = image_files(folder) else {
        return false;
    };
    let single = |file: &PathBuf| {
        Contents::read(file).is_ok_and(|contents| {
            let ranks: Vec<usize> = contents.arrays.iter().map(|raw| raw.shape.len()).collect();
            ranks == [2]
        })
    };
    files.len() >= 3 && files.iter().take(3).all(single)
}

fn take_model(pairing: &mut Pairing, path: PathBuf) {
    if pairing.model.is_none() {
        pairing.model = Some(path);
    } else {
        pairing.unused.push((path, "a second model".to_owned()));
    }
}

fn sort_file(
    path: PathBuf,
    pairing: &mut Pairing,
    stacks: &mut Vec<Stack>,
    angles: &mut Vec<(PathBuf, usize)>,
) {
    let ending = path
        .extension()
        .map(|e| e.to_string_lossy().to_ascii_lowercase())
        .unwrap_or_default();
    let text = path.to_string_lossy().into_owned();
    match ending.as_str() {
        "aetlas" => pairing.project = Some(path),
        "xyz" | "extxyz" => take_model(pairing, path),
        "tlt" | "rawtlt" | "mdoc" | "txt" | "csv" => match load_angles(&text) {
            Ok(table) => angles.push((path, table.angles.len())),
            Err(_) if load_atoms(&text, 1.0).is_ok() => take_model(pairing, path),
            Err(error) => pairing.unused.push((path, error.to_string())),
        },
        _ if Format::of(&path).is_some() => match Contents::read(&path) {
            Ok(contents) => {
                let infos = contents.infos();
                let deep: Vec<ArrayInfo> = infos
                    .iter()
                    .filter(|i| i.readable && matches!(i.shape.len(), 3 | 4))
                    .cloned()
                    .collect();
                let table = load_angles(&text)
                    .ok()
                    .filter(|_| is_angle_file(&path) || !deep.is_empty());
                let has_angles = table.is_some() && !deep.is_empty();
                let several = deep.len() > 1;
                if deep.is_empty() {
                    match table {
                        Some(table) => angles.push((path, table.angles.len())),
                        None if load_atoms(&text, 1.0).is_ok() => take_model(pairing, path),
                        None => pairing
                            .unused
                            .push((path, "neither images, angles nor atoms".to_owned())),
                    }
                    return;
                }
                let is_volume = contents.is_volume;
                stacks.extend(deep.into_iter().map(|info| Stack {
                    path: path.clone(),
                    info,
                    is_volume,
                    has_angles,
                    several,
                }));
            }
            Err(error) => pairing.unused.push((path, error.to_string())),
        },
        _ => pairing
            .unused
            .push((path, "of no kind that is read".to_owned())),
    }
}

/// The best stack becomes the projections: one with angles of its own, one an angle file fits, one named so.
fn assign(pairing: &mut Pairing, stacks: Vec<Stack>, angles: Vec<(PathBuf, usize)>) {
    const IMAGES: [&str; 7] = [
        "proj", "tilt", "series", "stack", "image", "frames", "counts",
    ];
    const VOLUMES: [&str; 5] = ["vol", "recon", "obj", "mask", "density"];
    let score = |stack: &Stack| {
        let fits = angles.iter().any(|(_, n)| stack.info.shape.contains(n));
        let cubic = stack.info.shape.windows(2).all(|pair| pair[0] == pair[1]);
        i32::from(stack.has_angles) * 4 + i32::from(fits) * 4 + i32::from(stack.hinted(&IMAGES)) * 2
            - i32::from(stack.hinted(&VOLUMES)) * 3
            - i32::from(cubic)
            - i32::from(stack.is_volume == Some(true)) * 4
            + i32::from(stack.is_volume == Some(false))
    };
    let mut ranked: Vec<(i32, Stack)> = stacks
        .into_iter()
        .map(|stack| (score(&stack), stack))
        .collect();
    ranked.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    let mut own_angles = false;
    let mut shape = Vec::new();
    // Two arrays of one file that suit equally well: the file alone is named, and whoever opens it asks which.
    let undecided =
        matches!(ranked.as_slice(), [(best, a), (next, b), ..] if best == next && a.path == b.path);
    for (score, stack) in ranked {
        if score > 0 && pairing.projections.is_none() {
            pairing.projections = Some(if undecided {
                stack.path.display().to_string()
            } else {
                stack.spec()
            });
            own_angles = stack.has_angles;
            shape = stack.info.shape;
        } else if score <= 0 && pairing.volume.is_none() && stack.info.shape.len() == 3 {
            pairing.volume = Some(stack.spec());
        } else {
            pairing.unused.push((
                stack.path,
                format!("a further array {}", stack.info.name)
                    .trim_end()
                    .to_owned(),
            ));
        }
    }
    for (path, n) in angles {
        let fits = shape.is_empty() || shape.contains(&n);
        if pairing.angles.is_none() && fits && !own_angles {
            pairing.angles = Some(path.to_string_lossy().into_owned());
        } else {
            let reason = if fits {
                "the angles are known already".to_owned()
            } else {
                format!("{n} angles do not fit the images")
            };
            pairing.unused.push((path, reason));
        }
    }
}
