//! Asking for files: native dialogs on their own thread, so that the window never waits, and a path field for
//! whoever prefers typing (or has no desktop portal).

use super::actions::{Action, Actions};
use super::state::AppState;
use eframe::egui;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

/// What a path is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Files to open.
    Open,
    /// A folder to open.
    OpenFolder,
    /// Another model to compare with.
    CompareWith,
    /// A crystal to compare with.
    Crystal,
    /// Images of a crystal to measure the pixel size on.
    CrystalImages,
    /// Where the project goes.
    SaveProject,
    /// Where a result goes.
    Export(ExportKind),
}

/// A sheet of maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SheetKind {
    /// Slabs along z, in the colours of the window.
    Gallery,
    /// The layers of the plane, density and atoms.
    Filmstrip,
}

/// A result that can be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExportKind {
    /// The volume.
    Volume,
    /// The tilt series.
    Series,
    /// The model.
    Atoms,
    /// A figure by its id.
    Figure(String),
    /// A table by its id.
    Table(String),
    /// A sheet of maps.
    Sheet(SheetKind),
    /// All tilts on a sheet.
    Gallery {
        /// Their spectra instead.
        spectra: bool,
    },
    /// The analysis, a folder.
    Analysis,
    /// The report, a folder.
    Report,
}

impl Ask {
    /// Title of the dialog.
    fn title(&self) -> &'static str {
        match self {
            Self::Open => "Open files",
            Self::OpenFolder => "Open a folder",
            Self::CompareWith => "Compare with another model",
            Self::Crystal => "Compare with a crystal",
            Self::CrystalImages => "Images of a known crystal",
            Self::SaveProject => "Save the project as",
            Self::Export(ExportKind::Volume) => "Export the volume",
            Self::Export(ExportKind::Series) => "Export the tilt series",
            Self::Export(ExportKind::Atoms) => "Export the model",
            Self::Export(ExportKind::Figure(_)) => "Export the figure",
            Self::Export(ExportKind::Table(_)) => "Export the table",
            Self::Export(ExportKind::Sheet(_)) => "Export the maps",
            Self::Export(ExportKind::Gallery { spectra: false }) => "Export all tilts",
            Self::Export(ExportKind::Gallery { spectra: true }) => {
                "Export the spectra of all tilts"
            }
            Self::Export(ExportKind::Analysis) => "Export the analysis",
            Self::Export(ExportKind::Report) => "Export the report",
        }
    }

    /// What the ending of the path decides.
    fn hint(&self) -> &'static str {
        match self {
            Self::Open => {
                "Projections (.mat .mrc .st .ali .tif .npy .npz), angles (.tlt .rawtlt .txt .csv), models (.xyz), \
                 volumes, projects (.aetlas); several paths are separated by ;"
            }
            Self::OpenFolder => "A folder with projections and angles",
            Self::CompareWith => "A model in Å (.xyz, .extxyz, .csv, text)",
            Self::Crystal => "A crystal structure (.cif)",
            Self::CrystalImages => {
                "Images or stacks of images (.dm3 .dm4 .emd .ser .tif .mrc .npy .mat); several paths are separated by ;"
            }
            Self::SaveProject => {
                "A project is one .aetlas file; its arrays go into a folder beside it"
            }
            Self::Export(ExportKind::Volume | ExportKind::Series) => {
                "The ending chooses the format: .mrc or .npy"
            }
            Self::Export(ExportKind::Atoms) => {
                "The ending chooses the format: .xyz, .extxyz or .csv"
            }
            Self::Export(ExportKind::Figure(_)) => {
                "The ending chooses the format: .svg, .png or .csv"
            }
            Self::Export(ExportKind::Table(_)) => "A table of numbers: .csv",
            Self::Export(ExportKind::Sheet(_) | ExportKind::Gallery { .. }) => {
                "The ending chooses the format: .svg or .png"
            }
            Self::Export(ExportKind::Analysis) => {
                "A folder: JSON, CSV, extended XYZ and the figures"
            }
            Self::Export(ExportKind::Report) => {
                "A folder: methods table, figures and the data package"
            }
        }
    }

    fn suggestion(&self, name: &str) -> String {
        // Characters that some system does not take in a file name.
        let name = name.replace([':', '/', '\\', '*', '?', '"', '<', '>', '|'], "");
        match self {
            Self::Open
            | Self::OpenFolder
            | Self::CompareWith
            | Self::Crystal
            | Self::CrystalImages => String::new(),
            Self::SaveProject => format!("{name}.aetlas"),
            Self::Export(ExportKind::Volume) => format!("{name}_volume.mrc"),
            Self::Export(ExportKind::Series) => format!("{name}_series.mrc"),
            Self::Export(ExportKind::Atoms) => format!("{name}_model.extxyz"),
            Self::Export(ExportKind::Figure(id)) => format!("{name}_{id}.svg"),
            Self::Export(ExportKind::Table(id)) => format!("{name}_{id}.csv"),
            Self::Export(ExportKind::Sheet(SheetKind::Gallery)) => format!("{name}_gallery.png"),
            Self::Export(ExportKind::Sheet(SheetKind::Filmstrip)) => {
                format!("{name}_filmstrip.png")
            }
            Self::Export(ExportKind::Gallery { spectra: false }) => format!("{name}_tilts.png"),
            Self::Export(ExportKind::Gallery { spectra: true }) => format!("{name}_spectra.png"),
            Self::Export(ExportKind::Analysis) => format!("{name}_analysis"),
            Self::Export(ExportKind::Report) => format!("{name}_report"),
        }
    }

    fn reads(&self) -> bool {
        matches!(
            self,
            Self::Open | Self::OpenFolder | Self::CompareWith | Self::Crystal | Self::CrystalImages
        )
    }
}

