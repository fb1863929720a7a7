//! The shell of the window, driven as a user would: find by label, act, look at the state.

use aetlas::analyze::{Analyzed, Pdf};
use aetlas::jobs::worker::{JobContext, JobEnd};
use aetlas::jobs::{Job, JobError};
use aetlas::model::{AtomId, Atoms, EulerAngles, TiltSeries, Volume};
use aetlas::project::{Edits, Stage};
use aetlas::reconstruct::Iteration;
use aetlas::trace::{Candidate, Traced, Verdict};
use aetlas::ui::App;
use aetlas::ui::actions::Action;
use aetlas::ui::state::{Ghost, Tool};
use eframe::egui;
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use ndarray::Array3;
use std::sync::Arc;

/// A worker that does nothing and says it is done.
fn idle(_: Job, _: &JobContext) -> Result<JobEnd, JobError> {
    Ok(JobEnd::Finished)
}

fn window(size: [f32; 2], app: App) -> Harness<'static, App> {
    Harness::builder()
        .with_size(egui::vec2(size[0], size[1]))
        .with_max_steps(12)
        .build_eframe(|_| app)
}

fn empty() -> Harness<'static, App> {
    window([1280.0, 800.0], App::headless(idle))
}

/// An analysis of every kind the window draws.
fn analysis(atoms: &Atoms) -> Analyzed {
    let mut atoms = atoms.clone();
    let count = atoms.len();
    let mut column = |name: &str, unit: &str, of: &dyn Fn(f64) -> f64| {
        let values = (0..count).map(|i| of(i as f64)).collect();
        atoms.set_column(name, unit, values);
    };
    column("q4bar", "", &|i| 0.1 + 0.05 * (0.7 * i).sin());
    column("q6bar", "", &|i| 0.4 + 0.12 * (0.3 * i).cos());
    column("boo", "", &|i| 0.7 + 0.3 * (0.5 * i).sin());
    column("cn", "", &|i| 9.0 + (i % 4.0));
    column("rho_n", "Å⁻³", &|i| 0.04 + 0.004 * (0.9 * i).sin());
    column("oxidation", "", &|i| 0.5 + 0.5 * (0.2 * i).sin());
    let r: Vec<f64> = (0..200).map(|i| 0.1 * f64::from(i)).collect();
    let g = r.iter().map(|r| 1.0 + (2.0 * r).sin() * (-0.1 * r).exp());
    Analyzed {
        cutoff: 4.5,
        summary: serde_json::json!({"atoms": count, "boo": {"disordered_percent": 32.1, "mean": 0.7}}),
        seconds: Vec::new(),
        pdf: Some(Pdf {
            g: g.collect(),
            r,
            partial: Vec::new(),
            peaks: vec![3.2, 4.5, 5.5],
            first_valley: Some(4.5),
        }),
        oxygen: vec![[0.0; 3]; 12],
        atoms,
        ..Analyzed::default()
    }
}

