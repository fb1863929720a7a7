//! The images, the model of them, and the weighted misfit with its derivatives.
//!
//! Tilt i is modelled as `λ_i = b_i + k_i Σ_a o_a P_s(a)(p − c_i − (R_i r_a)_xy)`: background b, brightness k, occupancy
//! o, profile P of the atom's species (one or two Gaussians). The misfit is `F = ½ Σ w (n − λ)²` with weights held
//! fixed during a stage: `1/variance` for Gaussian noise and `1/(g λ)` for counts. With the weights renewed from the
//! model between stages, its stationary points are those of the Poisson likelihood (`Σ (n − λ)/λ ∂λ = 0`), while each
//! stage stays a well-behaved least-squares problem (iteratively re-weighted least squares).

pub(crate) use super::kernel::COMPONENTS;
use super::kernel::{
    Gathered, Information, Splat, draw_atoms, draw_width_slopes, gather_information, gather_slopes,
    patch_columns,
};
use super::repulsion::Repulsion;
use crate::model::TiltSeries;
use crate::model::geometry::center_index;
use crate::monitor::{Monitor, Stopped};
use rayon::prelude::*;

/// Numbers per atom in a parameter vector: occupancy, x, y, z.
pub(crate) const PER_ATOM: usize = 4;

/// Profile of a species: Gaussians of weight (counts) and variance (px²).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Profile {
    pub weight: [f64; COMPONENTS],
    pub variance: [f64; COMPONENTS],
}

impl Imaging {
    /// The largest patch radius, px.
    pub(crate) fn radius(&self) -> usize {
        self.radii.into_iter().max().unwrap_or(0)
    }
}

impl Profile {
    /// Value at the centre, counts.
    pub(crate) fn peak(&self) -> f64 {
        (0..COMPONENTS)
            .map(|c| self.weight[c] / (std::f64::consts::TAU * self.variance[c]))
            .sum()
    }

    /// Integral, counts.
    pub(crate) fn counts(&self) -> f64 {
        self.weight.iter().sum()
    }

    /// Standard deviation (px) of the single Gaussian with the same integral and peak.
    pub(crate) fn effective_sigma(&self) -> f64 {
        (self.counts() / (std::f64::consts::TAU * self.peak()))
            .max(0.0)
            .sqrt()
    }
}

/// Everything but the atoms.
#[derive(Debug, Clone)]
pub(crate) struct Imaging {
    /// One profile per species.
    pub profiles: Vec<Profile>,
    /// Background of each frame, counts per pixel.
    pub background: Vec<f64>,
    /// Brightness of each frame, mean 1.
    pub scale: Vec<f64>,
    /// Whether a second Gaussian is in use.
    pub two_components: bool,
    /// Patch radius of each component, px; 0 for one that is not in use.
    pub radii: [usize; COMPONENTS],
}

/// One image (or a window of one), padded with pixels of no weight so that patches never leave it.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// Index of the tilt in the series.
    pub tilt: usize,
    /// Rows of the padded image.
    pub rows: usize,
    /// Columns of the padded image.
    pub stride: usize,
    /// First row and column of the real pixels in the padded image, and their number.
    pub window: [[usize; 2]; 2],
    /// Where the sample's origin is seen, padded pixels.
    pub origin: [f64; 2],
    /// Detector pixels per Å along the sample axes: two rows of `R / pixel`.
    pub axes: [[f64; 3]; 2],
    /// Counts; 0 in the padding.
    pub observed: Vec<f32>,
    /// What is in the image besides the atoms being fitted (empty: nothing); includes its own background.
    pub fixed: Vec<f32>,
}

impl Frame {
    /// Where a sample point (Å) is seen, padded pixels.
    pub(crate) fn seen(&self, r: [f64; 3]) -> [f64; 2] {
        let mut at = self.origin;
        for (value, axis) in at.iter_mut().zip(&self.axes) {
            *value += axis[0] * r[0] + axis[1] * r[1] + axis[2] * r[2];
        }
        at
    }

