//! Correction with the keyboard: the queue against measured tilts, editing, oblique planes; and what a restart keeps.

use aetlas::jobs::execute::execute;
use aetlas::model::geometry::{apply, distance};
use aetlas::model::{AtomId, Atoms, EulerAngles, TiltSeries, Volume};
use aetlas::project::{Stage, store};
use aetlas::ui::App;
use aetlas::ui::actions::Action;
use aetlas::ui::state::ViewKind;
use eframe::egui::{self, Key, Modifiers};
use egui_kittest::Harness;
use egui_kittest::kittest::{By, Queryable};
use ndarray::Array3;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PIXEL: f64 = 0.4;
const SIZE: usize = 64;
const SIGMA: f64 = 0.5;

/// A ball of atoms on a lattice of 3 Å, shaken a little so that no two are alike.
fn truth() -> Vec<[f64; 3]> {
    let mut positions = Vec::new();
    for i in -3..=3_i32 {
        for j in -3..=3_i32 {
            for k in -3..=3_i32 {
                let shake = |n: i32| 0.06 * f64::from((7 * i + 13 * j + 29 * k + 5 * n) % 5 - 2);
                let place = [i, j, k].map(|v| 3.0 * f64::from(v));
                if place.iter().map(|v| v * v).sum::<f64>() < 85.0 {
                    positions.push([
                        place[0] + shake(1),
                        place[1] + shake(2),
                        place[2] + shake(3),
                    ]);
                }
            }
        }
    }
    positions
}

/// Images of Gaussian atoms by the plain formula, with a fixed pattern of noise of the size of counting noise.
fn series(positions: &[[f64; 3]]) -> TiltSeries {
    let tilts = 25;
    let angles: Vec<EulerAngles> = (0..tilts)
        .map(|t| EulerAngles::from_tilt_deg(-72.0 + 6.0 * t as f64))
        .collect();
    let mut images = Array3::<f32>::from_elem((tilts, SIZE, SIZE), 1.0);
    let center = (SIZE / 2) as f64;
    for (mut image, angle) in images.outer_iter_mut().zip(&angles) {
        let rotation = angle.detector_from_sample();
        for &p in positions {
            let seen = apply(&rotation, p);
            let at = [seen[0] / PIXEL + center, seen[1] / PIXEL + center];
            for x in (at[0] as usize).saturating_sub(6)..(at[0] as usize + 8).min(SIZE) {
                for y in (at[1] as usize).saturating_sub(6)..(at[1] as usize + 8).min(SIZE) {
                    let squared = (x as f64 - at[0]).powi(2) + (y as f64 - at[1]).powi(2);
                    let height = (-0.5 * squared * (PIXEL / SIGMA).powi(2)).exp();
                    image[[x, y]] += (30.0 * height) as f32;
                }
            }
        }
    }
    let mut state = 12345u64;
    images.mapv_inplace(|mean| {
        // Irwin–Hall: twelve uniform numbers make one of variance 1.
        let sum: f64 = (0..12)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 11) as f64 / (1u64 << 53) as f64
            })
            .sum();
        mean + (sum - 6.0) as f32 * mean.sqrt()
    });
    TiltSeries::new("ball.mat", images, angles, Some(PIXEL))
}

fn volume(positions: &[[f64; 3]]) -> Volume {
    let n = 48;
    let mut volume = Volume::zeros([n, n, n], 0.5);
    let variance = 2.0 * SIGMA * SIGMA;
    for (index, value) in volume.data.indexed_iter_mut() {
        let at = [index.0, index.1, index.2].map(|i| (i as f64 - 24.0) * 0.5);
        let squared = |p: &[f64; 3]| (0..3).map(|a| (p[a] - at[a]).powi(2)).sum::<f64>();
        *value = positions
            .iter()
            .map(|p| (-squared(p) / variance).exp() as f32)
            .sum();
    }
    volume
}

/// The middle atom is missing from the model, and one that is not there stands in the middle of eight.
const FALSE_PLACE: [f64; 3] = [4.5, 4.5, 1.5];

