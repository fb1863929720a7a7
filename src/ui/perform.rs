//! Runs the actions of a frame: one `match` per area. This is the only place that changes the document, submits
//! jobs or talks to the window system.

mod jobs;
mod steps;

use super::actions::{Action, ViewChange};
use super::app::App;
use super::dialogs::{Ask, ExportKind, SheetKind};
use super::editing::{self, Edited};
use super::masking::{self, MaskTool, MaskWish};
use super::measuring;
use super::queue::{self, Proposal};
use super::state::{AppState, ColorBy, Severity, Tool, ViewKind};
use crate::jobs::again::Again;
use crate::jobs::{Export, Job, OpenHints};
use crate::project::{EditKind, Stage};
use eframe::egui;
pub use jobs::resumable;
use jobs::{job_of, refine_job, resume_job, split_job};
use std::path::PathBuf;
use std::sync::Arc;
use steps::{blink_step, clamped, plane_from_selection, step_in_plane, step_layer, step_slice};

/// Why what was made of a series is outdated when its angles change.
const ANGLES_CHANGED: &str = "the angles changed";

/// What an area does with an action that is not its own.
type Rest = Option<Action>;

impl App {
    /// Runs one action.
    pub fn perform(&mut self, ctx: &egui::Context, action: Action) {
        let rest = self
            .perform_window(ctx, action)
            .and_then(|action| self.perform_files(ctx, action))
            .and_then(|action| self.perform_jobs(action))
            .and_then(|action| self.perform_parameters(action))
            .and_then(|action| self.perform_edits(action))
            .and_then(|action| self.perform_view(action));
        debug_assert!(rest.is_none(), "no area performs {rest:?}");
    }

    fn perform_window(&mut self, ctx: &egui::Context, action: Action) -> Rest {
        let state = &mut self.state;
        match action {
            Action::TogglePalette => state.palette = !state.palette,
            Action::ToggleHelp => state.help = !state.help,
            Action::ToggleTheme => state.view.dark = !state.view.dark,
            Action::DefaultLayout => {
                state.view.maximized = None;
                self.layout.restore();
            }
            Action::Maximize(kind) => {
                let shown = state.view.maximized;
                state.view.maximized = (shown != Some(kind)).then_some(kind);
                state.view.active = kind;
            }
            Action::Copy(text) => {
                ctx.copy_text(text);
                state.toast(Severity::Info, "copied to the clipboard");
            }
            Action::Quit => {
                if self.may_lose(Action::Quit) {
                    self.closing = true;
                    ctx.send_viewport_cmd(egui::ViewportCommand::Close);
                }
            }
            Action::Unsaved { save } => {
                let action = self.state.unsaved.take()?;
                if save {
                    self.after_save = Some(*action);
                    self.perform(ctx, Action::Save);
                } else {
                    self.state.workspace.modified = false;
                    self.perform(ctx, *action);
                }
            }
            Action::DropQuestion => {
                state.question = None;
                state.unsaved = None;
                self.after_save = None;
            }
            other => return Some(other),
        }
        None
    }

    /// Whether an action that replaces the document may go on now; asks first when something is unsaved.
    fn may_lose(&mut self, action: Action) -> bool {
        if self.state.workspace.modified && !self.state.is_empty() {
            self.state.unsaved = Some(Box::new(action));
            return false;
        }
        true
    }

