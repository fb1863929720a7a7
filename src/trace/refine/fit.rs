//! The course of a refinement: start, rounds, outcome.

use super::imaging::{self, Freedom};
use super::kernel::MAX_RADIUS;
use super::poses::TiltPoses;
use super::problem::{Block, Frame, Imaging, PER_ATOM, Problem, frames_of};
use super::repulsion::Repulsion;
use super::solve::{Restraint, invert, minimize};
use super::{
    Noise, OccupancyModel, ProfileShape, RefineError, RefineParams, Refined, SpeciesProfile,
};
use crate::model::{Atoms, EulerAngles, TiltSeries};
use crate::monitor::{Monitor, Stopped};
use crate::trace::evidence::confidences;

/// How far an atom's image can reach, Å: four standard deviations of a blur of 0.8 Å, beyond which atoms of a solid are
/// not resolved.
const REACH: f64 = 3.2;

/// Standard deviation of the occupancies before the data have said anything.
const FIRST_OCCUPANCY_SD: f64 = 0.1;

/// A refinement in progress.
pub(crate) struct Fit {
    pub problem: Problem,
    pub imaging: Imaging,
    /// Occupancy, x, y, z of every atom.
    pub x: Vec<f64>,
    pub params: RefineParams,
    pub counts: bool,
    pub dispersion: f64,
    pub restraint: Restraint,
    pub iterations: usize,
    /// Shifts and angles of the tilts, when they are refined.
    pub(super) poses: Option<TiltPoses>,
    /// Angles of the whole series as they came.
    angles: Vec<EulerAngles>,
    prepared: bool,
    notes: Vec<String>,
}

/// What the normal matrix and one more Newton step say of an atom.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct AtomEvidence {
    /// Occupancy after one unrestrained Newton step with the atom's own position relaxed.
    pub free_occupancy: f64,
    /// Standard error of it.
    pub occupancy_sd: f64,
    /// Standard errors of x, y, z, Å.
    pub position_sd: [f64; 3],
    /// The step of the position that goes with it, Å.
    pub step: [f64; 3],
}

/// The evidence on an atom, from all images and from the two halves of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct AtomTrial {
    /// From all tilts.
    pub whole: AtomEvidence,
    /// From the even and from the odd tilts alone.
    pub halves: [AtomEvidence; 2],
    /// Tilts that see the atom.
    pub tilts: usize,
    /// Those whose own estimate of its occupancy is below ½.
    pub against: usize,
}

impl AtomTrial {
    /// How far apart the two halves want the atom, squared and over the variance of that difference: 3 on average.
    pub(crate) fn halves_apart(&self) -> f64 {
        let [even, odd] = &self.halves;
        (0..3)
            .map(|a| {
                let variance = even.position_sd[a].powi(2) + odd.position_sd[a].powi(2);
                (even.step[a] - odd.step[a]).powi(2) / variance.max(f64::MIN_POSITIVE)
            })
            .sum()
    }
}