    /// The model image of the atoms as this frame sees them.
    pub(crate) fn drawn(
        &self,
        species: &[u16],
        imaging: &Imaging,
        index: usize,
        x: &[f64],
    ) -> Vec<f32> {
        let mut work = Work {
            model: vec![0.0; self.observed.len()],
            ..Work::default()
        };
        place(
            self,
            &mut work,
            species,
            imaging,
            imaging.scale[index],
            x,
            None,
        );
        draw_model(self, &mut work, imaging, index);
        work.model
    }

    /// Real pixels: runs of indices into the padded image, one per row.
    pub(crate) fn runs(&self) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
        let [[row, column], [rows, columns]] = self.window;
        (row..row + rows).map(move |r| r * self.stride + column..r * self.stride + column + columns)
    }
}

/// Scratch of one frame.
#[derive(Debug, Clone, Default)]
pub(crate) struct Work {
    pub model: Vec<f32>,
    pub weights: Vec<f32>,
    pub slopes: Vec<f32>,
    splats: Vec<Splat>,
    factors: Vec<f32>,
    atoms: Vec<u32>,
    gathered: Vec<Gathered>,
    informed: Vec<Information>,
    objective: f64,
}

/// The fitting problem: frames, species of the atoms, scratch.
pub(crate) struct Problem {
    pub frames: Vec<Frame>,
    pub works: Vec<Work>,
    pub species: Vec<u16>,
    pub pixel: f64,
    /// Largest patch radius that the padding allows.
    pub max_radius: usize,
    /// Prior on the distances between atoms.
    pub repulsion: Option<Repulsion>,
}

/// What the images would say to one more atom at a place.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Probe {
    /// `Σ (r/λ) g` and `Σ g²/λ` over the even and the odd tilts.
    pub halves: [[f64; 2]; 2],
    /// Slope of `Σ (r/λ) g` along x, y, z.
    pub gradient: [f64; 3],
    /// Curvature that an atom of occupancy 1 would give it.
    pub curvature: nalgebra::Matrix3<f64>,
    /// Tilts that see the place.
    pub tilts: usize,
    /// Those whose own sum is positive.
    pub supporting: usize,
}

impl Probe {
    /// Matched filter `Σ (r/λ) g / √Σ g²/λ`.
    pub(crate) fn z(&self) -> f64 {
        let [even, odd] = self.halves;
        ratio(even[0] + odd[0], (even[1] + odd[1]).sqrt())
    }

    /// The matched filter of the even (0) or the odd (1) tilts alone.
    pub(crate) fn half_z(&self, half: usize) -> f64 {
        ratio(self.halves[half][0], self.halves[half][1].sqrt())
    }

    /// Occupancy of the added atom that fits best.
    pub(crate) fn occupancy(&self) -> f64 {
        let [even, odd] = self.halves;
        ratio(even[0] + odd[0], even[1] + odd[1])
    }
}

fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 0.0 }
}

/// A symmetric 4 × 4 block (occupancy, x, y, z).
pub(crate) type Block = nalgebra::Matrix4<f64>;

/// What the even and the odd tilts say of every atom by themselves.
pub(crate) struct Halves {
    /// Gradient of the misfit of each half.
    pub gradients: [Vec<f64>; 2],
    /// Normal blocks of each half.
    pub blocks: [Vec<Block>; 2],
    /// Tilts that see the atom.
    pub tilts: Vec<usize>,
    /// Those whose own estimate of its occupancy is below ½.
    pub against: Vec<usize>,
}