/// A ball of atoms on a lattice of 3.2 Å, as traced, with its volume and tilt series: everything a document can hold.
fn document(app: &mut App, pixel_size: Option<f64>) {
    let workspace = &mut app.state.workspace;
    let n = 48;
    let step = 0.5;
    let mut positions = Vec::new();
    for i in -3..=3_i32 {
        for j in -3..=3_i32 {
            for k in -3..=3_i32 {
                let p = [f64::from(i) * 3.2, f64::from(j) * 3.2, f64::from(k) * 3.2];
                if p.iter().map(|v| v * v).sum::<f64>() < 100.0 {
                    positions.push(p);
                }
            }
        }
    }
    let mut volume = Volume::zeros([n, n, n], step);
    for (index, value) in volume.data.indexed_iter_mut() {
        let center = (n / 2) as f64;
        let at = [index.0, index.1, index.2].map(|i| (i as f64 - center) * step);
        *value = positions
            .iter()
            .map(|p| {
                let d2: f64 = (0..3).map(|a| (p[a] - at[a]).powi(2)).sum();
                (-d2 / (2.0 * 0.36)).exp() as f32
            })
            .sum();
    }
    let count = positions.len();
    let mut atoms = Atoms::from_positions(positions, "Zr");
    let intensity = |i: usize| 1.0 + 0.3 * (i as f64 * 0.7).sin();
    atoms.set_column("intensity", "", (0..count).map(intensity).collect());
    atoms.set_column(
        "sigma_A",
        "Å",
        (0..count).map(|i| 0.6 + 0.01 * (i as f64).cos()).collect(),
    );
    let candidates = (0..count)
        .map(|i| Candidate {
            position: atoms.positions[i],
            density: 1.0,
            intensity: intensity(i),
            sigma: 0.6,
            misfit: 0.02,
            verdict: Verdict::Atom,
        })
        .chain((0..60).map(|i| Candidate {
            position: [20.0 + f64::from(i), 0.0, 0.0],
            density: 0.1,
            intensity: 0.1 + 0.002 * f64::from(i),
            sigma: 0.6,
            misfit: 0.2,
            verdict: Verdict::TooWeak,
        }))
        .collect();
    workspace.traced = Some(Arc::new(Traced {
        atoms: atoms.clone(),
        candidates,
        threshold: 0.5,
        sigma_mean: 0.6,
        sigma_sd: 0.01,
        seconds: 0.4,
    }));
    workspace.analyzed = Some(Arc::new(analysis(&atoms)));
    workspace.base_atoms = Some(Arc::new(atoms.clone()));
    workspace.atoms = Some(Arc::new(atoms));
    workspace.volume = Some(Arc::new(volume));
    workspace.edits = Edits::default();
    let tilts = 21;
    let images = Array3::from_shape_fn((tilts, n, n), |(t, x, y)| {
        let phase = 0.3 * (x + t) as f32 + 0.2 * y as f32;
        10.0 + 5.0 * phase.sin() + ((x * 7 + y * 13 + t) % 5) as f32
    });
    let angles = (0..tilts)
        .map(|t| EulerAngles::from_tilt_deg(-60.0 + 6.0 * t as f64))
        .collect();
    let series = TiltSeries::new("zr_particle.mat", images, angles, pixel_size);
    workspace.project.name = "zr_particle".to_owned();
    workspace.project.pixel_size = pixel_size;
    workspace.series = Some(Arc::new(series));
    app.state.live.iterations = (1..=60)
        .map(|number| Iteration {
            number,
            r1: 0.04 + 0.5 / number as f64,
            r1_per_tilt: (0..tilts)
                .map(|t| 0.04 + 0.02 * (t as f64 * 0.9).sin().abs())
                .collect::<Vec<_>>()
                .into(),
            r_free: None,
            misfit_free: None,
            objective: 1e6 / number as f64,
            elapsed_secs: 0.1 * number as f64,
        })
        .collect();
    app.state.revision += 1;
}

fn filled(size: [f32; 2]) -> Harness<'static, App> {
    let mut app = App::headless(idle);
    document(&mut app, Some(0.5));
    window(size, app)
}

fn atom_count(harness: &Harness<'_, App>) -> usize {
    harness
        .state()
        .state
        .workspace
        .atoms
        .as_ref()
        .map_or(0, |atoms| atoms.len())
}

fn show_stage(harness: &mut Harness<'_, App>, stage: Stage) {
    harness.state_mut().state.view.stage = stage;
    harness.run_ok();
}

/// Whether the panel's run button is there and cannot be pressed (the menu of the same name always can).
fn run_is_disabled(harness: &Harness<'_, App>) -> bool {
    harness
        .query_all_by_role_and_label(egui::accesskit::Role::Button, "Run")
        .any(|node| node.accesskit_node().is_disabled())
}

#[test]
fn the_demo_button_submits_the_demo() {
    let mut harness = empty();
    harness.get_by_label("Demo particle").click();
    harness.run_ok();
    assert_eq!(harness.state().submitted(), ["Demo"]);
}