fn window() -> Harness<'static, App> {
    let truth = truth();
    let mut model: Vec<[f64; 3]> = truth.clone();
    model.retain(|p| distance(*p, [0.0; 3]) > 1.0);
    assert_eq!(model.len(), truth.len() - 1);
    model.push(FALSE_PLACE);
    let mut app = App::headless(execute);
    let workspace = &mut app.state.workspace;
    let atoms = Atoms::from_positions(model, "Zr");
    workspace.base_atoms = Some(Arc::new(atoms.clone()));
    workspace.atoms = Some(Arc::new(atoms));
    workspace.volume = Some(Arc::new(volume(&truth)));
    workspace.series = Some(Arc::new(series(&truth)));
    workspace.project.pixel_size = Some(PIXEL);
    app.state.view.stage = Stage::Correct;
    app.state.revision += 1;
    Harness::builder()
        .with_size(egui::vec2(1280.0, 900.0))
        .with_max_steps(12)
        .build_eframe(|_| app)
}

fn wait_until(harness: &mut Harness<'_, App>, what: &str, done: impl Fn(&App) -> bool) {
    let began = Instant::now();
    while !done(harness.state()) {
        assert!(
            began.elapsed() < Duration::from_secs(120),
            "waited for {what} in vain"
        );
        harness.step();
        std::thread::sleep(Duration::from_millis(5));
    }
    harness.run_ok();
}

fn press(harness: &mut Harness<'_, App>, key: Key) {
    harness.key_press(key);
    harness.run_ok();
}

fn count(harness: &Harness<'_, App>) -> usize {
    harness
        .state()
        .state
        .workspace
        .atoms
        .as_ref()
        .map_or(0, |atoms| atoms.len())
}

fn current(app: &App) -> Option<&aetlas::ui::state::Doubtful> {
    aetlas::ui::queue::current(&app.state)
}

#[test]
fn the_queue_is_worked_through_with_the_keyboard_alone() {
    let mut harness = window();
    harness.run_ok();
    let before = count(&harness);
    let context = harness.ctx.clone();
    harness.state_mut().perform(&context, Action::AskTilts);
    wait_until(&mut harness, "the list of the tilts", |app| {
        // A missing atom only the tilts can name.
        let missing = |d: &&aetlas::ui::state::Doubtful| d.kind == "missing atom?";
        app.state.job.is_none() && app.state.doubtful.iter().any(|d| missing(&d))
    });
    press(&mut harness, Key::N);
    wait_until(&mut harness, "the cut-outs", |app| {
        app.state.looked.is_some()
    });
    let app = harness.state();
    let cutouts = app.state.looked.as_ref().unwrap().cutouts.clone().unwrap();
    assert_eq!(cutouts.len(), 6, "the mean and five tilts");
    harness.get_by_label("Measured, model and difference of single tilts");
    // The first two places are the two errors, in either order; Enter does what is proposed.
    for _ in 0..2 {
        let place = current(harness.state()).expect("a place is shown").clone();
        assert_eq!(harness.state().state.view.crosshair, place.position);
        let (atoms, apart) = if place.atoms.is_empty() {
            (1, distance(place.position, [0.0; 3]))
        } else {
            (-1, distance(place.position, FALSE_PLACE))
        };
        assert!(apart < 0.5, "{place:?}");
        let had = count(&harness) as isize;
        press(&mut harness, Key::Enter);
        assert_eq!(count(&harness) as isize, had + atoms, "{place:?}");
        // The residual around it follows: the place does not come back.
        wait_until(&mut harness, "the list to follow", |app| {
            let evidence = app.state.evidence.as_ref();
            let now = app.state.workspace.atoms.as_ref();
            evidence
                .zip(now)
                .is_some_and(|(e, now)| Arc::ptr_eq(&e.atoms, now))
        });
        let likely = |d: &&aetlas::ui::state::Doubtful| {
            d.probability > 0.5 && distance(d.position, place.position) < 1.0
        };
        assert!(harness.state().state.doubtful.iter().find(likely).is_none());
    }
    assert_eq!(count(&harness), before);
    let counts = harness.state().state.workspace.edits.counts();
    assert_eq!((counts.added, counts.removed), (1, 1));
    // Undoing the first edits brings their doubts back.
    for _ in 0..2 {
        harness.key_press_modifiers(Modifiers::COMMAND, Key::Z);
        harness.run_ok();
    }
    wait_until(&mut harness, "the doubts to come back", |app| {
        let likely = app.state.doubtful.iter().filter(|d| d.probability > 0.5);
        likely
            .filter(|d| {
                distance(d.position, [0.0; 3]) < 0.5 || distance(d.position, FALSE_PLACE) < 0.5
            })
            .count()
            == 2
    });
    // K keeps what is shown; it leaves the list for good.
    press(&mut harness, Key::N);
    let kept = current(harness.state()).expect("a place is shown").clone();
    let had = count(&harness);
    press(&mut harness, Key::K);
    assert_eq!(count(&harness), had);
    let list = &harness.state().state.doubtful;
    assert!(list.iter().all(|place| !place.is_about(&kept)));
}

