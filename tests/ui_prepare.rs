//! Preparing a raw series in the window: masks by brush and by pulling their edge, frames, the tilt axis, the calibration
//! on a crystal, lines and galleries.

use aetlas::jobs::execute::execute;
use aetlas::jobs::worker::{JobContext, JobEnd};
use aetlas::jobs::{Job, JobError, JobOutput};
use aetlas::model::{EulerAngles, Frames, Scan, TiltSeries};
use aetlas::preprocess::calibrate::{CalibrateParams, Calibration, ImageCalibration};
use aetlas::preprocess::{CrystalImage, FrameId, MaskChange, PrepareParams, Step};
use aetlas::project::Stage;
use aetlas::ui::App;
use aetlas::ui::actions::Action;
use aetlas::ui::masking::MaskTool;
use aetlas::ui::state::ViewKind;
use eframe::egui;
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use ndarray::{Array2, Array3};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn idle(_: Job, _: &JobContext) -> Result<JobEnd, JobError> {
    Ok(JobEnd::Finished)
}

fn window(app: App) -> Harness<'static, App> {
    Harness::builder()
        .with_size(egui::vec2(1440.0, 900.0))
        .with_max_steps(12)
        .build_eframe(|_| app)
}

/// A disk on a level background, a few tilts, two of them at the side of zero, three frames each.
fn raw(frames: bool) -> TiltSeries {
    let tilts = 11;
    let images = Array3::from_shape_fn((tilts, 72, 64), |(t, x, y)| {
        let disk = (x as f64 - 36.0).hypot(y as f64 - 32.0) < 14.0;
        let noise = ((x * 7 + y * 13 + t * 5) % 5) as f32;
        20.0 + noise + if disk { 60.0 } else { 0.0 }
    });
    let angles = (0..tilts)
        .map(|t| EulerAngles::from_tilt_deg(-60.0 + 12.0 * t as f64))
        .collect();
    let mut series = TiltSeries::new("raw", images, angles, Some(0.4));
    if frames {
        let counts = Array3::from_shape_fn((3 * tilts, 72, 64), |(k, x, y)| {
            series.images[[k / 3, x, y]] / 3.0
        });
        series.frames = Some(Arc::new(Frames {
            counts,
            per_tilt: 3,
            scan: Scan::default(),
        }));
    }
    series
}

fn with_series(series: TiltSeries, stage: Stage) -> Harness<'static, App> {
    let mut app = App::headless(idle);
    app.state.workspace.project.pixel_size = series.pixel_size;
    app.state.workspace.series = Some(Arc::new(series));
    app.state.view.stage = stage;
    app.state.view.maximized = Some(ViewKind::Tilt);
    app.state.revision += 1;
    let mut harness = window(app);
    harness.run_ok();
    harness
}

fn params<'a>(harness: &'a Harness<'_, App>) -> &'a PrepareParams {
    &harness.state().state.workspace.project.parameters.prepare
}

/// Runs frames until something holds: answers come from threads beside the window.
fn until(harness: &mut Harness<'_, App>, holds: impl Fn(&App) -> bool) {
    let began = Instant::now();
    while !holds(harness.state()) {
        assert!(began.elapsed() < Duration::from_secs(20), "it never came");
        std::thread::sleep(Duration::from_millis(10));
        harness.run_ok();
    }
}

/// Drags from one place of the tilt view to another, places in parts of its picture from the middle.
fn drag(harness: &mut Harness<'_, App>, from: [f32; 2], to: [f32; 2]) {
    let rect = harness.get_by_label("Tilt image").rect();
    let at = |p: [f32; 2]| rect.center() + egui::vec2(p[0], p[1]) * rect.height();
    harness.drag_at(at(from));
    harness.run_ok();
    for share in [0.3, 0.6, 1.0] {
        let between = [0, 1].map(|k| from[k] + share * (to[k] - from[k]));
        harness.hover_at(at(between));
        harness.run_ok();
    }
    harness.drop_at(at(to));
    harness.run_ok();
}