/// Frames of the included tilts, padded for patches of `max_radius`.
pub(crate) fn frames_of(series: &TiltSeries, pixel: f64, max_radius: usize) -> Vec<Frame> {
    let [nx, ny] = series.image_size();
    // Atoms up to one radius outside the image still reach into it.
    let before = 2 * max_radius + 1;
    let after = max_radius + patch_columns(max_radius);
    let (rows, stride) = (nx + before + after, ny + before + after);
    series
        .included_tilts()
        .into_par_iter()
        .map(|tilt| {
            let mut observed = vec![0.0; rows * stride];
            for (x, line) in series.image(tilt).rows().into_iter().enumerate() {
                let start = (before + x) * stride + before;
                for (pixel, &value) in observed[start..start + ny].iter_mut().zip(line) {
                    *pixel = value;
                }
            }
            let rotation = series.angles[tilt].detector_from_sample();
            Frame {
                tilt,
                rows,
                stride,
                window: [[before, before], [nx, ny]],
                origin: [
                    (before + center_index(nx)) as f64,
                    (before + center_index(ny)) as f64,
                ],
                axes: [0, 1].map(|row: usize| rotation[row].map(|value| value / pixel)),
                observed,
                fixed: Vec::new(),
            }
        })
        .collect()
}

/// The splats of the atoms that a frame sees, into `work`; only those of `only`, when given.
fn place(
    frame: &Frame,
    work: &mut Work,
    species: &[u16],
    imaging: &Imaging,
    scale: f64,
    x: &[f64],
    only: Option<u16>,
) {
    work.splats.clear();
    work.factors.clear();
    work.atoms.clear();
    let radius = imaging.radius() as f64;
    let columns_of_patch = patch_columns(imaging.radius()) as f64;
    let [[row, column], [rows, columns]] = frame.window;
    let low = [row as f64 - radius, column as f64 - radius];
    let high = [
        (row + rows) as f64 + radius - 1.0,
        (column + columns) as f64 + radius - 1.0,
    ];
    let shapes: Vec<([f32; COMPONENTS], [f32; COMPONENTS])> = imaging
        .profiles
        .iter()
        .map(|p| {
            let peak =
                |c: usize| (scale * p.weight[c] / (std::f64::consts::TAU * p.variance[c])) as f32;
            (
                std::array::from_fn(peak),
                std::array::from_fn(|c| (1.0 / p.variance[c]) as f32),
            )
        })
        .collect();
    for (atom, (values, &kind)) in x.chunks_exact(PER_ATOM).zip(species).enumerate() {
        if only.is_some_and(|s| s != kind) {
            continue;
        }
        let at = frame.seen([values[1], values[2], values[3]]);
        let visible = (0..2).all(|a| at[a] >= low[a] && at[a] <= high[a]);
        if !visible {
            continue;
        }
        let nearest = at.map(f64::round);
        // In a window cut around a few atoms, one that leaves it is no longer seen.
        let inside = nearest[0] >= radius
            && nearest[1] >= radius
            && nearest[0] + radius < frame.rows as f64
            && nearest[1] - radius + columns_of_patch <= frame.stride as f64;
        if !inside {
            continue;
        }
        let (peak, inverse_variance) = shapes[usize::from(kind)];
        work.splats.push(Splat {
            nearest: nearest.map(|n| n as usize),
            offset: [0, 1].map(|a| (at[a] - nearest[a]) as f32),
            peak,
            inverse_variance,
        });
        work.factors.push(values[0] as f32);
        work.atoms.push(atom as u32);
    }
}

impl Problem {
    pub(crate) fn new(
        frames: Vec<Frame>,
        species: Vec<u16>,
        pixel: f64,
        max_radius: usize,
    ) -> Self {
        let works = frames
            .iter()
            .map(|frame| Work {
                model: vec![0.0; frame.observed.len()],
                weights: vec![0.0; frame.observed.len()],
                slopes: vec![0.0; frame.observed.len()],
                ..Work::default()
            })
            .collect();
        Self {
            frames,
            works,
            species,
            pixel,
            max_radius,
            repulsion: None,
        }
    }

    /// Real pixels in all frames.
    pub(crate) fn pixels(&self) -> usize {
        self.frames
            .iter()
            .map(|f| f.window[1][0] * f.window[1][1])
            .sum()
    }

