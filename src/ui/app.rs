//! The window itself: folds the worker's events in, draws panels and views, runs the actions of the frame.

use super::actions::{Action, Actions};
use super::calibration::CalibrationWindow;
use super::dialogs::Dialogs;
use super::doubts;
use super::embed::Views;
use super::examining::Examining;
use super::figure_cache::FigureCache;
use super::layout::Layout;
use super::masking::Masking;
use super::mosaic::Mosaic;
use super::palette::Palette;
use super::panels::{self, Panels};
use super::questions::{Questions, toasts_ui};
use super::safety::Safety;
use super::state::{AppState, Doubtful, Severity, ViewKind};
use super::theme;
use super::{commands, keys};
use crate::jobs::again::{Again, analyze_again};
use crate::jobs::latest::Latest;
use crate::jobs::worker::{Execute, Worker};
use crate::jobs::{Job, JobError, JobEvent, JobOutput, OpenHints};
use crate::model::Volume;
use crate::project::{Entry, Stage, Workspace};
use crate::trace::doubts::DoubtParams;
use eframe::egui;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// What is told of every hand edit the moment it is made.
pub type OnEdit = Box<dyn FnMut(&Workspace, &Entry)>;

/// What is stored of a window between sessions.
#[derive(serde::Serialize, serde::Deserialize, Default)]
#[serde(default)]
struct Stored {
    layout: String,
    light: bool,
    recent: Vec<PathBuf>,
}

/// The window.
pub struct App {
    /// Everything shown.
    pub state: AppState,
    /// Told of every hand edit (the journal on disk).
    pub on_edit: OnEdit,
    pub(super) worker: Worker,
    pub(super) dialogs: Dialogs,
    pub(super) layout: Layout,
    pub(super) figures: FigureCache,
    pub(super) closing: bool,
    /// Goes on once the project is saved.
    pub(super) after_save: Option<Action>,
    /// Revision that is being saved.
    pub(super) saving: Option<u64>,
    /// Jobs submitted, for tests.
    submitted: Vec<&'static str>,
    views: Views,
    panels: Panels,
    palette: Palette,
    questions: Questions,
    calibration: CalibrationWindow,
    mosaic: Mosaic,
    actions: Actions,
    doubts: Latest<doubts::Request, Vec<Doubtful>>,
    doubts_of: u64,
    pub(super) analysis: Latest<Again, Result<JobOutput, JobError>>,
    pub(super) safety: Safety,
    pub(super) examining: Examining,
    masking: Masking,
    /// Keeps every volume that is or was shown, so that the window is never the last to hold one.
    held: Vec<Arc<Volume>>,
    played: f64,
    title: String,
    dark: Option<bool>,
    context: Arc<OnceLock<egui::Context>>,
}

impl App {
    /// A window with native dialogs. `execute` runs the jobs.
    #[must_use]
    pub fn new(execute: Execute) -> Self {
        Self::build(execute, true)
    }

    /// A window for tests and screenshots: no native dialogs, nothing read from storage.
    #[must_use]
    pub fn headless(execute: Execute) -> Self {
        Self::build(execute, false)
    }

    fn build(execute: Execute, native_dialogs: bool) -> Self {
        // The worker outlives no window but may speak before the first frame; then nobody needs waking.
        let context: Arc<OnceLock<egui::Context>> = Arc::default();
        let waker = || {
            let context = Arc::clone(&context);
            move || {
                if let Some(context) = context.get() {
                    context.request_repaint();
                }
            }
        };
        Self {
            state: AppState::default(),
            on_edit: Box::new(|_, _| {}),
            worker: Worker::new(execute, waker()),
            dialogs: Dialogs::new(native_dialogs),
            layout: Layout::default(),
            figures: FigureCache::default(),
            closing: false,
            after_save: None,
            saving: None,
            submitted: Vec::new(),
            views: Views::default(),
            panels: Panels::default(),
            palette: Palette::default(),
            questions: Questions::default(),
            calibration: CalibrationWindow::default(),
            mosaic: Mosaic::default(),
            actions: Actions::default(),
            doubts: Latest::new("doubtful-places", waker(), |request| {
                doubts::doubtful(&request)
            }),
            doubts_of: 0,
            analysis: Latest::in_steps("analysis", waker(), |asked: Again, turn| {
                let early = |output| turn.tell(Ok(output));
                analyze_again(&asked, &early, turn.is_over()).transpose()
            }),
            safety: Safety::default(),
            examining: Examining::new(waker),
            masking: Masking::new(waker()),
            held: Vec::new(),
            played: 0.0,
            title: String::new(),
            dark: None,
            context,
        }
    }