fn check(series: &TiltSeries, atoms: &Atoms, params: &RefineParams) -> Result<f64, RefineError> {
    let tilts = series.images.dim().0;
    if series.angles.len() != tilts || series.included.len() != tilts {
        return Err(RefineError::input(
            format!("tilt series {}", series.name),
            format!("{tilts} angles and inclusion marks, one per image"),
            format!("{} and {}", series.angles.len(), series.included.len()),
        ));
    }
    let [nx, ny] = series.image_size();
    if series.included_tilts().is_empty() || nx < 3 || ny < 3 {
        return Err(RefineError::input(
            format!("tilt series {}", series.name),
            "at least one included image of 3 × 3 pixels",
            format!("{} of {nx} × {ny}", series.included_tilts().len()),
        ));
    }
    let pixel = series
        .pixel_size
        .filter(|p| p.is_finite() && *p > 0.0)
        .ok_or_else(|| {
            RefineError::input(
                "pixel size",
                "a positive length in Å",
                format!("{:?}", series.pixel_size),
            )
        })?;
    for tilt in series.included_tilts() {
        let angles = series.angles[tilt];
        if ![angles.phi, angles.theta, angles.psi]
            .iter()
            .all(|a| a.is_finite())
        {
            return Err(RefineError::input(
                format!("angles of tilt {}", tilt + 1),
                "numbers",
                format!("{angles:?}"),
            ));
        }
        if let Some(((x, y), value)) = series
            .image(tilt)
            .indexed_iter()
            .find(|(_, v)| !v.is_finite())
        {
            return Err(RefineError::input(
                format!("tilt {}, pixel ({x}, {y})", tilt + 1),
                "a number",
                value.to_string(),
            ));
        }
    }
    if atoms.is_empty() {
        return Err(RefineError::input("atoms", "at least one", "none"));
    }
    if atoms.species.len() != atoms.len() || atoms.ids.len() != atoms.len() {
        return Err(RefineError::input(
            "atoms",
            format!("{} ids and species, one per position", atoms.len()),
            format!("{} and {}", atoms.ids.len(), atoms.species.len()),
        ));
    }
    for (index, (position, &kind)) in atoms.positions.iter().zip(&atoms.species).enumerate() {
        if !position.iter().all(|v| v.is_finite()) {
            return Err(RefineError::input(
                format!("position of atom {index}"),
                "numbers",
                format!("{position:?}"),
            ));
        }
        if usize::from(kind) >= atoms.species_names.len().max(1) {
            return Err(RefineError::input(
                format!("species of atom {index}"),
                format!("below {}", atoms.species_names.len()),
                kind.to_string(),
            ));
        }
    }
    let positive = |name, value: f64| {
        if value.is_finite() && value > 0.0 {
            Ok(())
        } else {
            Err(RefineError::BadParameter {
                name,
                expected: "a positive number".to_owned(),
                found: value.to_string(),
            })
        }
    };
    positive("tolerance", params.tolerance)?;
    if let Some(distance) = params.repulsion {
        positive("repulsion", distance)?;
    }
    Ok(pixel)
}

fn parameters_of(atoms: &Atoms, occupancy: OccupancyModel) -> Vec<f64> {
    let given = atoms.column("occupancy");
    let mut x = Vec::with_capacity(PER_ATOM * atoms.len());
    for (i, position) in atoms.positions.iter().enumerate() {
        let start = given.map_or(1.0, |o| o[i]);
        let usable = start.is_finite() && start > 0.0;
        // A restrained fit starts from its mean, whatever an earlier fit with another one said.
        x.push(if usable && occupancy == OccupancyModel::Fixed {
            start
        } else {
            1.0
        });
        x.extend_from_slice(position);
    }
    x
}

impl Fit {
    /// Checks the input, and fits heights, one width per species and backgrounds to the atoms as they stand.
    pub(crate) fn new(
        series: &TiltSeries,
        atoms: &Atoms,
        params: &RefineParams,
        monitor: &Monitor,
    ) -> Result<Self, RefineError> {
        let pixel = check(series, atoms, params)?;
        let max_radius = ((REACH / pixel).ceil() as usize).clamp(4, MAX_RADIUS);
        let frames = frames_of(series, pixel, max_radius);
        let unseen = |r: &[f64; 3]| !frames.iter().any(|frame| is_seen(frame, *r));
        if let Some(index) = atoms.positions.iter().position(unseen) {
            return Err(RefineError::input(
                format!("atom {} of {}", index, atoms.len()),
                format!(
                    "a place that some image shows ({:?} pixels of {pixel} Å)",
                    series.image_size()
                ),
                format!("{:?} Å", atoms.positions[index]),
            ));
        }
        let x = parameters_of(atoms, params.occupancy);
        let mut problem = Problem::new(frames, atoms.species.clone(), pixel, max_radius);
        problem.repulsion = params.repulsion.map(|distance| Repulsion { distance });
        let notes = problem.repulsion.map(|prior| {
            format!(
                "prior: atoms nearer than {:.2} Å were pushed apart (standard deviation {:.2} Å); shorter distances are not \
                 measured by the images alone",
                prior.distance,
                prior.softness()
            )
        });
        let kinds = atoms.species_names.len().max(1);
        let poses = params
            .refine_geometry
            .then(|| TiltPoses::new(series, &problem, &x));
        let imaging = imaging::start(&mut problem, kinds, &x, !params.no_tilt_scale, monitor)?;
        problem.render(&imaging, &x, monitor)?;
        Ok(Self {
            problem,
            imaging,
            x,
            params: params.clone(),
            counts: params.noise == Noise::Poisson,
            dispersion: 1.0,
            restraint: Restraint::Fixed,
            iterations: 0,
            poses,
            angles: series.angles.clone(),
            prepared: false,
            notes: notes.into_iter().collect(),
        })
    }

