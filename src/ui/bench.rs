//! How long the window's own work of a frame takes while RESIRE keeps every core busy, and how soon a stop answers.
//!
//! The window runs without a screen: its logic, its layout and the tessellation of what it draws are timed by the
//! processor time of its thread; what the graphics device does with the triangles is not the window's work.

use super::App;
use super::actions::Action;
use crate::jobs::worker::Execute;
use crate::jobs::{Job, measure};
use crate::model::{Atoms, EulerAngles, TiltSeries};
use crate::monitor::Stopped;
use crate::project::{Stage, Workspace};
use crate::reconstruct::ReconstructParams;
use eframe::egui;
use ndarray::Array3;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time between two frames of a usual screen.
const FRAME: Duration = Duration::from_millis(16);

/// What to run.
#[derive(Debug, Clone)]
pub struct FrameRequest {
    /// Voxels on x, y, z; the images are as wide.
    pub volume_size: [usize; 3],
    /// Number of tilts.
    pub tilts: usize,
    /// How long to watch.
    pub watch: Duration,
}

/// Frames of a window in which RESIRE runs, with a model of 15,000 atoms in its views; then a stop.
///
/// # Errors
/// A text, when the reconstruction does not start or does not stop.
pub fn frames(request: &FrameRequest, execute: Execute) -> Result<(Value, Vec<String>), String> {
    let ctx = egui::Context::default();
    let mut app = App::headless(execute);
    let mut window = Window {
        ctx,
        began: Instant::now(),
        number: 0,
    };
    app.state.replace_document(document(request));
    // The first frames lay out text and build the views: they are not what a run costs.
    for _ in 0..10 {
        window.frame(&mut app);
    }
    app.submit(Job::Reconstruct {
        series: Arc::clone(app.state.workspace.series.as_ref().ok_or("no series")?),
        start: None,
        support: None,
        follow: false,
        params: ReconstructParams {
            iterations: 1_000_000,
            ..Default::default()
        },
    });
    app.perform(&window.ctx, Action::ShowStage(Stage::Reconstruct));
    let watch = Instant::now();
    let mut own = Vec::new();
    let mut snapshots = 0;
    while watch.elapsed() < request.watch {
        let before = app.state.live.snapshot.as_ref().map(Arc::as_ptr);
        window.disturb(&mut app);
        own.push(window.frame(&mut app));
        snapshots += usize::from(app.state.live.snapshot.as_ref().map(Arc::as_ptr) != before);
        std::thread::sleep(FRAME);
    }
    let iterations = app.state.live.iterations.len();
    let asked = Instant::now();
    app.perform(&window.ctx, Action::Stop(Stopped::Abandon));
    while app.state.job.is_some() {
        if asked.elapsed() > Duration::from_secs(60) {
            return Err("the reconstruction did not stop in a minute".to_owned());
        }
        window.frame(&mut app);
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(report(
        request,
        own,
        [snapshots, iterations],
        asked.elapsed(),
    ))
}

fn report(
    request: &FrameRequest,
    mut own: Vec<f64>,
    [snapshots, iterations]: [usize; 2],
    stop: Duration,
) -> (Value, Vec<String>) {
    own.sort_by(f64::total_cmp);
    let at = |share: f64| 1e3 * own[((own.len() - 1) as f64 * share) as usize];
    let (median, tail, longest) = (at(0.5), at(0.99), at(1.0));
    let stop_ms = 1e3 * stop.as_secs_f64();
    let json = json!({
        "shape": request.volume_size, "tilts": request.tilts, "frames": own.len(),
        "iterations": iterations, "snapshots": snapshots,
        "median_ms": median, "p99_ms": tail, "longest_ms": longest, "stop_ms": stop_ms,
    });
    let lines = vec![
        format!(
            "{} frames while {iterations} iterations and {snapshots} live volumes came in",
            own.len()
        ),
        format!(
            "the window's own work in a frame: median {median:.2} ms, 99 % within {tail:.2} ms, longest {longest:.2} ms"
        ),
        format!("a stop answered after {stop_ms:.0} ms"),
    ];
    (json, lines)
}

/// A series of the size asked for, and a model for the views.
fn document(request: &FrameRequest) -> Workspace {
    let [x, y, z] = request.volume_size;
    let pixel_size = 0.35;
    let angles = (0..request.tilts)
        .map(|i| {
            let share = i as f64 / request.tilts.max(2) as f64;
            EulerAngles {
                phi: 0.0,
                theta: (140.0 * share - 70.0).to_radians(),
                psi: 0.0,
            }
        })
        .collect();
    // Any images do: the window does not look into them.
    let images = Array3::from_shape_fn((request.tilts, x, y), |(t, i, j)| {
        ((i * 7 + j * 13 + t * 29) % 31) as f32
    });
    let series = TiltSeries::new("bench", images, angles, Some(pixel_size));
    let edge = 25;
    let step = 0.8 * pixel_size * x.min(y).min(z) as f64 / edge as f64;
    let place = |k: usize| step * (k as f64 - (edge / 2) as f64);
    let positions = (0..edge * edge * edge)
        .map(|k| {
            [
                place(k % edge),
                place(k / edge % edge),
                place(k / edge / edge),
            ]
        })
        .collect();
    let atoms = Arc::new(Atoms::from_positions(positions, "Zr"));
    Workspace {
        series: Some(Arc::new(series)),
        base_atoms: Some(Arc::clone(&atoms)),
        atoms: Some(atoms),
        ..Workspace::default()
    }
}

struct Window {
    ctx: egui::Context,
    began: Instant,
    number: usize,
}

impl Window {
    /// Draws a frame; the seconds of this thread's work in it.
    fn frame(&mut self, app: &mut App) -> f64 {
        let size = egui::vec2(1600.0, 1000.0);
        let input = egui::RawInput {
            screen_rect: Some(egui::Rect::from_min_size(egui::Pos2::ZERO, size)),
            time: Some(self.began.elapsed().as_secs_f64()),
            ..Default::default()
        };
        let wall = Instant::now();
        let before = measure::thread_seconds();
        app.follow(&self.ctx);
        let output = self.ctx.run_ui(input, |ui| app.draw(ui));
        let triangles = self.ctx.tessellate(output.shapes, output.pixels_per_point);
        std::hint::black_box(triangles);
        self.number += 1;
        match (before, measure::thread_seconds()) {
            (Some(before), Some(after)) => after - before,
            _ => wall.elapsed().as_secs_f64(),
        }
    }

    /// What a user does meanwhile: moves the crosshair and looks at other tilts.
    fn disturb(&self, app: &mut App) {
        let phase = self.number as f64 * 0.1;
        let tilts = app.state.workspace.series.as_ref().map_or(1, |s| s.len());
        let crosshair = [10.0 * phase.sin(), 10.0 * phase.cos(), 5.0 * phase.sin()];
        app.perform(&self.ctx, Action::MoveCrosshair(crosshair));
        if self.number.is_multiple_of(5) {
            let tilt = self.number / 5 % tilts;
            app.perform(&self.ctx, Action::ShowTilt(tilt));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_watched_while_it_reconstructs() {
        let request = FrameRequest {
            volume_size: [24, 20, 22],
            tilts: 7,
            watch: Duration::from_millis(300),
        };
        let (json, lines) = frames(&request, crate::jobs::execute::execute).unwrap();
        assert!(json["frames"].as_u64().unwrap() > 3);
        assert!(json["iterations"].as_u64().unwrap() > 0);
        assert!(json["longest_ms"].as_f64().unwrap() >= json["median_ms"].as_f64().unwrap());
        assert_eq!(lines.len(), 3);
    }
}