    /// Renders the model images.
    pub(crate) fn render(
        &mut self,
        imaging: &Imaging,
        x: &[f64],
        monitor: &Monitor,
    ) -> Result<(), Stopped> {
        let species = &self.species;
        self.frames
            .par_iter()
            .zip(self.works.par_iter_mut())
            .enumerate()
            .try_for_each(|(i, (frame, work))| {
                monitor.check()?;
                place(frame, work, species, imaging, imaging.scale[i], x, None);
                draw_model(frame, work, imaging, i);
                Ok(())
            })
    }

    /// Weighted misfit at `x` and its gradient. Weights are those set last.
    pub(crate) fn evaluate(
        &mut self,
        imaging: &Imaging,
        x: &[f64],
        gradient: &mut [f64],
        monitor: &Monitor,
    ) -> Result<f64, Stopped> {
        let species = &self.species;
        self.frames
            .par_iter()
            .zip(self.works.par_iter_mut())
            .enumerate()
            .try_for_each(|(i, (frame, work))| {
                monitor.check()?;
                place(frame, work, species, imaging, imaging.scale[i], x, None);
                draw_model(frame, work, imaging, i);
                work.objective = misfit(frame, work);
                work.gathered.clear();
                work.gathered.resize(work.splats.len(), [0.0; 3]);
                for (c, &radius) in imaging.radii.iter().enumerate().filter(|(_, r)| **r > 0) {
                    gather_slopes(
                        &work.slopes,
                        frame.stride,
                        radius,
                        &work.splats,
                        c,
                        &mut work.gathered,
                    );
                }
                Ok(())
            })?;
        gradient.fill(0.0);
        // In the order of the frames, so that the sum is the same for any number of threads.
        for (frame, work) in self.frames.iter().zip(&self.works) {
            add_gradient(frame, work, gradient);
        }
        Ok(self.works.iter().map(|w| w.objective).sum())
    }

    /// Each atom's block of the normal matrix `Σ w (∂λ)(∂λ)ᵀ` (Fisher information when w = 1/variance).
    pub(crate) fn blocks(
        &mut self,
        imaging: &Imaging,
        x: &[f64],
        monitor: &Monitor,
    ) -> Result<Vec<Block>, Stopped> {
        let species = &self.species;
        self.frames
            .par_iter()
            .zip(self.works.par_iter_mut())
            .enumerate()
            .try_for_each(|(i, (frame, work))| {
                monitor.check()?;
                place(frame, work, species, imaging, imaging.scale[i], x, None);
                work.informed.resize(work.splats.len(), [0.0; 6]);
                gather_information(
                    &work.weights,
                    frame.stride,
                    imaging.radius(),
                    &work.splats,
                    &mut work.informed,
                );
                Ok(())
            })?;
        let mut blocks = vec![Block::zeros(); x.len() / PER_ATOM];
        for (frame, work) in self.frames.iter().zip(&self.works) {
            add_blocks(frame, work, &mut blocks);
        }
        Ok(blocks)
    }

    /// Gradients and blocks of the even (0) and the odd (1) tilts alone, and each tilt's own word on every atom.
    ///
    /// Made of what the last [`Self::evaluate`] and [`Self::blocks`], both at `x`, left behind.
    pub(crate) fn halves(&self, x: &[f64]) -> Halves {
        let atoms = x.len() / PER_ATOM;
        let mut halves = Halves {
            gradients: std::array::from_fn(|_| vec![0.0; x.len()]),
            blocks: std::array::from_fn(|_| vec![Block::zeros(); atoms]),
            tilts: vec![0; atoms],
            against: vec![0; atoms],
        };
        for (index, (frame, work)) in self.frames.iter().zip(&self.works).enumerate() {
            add_gradient(frame, work, &mut halves.gradients[index % 2]);
            add_blocks(frame, work, &mut halves.blocks[index % 2]);
            for ((&atom, slopes), sums) in work.atoms.iter().zip(&work.gathered).zip(&work.informed)
            {
                let atom = atom as usize;
                let information = f64::from(sums[0]);
                // The tilt's own estimate of the occupancy is o − slope / information.
                let excess = (x[PER_ATOM * atom] - 0.5) * information - f64::from(slopes[0]);
                halves.tilts[atom] += usize::from(information > 0.0);
                halves.against[atom] += usize::from(information > 0.0 && excess < 0.0);
            }
        }
        halves
    }