    /// Mean R1 of the model images drawn last.
    pub(crate) fn r1(&self) -> f64 {
        let each = self.problem.r1_per_frame();
        each.iter().sum::<f64>() / each.len().max(1) as f64
    }

    fn freedom(&self) -> Freedom {
        Freedom {
            widths: true,
            scale: !self.params.no_tilt_scale,
        }
    }

    fn renew_weights(&mut self) {
        self.dispersion = self.problem.set_weights(self.counts);
    }

    fn fit_imaging(&mut self, steps: usize, monitor: &Monitor) -> Result<(), Stopped> {
        let freedom = self.freedom();
        for _ in 0..steps {
            let [before, after] = imaging::step(
                &mut self.problem,
                &mut self.imaging,
                &self.x,
                freedom,
                monitor,
            )?;
            if before - after < 1e-7 * before {
                break;
            }
        }
        Ok(())
    }

    /// Decides on noise and profile and sets weights; positions stay.
    pub(crate) fn prepare(&mut self, monitor: &Monitor) -> Result<(), Stopped> {
        if self.params.noise == Noise::Auto {
            self.counts = self.problem.variance_exponent() > 0.5;
        }
        self.renew_weights();
        self.fit_imaging(2, monitor)?;
        self.renew_weights();
        match self.params.profile {
            ProfileShape::One => {}
            shape => {
                let scale = !self.params.no_tilt_scale;
                let better = imaging::try_second_component(
                    &mut self.problem,
                    &mut self.imaging,
                    &self.x,
                    scale,
                    monitor,
                )?;
                if !better && shape == ProfileShape::Two {
                    self.notes.push(
                        "a second Gaussian did not improve the fit and was left out".to_owned(),
                    );
                }
            }
        }
        self.renew_weights();
        self.restraint = match self.params.occupancy {
            OccupancyModel::Fixed => Restraint::Fixed,
            OccupancyModel::Free => Restraint::Toward1 {
                variance: f64::INFINITY,
            },
            OccupancyModel::Restrained => Restraint::Toward1 {
                variance: FIRST_OCCUPANCY_SD * FIRST_OCCUPANCY_SD,
            },
        };
        self.prepared = true;
        Ok(())
    }

    /// Up to `rounds` rounds of positions, imaging and weights; ends when a round moves nothing.
    pub(crate) fn run(&mut self, rounds: usize, monitor: &Monitor) -> Result<(), Stopped> {
        let steps = self.params.steps.max(1);
        let fresh = !self.prepared;
        if fresh {
            // Equal weights and fixed occupancies until the positions are about right: the noise cannot be judged before.
            self.renew_weights();
            self.descend(steps.min(6), Restraint::Fixed, monitor)?;
            self.prepare(monitor)?;
        }
        for round in 0..rounds {
            monitor.progress(round, rounds);
            let before = self.x.clone();
            // Imaging first: occupancies are judged by the slopes that are left, and where thousands of atoms overlap a
            // hundredth more of height leaves a slope in all of them that looks like a tenth of an atom.
            if round > 0 || !fresh {
                self.fit_imaging(2, monitor)?;
                self.renew_weights();
            }
            let turned = self.step_poses(monitor)?;
            self.descend(steps, self.restraint, monitor)?;
            if self.params.occupancy == OccupancyModel::Restrained {
                self.estimate_restraint(monitor)?;
            }
            // The median: a few atoms in noise may wander for ever.
            let moved = before
                .chunks_exact(PER_ATOM)
                .zip(self.x.chunks_exact(PER_ATOM))
                .map(|(a, b)| {
                    crate::model::geometry::distance([a[1], a[2], a[3]], [b[1], b[2], b[3]])
                });
            let moved = median(moved.collect());
            if moved.max(turned * self.problem.pixel) < self.params.tolerance {
                break;
            }
        }
        monitor.progress(rounds, rounds);
        Ok(())
    }