    fn perform_files(&mut self, ctx: &egui::Context, action: Action) -> Rest {
        match action {
            Action::NewProject => {
                if self.may_lose(Action::NewProject) {
                    self.state.replace_document(Default::default());
                }
            }
            Action::Demo => {
                if self.may_lose(Action::Demo) {
                    self.state.replace_document(Default::default());
                    self.submit(Job::Demo);
                }
            }
            Action::OpenDialog => self.dialogs.open(ctx, Ask::Open),
            Action::OpenFolderDialog => self.dialogs.open(ctx, Ask::OpenFolder),
            Action::OpenByPath => self.dialogs.open_by_path(Ask::Open),
            Action::Open(paths, hints) => self.open(paths, hints),
            Action::OpenFresh(paths, hints) => {
                if self.may_lose(Action::OpenFresh(paths.clone(), hints.clone())) {
                    self.state.replace_document(Default::default());
                    self.open(paths, hints);
                }
            }
            Action::Save => match self.state.workspace.path.clone() {
                Some(path) => self.save_to(path),
                None => self.dialogs.save(&self.state, Ask::SaveProject),
            },
            Action::SaveAs => self.dialogs.save(&self.state, Ask::SaveProject),
            Action::ExportAtoms => self.ask_export(ExportKind::Atoms),
            Action::ExportVolume => self.ask_export(ExportKind::Volume),
            Action::ExportSeries => self.ask_export(ExportKind::Series),
            Action::ExportAnalysis => self.ask_export(ExportKind::Analysis),
            Action::ExportReport => self.ask_export(ExportKind::Report),
            Action::ExportFigure(id) => self.ask_export(ExportKind::Figure(id)),
            Action::ExportTable(id) => self.ask_export(ExportKind::Table(id)),
            Action::ExportGallery(spectra) => self.ask_export(ExportKind::Gallery { spectra }),
            Action::ExportSheet(kind) => self.ask_export(ExportKind::Sheet(kind)),
            Action::Calibration(wish) => self.calibrate(ctx, wish),
            Action::CompareWith => self.dialogs.open(ctx, Ask::CompareWith),
            Action::ChooseCrystal => self.dialogs.open(ctx, Ask::Crystal),
            Action::ForgetOther(at) => {
                if at < self.state.others.len() {
                    self.state.others.remove(at);
                }
            }
            Action::RecoverYes => self.answer_recovery(true),
            Action::RecoverNo => self.answer_recovery(false),
            Action::RecoverDrop => self.drop_recovery(),
            other => return Some(other),
        }
        None
    }

    fn ask_export(&mut self, what: ExportKind) {
        self.dialogs.save(&self.state, Ask::Export(what));
    }

    fn open(&mut self, paths: Vec<PathBuf>, hints: OpenHints) {
        // A model or a volume may stand beside what is there; a project replaces it.
        let replaces = paths
            .iter()
            .any(|path| path.extension().is_some_and(|end| end == "aetlas"));
        if replaces && !self.may_lose(Action::Open(paths.clone(), hints.clone())) {
            return;
        }
        self.state.opening = (paths.clone(), hints.clone());
        self.state.question = None;
        self.submit(Job::Open { paths, hints });
    }

    fn save_to(&mut self, path: PathBuf) {
        let mut workspace = Box::new(self.state.workspace.clone());
        // A project is called as its file, also when it is read back.
        if let Some(name) = path.file_stem() {
            workspace.project.name = name.to_string_lossy().into_owned();
        }
        self.saving = Some(self.state.revision);
        self.submit(Job::SaveProject { workspace, path });
    }

    /// Goes on with a path that was asked for.
    pub(super) fn take_paths(&mut self, ask: Ask, paths: Vec<PathBuf>) {
        let Some(first) = paths.first().cloned() else {
            return;
        };
        match ask {
            Ask::Open | Ask::OpenFolder => self.open(paths, OpenHints::default()),
            Ask::CompareWith => {
                let params = self.state.workspace.project.parameters.analyze.clone();
                for path in paths {
                    let params = params.clone();
                    self.submit(Job::AnalyzeOther { path, params });
                }
            }
            Ask::Crystal => {
                for path in paths {
                    self.submit(Job::LoadCrystal { path });
                }
            }
            Ask::CrystalImages => self.calibrate_on(paths),
            Ask::SaveProject => {
                let path = match first.extension() {
                    Some(_) => first,
                    None => first.with_extension("aetlas"),
                };
                self.save_to(path);
            }
            Ask::Export(kind) => match self.export_of(&kind) {
                Some(what) => self.submit(Job::Export { what, path: first }),
                None => self.state.toast(
                    Severity::Warning,
                    "what was to be exported is no longer there",
                ),
            },
        }
    }