    /// Hands over the device the 3D view draws with.
    pub fn install_graphics(&mut self, graphics: &eframe::egui_wgpu::RenderState) {
        self.views.install(graphics);
    }

    /// Queues a job.
    pub fn submit(&mut self, job: Job) {
        self.submitted.push(job.title());
        self.worker.submit(job);
        self.state.queued = self.worker.pending().saturating_sub(1);
    }

    /// Names of the jobs submitted so far, in order.
    #[must_use]
    pub fn submitted(&self) -> &[&'static str] {
        &self.submitted
    }

    /// Opens files as if they had been dropped.
    pub fn open_files(&mut self, files: Vec<PathBuf>) {
        if !files.is_empty() {
            self.actions.push(Action::Open(files, OpenHints::default()));
        }
    }

    /// Volumes that nobody shows any more are freed beside the window: giving 100 MB back takes longer than a frame may.
    fn free_volumes(&mut self) {
        let shown = [&self.state.live.snapshot, &self.state.workspace.volume];
        for volume in shown.into_iter().flatten() {
            if !self.held.iter().any(|held| Arc::ptr_eq(held, volume)) {
                self.held.push(Arc::clone(volume));
            }
        }
        let gone: Vec<Arc<Volume>> = self
            .held
            .extract_if(.., |held| Arc::strong_count(held) == 1)
            .collect();
        if !gone.is_empty() {
            rayon::spawn(move || drop(gone));
        }
    }

    /// Folds what the worker said into the state.
    fn fold_events(&mut self, ctx: &egui::Context) {
        for event in self.worker.drain() {
            let saved = match &event {
                JobEvent::Output { output, .. } => match output.as_ref() {
                    JobOutput::Saved(path) => Some(path.clone()),
                    JobOutput::Autosaved { path, entries } => {
                        let (path, entries) = (path.clone(), *entries);
                        self.rebase(&path, entries);
                        None
                    }
                    _ => None,
                },
                JobEvent::Failed { .. } | JobEvent::Stopped { .. } => {
                    // What was to follow a save does not follow a failed one.
                    self.after_save = None;
                    None
                }
                _ => None,
            };
            // A model that was just made by rule is looked at by the tilts before anyone edits it.
            let ask_tilts = matches!(event, JobEvent::Finished { .. })
                && (self.state.job.as_ref())
                    .is_some_and(|job| matches!(job.title, "Auto" | "Demo" | "Refine"));
            let crystal = matches!(&event, JobEvent::Output { output, .. } if matches!(**output, JobOutput::Crystal(_)));
            let opened = matches!(&event, JobEvent::Output { output, .. } if matches!(
                **output,
                JobOutput::Opened { .. } | JobOutput::Merged { .. } | JobOutput::Series { .. }
            ));
            self.state.fold(event);
            if opened {
                self.show_what_there_is();
            }
            if crystal {
                self.analyze_live();
            }
            if ask_tilts {
                self.ask_tilts();
            }
            if let Some(path) = saved {
                self.saved(ctx, path);
            }
        }
        if let Some(snapshot) = self.worker.take_snapshot()
            && self.state.job.is_some()
        {
            self.state.live.snapshot = Some(snapshot);
        }
        self.state.queued = self
            .worker
            .pending()
            .saturating_sub(usize::from(self.state.job.is_some()));
        if let Some(list) = self.doubts.poll() {
            super::queue::take_list(&mut self.state, list);
        }
    }

    /// A model alone has no tilts to look at.
    fn show_what_there_is(&mut self) {
        let workspace = &self.state.workspace;
        if workspace.series.is_some() {
            self.layout.show(ViewKind::Tilt);
        } else if workspace.atoms.is_some() || workspace.volume.is_some() {
            self.layout.show(ViewKind::Yz);
        }
    }