struct Prompt {
    ask: Ask,
    text: String,
    /// Whether the path exists, looked up when the text changes.
    exists: bool,
    /// Whether it was not drawn yet: its text is then selected, to be typed over.
    fresh: bool,
}

fn select_all(ctx: &egui::Context, field: egui::Id, text: &str) {
    use egui::text::{CCursor, CCursorRange};
    let mut state = egui::TextEdit::load_state(ctx, field).unwrap_or_default();
    let all = CCursorRange::two(CCursor::new(0), CCursor::new(text.chars().count()));
    state.cursor.set_char_range(Some(all));
    state.store(ctx, field);
}

/// Open dialogs and prompts.
#[derive(Default)]
pub struct Dialogs {
    /// Whether native dialogs may be opened (not in tests).
    native: bool,
    waiting: Option<(Ask, Receiver<Option<Vec<PathBuf>>>)>,
    prompt: Option<Prompt>,
}

impl Dialogs {
    /// With native dialogs or only the path field.
    #[must_use]
    pub fn new(native: bool) -> Self {
        Self {
            native,
            ..Self::default()
        }
    }

    /// Asks for files to open: natively where that is possible.
    pub fn open(&mut self, ctx: &egui::Context, ask: Ask) {
        if self.native {
            self.native_dialog(ctx, ask, PathBuf::new());
        } else {
            self.type_path(ask, String::new());
        }
    }

    /// Asks for a path to read by a field.
    pub fn open_by_path(&mut self, ask: Ask) {
        self.type_path(ask, String::new());
    }

    /// Asks where something goes; the field is filled with a sensible place.
    pub fn save(&mut self, state: &AppState, ask: Ask) {
        let mut place = home_of(state);
        place.push(ask.suggestion(&state.workspace.project.name));
        self.type_path(ask, place.display().to_string());
    }

    fn type_path(&mut self, ask: Ask, text: String) {
        let exists = PathBuf::from(&text).exists();
        self.prompt = Some(Prompt {
            ask,
            text,
            exists,
            fresh: true,
        });
    }

    fn native_dialog(&mut self, ctx: &egui::Context, ask: Ask, start: PathBuf) {
        if self.waiting.is_some() {
            return;
        }
        let (answer, waiting) = channel();
        let (ctx, asked) = (ctx.clone(), ask.clone());
        let thread = std::thread::Builder::new().name("file-dialog".to_owned());
        let spawned = thread.spawn(move || {
            // The window may be gone by now; then nobody listens.
            let _ = answer.send(ask_natively(&asked, start));
            ctx.request_repaint();
        });
        if spawned.is_ok() {
            self.waiting = Some((ask, waiting));
        } else {
            self.type_path(ask, String::new());
        }
    }