    fn export_of(&self, kind: &ExportKind) -> Option<Export> {
        let workspace = &self.state.workspace;
        let page = self.state.view.page;
        Some(match kind {
            ExportKind::Volume => Export::Volume(Arc::clone(self.state.shown_volume()?)),
            ExportKind::Series => Export::Series(Arc::clone(workspace.best_series()?)),
            ExportKind::Atoms => Export::Atoms(Arc::clone(workspace.atoms.as_ref()?)),
            ExportKind::Figure(id) => {
                Export::Figure(Box::new(self.figures.find(id)?.clone()), page)
            }
            ExportKind::Table(id) => Export::Table(Box::new(self.figures.table(id)?.clone())),
            ExportKind::Sheet(kind) => Export::Sheet(Box::new(self.sheet(*kind)?), page),
            ExportKind::Gallery { spectra } => Export::Gallery {
                series: Arc::clone(workspace.best_series()?),
                spectra: *spectra,
                page,
            },
            ExportKind::Analysis => Export::Analysis(
                Arc::clone(workspace.analyzed.as_ref()?),
                workspace.volume.clone(),
                page,
            ),
            ExportKind::Report => Export::Report(Box::new(workspace.clone())),
        })
    }

    /// The maps as they are to be written, in the colours that the atoms have now.
    fn sheet(&self, kind: SheetKind) -> Option<crate::figures::sheet::Sheet> {
        use crate::jobs::maps;
        let state = &self.state;
        let analyzed = state.workspace.analyzed.as_ref()?;
        let by = match &state.view.color_by {
            ColorBy::Species => None,
            ColorBy::Phase => Some("phase"),
            ColorBy::Column(name) => Some(name.as_str()),
        };
        let title = by.map_or_else(|| "Species".to_owned(), |name| name.replace('_', " "));
        match kind {
            SheetKind::Gallery => maps::gallery(&analyzed.atoms, by, &title, analyzed.params.slab),
            SheetKind::Filmstrip => {
                let stack = analyzed.stack.as_ref()?;
                let volume = state.workspace.volume.as_deref();
                maps::filmstrip(&analyzed.atoms, stack, volume, by)
            }
        }
    }

    fn perform_jobs(&mut self, action: Action) -> Rest {
        match action {
            Action::Submit(job) => self.submit(*job),
            Action::RunStage(stage) => match job_of(&self.state, stage) {
                Ok(job) => self.submit(job),
                Err(why) => self
                    .state
                    .toast(Severity::Warning, format!("{}: {why}", stage.name())),
            },
            Action::Refine => match refine_job(&self.state) {
                Ok(job) => self.submit(job),
                Err(why) => self
                    .state
                    .toast(Severity::Warning, format!("Refine: {why}")),
            },
            Action::RefineGeometry => match super::commands::can_run(&self.state, Stage::Prepare) {
                Ok(()) => {
                    if let Some(series) = self.state.workspace.best_series() {
                        let job = Job::RefineGeometry {
                            series: Arc::clone(series),
                            params: self.state.workspace.project.parameters.geometry.clone(),
                        };
                        self.submit(job);
                    }
                }
                Err(why) => self
                    .state
                    .toast(Severity::Warning, format!("Refine geometry: {why}")),
            },
            Action::ExchangeAxes => {
                if let Some(series) = &self.state.workspace.series {
                    let series = Arc::clone(series);
                    self.submit(Job::Exchange { series });
                }
            }
            Action::AskTilts => self.ask_tilts(),
            Action::NudgeTilt(by_px) => {
                if let Some(series) = self.state.workspace.best_series().filter(|s| !s.is_empty()) {
                    let tilt = self.state.view.tilt.min(series.len() - 1);
                    self.state.nudges.add(tilt, by_px);
                }
            }
            Action::TakeBackNudges(only) => {
                let state = &mut self.state;
                // Moves that have not reached the pixels yet are dropped, the others undone.
                if !state.nudges.in_flight {
                    (state.nudges.wanted_px).retain(|tilt, _| only.is_some_and(|t| t != *tilt));
                }
                for nudge in &state.workspace.project.parameters.prepare.nudges {
                    if only.is_none_or(|tilt| tilt == nudge.tilt) {
                        state.nudges.add(nudge.tilt, nudge.shift_px.map(|s| -s));
                    }
                }
            }
            Action::PreviewDenoise => {
                let workspace = &self.state.workspace;
                if let Some(series) = workspace.series.as_ref().filter(|s| !s.is_empty()) {
                    let job = Job::PreviewDenoise {
                        series: Arc::clone(series),
                        tilt: self.state.view.tilt.min(series.len() - 1),
                        params: workspace.project.parameters.prepare.clone(),
                    };
                    self.submit(job);
                }
            }
            Action::JudgeDenoising => {
                let workspace = &self.state.workspace;
                if let Some(series) = &workspace.series {
                    let job = Job::JudgeDenoising {
                        series: Arc::clone(series),
                        params: workspace.project.parameters.prepare.clone(),
                    };
                    self.submit(job);
                }
            }
            Action::Resume => match resume_job(&self.state) {
                Ok(job) => self.submit(job),
                Err(why) => self.state.toast(Severity::Warning, why),
            },
            Action::Auto => match &self.state.workspace.series {
                Some(series) if series.pixel_size.is_some() => {
                    let job = Job::Auto {
                        series: Arc::clone(series),
                        species: None,
                        spacing: None,
                        skip: Vec::new(),
                        hand: Box::new(self.state.workspace.project.parameters.prepare.clone()),
                        follow: self.state.workspace.project.parameters.trace_while_running,
                        truth: self.state.workspace.truth.clone(),
                    };
                    self.submit(job);
                }
                _ => self.state.toast(
                    Severity::Warning,
                    "Auto: needs a tilt series with its pixel size",
                ),
            },
            Action::Stop(how) => {
                if let Some(job) = &self.state.job {
                    self.worker.stop(job.id, how);
                }
            }
            Action::Pause(paused) => {
                if let Some(job) = &mut self.state.job {
                    job.paused = paused;
                    self.worker.set_paused(job.id, paused);
                }
            }
            other => return Some(other),
        }
        None
    }

