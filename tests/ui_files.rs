//! The window with its real worker: files are opened, questions answered, stages run, and nothing of it is lost.

use aetlas::jobs::OpenHints;
use aetlas::jobs::execute::execute;
use aetlas::model::{AtomId, Volume};
use aetlas::project::Stage;
use aetlas::ui::App;
use aetlas::ui::actions::Action;
use eframe::egui;
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use ndarray::Array3;
use std::path::Path;
use std::time::{Duration, Instant};

fn window() -> Harness<'static, App> {
    Harness::builder()
        .with_size(egui::vec2(1280.0, 800.0))
        .with_max_steps(12)
        .build_eframe(|_| App::headless(execute))
}

/// Draws frames until the worker has done what was asked for and `there` holds.
fn wait(harness: &mut Harness<'_, App>, what: &str, there: impl Fn(&App) -> bool) {
    let asked = Instant::now();
    loop {
        harness.step();
        if there(harness.state()) && harness.state().state.job.is_none() {
            return;
        }
        assert!(asked.elapsed() < Duration::from_secs(60), "no {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn act(harness: &mut Harness<'_, App>, action: Action) {
    let ctx = harness.ctx.clone();
    harness.state_mut().perform(&ctx, action);
    harness.step();
}

fn open(harness: &mut Harness<'_, App>, path: &Path) {
    let paths = vec![path.to_owned()];
    act(harness, Action::Open(paths, OpenHints::default()));
}

fn atoms(app: &App) -> usize {
    app.state.workspace.atoms.as_ref().map_or(0, |a| a.len())
}

/// A volume with Gaussian atoms 3.2 Å apart on a cube of `n` atoms a side.
fn crystal(n: i32) -> Volume {
    let (size, pixel_size) = (44usize, 0.4);
    let places: Vec<f64> = (0..n)
        .map(|i| (f64::from(i) - f64::from(n - 1) / 2.0) * 3.2)
        .collect();
    let profile = |at: usize| -> f64 {
        let x = (at as f64 - (size / 2) as f64) * pixel_size;
        places
            .iter()
            .map(|p| (-(x - p).powi(2) / (2.0 * 0.5f64.powi(2))).exp())
            .sum()
    };
    let data = Array3::from_shape_fn((size, size, size), |(x, y, z)| {
        (profile(x) * profile(y) * profile(z)) as f32
    });
    Volume::new(data, pixel_size)
}

#[test]
fn a_model_in_voxels_is_opened_with_the_unit_that_was_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("voxels.xyz");
    let mut text = "27\n\n".to_owned();
    for i in 0..27 {
        let place = [i % 3, i / 3 % 3, i / 9].map(|n| f64::from(n) * 0.3);
        text += &format!("Pt {} {} {}\n", place[0], place[1], place[2]);
    }
    std::fs::write(&file, text).unwrap();
    let mut harness = window();
    open(&mut harness, &file);
    wait(&mut harness, "question", |app| app.state.question.is_some());
    // Atoms 0.3 apart are proposed as nanometres.
    harness.step();
    harness.get_by_label("Open").click();
    wait(&mut harness, "model", |app| atoms(app) == 27);
    let model = harness.state().state.workspace.atoms.clone().unwrap();
    assert!((model.positions[1][0] - model.positions[0][0] - 3.0).abs() < 1e-9);
}

#[test]
fn hand_edits_outlive_a_new_trace_and_a_new_threshold() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("volume.mrc");
    aetlas::io::save_volume(&file, &crystal(4), false).unwrap();
    let mut harness = window();
    open(&mut harness, &file);
    wait(&mut harness, "volume", |app| {
        app.state.workspace.volume.is_some()
    });
    act(&mut harness, Action::RunStage(Stage::Trace));
    wait(&mut harness, "atoms", |app| atoms(app) == 64);
    let gone: AtomId = harness.state().state.workspace.atoms.as_ref().unwrap().ids[10];
    let place = harness
        .state()
        .state
        .workspace
        .atoms
        .as_ref()
        .unwrap()
        .positions[10];
    harness.state_mut().state.view.selection = [gone].into();
    act(&mut harness, Action::RemoveSelected);
    assert_eq!(atoms(harness.state()), 63);
    act(&mut harness, Action::RunStage(Stage::Trace));
    wait(&mut harness, "new atoms", |app| {
        app.state.workspace.traced.is_some()
    });
    let workspace = &harness.state().state.workspace;
    assert_eq!(workspace.edits.counts().removed, 1);
    let model = workspace.atoms.as_ref().unwrap();
    let nearest = model
        .positions
        .iter()
        .map(|p| {
            (0..3)
                .map(|a| (p[a] - place[a]).powi(2))
                .sum::<f64>()
                .sqrt()
        })
        .fold(f64::INFINITY, f64::min);
    assert_eq!(model.len(), 63);
    assert!(nearest > 2.0, "the removed atom came back");
    // A threshold between the same maxima changes nothing either.
    let threshold = workspace.traced.as_ref().unwrap().threshold;
    act(&mut harness, Action::ApplyThreshold(0.9 * threshold));
    wait(&mut harness, "split", |app| {
        app.state.workspace.project.parameters.trace.threshold == Some(0.9 * threshold)
    });
    assert_eq!(atoms(harness.state()), 63);
    assert!(harness.state().submitted().contains(&"Split"));
    act(&mut harness, Action::Undo);
    assert_eq!(atoms(harness.state()), 64);
}