    /// Takes in an analysis repeated for a slider, unless another model was analysed meanwhile.
    fn fold_analysis(&mut self) {
        let state = &mut self.state;
        match self.analysis.poll() {
            Some(Ok(JobOutput::Analyzed {
                outcome,
                params,
                record,
            })) => {
                let there = state.workspace.analyzed.as_ref().map(|there| &there.atoms);
                let new = &outcome.atoms;
                let same = there.is_some_and(|there| {
                    there.ids == new.ids
                        && there.positions == new.positions
                        && there.species == new.species
                });
                // Parameters differ while the slider moves: only an analysis outdated otherwise is not followed.
                let standing = state.workspace.record(Stage::Analyze);
                if same && standing.is_some_and(|there| there.stale_because.is_none()) {
                    let mut wanted = state.workspace.project.parameters.analyze.clone();
                    state.fold_output(JobOutput::Analyzed {
                        outcome,
                        params,
                        record,
                    });
                    // The slider may have moved on.
                    std::mem::swap(&mut state.workspace.project.parameters.analyze, &mut wanted);
                }
            }
            Some(Err(error)) => {
                // What was told first is not followed by the rest.
                if let Some(analyzed) = &mut state.workspace.analyzed {
                    let whole = Arc::clone(analyzed.whole());
                    *analyzed = whole;
                }
                state.analysis_fault = Some(error.to_string());
                state.toast(Severity::Warning, error.to_string());
            }
            _ => {}
        }
    }

    /// Has the worker move the tilts that were nudged, once the hand rests.
    fn follow_nudges(&mut self, ctx: &egui::Context) {
        const REST: std::time::Duration = std::time::Duration::from_millis(400);
        let nudges = &mut self.state.nudges;
        // A move of the images as they are now would undo what a running job is about to do to them.
        let busy = nudges.in_flight || self.state.job.is_some();
        let (Some(since), false) = (nudges.since, busy) else {
            return;
        };
        if nudges.wanted_px.is_empty() {
            nudges.since = None;
            return;
        }
        let waited = since.elapsed();
        if waited < REST {
            ctx.request_repaint_after(REST - waited);
            return;
        }
        let workspace = &self.state.workspace;
        if let Some(series) = workspace.best_series() {
            let series = Arc::clone(series);
            // What was moved before a preparation was taken back is still wanted.
            let held = match workspace.prepared {
                Some(_) => Vec::new(),
                None => workspace.project.parameters.prepare.nudges.clone(),
            };
            nudges.in_flight = true;
            let shifts_px = nudges.wanted_px.iter().map(|(&t, &s)| (t, s)).collect();
            self.submit(Job::Nudge {
                series,
                held,
                shifts_px,
            });
        }
    }

    fn saved(&mut self, ctx: &egui::Context, path: PathBuf) {
        let state = &mut self.state;
        if let Some(name) = path.file_stem() {
            state.workspace.project.name = name.to_string_lossy().into_owned();
        }
        state.remember(path.clone());
        state.toast(Severity::Info, format!("saved {}", path.display()));
        // Edits made while the job was writing are not in the file. The output itself counts as one change.
        let unchanged = self.saving.take().is_some_and(|r| r + 1 >= state.revision);
        state.workspace.path = Some(path.clone());
        state.workspace.modified = !unchanged;
        let entries = if unchanged {
            state.workspace.edits.entries().len()
        } else {
            0
        };
        self.rebase(&path, entries);
        if let Some(action) = self.after_save.take() {
            self.perform(ctx, action);
        }
    }

    /// Queues the search for doubtful places in the tilts, where there are tilts to ask.
    pub(super) fn ask_tilts(&mut self) {
        if commands::can_refine(&self.state).is_err() {
            return;
        }
        let workspace = &self.state.workspace;
        if let (Some(atoms), Some(series)) = (&workspace.atoms, workspace.best_series()) {
            let job = Job::Doubts {
                atoms: Arc::clone(atoms),
                series: Some(Arc::clone(series)),
                volume: workspace.volume.clone(),
                traced: workspace.traced.clone(),
                params: DoubtParams {
                    refine: workspace.project.parameters.refine.clone(),
                    ..DoubtParams::default()
                },
            };
            self.submit(job);
        }
    }