    fn descend(
        &mut self,
        steps: usize,
        restraint: Restraint,
        monitor: &Monitor,
    ) -> Result<(), Stopped> {
        let tolerance = 0.2 * self.params.tolerance;
        let report = minimize(
            &mut self.problem,
            &self.imaging,
            &mut self.x,
            restraint,
            steps,
            tolerance,
            monitor,
        )?;
        self.iterations += report.iterations;
        self.problem.render(&self.imaging, &self.x, monitor)
    }

    /// Scatter of the true occupancies: that of the free ones, robustly, less what their own errors explain.
    fn estimate_restraint(&mut self, monitor: &Monitor) -> Result<(), Stopped> {
        let evidence = self.evidence(monitor)?;
        let errors: Vec<f64> = evidence.iter().map(|e| e.occupancy_sd.powi(2)).collect();
        let middle = median(evidence.iter().map(|e| e.free_occupancy).collect());
        let deviations: Vec<f64> = evidence
            .iter()
            .map(|e| (e.free_occupancy - middle).abs())
            .collect();
        let scatter = 1.4826 * median(deviations);
        // A hundredth of an atom is below anything the images of real samples show.
        let variance = (scatter * scatter - median(errors)).max(1e-4);
        self.restraint = Restraint::Toward1 { variance };
        Ok(())
    }

    /// What the images say of every atom, at the present model and weights.
    pub(crate) fn evidence(&mut self, monitor: &Monitor) -> Result<Vec<AtomEvidence>, Stopped> {
        let blocks = self.problem.blocks(&self.imaging, &self.x, monitor)?;
        let mut gradient = vec![0.0; self.x.len()];
        self.problem
            .evaluate(&self.imaging, &self.x, &mut gradient, monitor)?;
        Ok(evidence_of(&blocks, &gradient, &self.x))
    }

    /// What the two halves of the images and each tilt say of every atom.
    pub(crate) fn trials(&mut self, monitor: &Monitor) -> Result<Vec<AtomTrial>, Stopped> {
        let whole = self.evidence(monitor)?;
        Ok(trials_of(&self.problem, whole, &self.x))
    }

    /// The atoms with the columns of [`Refined::atoms`].
    pub(super) fn describe(&self, atoms: &Atoms, x: &[f64], evidence: &[AtomEvidence]) -> Atoms {
        let mut out = atoms.clone();
        let values = |f: &dyn Fn(usize) -> f64| (0..atoms.len()).map(f).collect::<Vec<f64>>();
        for (position, values) in out.positions.iter_mut().zip(x.chunks_exact(PER_ATOM)) {
            position.copy_from_slice(&values[1..]);
        }
        let profile = |i: usize| &self.imaging.profiles[usize::from(atoms.species[i])];
        let shift =
            |i: usize| crate::model::geometry::distance(atoms.positions[i], out.positions[i]);
        let shifts = values(&shift);
        out.set_column("occupancy", "", values(&|i| x[PER_ATOM * i]));
        out.set_column(
            "free_occupancy",
            "",
            values(&|i| evidence[i].free_occupancy),
        );
        out.set_column(
            "height",
            "counts",
            values(&|i| x[PER_ATOM * i] * profile(i).peak()),
        );
        out.set_column(
            "width_A",
            "Å",
            values(&|i| profile(i).effective_sigma() * self.problem.pixel),
        );
        out.set_column("shift_A", "Å", shifts);
        for (axis, name) in ["sigma_x_A", "sigma_y_A", "sigma_z_A"]
            .into_iter()
            .enumerate()
        {
            out.set_column(name, "Å", values(&|i| evidence[i].position_sd[axis]));
        }
        let total = |i: usize| {
            evidence[i]
                .position_sd
                .iter()
                .map(|s| s * s)
                .sum::<f64>()
                .sqrt()
        };
        out.set_column("position_sd_A", "Å", values(&total));
        let significance = |i: usize| evidence[i].free_occupancy / evidence[i].occupancy_sd;
        out.set_column("significance", "", values(&significance));
        out.set_column("confidence", "", confidences(evidence, &out.positions));
        out
    }