#[test]
fn a_sphere_is_refined_by_key_and_its_atoms_carry_their_errors() {
    let mut harness = window();
    let place = [3.0, 3.0, 0.0];
    let atoms = harness.state_mut().state.workspace.atoms.as_mut().unwrap();
    let index = (0..atoms.len())
        .min_by(|&a, &b| {
            distance(atoms.positions[a], place).total_cmp(&distance(atoms.positions[b], place))
        })
        .unwrap();
    let (id, right) = (atoms.ids[index], atoms.positions[index]);
    Arc::make_mut(atoms).positions[index] = right.map(|v| v + 0.25);
    harness.state_mut().state.revision += 1;
    harness.state_mut().state.view.crosshair = right;
    harness.run_ok();
    harness.key_press_modifiers(Modifiers::SHIFT, Key::R);
    harness.run_ok();
    wait_until(&mut harness, "the sphere", |app| {
        !app.state.workspace.edits.entries().is_empty()
    });
    let workspace = &harness.state().state.workspace;
    let atoms = workspace.atoms.as_ref().unwrap();
    let index = atoms.index_of(id).unwrap();
    let off = distance(atoms.positions[index], right);
    assert!(off < 0.08, "{off} Å off after refinement");
    let error = atoms.column("position_sd_A").unwrap()[index];
    assert!(error > 0.0 && error < 0.1, "{error}");
    assert!(atoms.column("confidence").unwrap()[index] > 0.9);
    // One step; undone, the columns go with it.
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    harness.run_ok();
    let atoms = harness.state().state.workspace.atoms.clone().unwrap();
    assert!(atoms.column("position_sd_A").is_none());
}

#[test]
fn atoms_appear_while_the_volume_is_made_and_carry_their_persistence() {
    let mut harness = window();
    let app = harness.state_mut();
    app.state.view.stage = Stage::Reconstruct;
    let parameters = &mut app.state.workspace.project.parameters;
    // So many that it ends when this test says so.
    parameters.reconstruct.iterations = 100_000;
    parameters.reconstruct.accelerated = true;
    harness.run_ok();
    harness.get_by_label("Trace while it runs").click();
    harness.run_ok();
    let workspace = &harness.state().state.workspace;
    assert!(workspace.project.parameters.trace_while_running);
    let context = harness.ctx.clone();
    let app = harness.state_mut();
    app.perform(&context, Action::RunStage(Stage::Reconstruct));
    wait_until(&mut harness, "interim traces", |app| {
        let ghosts = app.state.live.ghosts.as_ref();
        ghosts.is_some_and(|ghosts| ghosts.traces >= 3)
    });
    let ghosts = harness.state().state.live.ghosts.clone().unwrap();
    let share = ghosts.present().count() as f64 / truth().len() as f64;
    assert!((0.8..1.2).contains(&share), "{share}");
    harness.run_ok();
    let said = By::new().label_contains("interim traces");
    assert!(harness.query_all(said).next().is_some());
    (harness.state_mut()).perform(&context, Action::Stop(aetlas::monitor::Stopped::Keep));
    wait_until(&mut harness, "the volume", |app| {
        app.state.job.is_none() && app.state.workspace.reconstructed.is_some()
    });
    (harness.state_mut()).perform(&context, Action::RunStage(Stage::Trace));
    wait_until(&mut harness, "the trace", |app| {
        app.state.job.is_none() && app.state.workspace.traced.is_some()
    });
    let state = &harness.state().state;
    assert!(state.live.ghosts.is_none(), "the atoms took their place");
    let atoms = state.workspace.atoms.as_ref().unwrap();
    let persistence = atoms.column("persistence").expect("a column");
    let solid = persistence.iter().filter(|p| **p > 0.5).count();
    assert!(
        solid as f64 > 0.8 * truth().len() as f64,
        "{solid} of {}",
        atoms.len()
    );
    // A new threshold keeps them.
    let params = aetlas::trace::TraceParams {
        threshold: Some(0.9 * state.workspace.traced.as_ref().unwrap().threshold),
        ..state.workspace.project.parameters.trace.clone()
    };
    let app = harness.state_mut();
    app.perform(&context, Action::SetTrace(params));
    app.perform(&context, Action::RunStage(Stage::Trace));
    wait_until(&mut harness, "the split", |app| app.state.job.is_none());
    let atoms = harness.state().state.workspace.atoms.clone().unwrap();
    assert_eq!(
        atoms.column("persistence").map(<[f64]>::len),
        Some(atoms.len())
    );
}