#[test]
fn masks_are_painted_pulled_taken_back_and_reset() {
    let mut harness = with_series(raw(false), Stage::Prepare);
    harness.get_by_label("Show the mask").click();
    harness.run_ok();
    until(&mut harness, |app| app.state.shown_mask.is_some());
    let by_rule = harness.state().state.shown_mask.as_ref().unwrap().share;
    harness.get_by_label("Add").click();
    harness.run_ok();
    drag(&mut harness, [-0.4, -0.4], [-0.3, -0.3]);
    let [edit] = params(&harness).mask_edits.as_slice() else {
        panic!("{:?}", params(&harness).mask_edits);
    };
    let MaskChange::Brush {
        adds: true,
        points_px,
        ..
    } = &edit.change
    else {
        panic!("{edit:?}");
    };
    // Up in the picture is a large y, left a small x.
    assert!(
        points_px.len() > 1 && points_px[0][0] < 36.0 && points_px[0][1] > 32.0,
        "{points_px:?}"
    );
    until(&mut harness, |app| {
        app.state
            .shown_mask
            .as_ref()
            .is_some_and(|m| m.share > by_rule)
    });
    harness.get_by_label("Pull edge").click();
    harness.run_ok();
    // The disk's edge is 14 of 64 pixels from the middle, and the mask a few pixels wider.
    drag(&mut harness, [0.3, 0.0], [0.42, 0.0]);
    assert_eq!(params(&harness).mask_edits.len(), 2);
    assert!(matches!(
        params(&harness).mask_edits[1].change,
        MaskChange::Pull { .. }
    ));
    harness.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::Z);
    harness.run_ok();
    assert_eq!(params(&harness).mask_edits.len(), 1);
    harness.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::Y);
    harness.run_ok();
    assert_eq!(params(&harness).mask_edits.len(), 2);
    harness.get_by_label("Reset image").click();
    harness.run_ok();
    assert!(params(&harness).mask_edits.is_empty());
    until(&mut harness, |app| {
        app.state
            .shown_mask
            .as_ref()
            .is_some_and(|m| (m.share - by_rule).abs() < 1e-12)
    });
    harness.key_press(egui::Key::Escape);
    harness.run_ok();
    assert_eq!(harness.state().state.view.mask.tool, MaskTool::Off);
}

#[test]
fn a_frame_is_left_out_but_never_the_last_one() {
    let mut harness = with_series(raw(true), Stage::Prepare);
    harness.get_by_label("Use frame 2 of tilt 1").click();
    harness.run_ok();
    assert_eq!(
        params(&harness).frames.drop_frames,
        [FrameId { tilt: 1, frame: 2 }]
    );
    harness.get_by_label("Use frame 1 of tilt 1").click();
    harness.run_ok();
    harness.get_by_label("Use frame 3 of tilt 1").click();
    harness.run_ok();
    assert_eq!(
        params(&harness).frames.drop_frames.len(),
        2,
        "one must remain"
    );
    harness.get_by_label("Use all").click();
    harness.run_ok();
    assert!(params(&harness).frames.drop_frames.is_empty());
}

#[test]
fn a_preparation_can_be_taken_back_and_its_drift_is_listed() {
    let mut harness = {
        let mut app = App::headless(execute);
        let series = raw(true);
        app.state.workspace.series = Some(Arc::new(series));
        app.state.view.stage = Stage::Prepare;
        app.state.revision += 1;
        window(app)
    };
    harness.run_ok();
    let series = harness.state().state.workspace.series.clone().unwrap();
    harness.state_mut().submit(Job::Prepare {
        series,
        params: PrepareParams::default(),
        earlier: None,
    });
    until(&mut harness, |app| {
        app.state.workspace.prepared.is_some() && app.state.job.is_none()
    });
    harness.state_mut().state.view.plot = "drift_table".to_owned();
    harness.run_ok();
    harness.get_by_label_contains("A line fitted through the frames");
    harness
        .get_by_label("Back to the images as read")
        .scroll_to_me();
    harness.run_ok();
    harness.get_by_label("Back to the images as read").click();
    harness.run_ok();
    let workspace = &harness.state().state.workspace;
    assert!(workspace.prepared.is_none() && workspace.record(Stage::Prepare).is_none());
}