    /// The answer of a native dialog, once.
    pub fn poll(&mut self) -> Option<(Ask, Vec<PathBuf>)> {
        let (_, waiting) = self.waiting.as_ref()?;
        match waiting.try_recv() {
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                self.waiting = None;
                None
            }
            Ok(paths) => {
                let (ask, _) = self.waiting.take()?;
                if ask.reads() {
                    return paths.map(|paths| (ask, paths));
                }
                // A chosen place comes back into the field, where it can still be changed.
                if let Some(path) = paths.and_then(|paths| paths.into_iter().next()) {
                    self.type_path(ask, path.display().to_string());
                }
                None
            }
        }
    }

    /// Draws the path field while it is open; gives the answer when there is one.
    pub fn ui(
        &mut self,
        ctx: &egui::Context,
        actions: &mut Actions,
    ) -> Option<(Ask, Vec<PathBuf>)> {
        let prompt = self.prompt.as_mut()?;
        let (mut answered, mut closed, mut browse) = (false, false, false);
        let modal = egui::Modal::new(egui::Id::unique("path")).show(ctx, |ui| {
            ui.set_width(560.0_f32.min(ui.ctx().content_rect().width() - 48.0));
            ui.heading(prompt.ask.title());
            ui.add_space(4.0);
            let label = ui.label("Path");
            let field = ui
                .add(egui::TextEdit::singleline(&mut prompt.text).desired_width(f32::INFINITY))
                .labelled_by(label.id);
            if field.changed() {
                prompt.exists = PathBuf::from(prompt.text.trim()).exists();
            }
            if !field.has_focus() && !field.lost_focus() {
                field.request_focus();
            }
            if std::mem::take(&mut prompt.fresh) {
                select_all(ui.ctx(), field.id, &prompt.text);
            }
            // The field takes Escape to give up the focus; here it gives up the question.
            closed |= ui.input(|i| i.key_pressed(egui::Key::Escape));
            let entered = field.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
            ui.weak(prompt.ask.hint());
            if prompt.exists && !prompt.ask.reads() {
                ui.colored_label(
                    ui.visuals().warn_fg_color,
                    "This exists already and will be replaced",
                );
            }
            ui.add_space(8.0);
            ui.horizontal(|ui| {
                let empty = prompt.text.trim().is_empty();
                let text = match &prompt.ask {
                    Ask::SaveProject => "Save",
                    Ask::Export(_) => "Export",
                    _ => "Open",
                };
                let go = ui.add_enabled(!empty, egui::Button::new(text));
                answered = go.clicked() || (entered && !empty);
                if self.native {
                    browse = ui.button("Browse…").clicked();
                }
                closed |= ui.button("Cancel").clicked();
            });
        });
        closed |= modal.should_close();
        if browse {
            let (ask, start) = (prompt.ask.clone(), PathBuf::from(prompt.text.trim()));
            self.native_dialog(ctx, ask, start);
            return None;
        }
        if answered {
            let prompt = self.prompt.take()?;
            return Some((prompt.ask, paths_of(&prompt.text)));
        }
        if closed {
            self.prompt = None;
            actions.push(Action::DropQuestion);
        }
        None
    }
}

/// Paths separated by `;`, quotes and blanks round them dropped.
fn paths_of(text: &str) -> Vec<PathBuf> {
    text.split(';')
        .map(|part| part.trim().trim_matches(['"', '\'']).trim())
        .filter(|part| !part.is_empty())
        .map(PathBuf::from)
        .collect()
}

/// The folder the user works in: the project's, else the data's, else home.
fn home_of(state: &AppState) -> PathBuf {
    let workspace = &state.workspace;
    let beside = |path: &std::path::Path| path.parent().map(PathBuf::from);
    workspace
        .path
        .as_deref()
        .and_then(beside)
        .or_else(|| {
            let sources = &workspace.project.sources;
            let source = sources.projections.as_ref().or(sources.model.as_ref())?;
            beside(std::path::Path::new(source))
        })
        .filter(|folder| !folder.as_os_str().is_empty())
        .or_else(|| directories::UserDirs::new().map(|dirs| dirs.home_dir().to_owned()))
        .unwrap_or_default()
}

fn ask_natively(ask: &Ask, start: PathBuf) -> Option<Vec<PathBuf>> {
    let mut dialog = rfd::FileDialog::new().set_title(ask.title());
    if let Some(folder) = start.parent().filter(|f| !f.as_os_str().is_empty()) {
        dialog = dialog.set_directory(folder);
    }
    if let Some(name) = start.file_name() {
        dialog = dialog.set_file_name(name.to_string_lossy());
    }
    match ask {
        Ask::Open | Ask::CompareWith | Ask::Crystal | Ask::CrystalImages => dialog.pick_files(),
        Ask::OpenFolder => dialog.pick_folder().map(|path| vec![path]),
        _ => dialog.save_file().map(|path| vec![path]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pasted_paths_may_be_quoted_and_several() {
        let paths = paths_of(" '/data/a b.mat' ; \"/data/angles.mat\";; ");
        assert_eq!(
            paths,
            [
                PathBuf::from("/data/a b.mat"),
                PathBuf::from("/data/angles.mat")
            ]
        );
    }
}