#[test]
fn an_analysis_follows_its_sliders() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.xyz");
    let mut text = "125\n\n".to_owned();
    for i in 0..125 {
        let place =
            [i % 5, i / 5 % 5, i / 25].map(|n| f64::from(n) * 3.0 + 0.05 * f64::from(i % 7));
        text += &format!("Zr {} {} {}\n", place[0], place[1], place[2]);
    }
    std::fs::write(&file, text).unwrap();
    let mut harness = window();
    open(&mut harness, &file);
    wait(&mut harness, "model", |app| atoms(app) == 125);
    act(&mut harness, Action::RunStage(Stage::Analyze));
    wait(&mut harness, "analysis", |app| {
        app.state.workspace.analyzed.is_some()
    });
    act(
        &mut harness,
        Action::DragLine("cutoff".to_owned(), 3.6, false),
    );
    wait(&mut harness, "new analysis", |app| {
        let analyzed = app.state.workspace.analyzed.as_ref();
        analyzed.is_some_and(|a| (a.cutoff - 3.6).abs() < 1e-9)
    });
    let workspace = &harness.state().state.workspace;
    assert_eq!(workspace.stale_reason(Stage::Analyze), None);
    // The slider needs no job of its own.
    assert_eq!(
        harness
            .state()
            .submitted()
            .iter()
            .filter(|s| **s == "Analyze")
            .count(),
        1
    );
}

/// A spot that each of five tilts shows in the middle, on a noisy background.
fn write_series(folder: &Path) {
    let mut seed = 7u64;
    let images = Array3::from_shape_fn((48, 40, 5), |(x, y, _)| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let noise = (seed >> 40) as f32 / (1u64 << 24) as f32;
        let (dx, dy) = (x as f32 - 24.0, y as f32 - 20.0);
        200.0 * (-(dx * dx + dy * dy) / 18.0).exp() + 10.0 + 4.0 * noise
    });
    let mut bytes = format!(
        "{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}, {}), }}",
        48, 40, 5
    );
    while (10 + bytes.len() + 1) % 64 != 0 {
        bytes.push(' ');
    }
    bytes.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((bytes.len() as u16).to_le_bytes());
    file.extend(bytes.as_bytes());
    file.extend(images.iter().flat_map(|v| v.to_le_bytes()));
    std::fs::write(folder.join("stack.npy"), file).unwrap();
    std::fs::write(folder.join("stack.tlt"), "-60\n-30\n0\n30\n60\n").unwrap();
}

/// Mean place along x of an image's counts above its median.
fn center_x(app: &App, tilt: usize) -> f64 {
    let series = app.state.workspace.best_series().expect("a series");
    let image = series.image(tilt);
    let (mut sum, mut moment) = (0.0, 0.0);
    for ((x, _), &v) in image.indexed_iter() {
        let weight = f64::from(v - 30.0).max(0.0);
        sum += weight;
        moment += weight * x as f64;
    }
    moment / sum
}