#[test]
fn a_step_is_undone_alone_and_the_ones_before_it_stay() {
    let mut harness = {
        let mut app = App::headless(execute);
        app.state.workspace.series = Some(Arc::new(raw(true)));
        app.state.view.stage = Stage::Prepare;
        app.state.revision += 1;
        window(app)
    };
    harness.run_ok();
    let act = |harness: &mut Harness<'_, App>, action: Action| {
        let ctx = harness.ctx.clone();
        harness.state_mut().perform(&ctx, action);
        harness.run_ok();
    };
    act(&mut harness, Action::RunStage(Stage::Prepare));
    until(&mut harness, |app| {
        app.state.preparation.is_some() && app.state.job.is_none()
    });
    let first = harness.state().state.preparation.clone().unwrap();
    assert!(first.background.is_some() && first.drift.is_some());
    harness.get_by_label("Undo the subtraction").scroll_to_me();
    harness.run_ok();
    harness.get_by_label("Undo the subtraction").click();
    harness.run_ok();
    until(&mut harness, |app| {
        let again = app.state.preparation.as_ref().unwrap();
        !Arc::ptr_eq(again, &first) && app.state.job.is_none()
    });
    let second = harness.state().state.preparation.clone().unwrap();
    assert!(second.background.is_none());
    assert_eq!(second.drift, first.drift);
    assert_eq!(params(&harness).skip, [Step::Background]);
    assert!(harness.query_by_label("Undo the subtraction").is_none());
    // And taken in again.
    act(&mut harness, Action::SetPrepare(PrepareParams::default()));
    act(&mut harness, Action::RunStage(Stage::Prepare));
    until(&mut harness, |app| {
        let again = app.state.preparation.as_ref().unwrap();
        !Arc::ptr_eq(again, &second) && app.state.job.is_none()
    });
    let third = harness.state().state.preparation.clone().unwrap();
    assert_eq!(third.series, first.series);
}

fn calibration() -> (Vec<CrystalImage>, Calibration) {
    let image = |k: usize| CrystalImage {
        name: format!("si_{k}.dm4"),
        image: Array2::from_shape_fn((96, 96), |(i, j)| ((i * 3 + j * 5) % 7) as f32),
        nominal: 0.4,
        scan_rotation_deg: Some(45.0 * k as f64),
    };
    let told = |k: usize| ImageCalibration {
        name: format!("si_{k}.dm4"),
        pixel_size: 0.384 + 0.0001 * k as f64,
        standard_error: 0.0002,
        nominal: 0.4,
        spots: 9,
        residual: 1e-4,
        drift_px_per_frame: [0.5, -1.25],
        crystal_rotation_deg: 3.0,
        scan_rotation_deg: Some(45.0 * k as f64),
        fits: Vec::new(),
        others: Vec::new(),
    };
    let found = Calibration {
        scale: 0.96,
        scale_error: 0.0005,
        nominal: Some(0.4),
        calibrated: Some(0.384),
        standard_error: Some(0.0002),
        rotations: 2,
        images: (0..2).map(told).collect(),
        failed: vec!["si_9.dm4: blurred".to_owned()],
    };
    ((0..2).map(image).collect(), found)
}

#[test]
fn a_measured_pixel_size_is_used_and_the_nominal_one_kept() {
    let mut harness = with_series(raw(false), Stage::Series);
    harness.get_by_label("Calibrate pixel size…").click();
    harness.run_ok();
    harness.get_by_label("choose images first");
    let (images, found) = calibration();
    harness
        .state_mut()
        .state
        .fold_output(JobOutput::Calibrated {
            images: Arc::new(images),
            found: Arc::new(found),
        });
    harness.run_ok();
    harness.get_by_label_contains("0.38400 ± 0.00020 Å");
    harness.get_by_label_contains("si_9.dm4: blurred");
    harness.get_by_label("0.38410");
    harness.get_by_label("Use this pixel size").click();
    harness.run_ok();
    {
        let workspace = &harness.state().state.workspace;
        let series = workspace.series.as_ref().unwrap();
        assert!((series.pixel_size.unwrap() - 0.384).abs() < 1e-12);
        assert_eq!(series.nominal_pixel_size, Some(0.4));
        let used = workspace
            .project
            .calibration
            .as_ref()
            .expect("kept in the project");
        assert_eq!((used.nominal, used.found.images.len()), (Some(0.4), 2));
        assert_eq!(used.params, CalibrateParams::default());
        let report = aetlas::project::report::markdown(workspace);
        assert!(
            report.contains("Calibrated on Si [110] (Å) | 0.38400 ± 0.00020"),
            "{report}"
        );
    }
    harness.get_by_label("the series has it");
    harness.key_press(egui::Key::Escape);
    harness.run_ok();
    harness.get_by_label("Use nominal pixel size").click();
    harness.run_ok();
    let workspace = &harness.state().state.workspace;
    let series = workspace.series.as_ref().unwrap();
    assert_eq!(
        (series.pixel_size, series.nominal_pixel_size),
        (Some(0.4), None)
    );
    assert!(workspace.project.calibration.is_none());
}