    fn perform_parameters(&mut self, action: Action) -> Rest {
        let state = &mut self.state;
        let parameters = &mut state.workspace.project.parameters;
        match action {
            Action::SetPrepare(params) => parameters.prepare = params,
            Action::SetBeam(beam) => parameters.beam = beam,
            Action::Mask(wish) => {
                masking::perform(state, wish);
                return None;
            }
            Action::DropPreparation => {
                state.workspace.drop_preparation();
                state.forget_preparation();
            }
            Action::SetReconstruct(params) => parameters.reconstruct = params,
            Action::TraceWhileRunning(on) => parameters.trace_while_running = on,
            Action::SetTrace(params) => parameters.trace = params,
            Action::SetRefine(params) => parameters.refine = params,
            Action::SetGeometry(params) => parameters.geometry = params,
            Action::SetComplete(complete) => parameters.complete = complete,
            Action::SetAnalyze(params) => {
                parameters.analyze = params;
                self.analyze_live();
                return None;
            }
            Action::DragLine(name, x, done) => return self.drag_line(&name, x, done),
            Action::ApplyThreshold(threshold) => {
                parameters.trace.threshold = Some(threshold);
                state.view.dragged_threshold = None;
                state.touch();
                match split_job(state) {
                    Some(job) => self.submit(job),
                    None => drop(self.perform_jobs(Action::RunStage(Stage::Trace))),
                }
                return None;
            }
            Action::SetPixelSize(pixel_size) => state.workspace.set_pixel_size(pixel_size),
            Action::SetAngles(tilt, angles) => {
                state.workspace.change_series(ANGLES_CHANGED, |series| {
                    if let Some(place) = series.angles.get_mut(tilt) {
                        *place = angles;
                    }
                });
            }
            Action::SetAllAngles(angles) => {
                let tilts = state.workspace.series.as_ref().map_or(0, |s| s.len());
                if angles.len() == tilts {
                    (state.workspace)
                        .change_series(ANGLES_CHANGED, |series| series.angles.clone_from(&angles));
                } else {
                    state.toast(
                        Severity::Error,
                        format!(
                            "the table holds {} angles, the series {tilts} images",
                            angles.len()
                        ),
                    );
                    return None;
                }
            }
            Action::MirrorAngles => {
                state.workspace.change_series(ANGLES_CHANGED, |series| {
                    for angles in &mut series.angles {
                        (angles.theta, angles.psi) = (-angles.theta, -angles.psi);
                    }
                });
            }
            Action::IncludeTilt(tilt, included) => {
                let reason = "other tilts take part";
                state.workspace.change_series(reason, |series| {
                    if let Some(place) = series.included.get_mut(tilt) {
                        *place = included;
                    }
                });
                if let Some(series) = &state.workspace.series {
                    state.workspace.project.excluded_tilts =
                        (0..series.len()).filter(|&i| !series.included[i]).collect();
                }
            }
            other => return Some(other),
        }
        self.state.touch();
        None
    }