#[test]
fn undo_and_redo_from_the_menu_walk_the_journal() {
    let mut harness = filled([1280.0, 800.0]);
    let before = atom_count(&harness);
    harness.state_mut().state.view.selection = [AtomId(5)].into();
    harness.run_ok();
    harness.key_press(egui::Key::X);
    harness.run_ok();
    assert_eq!(atom_count(&harness), before - 1);
    harness.get_by_label("Edit").click();
    harness.run_ok();
    harness.get_by_label_contains("Undo").click();
    harness.run_ok();
    assert_eq!(atom_count(&harness), before);
    harness.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::Y);
    harness.run_ok();
    assert_eq!(atom_count(&harness), before - 1);
    assert_eq!(harness.state().state.workspace.edits.entries().len(), 3);
}

#[test]
fn the_edit_hook_hears_of_every_entry() {
    let mut app = App::headless(idle);
    document(&mut app, Some(0.5));
    let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
    let ears = Arc::clone(&heard);
    app.on_edit = Box::new(move |_, entry| ears.lock().unwrap().push(entry.label.clone()));
    let mut harness = window([1280.0, 800.0], app);
    harness.state_mut().state.view.selection = [AtomId(3)].into();
    harness.run_ok();
    harness.key_press(egui::Key::Delete);
    harness.run_ok();
    harness.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::Z);
    harness.run_ok();
    assert_eq!(*heard.lock().unwrap(), ["Remove atom", "Undo: Remove atom"]);
}

#[test]
fn a_missing_pixel_size_is_asked_for_and_never_guessed() {
    let mut app = App::headless(idle);
    document(&mut app, None);
    app.state.workspace.volume = None;
    app.state.workspace.atoms = None;
    let mut harness = window([1280.0, 800.0], app);
    harness.run_ok();
    harness.get_by_label("Pixel size needed");
    assert!(
        harness.get_by_label("Use").accesskit_node().is_disabled(),
        "nothing can be used before it is typed"
    );
    harness.get_by_label("type it first");
    show_stage(&mut harness, Stage::Reconstruct);
    assert!(run_is_disabled(&harness));
    assert!(
        harness
            .query_all_by_label_contains("needs the pixel size")
            .next()
            .is_some()
    );
}

#[test]
fn disabled_buttons_say_why() {
    let mut harness = empty();
    for (stage, why) in [
        (Stage::Reconstruct, "needs a tilt series"),
        (Stage::Trace, "needs a volume"),
        (Stage::Analyze, "needs atoms"),
    ] {
        show_stage(&mut harness, stage);
        assert!(run_is_disabled(&harness));
        assert!(
            harness.query_all_by_label_contains(why).count() >= 2,
            "{stage:?}: the rail and the button say {why}"
        );
    }
}

#[test]
fn a_ghost_is_accepted_with_enter_and_dropped_with_escape() {
    let mut harness = filled([1280.0, 800.0]);
    let before = atom_count(&harness);
    let ghost = Ghost {
        candidate: Candidate {
            position: [11.0, 0.0, 0.0],
            density: 1.0,
            intensity: 1.1,
            sigma: 0.6,
            misfit: 0.02,
            verdict: Verdict::Atom,
        },
        rank: 0.4,
        nearest: Some(2.9),
    };
    harness.state_mut().state.view.stage = Stage::Correct;
    harness.state_mut().state.view.ghost = Some(ghost.clone());
    harness.run_ok();
    harness.get_by_label("Add this atom?");
    harness.get_by_label_contains("stronger than 40 %");
    harness.get_by_label("2.90 Å");
    harness.key_press(egui::Key::Escape);
    harness.run_ok();
    assert_eq!(atom_count(&harness), before);
    harness.state_mut().state.view.ghost = Some(ghost);
    harness.run_ok();
    harness.key_press(egui::Key::Enter);
    harness.run_ok();
    assert_eq!(atom_count(&harness), before + 1);
    assert!(harness.query_by_label("Add this atom?").is_none());
}