    /// What the images would say to one more atom of species `kind` at each of `places`. Slopes and weights are those
    /// of the last evaluation.
    pub(crate) fn probe(
        &mut self,
        imaging: &Imaging,
        places: &[[f64; 3]],
        kind: u16,
        monitor: &Monitor,
    ) -> Result<Vec<Probe>, Stopped> {
        let x: Vec<f64> = places
            .iter()
            .flat_map(|p| [1.0, p[0], p[1], p[2]])
            .collect();
        let species = vec![kind; places.len()];
        self.frames
            .par_iter()
            .zip(self.works.par_iter_mut())
            .enumerate()
            .try_for_each(|(i, (frame, work))| {
                monitor.check()?;
                place(frame, work, &species, imaging, imaging.scale[i], &x, None);
                work.gathered.clear();
                work.gathered.resize(work.splats.len(), [0.0; 3]);
                work.informed.resize(work.splats.len(), [0.0; 6]);
                for (c, &radius) in imaging.radii.iter().enumerate().filter(|(_, r)| **r > 0) {
                    gather_slopes(
                        &work.slopes,
                        frame.stride,
                        radius,
                        &work.splats,
                        c,
                        &mut work.gathered,
                    );
                }
                let radius = imaging.radius();
                gather_information(
                    &work.weights,
                    frame.stride,
                    radius,
                    &work.splats,
                    &mut work.informed,
                );
                Ok(())
            })?;
        let mut probes = vec![Probe::default(); places.len()];
        for (index, (frame, work)) in self.frames.iter().zip(&self.works).enumerate() {
            for ((&atom, sums), information) in
                work.atoms.iter().zip(&work.gathered).zip(&work.informed)
            {
                let [s, u, v] = sums.map(|value| -f64::from(value));
                let [ss, _, _, uu, uv, vv] = information.map(f64::from);
                let probe = &mut probes[atom as usize];
                let half = &mut probe.halves[index % 2];
                half[0] += s;
                half[1] += ss;
                probe.tilts += 1;
                probe.supporting += usize::from(s > 0.0);
                let [a, b] = &frame.axes;
                for i in 0..3 {
                    probe.gradient[i] += u * a[i] + v * b[i];
                    for j in 0..3 {
                        probe.curvature[(i, j)] +=
                            uu * a[i] * a[j] + uv * (a[i] * b[j] + b[i] * a[j]) + vv * b[i] * b[j];
                    }
                }
            }
        }
        Ok(probes)
    }

    /// Weighted misfit at `x`; leaves the model images in the works.
    pub(crate) fn misfit(
        &mut self,
        imaging: &Imaging,
        x: &[f64],
        monitor: &Monitor,
    ) -> Result<f64, Stopped> {
        self.render(imaging, x, monitor)?;
        self.frames
            .par_iter()
            .zip(self.works.par_iter_mut())
            .for_each(|(frame, work)| work.objective = misfit(frame, work));
        Ok(self.works.iter().map(|w| w.objective).sum())
    }