    /// A dragged line is the parameter's slider.
    fn drag_line(&mut self, name: &str, x: f64, done: bool) -> Rest {
        let mut params = self.state.workspace.project.parameters.analyze.clone();
        match name {
            "threshold" if done => return self.perform_parameters(Action::ApplyThreshold(x)),
            "threshold" => {
                self.state.view.dragged_threshold = Some(x);
                return None;
            }
            "cutoff" => params.cutoff = Some(x.max(0.1)),
            "boo_threshold" => params.boo_threshold = x.clamp(0.0, 1.0),
            "oxygen_volume" => params.oxygen_volume = x.max(0.0),
            "ptm_rmsd" => params.ptm_rmsd = x.max(0.0),
            "void_radius" => params.void_radius = x.max(0.1),
            _ => return None,
        }
        self.perform_parameters(Action::SetAnalyze(params))
    }

    /// Repeats the analysis with the parameters as they are now, beside the worker, so that plots follow a slider.
    pub(super) fn analyze_live(&mut self) {
        self.state.touch();
        let workspace = &self.state.workspace;
        let fresh = workspace
            .record(Stage::Analyze)
            .is_some_and(|record| record.stale_because.is_none());
        if let (Some(before), Some(model), true) = (&workspace.analyzed, &workspace.atoms, fresh) {
            let params = &workspace.project.parameters.analyze;
            self.analysis.ask(Again::new(before, model, params));
        }
    }

    fn perform_edits(&mut self, action: Action) -> Rest {
        let state = &mut self.state;
        let edited = match action {
            Action::ProposeAtom(place) => {
                propose(state, place);
                return None;
            }
            Action::ProposeHere => {
                let vacant = queue::under_crosshair(state).is_some_and(|p| p.atoms.is_empty());
                if vacant && !state.view.pointed {
                    queue::decide(state, Proposal::Add)
                } else {
                    let place = state.view.cursor.unwrap_or(state.view.crosshair);
                    propose(state, place);
                    return None;
                }
            }
            Action::Decide(how) => queue::decide(state, how),
            Action::RefineSphere => {
                let place = match queue::under_crosshair(state) {
                    Some(_) if !state.view.pointed => state.view.crosshair,
                    _ => state.view.cursor.unwrap_or(state.view.crosshair),
                };
                if let Err(why) = self.examining.refine_sphere(&self.state, place) {
                    let text = format!("Refine sphere: {why}");
                    self.state.toast(Severity::Warning, text);
                }
                return None;
            }
            Action::TakeRefined(part) => editing::take_refined(state, &part),
            Action::SplitSelected => editing::split_selected(state),
            Action::MarkSelected(mark) => editing::mark_selected(state, mark),
            Action::SetPhase(ids, phase) => editing::set_phase(state, &ids, phase),
            Action::NextSpecies => editing::next_species(state),
            Action::RestoreHere => {
                let place = state.view.cursor.unwrap_or(state.view.crosshair);
                editing::restore_near(state, place)
            }
            Action::Checkpoint(name) => editing::checkpoint(state, &name),
            Action::ReturnTo(number) => editing::return_to(state, number),
            Action::SetGhost(ghost) => {
                state.view.ghost = *ghost;
                return None;
            }
            Action::RejectGhost => {
                state.view.ghost = None;
                return None;
            }
            Action::SetReason(reason) => {
                state.reason = reason;
                return None;
            }
            Action::AcceptGhost => editing::accept_ghost(state),
            Action::RemoveSelected => {
                let place = queue::under_crosshair(state);
                let in_doubt = place.is_some_and(|place| {
                    !place.atoms.is_empty()
                        && place
                            .atoms
                            .iter()
                            .copied()
                            .eq(state.view.selection.iter().copied())
                });
                if in_doubt {
                    queue::decide(state, Proposal::Remove)
                } else {
                    editing::remove_selected(state)
                }
            }
            Action::MoveAtom(id, to) => editing::move_atom(state, id, to),
            Action::NudgeSelected(by) => editing::nudge_selected(state, by),
            Action::RefitSelected => editing::refit_selected(state),
            Action::MergeSelected => editing::merge_selected(state),
            Action::RelabelSelected(species) => editing::relabel_selected(state, species),
            // While masks are edited these keys belong to them.
            Action::Undo if state.view.mask.tool != MaskTool::Off => {
                masking::perform(state, MaskWish::Undo);
                return None;
            }
            Action::Redo if state.view.mask.tool != MaskTool::Off => {
                masking::perform(state, MaskWish::Redo);
                return None;
            }
            Action::Undo => editing::undo(state),
            Action::Redo => editing::redo(state),
            other => return Some(other),
        };
        self.finish_edit(edited);
        None
    }