#[test]
fn a_tilt_follows_the_keys_and_the_record_says_so() {
    let folder = tempfile::tempdir().unwrap();
    write_series(folder.path());
    let mut harness = window();
    open(&mut harness, folder.path());
    wait(&mut harness, "series", |app| {
        app.state.workspace.series.is_some()
    });
    assert_eq!(harness.state().state.workspace.project.name, "stack");
    let before = center_x(harness.state(), 2);
    act(&mut harness, Action::ShowTilt(2));
    for _ in 0..7 {
        harness.key_press_modifiers(egui::Modifiers::ALT, egui::Key::ArrowRight);
        harness.step();
    }
    wait(&mut harness, "moved tilt", |app| {
        app.state.workspace.prepared.is_some()
    });
    let app = harness.state();
    assert!((center_x(app, 2) - before - 0.7).abs() < 0.02);
    let raw = app.state.workspace.series.as_ref().unwrap();
    let now = app.state.workspace.prepared.as_ref().unwrap();
    assert_eq!(raw.image(1), now.image(1));
    assert!(app.state.nudges.wanted_px.is_empty() && !app.state.nudges.in_flight);
    let record = app
        .state
        .workspace
        .record(Stage::Prepare)
        .expect("a record");
    assert_eq!(record.warnings, ["tilt 3 moved by hand by (+0.7, +0.0) px"]);
    let workspace = &app.state.workspace;
    assert_eq!(workspace.stale_reason(Stage::Prepare), None);
    let nudged = workspace.project.parameters.prepare.nudges[0];
    assert_eq!((nudged.tilt, nudged.shift_px), (2, [0.7, 0.0]));
    // Preparing anew moves it again.
    let moved = center_x(app, 2);
    act(&mut harness, Action::RunStage(Stage::Prepare));
    wait(&mut harness, "preparation", |app| {
        app.state.preparation.is_some()
    });
    let app = harness.state();
    let done = app.state.preparation.as_ref().expect("just made");
    let by_alignment = done
        .misalignment
        .as_ref()
        .map_or(0.0, |found| found.shifts_px[2][0]);
    let whole = done.shifts_px[2][0];
    assert!((whole - 0.7).abs() < 1e-9 || (whole - 0.7 - by_alignment).abs() < 1e-9);
    assert!((center_x(app, 2) - before - whole).abs() < 0.05);
    // Moves survive that the preparation is taken back, and come with the next one.
    act(&mut harness, Action::DropPreparation);
    assert!((center_x(harness.state(), 2) - before).abs() < 1e-9);
    for _ in 0..2 {
        harness.key_press_modifiers(egui::Modifiers::ALT, egui::Key::ArrowRight);
        harness.step();
    }
    wait(&mut harness, "moved tilt", |app| {
        app.state.workspace.prepared.is_some()
    });
    assert!((center_x(harness.state(), 2) - moved - 0.2).abs() < 0.02);
    // And are taken back when asked.
    act(&mut harness, Action::TakeBackNudges(Some(2)));
    wait(&mut harness, "tilt where it was", |app| {
        app.state
            .workspace
            .project
            .parameters
            .prepare
            .nudges
            .is_empty()
    });
    assert!((center_x(harness.state(), 2) - before).abs() < 0.02);
}