#[test]
fn arrows_nudge_with_the_move_tool_and_move_the_crosshair_otherwise() {
    let mut harness = filled([1280.0, 800.0]);
    let at = |harness: &Harness<'_, App>| {
        let atoms = harness.state().state.workspace.atoms.clone().unwrap();
        atoms.positions[atoms.index_of(AtomId(5)).unwrap()]
    };
    let from = at(&harness);
    harness.state_mut().state.view.selection = [AtomId(5)].into();
    harness.run_ok();
    harness.key_press(egui::Key::ArrowRight);
    harness.run_ok();
    assert_eq!(at(&harness), from);
    assert!((harness.state().state.view.crosshair[0] - 0.5).abs() < 1e-12);
    harness.state_mut().state.view.tool = Tool::Move;
    harness.key_press(egui::Key::ArrowRight);
    harness.run_ok();
    harness.key_press_modifiers(egui::Modifiers::SHIFT, egui::Key::ArrowUp);
    harness.run_ok();
    let to = at(&harness);
    assert!((to[0] - from[0] - 0.05).abs() < 1e-12);
    assert!((to[1] - from[1] - 0.5).abs() < 1e-12);
}

#[test]
fn a_dragged_threshold_is_shown_and_traces_again_when_used() {
    let mut harness = filled([1280.0, 800.0]);
    show_stage(&mut harness, Stage::Trace);
    harness.state_mut().state.view.dragged_threshold = Some(1.1);
    harness.run_ok();
    let above = harness
        .state()
        .state
        .workspace
        .traced
        .as_ref()
        .unwrap()
        .candidates
        .iter()
        .filter(|c| c.intensity >= 1.1)
        .count();
    harness.get_by_label(&format!("{above} maxima"));
    harness.get_by_label("Trace with it").click();
    harness.run_ok();
    let state = &harness.state().state;
    assert_eq!(
        state.workspace.project.parameters.trace.threshold,
        Some(1.1)
    );
    assert_eq!(harness.state().submitted(), ["Trace"]);
}

#[test]
fn letters_typed_into_a_field_are_text_and_not_commands() {
    let mut harness = filled([1280.0, 800.0]);
    show_stage(&mut harness, Stage::Correct);
    let before = atom_count(&harness);
    harness.state_mut().state.view.selection = [AtomId(5)].into();
    harness.run_ok();
    harness.get_by_label("Reason").focus();
    harness.run_ok();
    harness.get_by_label("Reason").type_text("x");
    harness.key_press(egui::Key::X);
    harness.run_ok();
    assert_eq!(atom_count(&harness), before);
    assert_eq!(harness.state().state.reason, "x");
}

#[test]
fn the_palette_runs_a_command_by_name() {
    let mut harness = filled([1280.0, 800.0]);
    harness.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::P);
    harness.run_ok();
    harness.get_by_label("Command").type_text("light or");
    harness.run_ok();
    harness.key_press(egui::Key::Enter);
    harness.run_ok();
    assert!(!harness.state().state.view.dark);
    assert!(!harness.state().state.palette, "it closes behind itself");
}

#[test]
fn closing_with_unsaved_edits_asks() {
    let mut harness = filled([1280.0, 800.0]);
    harness.state_mut().state.workspace.modified = true;
    harness.run_ok();
    harness.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::Q);
    harness.run_ok();
    harness.get_by_label("Save the changes?");
    harness.get_by_label("Cancel").click();
    harness.run_ok();
    assert!(harness.query_by_label("Save the changes?").is_none());
    assert!(harness.state().state.workspace.modified);
}