    fn finish_edit(&mut self, edited: Edited) {
        match edited {
            Ok(Some(entry)) => {
                self.journal(&entry);
                (self.on_edit)(&self.state.workspace, &entry);
                if entry.kind == EditKind::Phase {
                    self.analyze_live();
                }
            }
            Ok(None) => {}
            Err(why) => self.state.toast(Severity::Warning, why),
        }
    }

    fn perform_view(&mut self, action: Action) -> Rest {
        let state = &mut self.state;
        let view = &mut state.view;
        match action {
            Action::View(change) => change_view(state, change),
            Action::BlinkStep => blink_step(state),
            Action::Line(wish) => measuring::perform(state, wish),
            Action::ShowGallery(show) => state.gallery = show,
            Action::ShowStage(stage) => view.stage = stage,
            Action::ShowPlot(plot) => view.plot = plot,
            Action::SetTool(tool) => {
                view.tool = tool;
                view.ghost = None;
            }
            Action::SetColorBy(color_by) => view.color_by = color_by,
            Action::Select(ids, adds) => {
                if !adds {
                    view.selection.clear();
                }
                for id in ids {
                    // Shift-click on a selected atom takes it out again.
                    if !view.selection.insert(id) && adds {
                        view.selection.remove(&id);
                    }
                }
            }
            Action::Unselect(ids) => view.selection.retain(|id| !ids.contains(id)),
            Action::SelectMore(ids) => view.selection.extend(ids),
            Action::FilterQueue(filter) => queue::set_filter(state, filter),
            Action::SetPlane(axes) => {
                view.oblique = axes;
                self.layout.show(ViewKind::Oblique);
            }
            Action::PlaneFromSelection => match plane_from_selection(state) {
                Ok((axes, place)) => {
                    state.view.oblique = axes;
                    state.view.center_on(place);
                    state.view.active = ViewKind::Oblique;
                    if state.view.maximized.is_some() {
                        state.view.maximized = Some(ViewKind::Oblique);
                    }
                    self.layout.show(ViewKind::Oblique);
                }
                Err(why) => state.toast(Severity::Warning, why),
            },
            Action::StepLayer(steps) => step_layer(state, steps),
            Action::Brush(ids) => view.brushed = ids.into_iter().collect(),
            Action::MoveCrosshair(place) => state.view.crosshair = clamped(state, place),
            Action::ShowTilt(tilt) => {
                view.tilt = tilt;
                state.make_view_valid();
            }
            Action::StepSlice(steps) => step_slice(state, steps),
            Action::StepInPlane(right, up) => {
                if let Some(action) = step_in_plane(state, right, up) {
                    return self.perform_edits(action);
                }
            }
            Action::ScaleSlab(factor) => {
                view.density_slab = (view.density_slab * factor).clamp(0.1, 1000.0);
                view.atom_slab = (view.atom_slab * factor).clamp(0.1, 1000.0);
            }
            Action::FocusAtom(id) => focus_atom(state, id),
            Action::ShowDoubtful(at) => queue::show(state, at),
            Action::StepDoubtful(by) => queue::step(state, by),
            Action::SettleDoubtful => queue::settle(state),
            Action::Confirm => {
                if view.ghost.is_some() {
                    return self.perform_edits(Action::AcceptGhost);
                }
                if let Some(how) = queue::current(state).map(|place| place.proposal) {
                    return self.perform_edits(Action::Decide(how));
                }
            }
            Action::Cancel => cancel(state),
            Action::CycleView => {
                let shown: Vec<ViewKind> = ViewKind::ALL.to_vec();
                let at = shown.iter().position(|&k| k == view.active).unwrap_or(0);
                view.active = shown[(at + 1) % shown.len()];
                if view.maximized.is_some() {
                    view.maximized = Some(view.active);
                }
                self.layout.show(view.active);
            }
            other => return Some(other),
        }
        None
    }
}