    /// Sets the weights from the model images drawn last, and returns the dispersion `g` (variance over mean for
    /// counts, variance otherwise).
    pub(crate) fn set_weights(&mut self, counts: bool) -> f64 {
        let floor = counts.then(|| self.variance_floor());
        let sums: Vec<[f64; 2]> = self
            .frames
            .par_iter()
            .zip(&self.works)
            .map(|(frame, work)| {
                let mut total = [0.0; 2];
                for run in frame.runs() {
                    for (observed, model) in
                        frame.observed[run.clone()].iter().zip(&work.model[run])
                    {
                        // Where the floor stands in for the model, the residual says nothing about it.
                        if floor.is_none_or(|floor| *model > floor) {
                            let residual = observed - model;
                            let unit = if counts { *model } else { 1.0 };
                            total[0] += f64::from(residual * residual / unit);
                            total[1] += 1.0;
                        }
                    }
                }
                total
            })
            .collect();
        let sum = |k: usize| sums.iter().map(|s| s[k]).sum::<f64>();
        // Noise-free data would give infinite weights; a millionth of a count squared is below any detector.
        let dispersion = (sum(0) / sum(1).max(1.0)).max(1e-6);
        self.frames
            .par_iter()
            .zip(self.works.par_iter_mut())
            .for_each(|(frame, work)| {
                for run in frame.runs() {
                    for (weight, model) in
                        work.weights[run.clone()].iter_mut().zip(&work.model[run])
                    {
                        let unit = floor.map_or(1.0, |floor| model.max(floor));
                        *weight = 1.0 / (dispersion as f32 * unit);
                    }
                }
            });
        dispersion
    }

    /// Model counts below this are taken as this in weights, lest empty corners rule the fit.
    fn variance_floor(&self) -> f32 {
        let total: f64 = self
            .frames
            .par_iter()
            .map(|frame| {
                let lines = frame.runs().map(|run| {
                    frame.observed[run]
                        .iter()
                        .map(|&v| f64::from(v))
                        .sum::<f64>()
                });
                lines.sum::<f64>()
            })
            .collect::<Vec<f64>>()
            .iter()
            .sum();
        (0.1 * total / self.pixels().max(1) as f64).max(1e-6) as f32
    }

    /// `Σ|λ − n| / Σ|n|` of each frame, of the model images drawn last.
    pub(crate) fn r1_per_frame(&self) -> Vec<f64> {
        self.frames
            .par_iter()
            .zip(&self.works)
            .map(|(frame, work)| {
                let (mut difference, mut total) = (0.0, 0.0);
                for run in frame.runs() {
                    for (observed, model) in
                        frame.observed[run.clone()].iter().zip(&work.model[run])
                    {
                        difference += f64::from((observed - model).abs());
                        total += f64::from(observed.abs());
                    }
                }
                if total > 0.0 { difference / total } else { 0.0 }
            })
            .collect()
    }

    /// Exponent p of `residual variance ∝ model^p`, from the darker and the brighter half of the pixels, of the model
    /// images drawn last: 0 for detector noise, 1 for counts.
    pub(crate) fn variance_exponent(&self) -> f64 {
        let mean = {
            let (mut total, mut n) = (0.0, 0usize);
            for (frame, work) in self.frames.iter().zip(&self.works) {
                for run in frame.runs() {
                    total += work.model[run.clone()]
                        .iter()
                        .map(|&v| f64::from(v))
                        .sum::<f64>();
                    n += run.len();
                }
            }
            total / n.max(1) as f64
        };
        // Number, Σ model, Σ residual² of the pixels below and above the mean.
        let mut halves = [[0.0f64; 3]; 2];
        for (frame, work) in self.frames.iter().zip(&self.works) {
            for run in frame.runs() {
                for (observed, model) in frame.observed[run.clone()].iter().zip(&work.model[run]) {
                    let half = &mut halves[usize::from(f64::from(*model) > mean)];
                    half[0] += 1.0;
                    half[1] += f64::from(*model);
                    half[2] += f64::from((observed - model) * (observed - model));
                }
            }
        }
        let [[n0, m0, v0], [n1, m1, v1]] = halves;
        if n0 == 0.0 || n1 == 0.0 || v0 <= 0.0 || v1 <= 0.0 || m1 <= 0.0 {
            return 0.0;
        }
        // A dark half of nothing at all says that brightness brings the noise.
        let contrast = (m1 / n1) / (m0 / n0).max(1e-3 * m1 / n1);
        ((v1 / n1) / (v0 / n0)).ln() / contrast.ln().max(1e-9)
    }
}