#[test]
fn a_series_that_says_no_pixel_size_gets_the_nominal_one_of_the_images_too() {
    let mut workspace = aetlas::project::Workspace::default();
    let mut series = raw(false);
    series.pixel_size = None;
    workspace.series = Some(Arc::new(series));
    let (_, found) = calibration();
    for _ in 0..2 {
        // Used twice it is the same as once.
        assert!(workspace.use_calibration(&found));
        let series = workspace.series.as_ref().unwrap();
        assert!((series.pixel_size.unwrap() - 0.384).abs() < 1e-12);
        assert_eq!(series.nominal_pixel_size, Some(0.4));
    }
}

#[test]
fn a_line_is_drawn_and_its_profile_plotted() {
    let mut harness = with_series(raw(false), Stage::Series);
    harness.get_by_label("Measure a line").click();
    harness.run_ok();
    drag(&mut harness, [-0.4, 0.0], [0.4, 0.0]);
    let line = harness.state().state.view.line.ends_px.expect("a line");
    assert!(
        line[0][0] < 20.0 && line[1][0] > 52.0 && (line[0][1] - line[1][1]).abs() < 0.5,
        "{line:?}"
    );
    assert_eq!(harness.state().state.view.plot, "line_profile");
    // The disk is 27 pixels of 0.4 Å wide.
    let figure = aetlas::ui::measuring::figure(&harness.state().state).expect("a plot");
    assert!(figure.note.contains("FWHM 10."), "{}", figure.note);
    harness.get_by_label("Clear").click();
    harness.run_ok();
    assert!(harness.state().state.view.line.ends_px.is_none());
}

#[test]
fn the_gallery_shows_all_tilts_and_asks_where_to_write_them() {
    let mut harness = with_series(raw(false), Stage::Series);
    harness.get_by_label("All tilts…").click();
    harness.run_ok();
    harness.get_by_label("Power spectra").click();
    harness.run_ok();
    harness.get_by_label("Export…").click();
    harness.run_ok();
    harness.get_by_label("Export the spectra of all tilts");
}

#[test]
fn a_tilt_left_out_after_the_preparation_is_left_out_of_it_too() {
    let mut harness = with_series(raw(false), Stage::Series);
    let state = &mut harness.state_mut().state;
    state.workspace.prepared = state.workspace.series.clone();
    let ctx = egui::Context::default();
    harness
        .state_mut()
        .perform(&ctx, Action::IncludeTilt(3, false));
    let workspace = &harness.state().state.workspace;
    assert!(!workspace.series.as_ref().unwrap().included[3]);
    assert!(!workspace.prepared.as_ref().unwrap().included[3]);
    harness.state_mut().perform(&ctx, Action::SetPixelSize(0.5));
    let workspace = &harness.state().state.workspace;
    assert_eq!(workspace.prepared.as_ref().unwrap().pixel_size, Some(0.5));
}

#[test]
fn dose_and_detector_follow_from_what_the_microscope_did() {
    let mut harness = with_series(raw(false), Stage::Series);
    let beam = aetlas::preprocess::inspect::Beam {
        current_pa: Some(10.0),
        dwell_us: Some(5.0),
        inner_mrad: Some(90.0),
        convergence_mrad: Some(25.0),
        ..Default::default()
    };
    let ctx = egui::Context::default();
    harness.state_mut().perform(&ctx, Action::SetBeam(beam));
    harness.run_ok();
    // 6.2415 electrons a µs and pA: 312.1 over 0.16 Å².
    harness.get_by_label("1.950e3");
    harness.get_by_label("HAADF (3.60)");
}