#[test]
fn the_list_of_doubtful_places_is_walked_by_key() {
    let mut app = App::headless(idle);
    document(&mut app, Some(0.5));
    // Two atoms far too close together.
    let atoms = Arc::make_mut(app.state.workspace.atoms.as_mut().unwrap());
    atoms.positions[1] = atoms.positions[0];
    atoms.positions[1][0] += 0.7;
    let pair = [atoms.ids[0], atoms.ids[1]];
    let mut harness = window([1280.0, 800.0], app);
    for _ in 0..200 {
        harness.step();
        if !harness.state().state.doubtful.is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(harness.state().state.doubtful[0].kind, "too close");
    harness.key_press(egui::Key::N);
    harness.run_ok();
    let selection = &harness.state().state.view.selection;
    assert!(!selection.is_empty() && selection.iter().all(|id| pair.contains(id)));
    let left = harness.state().state.doubtful.len();
    harness.key_press(egui::Key::Enter);
    harness.run_ok();
    assert_eq!(harness.state().state.doubtful.len(), left - 1);
}

/// Every stage at the smallest promised size: kittest fails on a glyph the fonts lack and on an unnamed widget.
#[test]
fn every_stage_draws_at_1280_by_800_with_every_glyph_and_name() {
    let mut harness = filled([1280.0, 800.0]);
    for stage in Stage::ALL {
        show_stage(&mut harness, stage);
    }
    for plot in [
        "r1",
        "r_per_tilt",
        "intensity",
        "pdf",
        "boo",
        "boo_histogram",
        "rho_n",
        "oxidation",
        "edits",
        "log",
    ] {
        harness.state_mut().state.view.plot = plot.to_owned();
        harness.run_ok();
    }
    harness.state_mut().state.help = true;
    harness.run_ok();
    let mut harness = empty();
    for stage in Stage::ALL {
        show_stage(&mut harness, stage);
    }
}

#[test]
fn a_view_fills_the_middle_and_comes_back() {
    let mut harness = filled([1280.0, 800.0]);
    harness.run_ok();
    harness.get_by_label("Maximise 3D").click();
    harness.run_ok();
    harness.get_by_label("All views").click();
    harness.run_ok();
    harness.get_by_label("Maximise 3D");
    let context = harness.ctx.clone();
    let app = harness.state_mut();
    app.perform(&context, Action::DefaultLayout);
    assert_eq!(app.state.view.maximized, None);
}

/// Writes pictures of the window into the folder named by `AETLAS_SHOTS`, for looking at.
#[test]
#[ignore = "writes pictures for a person to look at; needs a GPU or software rasteriser"]
fn pictures_of_every_stage() {
    let Ok(folder) = std::env::var("AETLAS_SHOTS") else {
        println!("skipped: AETLAS_SHOTS names no folder");
        return;
    };
    for size in [[1280.0, 800.0], [1920.0, 1080.0]] {
        let mut harness = Harness::builder()
            .with_size(egui::vec2(size[0], size[1]))
            .with_max_steps(12)
            .wgpu()
            .build_eframe(|creation| {
                let mut app = App::headless(idle);
                if let Some(graphics) = &creation.wgpu_render_state {
                    app.install_graphics(graphics);
                }
                app
            });
        harness.run_ok();
        let shoot = |harness: &mut Harness<'_, App>, name: &str| {
            for _ in 0..6 {
                harness.step();
                std::thread::sleep(std::time::Duration::from_millis(40));
            }
            let image = harness.render().expect("the window renders");
            let path = format!("{folder}/{}_{name}.png", size[0]);
            image.save(path).expect("the picture is written");
        };
        shoot(&mut harness, "start");
        document(harness.state_mut(), Some(0.5));
        for stage in Stage::ALL {
            harness.state_mut().state.view.stage = stage;
            let plot = match stage {
                Stage::Trace => "intensity",
                Stage::Correct => "edits",
                Stage::Analyze => "pdf",
                _ => "r1",
            };
            harness.state_mut().state.view.plot = plot.to_owned();
            shoot(&mut harness, stage.name());
        }
        let state = &mut harness.state_mut().state;
        state.view.dark = false;
        state.view.plot = "boo".to_owned();
        state.view.stage = Stage::Correct;
        state.view.selection = [AtomId(7)].into();
        state.job = Some(aetlas::ui::state::RunningJob {
            id: aetlas::jobs::JobId(1),
            title: "Reconstruct",
            phase: "Reconstruct".to_owned(),
            progress: (60, 200),
            phase_started: std::time::Instant::now() - std::time::Duration::from_secs(6),
            started: std::time::Instant::now(),
            paused: false,
        });
        shoot(&mut harness, "light");
        harness.state_mut().state.job = None;
        let state = &mut harness.state_mut().state;
        state.view.dark = true;
        state.workspace.atoms = None;
        shoot(&mut harness, "volume");
    }
}
