//! The analysis in the window: phases painted by hand, plots that cannot be made, slab maps and voids.

use aetlas::analyze::phases::BY_HAND;
use aetlas::jobs::execute::execute;
use aetlas::model::Atoms;
use aetlas::project::Stage;
use aetlas::ui::App;
use aetlas::ui::actions::Action;
use aetlas::ui::state::{Tool, ViewKind};
use eframe::egui::{self, Key, Modifiers};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A ball of the metal of cubic zirconia, its middle atom missing.
fn oxide() -> Vec<[f64; 3]> {
    let mut points = Vec::new();
    for i in -6..=6_i32 {
        for j in -6..=6_i32 {
            for k in (-6..=6_i32).filter(|k| (i + j + k) % 2 == 0) {
                let off = f64::from((i * 73 + j * 179 + k * 283).rem_euclid(101)) * 1e-4;
                let place = [i, j, k].map(|n| 2.545 * f64::from(n) + off);
                let r2 = place.iter().map(|v| v * v).sum::<f64>();
                if r2 > 1.0 && r2 < 15.0 * 15.0 {
                    points.push(place);
                }
            }
        }
    }
    points
}

fn window(positions: Vec<[f64; 3]>) -> Harness<'static, App> {
    let mut app = App::headless(execute);
    let atoms = Atoms::from_positions(positions, "Zr");
    let workspace = &mut app.state.workspace;
    workspace.base_atoms = Some(Arc::new(atoms.clone()));
    workspace.atoms = Some(Arc::new(atoms));
    app.state.view.stage = Stage::Analyze;
    app.state.view.maximized = Some(ViewKind::Xy);
    app.state.revision += 1;
    let mut harness = Harness::builder()
        .with_size(egui::vec2(1280.0, 900.0))
        .with_max_steps(12)
        .build_eframe(|_| app);
    harness.run_ok();
    harness
}

fn perform(harness: &mut Harness<'_, App>, action: Action) {
    let context = harness.ctx.clone();
    harness.state_mut().perform(&context, action);
    harness.run_ok();
}

/// Runs frames until something holds: answers come from threads beside the window.
fn until(harness: &mut Harness<'_, App>, what: &str, holds: impl Fn(&App) -> bool) {
    let began = Instant::now();
    while !holds(harness.state()) {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "waited for {what} in vain"
        );
        std::thread::sleep(Duration::from_millis(5));
        harness.run_ok();
    }
    harness.run_ok();
}

fn phases(app: &App) -> serde_json::Value {
    let analyzed = app.state.workspace.analyzed.as_ref();
    let found = analyzed.and_then(|a| a.summary.get("phases").cloned());
    found.unwrap_or_default()
}

fn analyse(harness: &mut Harness<'_, App>) {
    perform(harness, Action::RunStage(Stage::Analyze));
    until(harness, "the analysis", |app| {
        app.state.job.is_none() && app.state.workspace.analyzed.is_some()
    });
}

#[test]
fn phases_are_painted_counted_and_taken_back() {
    let mut harness = window(oxide());
    analyse(&mut harness);
    let before = phases(harness.state());
    let count = |found: &serde_json::Value, name: &str| found[name].as_u64().unwrap_or(0);
    assert_eq!(count(&before, "set_by_hand"), 0, "{before}");
    // Before the brush: the analysis follows it within a frame or two.
    let by_rule = {
        let analyzed = harness.state().state.workspace.analyzed.as_ref().unwrap();
        analyzed.atoms.column("phase").unwrap().to_vec()
    };
    harness.get_by_label("Paint in the slices").click();
    harness.run_ok();
    assert_eq!(harness.state().state.view.tool, Tool::Paint);
    // A stroke over the middle of the slice.
    let rect = harness.get_by_label("Xy slice").rect();
    let at = |x: f32| rect.center() + egui::vec2(x * rect.height(), 0.0);
    harness.drag_at(at(-0.15));
    harness.run_ok();
    for x in [-0.05, 0.05, 0.15] {
        harness.hover_at(at(x));
        harness.run_ok();
    }
    harness.drop_at(at(0.15));
    harness.run_ok();
    let set_of = |app: &App| {
        let atoms = app.state.workspace.atoms.as_ref().unwrap();
        let set = atoms.column(BY_HAND).unwrap_or_default().to_vec();
        (0..set.len())
            .filter(|&i| set[i] == 0.0)
            .collect::<Vec<_>>()
    };
    let painted = set_of(harness.state());
    assert!(painted.len() > 3, "{painted:?}");
    until(&mut harness, "the numbers to follow", |app| {
        phases(app)["set_by_hand"].as_u64() == Some(painted.len() as u64)
    });
    let now = phases(harness.state());
    let new = painted.iter().filter(|&&i| by_rule[i] != 0.0).count() as u64;
    assert!(new > 0);
    assert_eq!(count(&now, "core"), count(&before, "core") + new, "{now}");
    // Painting is an edit: undo takes all of the stroke back, redo does it again.
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    until(&mut harness, "the phases to come back", |app| {
        phases(app) == before
    });
    assert!(set_of(harness.state()).is_empty());
    harness.key_press_modifiers(Modifiers::COMMAND | Modifiers::SHIFT, Key::Z);
    until(&mut harness, "the stroke once more", |app| {
        phases(app) == now
    });
    assert_eq!(set_of(harness.state()), painted);
}

#[test]
fn voids_and_slab_maps_are_shown_on_demand() {
    let mut harness = window(oxide());
    analyse(&mut harness);
    let analyzed = harness.state().state.workspace.analyzed.clone().unwrap();
    assert_eq!(analyzed.void_surfaces.len(), 1);
    harness.state_mut().state.view.maximized = Some(ViewKind::Volume);
    harness.run_ok();
    harness.get_by_label("Voids in 3D").click();
    harness.run_ok();
    assert!(harness.state().state.view.show_voids);
    harness
        .get_all_by_label("Slab maps")
        .next()
        .unwrap()
        .click();
    harness.run_ok();
    assert_eq!(harness.state().state.view.plot, "slab_maps");
}

#[test]
fn what_cannot_be_plotted_is_said_where_the_plot_would_be() {
    let mut flat = oxide();
    flat.retain(|p| p[2].abs() < 1.0);
    flat.iter_mut().for_each(|p| p[2] = 0.0);
    let mut harness = window(flat);
    analyse(&mut harness);
    perform(&mut harness, Action::ShowPlot("rho_n".to_owned()));
    assert!(
        harness
            .get_all_by_label_contains("the atoms lie in one plane")
            .count()
            > 1
    );
    perform(&mut harness, Action::ShowPlot("composition".to_owned()));
    harness.get_by_label_contains("Core and shell need two species: the model has only Zr");
    // A model of four atoms has no analysis, and says why in the panel and in the tray.
    let mut harness = window(oxide()[..4].to_vec());
    perform(&mut harness, Action::RunStage(Stage::Analyze));
    until(&mut harness, "the refusal", |app| {
        app.state.job.is_none() && app.state.analysis_fault.is_some()
    });
    perform(&mut harness, Action::ShowPlot("pdf".to_owned()));
    let told = harness.get_all_by_label_contains("expected at least 5 atoms, found 4");
    assert!(told.count() > 1);
}