    fn ask_for_doubts(&mut self) {
        if self.doubts_of == self.state.revision {
            return;
        }
        self.doubts_of = self.state.revision;
        let workspace = &self.state.workspace;
        match &workspace.atoms {
            Some(atoms) => self.doubts.ask(doubts::Request {
                atoms: Arc::clone(atoms),
                volume: workspace.volume.clone(),
                traced: workspace.traced.clone(),
                evidence: self.state.evidence.clone(),
                unrepeated: workspace.unrepeated.clone(),
            }),
            None => {
                self.state.all_doubtful.clear();
                self.state.doubtful.clear();
                self.state.doubtful_at = None;
            }
        }
    }

    fn play(&mut self, ctx: &egui::Context) {
        /// Seconds a tilt stays while they play.
        const STAY: f64 = 0.12;
        let state = &mut self.state;
        let Some(series) = state
            .workspace
            .series
            .as_ref()
            .filter(|_| state.view.playing)
        else {
            return;
        };
        let now = ctx.input(|input| input.time);
        if now - self.played >= STAY {
            state.view.tilt = (state.view.tilt + 1) % series.len().max(1);
            self.played = now;
        }
        ctx.request_repaint_after(Duration::from_secs_f64(STAY));
    }

    fn show_title(&mut self, ctx: &egui::Context) {
        let workspace = &self.state.workspace;
        let mark = if workspace.modified && !self.state.is_empty() {
            " •"
        } else {
            ""
        };
        let title = if self.state.is_empty() {
            "Aetlas".to_owned()
        } else {
            format!("{}{mark} – Aetlas", workspace.project.name)
        };
        if title != self.title {
            ctx.send_viewport_cmd(egui::ViewportCommand::Title(title.clone()));
            self.title = title;
        }
    }

    fn show_theme(&mut self, ctx: &egui::Context) {
        let dark = self.state.view.dark;
        if self.dark != Some(dark) {
            if self.dark.is_none() {
                theme::install(ctx);
            }
            ctx.set_theme(if dark {
                egui::Theme::Dark
            } else {
                egui::Theme::Light
            });
            self.dark = Some(dark);
        }
    }

    fn panels_ui(&mut self, ui: &mut egui::Ui) {
        let Self {
            state,
            actions,
            views,
            panels,
            layout,
            figures,
            ..
        } = self;
        egui::Panel::top("menu").show(ui, |ui| menu_ui(ui, state, actions));
        egui::Panel::bottom("status")
            .exact_size(26.0)
            .show(ui, |ui| panels::status::ui(ui, state));
        egui::Panel::left("rail")
            .exact_size(148.0)
            .resizable(false)
            .show(ui, |ui| panels::rail::ui(ui, state, actions));
        let empty = state.is_empty() && state.job.is_none();
        if empty && state.view.stage == Stage::Series {
            egui::CentralPanel::default().show(ui, |ui| panels::start::ui(ui, state, actions));
            return;
        }
        egui::Panel::right("stage")
            .default_size(330.0)
            .size_range(300.0..=460.0)
            .show(ui, |ui| {
                panels.stage_ui(ui, state, figures, views, actions);
            });
        egui::Panel::bottom("tray")
            .resizable(true)
            .default_size(220.0)
            .size_range(96.0..=600.0)
            .show(ui, |ui| {
                panels.tray.ui(ui, state, figures, views, actions);
            });
        let frame = egui::Frame::new().fill(ui.visuals().extreme_bg_color);
        egui::CentralPanel::no_frame().frame(frame).show(ui, |ui| {
            layout.ui(ui, views, state, actions);
        });
    }

