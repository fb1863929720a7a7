//! A few atoms of a drawn model in windows cut around them, all else staying: what is refined or judged at the pace of
//! the hand.

use super::RefineError;
use super::fit::{AtomTrial, Fit, evidence_of, trials_of};
use super::kernel::patch_columns;
use super::problem::{Frame, Imaging, PER_ATOM, Problem};
use super::solve::minimize;
use crate::model::Atoms;
use crate::monitor::{Monitor, Stopped};

/// First row and column of a window in a padded image, and its numbers of rows and columns.
pub(super) type Window = [[usize; 2]; 2];

/// The cut-out problem: its images hold the atoms of the part, and as `fixed` everything else.
struct Part {
    problem: Problem,
    imaging: Imaging,
    x: Vec<f64>,
    windows: Vec<Window>,
}

impl Fit {
    /// Windows around atoms with the parameters `x`, one per frame; with room for the atoms to move by one radius.
    pub(super) fn windows(&self, x: &[f64]) -> Vec<Window> {
        let margin = self.imaging.radius() + patch_columns(self.imaging.radius());
        let frames = self.problem.frames.iter();
        frames.map(|f| window_around(f, x, margin)).collect()
    }

    /// An empty problem in the given windows: only the counts, no atoms, no weights. And the imaging that goes with it.
    pub(super) fn cut_out(&self, windows: &[Window], species: Vec<u16>) -> (Problem, Imaging) {
        let mut imaging = self.imaging.clone();
        imaging.background.iter_mut().for_each(|b| *b = 0.0);
        let frames = (self.problem.frames.iter().zip(windows))
            .map(|(frame, w)| cut_frame(frame, *w))
            .collect();
        let (pixel, radius) = (self.problem.pixel, self.problem.max_radius);
        (Problem::new(frames, species, pixel, radius), imaging)
    }

    /// The atoms at `indices` of the model. The model images must be those of the present atoms.
    fn part(&self, species: &[u16], indices: &[usize], monitor: &Monitor) -> Result<Part, Stopped> {
        let x: Vec<f64> = indices
            .iter()
            .flat_map(|&i| self.x[PER_ATOM * i..PER_ATOM * (i + 1)].to_vec())
            .collect();
        let windows = self.windows(&x);
        let (mut problem, imaging) = self.cut_out(&windows, species.to_vec());
        problem.render(&imaging, &x, monitor)?;
        for (k, w) in windows.iter().enumerate() {
            let (whole, stride) = (&self.problem.works[k], self.problem.frames[k].stride);
            let rest = cut(&whole.model, stride, *w);
            problem.frames[k].fixed = rest
                .iter()
                .zip(&problem.works[k].model)
                .map(|(all, part)| all - part)
                .collect();
            problem.works[k].weights = cut(&whole.weights, stride, *w);
        }
        Ok(Part {
            problem,
            imaging,
            x,
            windows,
        })
    }

    /// Refines a few atoms, all else staying, and keeps their new places. The model images must be those of the present
    /// atoms, and are so again afterwards. Returns the atoms and the windows that were drawn anew.
    pub(super) fn refine_part(
        &mut self,
        atoms: &Atoms,
        indices: &[usize],
        steps: usize,
        monitor: &Monitor,
    ) -> Result<(Atoms, Vec<Window>), RefineError> {
        let mut part = self.part(&atoms.species, indices, monitor)?;
        let tolerance = 0.2 * self.params.tolerance;
        let stopped = minimize(
            &mut part.problem,
            &part.imaging,
            &mut part.x,
            self.restraint,
            steps,
            tolerance,
            monitor,
        );
        if let Err(Stopped::Abandon) = stopped {
            return Err(Stopped::Abandon.into());
        }
        let quiet = Monitor::silent();
        let blocks = part.problem.blocks(&part.imaging, &part.x, &quiet)?;
        let mut gradient = vec![0.0; part.x.len()];
        (part.problem).evaluate(&part.imaging, &part.x, &mut gradient, &quiet)?;
        for (k, [corner, size]) in part.windows.iter().enumerate() {
            let (whole, stride) = (&mut self.problem.works[k], self.problem.frames[k].stride);
            for (row, line) in
                (part.problem.works[k].model.chunks_exact(size[1].max(1))).enumerate()
            {
                let start = (corner[0] + row) * stride + corner[1];
                whole.model[start..start + size[1]].copy_from_slice(line);
            }
        }
        for (values, &i) in part.x.chunks_exact(PER_ATOM).zip(indices) {
            self.x[PER_ATOM * i..PER_ATOM * (i + 1)].copy_from_slice(values);
        }
        let evidence = evidence_of(&blocks, &gradient, &part.x);
        Ok((self.describe(atoms, &part.x, &evidence), part.windows))
    }

    /// What the images and their halves say of a few atoms, all else staying, as [`Fit::trials`] says of all.
    pub(super) fn trials_of_part(
        &self,
        species: &[u16],
        indices: &[usize],
        monitor: &Monitor,
    ) -> Result<Vec<AtomTrial>, Stopped> {
        let mut part = self.part(species, indices, monitor)?;
        let blocks = part.problem.blocks(&part.imaging, &part.x, monitor)?;
        let mut gradient = vec![0.0; part.x.len()];
        (part.problem).evaluate(&part.imaging, &part.x, &mut gradient, monitor)?;
        let whole = evidence_of(&blocks, &gradient, &part.x);
        Ok(trials_of(&part.problem, whole, &part.x))
    }
}

/// A window around the atoms in a padded image.
fn window_around(frame: &Frame, x: &[f64], margin: usize) -> Window {
    let limits = [frame.rows, frame.stride];
    let mut low = limits.map(|n| n as f64);
    let mut high = [0.0f64; 2];
    for atom in x.chunks_exact(PER_ATOM) {
        let at = frame.seen([atom[1], atom[2], atom[3]]);
        for a in 0..2 {
            low[a] = low[a].min(at[a]);
            high[a] = high[a].max(at[a]);
        }
    }
    let mut window = [[0; 2]; 2];
    for a in 0..2 {
        let first = (low[a] - margin as f64)
            .floor()
            .clamp(0.0, limits[a] as f64) as usize;
        let last = (high[a] + margin as f64)
            .ceil()
            .clamp(first as f64, limits[a] as f64) as usize;
        window[0][a] = first;
        window[1][a] = last - first;
    }
    window
}

/// A window of a padded image.
pub(super) fn cut(image: &[f32], stride: usize, [corner, size]: Window) -> Vec<f32> {
    (corner[0]..corner[0] + size[0])
        .flat_map(|row| image[row * stride + corner[1]..][..size[1]].iter().copied())
        .collect()
}

fn cut_frame(frame: &Frame, [corner, size]: Window) -> Frame {
    let mut window = [[0; 2]; 2];
    for a in 0..2 {
        let first = frame.window[0][a].max(corner[a]);
        let last = (frame.window[0][a] + frame.window[1][a]).min(corner[a] + size[a]);
        window[0][a] = first - corner[a];
        window[1][a] = last.saturating_sub(first);
        if last <= first {
            window[0][a] = 0;
        }
    }
    Frame {
        tilt: frame.tilt,
        rows: size[0],
        stride: size[1],
        window,
        origin: [0, 1].map(|a| frame.origin[a] - corner[a] as f64),
        axes: frame.axes,
        observed: cut(&frame.observed, frame.stride, [corner, size]),
        fixed: Vec::new(),
    }
}