#[test]
fn marks_reasons_and_layers_have_their_keys() {
    let mut harness = window();
    harness.state_mut().state.view.selection = [AtomId(5)].into();
    harness.run_ok();
    let before = count(&harness);
    press(&mut harness, Key::L);
    press(&mut harness, Key::X);
    assert_eq!(count(&harness), before, "a locked atom stays");
    press(&mut harness, Key::L);
    press(&mut harness, Key::F);
    wait_until(&mut harness, "the flag in the queue", |app| {
        app.state
            .doubtful
            .iter()
            .any(|place| place.kind == "second opinion")
    });
    press(&mut harness, Key::Num1);
    press(&mut harness, Key::X);
    assert_eq!(count(&harness), before - 1);
    let entries = harness.state().state.workspace.edits.entries();
    assert_eq!(entries.last().unwrap().reason, "the tilts do not show it");
    let place = harness.state().state.workspace.edits.tombstones()[0].position;
    harness.state_mut().state.view.crosshair = place;
    harness.state_mut().state.view.cursor = None;
    harness.key_press_modifiers(Modifiers::SHIFT, Key::X);
    harness.run_ok();
    assert_eq!(count(&harness), before);
    // Three atoms make a plane; the next layer holds atoms too.
    let atoms = harness.state().state.workspace.atoms.clone().unwrap();
    let near = |place: [f64; 3]| {
        let from = |i: usize| distance(atoms.positions[i], place);
        atoms.ids[(0..atoms.len())
            .min_by(|&a, &b| from(a).total_cmp(&from(b)))
            .unwrap()]
    };
    let three = [
        near([3.0, 0.0, 0.0]),
        near([0.0, 3.0, 0.0]),
        near([0.0, 0.0, 3.0]),
    ];
    harness.state_mut().state.view.selection = three.into();
    harness.run_ok();
    press(&mut harness, Key::O);
    let view = &harness.state().state.view;
    assert_eq!(view.active, ViewKind::Oblique);
    let axes = view.oblique;
    for id in three {
        let place = atoms.positions[atoms.index_of(id).unwrap()];
        let [.., depth] = axes.coordinates(place);
        let [.., here] = axes.coordinates(view.crosshair);
        assert!((depth - here).abs() < 1e-9);
    }
    let from = view.crosshair;
    let context = harness.ctx.clone();
    harness.state_mut().perform(&context, Action::StepLayer(1));
    let to = harness.state().state.view.crosshair;
    // Layers of a simple cubic lattice along [111] are 3/√3 Å apart; the atoms are shaken.
    assert!(
        (distance(from, to) - 3.0f64.sqrt()).abs() < 0.4,
        "{}",
        distance(from, to)
    );
    harness.run_ok();
}

#[test]
fn the_journal_with_its_marks_and_checkpoints_survives_a_restart() {
    let mut harness = window();
    harness.state_mut().state.view.selection = [AtomId(5)].into();
    harness.run_ok();
    press(&mut harness, Key::F);
    let context = harness.ctx.clone();
    harness
        .state_mut()
        .perform(&context, Action::Checkpoint("core done".to_owned()));
    let named = harness.state().state.workspace.atoms.as_deref().cloned();
    harness.key_press_modifiers(Modifiers::SHIFT, Key::J);
    harness.run_ok();
    press(&mut harness, Key::J);
    let after = harness.state().state.workspace.atoms.as_deref().cloned();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ball.aetlas");
    store::save(&harness.state().state.workspace, &path).unwrap();
    let (workspace, _) = store::open(&path).unwrap();
    let (mut edits, mut atoms) = (
        workspace.edits.clone(),
        (**workspace.atoms.as_ref().unwrap()).clone(),
    );
    assert_eq!(Some(&atoms), after.as_ref());
    assert!(edits.undo(&mut atoms).is_some() && edits.undo(&mut atoms).is_some());
    assert_eq!(Some(&atoms), named.as_ref());
    assert!(edits.redo(&mut atoms).is_some() && edits.redo(&mut atoms).is_some());
    assert_eq!(Some(&atoms), after.as_ref());
    let number = edits.checkpoints().next().unwrap().number;
    edits.return_to(number, &mut atoms).unwrap();
    assert_eq!(Some(&atoms), named.as_ref());
}