/// What was done by hand to a preparation is on disk soon after, without a word from the user and before there is a model.
#[test]
fn moves_by_hand_survive_an_unclean_end() {
    let (folder, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_series(folder.path());
    let mut harness = window();
    harness.state_mut().keep_safe(root.path());
    open(&mut harness, folder.path());
    wait(&mut harness, "series", |app| {
        app.state.workspace.series.is_some()
    });
    act(&mut harness, Action::ShowTilt(3));
    for _ in 0..3 {
        harness.key_press_modifiers(egui::Modifiers::ALT, egui::Key::ArrowUp);
        harness.step();
    }
    wait(&mut harness, "moved tilt", |app| {
        app.state.workspace.prepared.is_some()
    });
    let is_there = |folder: &Path| {
        let mut sessions = std::fs::read_dir(folder).unwrap().flatten();
        sessions.any(|session| session.path().join("autosave.aetlas").exists())
    };
    wait(&mut harness, "autosave", |_| is_there(root.path()));
    // The journal beside it begins anew when the window hears of it.
    for _ in 0..40 {
        harness.step();
        std::thread::sleep(Duration::from_millis(5));
    }
    // A killed process drops nothing: the folder is copied as it lies there.
    let left = tempfile::tempdir().unwrap();
    copy_all(root.path(), left.path());
    let mut harness = window();
    harness.state_mut().keep_safe(left.path());
    harness.step();
    assert!(harness.state().state.recovery.is_some());
    act(&mut harness, Action::RecoverYes);
    wait(&mut harness, "recovered series", |app| {
        app.state.workspace.prepared.is_some()
    });
    let workspace = &harness.state().state.workspace;
    let nudges = &workspace.project.parameters.prepare.nudges;
    assert_eq!((nudges[0].tilt, nudges[0].shift_px), (3, [0.0, 0.3]));
    assert_ne!(
        workspace.series.as_ref().unwrap().image(3),
        workspace.prepared.as_ref().unwrap().image(3)
    );
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let into = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_all(&entry.path(), &into);
        } else {
            std::fs::copy(entry.path(), into).unwrap();
        }
    }
}

#[test]
fn pixels_that_are_no_numbers_are_masked_or_the_series_is_left() {
    use aetlas::jobs::OpenQuestion;
    use aetlas::reconstruct::NanPixels;
    let folder = tempfile::tempdir().unwrap();
    write_series(folder.path());
    let path = folder.path().join("stack.npy");
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    let mut harness = window();
    open(&mut harness, folder.path());
    wait(&mut harness, "question", |app| app.state.question.is_some());
    let Some(OpenQuestion::Gaps {
        pixels, images, of, ..
    }) = harness.state().state.question
    else {
        panic!("{:?}", harness.state().state.question);
    };
    assert_eq!((pixels, images, of), (1, 1, 5));
    harness.step();
    harness.get_by_label("Cancel").click();
    harness.step();
    assert!(harness.state().state.workspace.series.is_none());
    open(&mut harness, folder.path());
    wait(&mut harness, "question", |app| app.state.question.is_some());
    harness.step();
    harness.get_by_label("Mask them").click();
    wait(&mut harness, "series", |app| {
        app.state.workspace.series.is_some()
    });
    let params = &harness.state().state.workspace.project.parameters;
    assert_eq!(params.reconstruct.nan_pixels, NanPixels::Mask);
    act(&mut harness, Action::SetPixelSize(0.4));
    act(&mut harness, Action::RunStage(Stage::Reconstruct));
    wait(&mut harness, "volume", |app| {
        app.state.workspace.volume.is_some()
    });
    let volume = harness.state().state.workspace.volume.clone().unwrap();
    assert!(volume.data.iter().all(|v| v.is_finite()));
}

#[test]
fn one_tilt_is_denoised_for_a_look_and_blinks_with_the_raw_image() {
    use aetlas::ui::state::TiltPicture;
    let folder = tempfile::tempdir().unwrap();
    write_series(folder.path());
    let mut harness = window();
    open(&mut harness, folder.path());
    wait(&mut harness, "series", |app| {
        app.state.workspace.series.is_some()
    });
    act(&mut harness, Action::PreviewDenoise);
    wait(&mut harness, "preview", |app| app.state.preview.is_some());
    let state = &harness.state().state;
    let preview = state.preview.as_ref().unwrap();
    let raw = preview.series.image(preview.tilt).to_owned();
    let corner = |image: &ndarray::Array2<f32>| image.slice(ndarray::s![..10, ..10]).std(0.0);
    assert!(corner(&preview.image) < 0.5 * corner(&raw));
    assert_eq!(state.view.tilt_picture, TiltPicture::Preview);
    assert!(state.workspace.prepared.is_none(), "a look changes nothing");
    for shown in [TiltPicture::AsRead, TiltPicture::Preview] {
        harness.key_press(egui::Key::B);
        harness.step();
        assert_eq!(harness.state().state.view.tilt_picture, shown);
    }
}