fn propose(state: &mut AppState, place: [f64; 3]) {
    match editing::propose(state, place) {
        Ok(ghost) => {
            state.view.crosshair = ghost.candidate.position;
            state.view.ghost = Some(ghost);
            state.view.stage = Stage::Correct;
        }
        Err(why) => state.toast(Severity::Warning, why),
    }
}

fn change_view(state: &mut AppState, change: ViewChange) {
    let view = &mut state.view;
    match change {
        ViewChange::DensitySlab(thickness) => view.density_slab = thickness,
        ViewChange::AtomSlab(thickness) => view.atom_slab = thickness,
        ViewChange::ShowAtoms(show) => view.show_atoms = show,
        ViewChange::ShowResidual(show) => view.show_residual = show,
        ViewChange::ShowTombstones(show) => view.show_tombstones = show,
        ViewChange::DensityMap(map) => view.density_map = map,
        ViewChange::QuantityMap(map) => view.quantity_map = map,
        ViewChange::DensityContrast(limits) => view.density_contrast = limits,
        ViewChange::ImagePercentiles(limits) => view.image_percentiles = limits,
        ViewChange::Page(page) => view.page = page,
        ViewChange::Playing(playing) => view.playing = playing,
        ViewChange::TiltPicture(picture) => {
            view.tilt_picture = picture;
            view.blinked_from = None;
        }
        ViewChange::ShowVolume(show) => view.show_volume = show,
        ViewChange::ShowVoids(show) => view.show_voids = show,
        ViewChange::IsoLevel(level) => view.iso_level = level,
        ViewChange::Clip(clip) => view.clip = clip,
        ViewChange::DraggedThreshold(threshold) => view.dragged_threshold = threshold,
        ViewChange::Cursor(place) => view.cursor = place,
        ViewChange::Active(kind) => view.active = kind,
        ViewChange::Brush(brush) => view.brush = brush,
    }
}

fn focus_atom(state: &mut AppState, id: crate::model::AtomId) {
    let Some(atoms) = &state.workspace.atoms else {
        return;
    };
    if let Some(index) = atoms.index_of(id) {
        let place = atoms.positions[index];
        state.view.center_on(place);
        state.view.selection = [id].into();
    }
}

fn cancel(state: &mut AppState) {
    if state.help {
        state.help = false;
    } else if state.view.ghost.take().is_some() {
        // Only the ghost goes.
    } else if state.calibrating.open {
        state.calibrating.open = false;
    } else if state.gallery {
        state.gallery = false;
    } else if state.view.line.measuring {
        state.view.line.measuring = false;
    } else if state.view.mask.tool != MaskTool::Off {
        state.view.mask.tool = MaskTool::Off;
        state.view.mask.pending = None;
    } else if state.view.tool != Tool::Select {
        state.view.tool = Tool::Select;
    } else if !state.view.selection.is_empty() {
        state.view.selection.clear();
    } else if !state.view.brushed.is_empty() {
        state.view.brushed.clear();
    } else {
        state.view.maximized = None;
    }
}