    fn overlays_ui(&mut self, ctx: &egui::Context) {
        let Self {
            state,
            actions,
            palette,
            questions,
            calibration,
            mosaic,
            ..
        } = self;
        calibration.ui(ctx, state, actions);
        mosaic.ui(ctx, state, actions);
        palette.ui(ctx, state, actions);
        keys::help_ui(ctx, state, actions);
        questions.ui(ctx, state, actions);
        panels::start::drop_ui(ctx, actions);
        toasts_ui(ctx, &mut self.state);
        if let Some((ask, paths)) = self.dialogs.ui(ctx, &mut self.actions) {
            self.take_paths(ask, paths);
        }
        if let Some((ask, paths)) = self.dialogs.poll() {
            self.take_paths(ask, paths);
        }
    }

    fn guard_closing(&mut self, ctx: &egui::Context) {
        if !ctx.input(|input| input.viewport().close_requested()) || self.closing {
            return;
        }
        if self.state.workspace.modified && !self.state.is_empty() {
            ctx.send_viewport_cmd(egui::ViewportCommand::CancelClose);
            self.actions.push(Action::Quit);
        }
    }
}

impl App {
    /// What comes before a frame is drawn: takes in what the worker said.
    pub(super) fn follow(&mut self, ctx: &egui::Context) {
        self.free_volumes();
        // The first call hands the worker what wakes the window.
        self.context.get_or_init(|| ctx.clone());
        self.fold_events(ctx);
        self.fold_analysis();
        self.follow_model();
        self.follow_hand_work(ctx);
        self.look_for_lost(ctx);
        if let Some(action) = self.state.fresh.take() {
            self.perform(ctx, action);
        }
        self.follow_nudges(ctx);
        self.masking.follow(&mut self.state);
        if let Some(part) = self.examining.follow(&mut self.state) {
            self.actions.push(Action::TakeRefined(Box::new(part)));
        }
        self.ask_for_doubts();
        self.figures.update(&self.state);
        self.play(ctx);
        self.guard_closing(ctx);
        self.show_title(ctx);
        self.show_theme(ctx);
    }

    /// Draws a frame and does what was asked for in it.
    pub(super) fn draw(&mut self, ui: &mut egui::Ui) {
        let ctx = ui.ctx().clone();
        self.state.view.pointed |= ctx.input(|input| input.pointer.delta() != egui::Vec2::ZERO);
        keys::read(&ctx, &mut self.state, &mut self.actions);
        self.panels_ui(ui);
        self.overlays_ui(&ctx);
        let asked = self.actions.take();
        if !asked.is_empty() {
            for action in asked {
                self.perform(&ctx, action);
            }
            // What was asked for shows in the next frame.
            ctx.request_repaint();
        }
    }
}

impl eframe::App for App {
    fn logic(&mut self, ctx: &egui::Context, _frame: &mut eframe::Frame) {
        self.follow(ctx);
    }

    fn ui(&mut self, ui: &mut egui::Ui, frame: &mut eframe::Frame) {
        self.draw(ui);
        // The timed save of settings would lose a project opened just before a crash.
        if std::mem::take(&mut self.state.recent_changed)
            && let Some(storage) = frame.storage_mut()
        {
            self.save(storage);
            storage.flush();
        }
    }

    fn save(&mut self, storage: &mut dyn eframe::Storage) {
        let stored = Stored {
            layout: self.layout.to_json(),
            light: !self.state.view.dark,
            recent: self.state.recent.clone(),
        };
        eframe::set_value(storage, eframe::APP_KEY, &stored);
    }

    fn raw_input_hook(&mut self, ctx: &egui::Context, input: &mut egui::RawInput) {
        // Tab cycles the views while nothing has the focus; egui would use it to move the focus. Shift+Tab still
        // brings the keyboard into the panels.
        let free = ctx.memory(|memory| memory.focused().is_none());
        if !free || self.state.palette {
            return;
        }
        let before = input.events.len();
        input.events.retain(|event| {
            !matches!(event, egui::Event::Key { key: egui::Key::Tab, pressed: true, modifiers, .. } if modifiers.is_none())
        });
        if input.events.len() < before {
            self.actions.push(Action::CycleView);
        }
    }
}