    /// The result for the caller's atoms.
    pub(crate) fn outcome(&mut self, atoms: &Atoms) -> Result<Refined, RefineError> {
        // The user may have asked to finish: what remains takes a moment and must not be refused.
        let quiet = Monitor::silent();
        self.problem.render(&self.imaging, &self.x, &quiet)?;
        self.renew_weights();
        let evidence = self.evidence(&quiet)?;
        let r1_per_tilt = self.problem.r1_per_frame();
        let r1 = r1_per_tilt.iter().sum::<f64>() / r1_per_tilt.len().max(1) as f64;
        let pixel = self.problem.pixel;
        let two = self.imaging.two_components;
        let profiles = self
            .imaging
            .profiles
            .iter()
            .enumerate()
            .map(|(k, p)| SpeciesProfile {
                name: atoms
                    .species_names
                    .get(k)
                    .cloned()
                    .unwrap_or_else(|| "X".to_owned()),
                height: p.peak(),
                width: p.effective_sigma() * pixel,
                counts: p.counts(),
                core_width: p.variance[0].sqrt() * pixel,
                pedestal: (two && p.weight[1] > 0.0)
                    .then(|| [p.weight[1] / p.counts(), p.variance[1].sqrt() * pixel]),
            })
            .collect();
        Ok(Refined {
            atoms: self.describe(atoms, &self.x, &evidence),
            r1_before: f64::NAN,
            r1,
            r1_per_tilt,
            profiles,
            background: self.imaging.background.clone(),
            tilt_scale: self.imaging.scale.clone(),
            poses: self
                .poses
                .as_ref()
                .map(|p| p.outcome(self.angles.len(), &self.problem, &self.angles)),
            noise: if self.counts {
                Noise::Poisson
            } else {
                Noise::Gaussian
            },
            dispersion: self.dispersion,
            occupancy_sd: match self.restraint {
                Restraint::Toward1 { variance } if variance.is_finite() => Some(variance.sqrt()),
                _ => None,
            },
            iterations: self.iterations,
            stopped_early: false,
            seconds: 0.0,
            notes: self.notes.clone(),
        })
    }
}

fn is_seen(frame: &Frame, r: [f64; 3]) -> bool {
    let at = frame.seen(r);
    (0..2).all(|a| {
        let (low, n) = (frame.window[0][a] as f64, frame.window[1][a] as f64);
        at[a] >= low - 0.5 && at[a] < low + n - 0.5
    })
}

/// One Newton step of each atom by itself, without restraint.
pub(super) fn evidence_of(blocks: &[Block], gradient: &[f64], x: &[f64]) -> Vec<AtomEvidence> {
    let inverses = invert(
        blocks,
        Restraint::Toward1 {
            variance: f64::INFINITY,
        },
    );
    inverses
        .iter()
        .zip(gradient.chunks_exact(PER_ATOM))
        .zip(x.chunks_exact(PER_ATOM))
        .map(|((inverse, slope), values)| {
            let newton = inverse * nalgebra::Vector4::new(slope[0], slope[1], slope[2], slope[3]);
            let sd = |k: usize| {
                let variance = inverse[(k, k)];
                if variance > 0.0 {
                    variance.sqrt()
                } else {
                    f64::INFINITY
                }
            };
            AtomEvidence {
                free_occupancy: values[0] - newton[0],
                occupancy_sd: sd(0),
                position_sd: [sd(1), sd(2), sd(3)],
                step: [-newton[1], -newton[2], -newton[3]],
            }
        })
        .collect()
}

/// The evidence on every atom with that of the two halves, of what the last evaluation and blocks at `x` left behind.
pub(super) fn trials_of(problem: &Problem, whole: Vec<AtomEvidence>, x: &[f64]) -> Vec<AtomTrial> {
    let halves = problem.halves(x);
    let [even, odd] = [0, 1].map(|h| evidence_of(&halves.blocks[h], &halves.gradients[h], x));
    whole
        .into_iter()
        .enumerate()
        .map(|(i, whole)| AtomTrial {
            whole,
            halves: [even[i], odd[i]],
            tilts: halves.tilts[i],
            against: halves.against[i],
        })
        .collect()
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.retain(|v| v.is_finite());
    if values.is_empty() {
        return f64::NAN;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}