/// Image of one species and one component with weight 1, and its derivative by the variance.
pub(crate) fn component_images(
    frame: &Frame,
    species: &[u16],
    imaging: &Imaging,
    scale: f64,
    x: &[f64],
    kind: u16,
    component: usize,
) -> [Vec<f32>; 2] {
    let mut alone = imaging.clone();
    for profile in &mut alone.profiles {
        profile.weight = [0.0; COMPONENTS];
        profile.weight[component] = 1.0;
    }
    let mut work = Work::default();
    place(frame, &mut work, species, &alone, scale, x, Some(kind));
    let mut image = vec![0.0; frame.observed.len()];
    let mut slope = image.clone();
    let radius = imaging.radii[component];
    let (splats, factors) = (&work.splats, &work.factors);
    draw_atoms(&mut image, frame.stride, radius, splats, component, factors);
    draw_width_slopes(&mut slope, frame.stride, radius, splats, component, factors);
    [image, slope]
}

/// Adds one frame's gathered slopes to the gradient.
fn add_gradient(frame: &Frame, work: &Work, gradient: &mut [f64]) {
    for ((&atom, &[s, u, v]), &occupancy) in
        work.atoms.iter().zip(&work.gathered).zip(&work.factors)
    {
        let out = &mut gradient[PER_ATOM * atom as usize..][..PER_ATOM];
        let (u, v) = (f64::from(u * occupancy), f64::from(v * occupancy));
        out[0] += f64::from(s);
        for axis in 0..3 {
            out[axis + 1] += u * frame.axes[0][axis] + v * frame.axes[1][axis];
        }
    }
}

/// Adds one frame's gathered information to the atoms' blocks.
fn add_blocks(frame: &Frame, work: &Work, blocks: &mut [Block]) {
    for ((&atom, sums), &occupancy) in work.atoms.iter().zip(&work.informed).zip(&work.factors) {
        let [ss, su, sv, uu, uv, vv] = sums.map(f64::from);
        let occupancy = f64::from(occupancy);
        let block = &mut blocks[atom as usize];
        let [a, b] = &frame.axes;
        block[(0, 0)] += ss;
        for i in 0..3 {
            let cross = occupancy * (su * a[i] + sv * b[i]);
            block[(0, i + 1)] += cross;
            block[(i + 1, 0)] += cross;
            for j in 0..3 {
                block[(i + 1, j + 1)] += occupancy
                    * occupancy
                    * (uu * a[i] * a[j] + uv * (a[i] * b[j] + b[i] * a[j]) + vv * b[i] * b[j]);
            }
        }
    }
}

fn draw_model(frame: &Frame, work: &mut Work, imaging: &Imaging, index: usize) {
    let background = imaging.background[index] as f32;
    if frame.fixed.is_empty() {
        work.model.fill(background);
    } else {
        work.model.copy_from_slice(&frame.fixed);
        if background != 0.0 {
            work.model.iter_mut().for_each(|v| *v += background);
        }
    }
    for (c, &radius) in imaging.radii.iter().enumerate().filter(|(_, r)| **r > 0) {
        draw_atoms(
            &mut work.model,
            frame.stride,
            radius,
            &work.splats,
            c,
            &work.factors,
        );
    }
}

/// `½ Σ w r²` over the frame, leaving `−w r` in the slopes (0 in the padding).
fn misfit(frame: &Frame, work: &mut Work) -> f64 {
    let mut total = 0.0;
    for run in frame.runs() {
        let mut line = 0.0f64;
        let rows = frame.observed[run.clone()]
            .iter()
            .zip(&work.model[run.clone()])
            .zip(&work.weights[run.clone()]);
        for (((observed, model), weight), slope) in rows.zip(&mut work.slopes[run.clone()]) {
            let residual = observed - model;
            *slope = -weight * residual;
            line += f64::from(weight * residual * residual);
        }
        total += line;
    }
    0.5 * total
}