fn menu_ui(ui: &mut egui::Ui, state: &AppState, actions: &mut Actions) {
    egui::MenuBar::new().ui(ui, |ui| {
        ui.set_min_height(26.0);
        for menu in commands::Menu::BAR {
            ui.menu_button(menu.name(), |ui| {
                ui.set_min_width(240.0);
                for command in commands::COMMANDS.iter().filter(|c| c.menu == menu) {
                    if command.separated {
                        ui.separator();
                    }
                    menu_entry(ui, state, command, actions);
                }
            });
        }
        if !state.is_empty() {
            ui.separator();
            let mark = if state.workspace.modified { " •" } else { "" };
            let name = format!("{}{mark}", state.workspace.project.name);
            let tooltip = match (&state.workspace.path, state.workspace.modified) {
                (Some(path), false) => path.display().to_string(),
                (Some(path), true) => format!("{}, with unsaved changes", path.display()),
                (None, _) => "not saved yet".to_owned(),
            };
            let name = egui::Label::new(egui::RichText::new(name).strong()).truncate();
            // The strip needs its room; a long name gives way.
            let room = (ui.available_width() - 660.0).max(90.0);
            ui.allocate_ui(egui::vec2(room, 22.0), |ui| {
                ui.add(name).on_hover_text(tooltip)
            });
        }
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            panels::jobs::strip_ui(ui, state, actions);
        });
    });
}

fn menu_entry(
    ui: &mut egui::Ui,
    state: &AppState,
    command: &'static commands::Command,
    actions: &mut Actions,
) {
    let enabled = (command.enabled)(state);
    let button = egui::Button::new(command.text).shortcut_text(command.key_text());
    let response = ui.add_enabled(enabled.is_ok(), button);
    if response.clicked() {
        actions.push((command.action)(state));
        ui.close();
    }
    match enabled {
        Ok(()) => response.on_hover_text(command.tooltip),
        Err(why) => response.on_disabled_hover_text(format!("{}\nNot now: {why}", command.tooltip)),
    };
}

/// Opens the window and stays until it is closed. `files` are opened at once, `execute` runs the jobs, and `prepare`
/// may set the window up before the first frame (the journal on disk, an offer to recover).
///
/// # Errors
/// When no window can be opened, in one line.
pub fn run_with(
    files: Vec<PathBuf>,
    execute: Execute,
    prepare: impl FnOnce(&mut App) + 'static,
) -> Result<(), String> {
    let options = eframe::NativeOptions {
        viewport: egui::ViewportBuilder::default()
            .with_title("Aetlas")
            .with_app_id("aetlas")
            .with_inner_size([1440.0, 900.0])
            .with_min_inner_size([1024.0, 700.0])
            .with_drag_and_drop(true),
        renderer: eframe::Renderer::Wgpu,
        wgpu_options: wgpu_options(),
        ..eframe::NativeOptions::default()
    };
    eframe::run_native(
        "aetlas",
        options,
        Box::new(move |creation| {
            let mut app = App::new(execute);
            if let Some(graphics) = &creation.wgpu_render_state {
                app.install_graphics(graphics);
            }
            if let Some(storage) = creation.storage {
                let stored: Stored =
                    eframe::get_value(storage, eframe::APP_KEY).unwrap_or_default();
                app.layout = Layout::from_json(&stored.layout);
                app.state.view.dark = !stored.light;
                app.state.recent = stored.recent;
            }
            prepare(&mut app);
            app.open_files(files);
            Ok(Box::new(app))
        }),
    )
    .map_err(|error| {
        // The text after the last colon is the cause; before it stands where in a library it was met.
        let text = error.to_string();
        let cause = text.rsplit(": ").next().unwrap_or(&text);
        format!("cannot open a window: {cause}")
    })
}

/// The device gets all the adapter can: volumes need textures and buffers beyond the defaults.
fn wgpu_options() -> eframe::egui_wgpu::WgpuConfiguration {
    use eframe::{egui_wgpu, wgpu};
    let mut setup = egui_wgpu::WgpuSetupCreateNew::without_display_handle();
    setup.device_descriptor = Arc::new(|adapter| wgpu::DeviceDescriptor {
        label: Some("aetlas window"),
        required_limits: adapter.limits(),
        ..wgpu::DeviceDescriptor::default()
    });
    egui_wgpu::WgpuConfiguration {
        wgpu_setup: setup.into(),
        ..egui_wgpu::WgpuConfiguration::default()
    }
}
