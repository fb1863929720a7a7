//! The analysis under way: the parts in their order, and what of an analysis before may be used again.
//!
//! A part that depends on nothing that has changed is left as it was: its columns are those of the atoms taken over. What
//! costs most (tessellation, templates, pair counts) is kept apart from the thresholds that only sort it.

use super::bonds::{Lengths, Neighbors, Topology};
use super::crystals::{self, Reference};
use super::oxidation::{Region, Space, Sweep};
use super::params::{Wanted, check};
use super::structure_factor::structure_factor;
use super::summary::phases as phases_of;
use super::{AnalyzeError, AnalyzeParams, Analyzed};
use super::{
    bonds, core_shell, fivefold, order, oxidation, pdf, planes, profiles, ptm, strain, summary,
    voids,
};
use crate::model::Atoms;
use crate::monitor::Monitor;
use crate::numeric::neighbors::neighbors_within;
use rayon::prelude::*;
use std::sync::Arc;
use std::time::Instant;

/// The analysis under way.
pub(super) struct Work<'a> {
    pub wanted: Wanted,
    pub out: Analyzed,
    /// Median nearest distance, Å.
    pub spacing: f64,
    /// The outcome before, when this one repeats it.
    pub before: Option<&'a Analyzed>,
}

/// Parts that need the tessellation.
const IN_SPACE: [&str; 5] = ["voronoi", "oxidation", "voids", "core-shell", "profiles"];

/// Who is told the part that a moved threshold changes first, and the whole analysis before.
pub(super) struct Early<'a> {
    pub before: &'a Arc<Analyzed>,
    pub tell: &'a mut dyn FnMut(Analyzed),
}

pub(super) fn run(
    atoms: &Atoms,
    params: &AnalyzeParams,
    before: Option<&Analyzed>,
    early: Option<Early<'_>>,
    monitor: &Monitor,
) -> Result<Analyzed, AnalyzeError> {
    // The atoms of an analysis were found good.
    let spacing = match before {
        Some(before) => super::params::check_values(params).map(|()| before.spacing)?,
        None => check(atoms, params)?,
    };
    let wanted = Wanted::new(params)?;
    let host = host(atoms, params)?;
    let given = before.map_or_else(
        || atoms.columns.keys().cloned().collect(),
        |b| b.given.clone(),
    );
    let mut own = atoms.clone();
    // With other parts wanted, columns of the old ones must not stay.
    let same_host = before.filter(|b| b.params.host == params.host);
    let same_parts = same_host.filter(|b| b.params.only == params.only);
    if same_parts.is_none() && before.is_some() {
        own.columns.retain(|name, _| given.contains(name));
    }
    let mut work = Work {
        wanted,
        out: Analyzed {
            atoms: own,
            spacing,
            given,
            params: params.clone(),
            space: same_host.and_then(|b| b.space.clone()),
            matches: before.and_then(|b| b.matches.clone()),
            counted: before.and_then(|b| b.counted.clone()),
            neighbors: before.and_then(|b| b.neighbors.clone()),
            ..Analyzed::default()
        },
        spacing,
        before: same_parts,
    };
    let total = 7;
    monitor.progress(0, total);
    // The tessellation is one thread's work; pairs and templates keep the others busy meanwhile.
    let known = work.out.space.clone();
    let tessellated = IN_SPACE.iter().any(|part| work.wanted.has(part));
    let (made, matched) = rayon::join(
        || {
            let started = Instant::now();
            let tessellate = || match &host {
                Some(chosen) => Space::of_some(&atoms.positions, chosen),
                None => Space::new(&atoms.positions),
            };
            let new = || tessellated.then(tessellate).flatten().map(Arc::new);
            let space = known.or_else(new);
            (space, started.elapsed().as_secs_f64())
        },
        || {
            work.pdf(params);
            work.order();
            work.templates(params, monitor)
        },
    );
    matched?;
    work.out.space = made.0;
    monitor.check()?;
    monitor.progress(1, total);
    work.region(made.1);
    work.topology(params);
    work.oxidation(params);
    work.voids(params);
    super::phases::part(&mut work);
    work.sweep(params);
    monitor.check()?;
    monitor.progress(3, total);
    if let Some(early) = early {
        work.tell(early, params);
        monitor.check()?;
    }
    let positions = &atoms.positions;
    let grain = work.out.atoms.column("grain").map(<[f64]>::to_vec);
    let known = strain::known(&work);
    let strained = work.wanted.has("strain").then(|| work.neighbors());
    // Grains grow on one thread.
    let (found, distances) = rayon::join(
        || strained.map(|n| strain::timed(positions, &n.of, grain.as_deref(), params, known)),
        || {
            core_shell::part(&mut work, params);
            work.phase_pdfs(params);
            monitor.check()?;
            Ok::<_, AnalyzeError>(profiles::timed_distances(&work))
        },
    );
    let distances = distances?;
    if let Some((found, seconds)) = found {
        strain::part(&mut work, found, seconds);
    }
    monitor.check()?;
    monitor.progress(5, total);
    profiles::part(&mut work, distances, params);
    work.void_radial(params);
    monitor.check()?;
    monitor.progress(6, total);
    planes::part(&mut work, params)?;
    monitor.progress(total, total);
    let mut out = work.out;
    out.summary = summary::summary(&out, params);
    Ok(out)
}

/// The atoms that are tessellated; `None` for all.
fn host(atoms: &Atoms, params: &AnalyzeParams) -> Result<Option<Vec<u32>>, AnalyzeError> {
    let Some(host) = &params.host else {
        return Ok(None);
    };
    let of = (0..atoms.len() as u32).filter(|&i| atoms.species_name(i as usize) == host);
    let chosen: Vec<u32> = of.collect();
    if chosen.is_empty() {
        return Err(AnalyzeError::BadParameter {
            name: "host",
            expected: format!(
                "one of {}",
                atoms
                    .species_counts()
                    .into_keys()
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            found: host.clone(),
        });
    }
    Ok((chosen.len() < atoms.len()).then_some(chosen))
}

impl<'a> Work<'a> {
    pub fn time(&mut self, name: &str, started: Instant) {
        let seconds = started.elapsed().as_secs_f64();
        match self.out.seconds.iter_mut().find(|(known, _)| known == name) {
            Some((_, sum)) => *sum += seconds,
            None => self.out.seconds.push((name.to_owned(), seconds)),
        }
    }

    /// The analysis before, if it had the same cutoff and the same values of some parameters.
    pub fn same<T: PartialEq>(&self, of: impl Fn(&AnalyzeParams) -> T) -> Option<&'a Analyzed> {
        let own = &self.out;
        self.before
            .filter(|b| b.cutoff == own.cutoff && of(&b.params) == of(&own.params))
    }

    /// The parts that take longest and will be made anew because of the parameters that have changed.
    fn late(&self, before: &Analyzed) -> Vec<&'static str> {
        let same = |part: &str| before.atoms.column(part) == self.out.atoms.column(part);
        let same_bits = |name: &str| match (before.atoms.column(name), self.out.atoms.column(name))
        {
            (Some(a), Some(b)) => profiles::same_bits(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        let moved = before.cutoff != self.out.cutoff;
        let phases = !same_bits("phase");
        let width = before.params.interface_sigma != self.out.params.interface_sigma;
        let mut parts = Vec::new();
        let mut add = |name: &'static str, late: bool| {
            if late && self.wanted.has(name) {
                parts.push(name);
            }
        };
        add(
            "core-shell",
            (moved || width) && before.core_shell.is_some(),
        );
        add("strain", moved || !same("grain"));
        let surface = before.params.surface != self.out.params.surface;
        add("profiles", moved || phases || width || surface);
        parts
    }

    /// Tells what is there already, with the late parts as they were before; nothing when no part is late.
    fn tell(&self, early: Early<'_>, params: &AnalyzeParams) {
        let Some(before) = self.before else { return };
        let parts = self.late(before);
        if parts.is_empty() {
            return;
        }
        let mut out = Analyzed {
            core_shell: before.core_shell.clone(),
            strain: before.strain.clone(),
            distances: before.distances.clone(),
            profiles: before.profiles.clone(),
            profile_width: before.profile_width,
            void_radial: before.void_radial.clone(),
            phase_pdfs: before.phase_pdfs.clone(),
            phase_counts: Arc::clone(&before.phase_counts),
            stack: before.stack.clone(),
            pending: Some(super::Pending {
                parts,
                of: Arc::clone(early.before),
            }),
            ..self.out.clone()
        };
        out.summary = summary::summary(&out, params);
        (early.tell)(out);
    }

    /// The PDF also gives the neighbour cutoff, so it runs whenever that is needed.
    fn pdf(&mut self, params: &AnalyzeParams) {
        let started = Instant::now();
        if self.wanted.has("pdf") || params.cutoff.is_none() {
            let sampling = sampling(params);
            let atoms = &self.out.atoms;
            let kinds: Vec<usize> = atoms.species.iter().map(|&s| usize::from(s)).collect();
            let names = &atoms.species_names;
            let classes = (atoms.species_counts().len() > 1).then_some((&kinds[..], &names[..]));
            let (positions, spacing) = (&atoms.positions, self.spacing);
            let counted = match self.out.counted.take() {
                Some(known) if known.sampling == [sampling.range, sampling.bin] => known,
                Some(known) => {
                    let again = pdf::counted_again(&known, positions, &sampling, spacing, classes);
                    Arc::new(again)
                }
                None => Arc::new(pdf::counted(positions, &sampling, spacing, classes)),
            };
            let function = counted.smoothed(params.pdf_smoothing);
            if params.cutoff.is_none() && function.first_valley.is_none() {
                self.out
                    .notes
                    .push("the PDF has no valley: the cutoff is 1.35 nearest distances".to_owned());
            }
            self.out.cutoff = function.first_valley.unwrap_or(1.35 * self.spacing);
            if self.wanted.has("pdf") {
                self.out.structure_factor = Some(structure_factor(&counted, params.q_range));
                self.compare_with(params, &sampling);
            }
            self.out.counted = Some(counted);
            self.out.pdf = Some(function);
        }
        if let Some(cutoff) = params.cutoff {
            self.out.cutoff = cutoff;
        }
        self.time("pdf", started);
    }

    /// The PDFs of the crystals to compare with.
    fn compare_with(&mut self, params: &AnalyzeParams, sampling: &pdf::Sampling) {
        let shown: Vec<String> = self.out.atoms.species_counts().into_keys().collect();
        for reference in &params.references {
            let crystal = match reference {
                Reference::Crystal(crystal) => Some((**crystal).clone()),
                Reference::Name(name) => crystals::built_in(name),
            };
            match crystal.and_then(|c| crystals::reference_pdf(&c, &shown, sampling)) {
                Some(made) => self.out.references.push(made),
                None => self.out.notes.push(format!(
                    "reference {}: a cell without atoms, or with too many for {} Å",
                    reference.name(),
                    sampling.range
                )),
            }
        }
    }

    fn order(&mut self) {
        if !self.wanted.has("boo") {
            return;
        }
        if let Some(before) = self.same(|_| ()) {
            self.out.bond_lengths = before.bond_lengths.clone();
            return;
        }
        let started = Instant::now();
        let neighbors = self.neighbors();
        let positions = &self.out.atoms.positions;
        let around = &neighbors.of;
        let q = order::averaged_q4_q6(positions, around);
        let mean = bonds::bonds(positions, around);
        self.out.bond_lengths = Some(Lengths::of(&self.out.atoms, around));
        let atoms = &mut self.out.atoms;
        atoms.set_column("q4bar", "", q.iter().map(|q| q[0]).collect());
        atoms.set_column("q6bar", "", q.iter().map(|q| q[1]).collect());
        atoms.set_column("boo", "", q.iter().map(|q| order::normalized(*q)).collect());
        atoms.set_column("cn", "", around.iter().map(|n| n.len() as f64).collect());
        atoms.set_column("bond_length_A", "Å", mean);
        self.time("boo", started);
    }

    fn region(&mut self, seconds: f64) {
        if !IN_SPACE.iter().any(|part| self.wanted.has(part)) {
            return;
        }
        let started = Instant::now();
        let Some(space) = self.out.space.clone() else {
            self.out
                .notes
                .push("the atoms lie in one plane: no tessellation".to_owned());
            return;
        };
        if let Some(region) = self.same(|_| ()).and_then(|b| b.region.clone()) {
            self.out.region = Some(region);
            return;
        }
        let region = Region::new(&space, self.out.cutoff, self.out.atoms.len());
        let rho = space
            .cell
            .iter()
            .zip(&region.surface)
            .map(|(&cell, &surface)| {
                if surface || cell <= 0.0 {
                    f64::NAN
                } else {
                    1.0 / cell
                }
            })
            .collect();
        self.out.atoms.set_column("rho_n", "Å⁻³", rho);
        let flags = region.surface.iter().map(|&s| f64::from(u8::from(s)));
        self.out.atoms.set_column("surface", "", flags.collect());
        self.out.region = Some(Arc::new(region));
        self.out.seconds.push(("voronoi".to_owned(), seconds));
        self.time("voronoi", started);
    }

    /// Bonds over the faces of the Voronoi cells.
    fn topology(&mut self, params: &AnalyzeParams) {
        let Some(space) = self
            .out
            .space
            .clone()
            .filter(|_| self.wanted.has("voronoi"))
        else {
            return;
        };
        if let Some(known) = self.same(|p| p.face_share).and_then(|b| b.topology.clone()) {
            self.out.topology = Some(known);
            return;
        }
        let started = Instant::now();
        let atoms = &mut self.out.atoms;
        let made = Topology::new(
            &atoms.positions,
            &space.faces,
            self.out.cutoff,
            params.face_share,
        );
        atoms.set_column("cn_voronoi", "", made.coordination.clone());
        atoms.set_column("bond_voronoi_A", "Å", made.length.clone());
        atoms.set_column("fivefold", "", made.fivefold());
        self.out.topology = Some(Arc::new(made));
        self.time("voronoi", started);
    }

    fn oxidation(&mut self, params: &AnalyzeParams) {
        let (Some(space), Some(region)) = (&self.out.space, &self.out.region) else {
            return;
        };
        if !self.wanted.has("oxidation") {
            return;
        }
        // Which of several species O would sit among is the user's to say.
        let species = self.out.atoms.species_counts().len();
        if species > 1 && params.host.is_none() && self.wanted.0.is_none() {
            self.out.notes.push(format!(
                "oxidation: left out, the model has {species} species and no host was chosen"
            ));
            return;
        }
        let thresholds = |p: &AnalyzeParams| (p.oxygen_volume, p.max_distortion, p.sliver_volume);
        let kept = self.same(|p| (thresholds(p), p.map_sigma));
        if let Some(before) = kept.filter(|b| b.atoms.column("oxidation").is_some()) {
            self.out.oxygen = before.oxygen.clone();
            self.out.oxygen_of = before.oxygen_of.clone();
            return;
        }
        let started = Instant::now();
        let positions = &self.out.atoms.positions;
        let found = oxidation::oxidation(space, &region.inside, positions, params);
        let map = oxidation::smoothed(positions, &found.degree, params.map_sigma);
        self.out.atoms.set_column("oxidation", "", found.degree);
        self.out.atoms.set_column("oxidation_map", "", map);
        self.out.oxygen = found.oxygen;
        self.out.oxygen_of = Some(Arc::new(found.filled));
        self.time("oxidation", started);
    }

    /// What the thresholds of the oxidation do to its means.
    fn sweep(&mut self, params: &AnalyzeParams) {
        let (Some(space), Some(region)) = (&self.out.space, &self.out.region) else {
            return;
        };
        let atoms = &self.out.atoms;
        if !self.wanted.has("oxidation") || atoms.column("oxidation").is_none() {
            return;
        }
        let started = Instant::now();
        let inner: Vec<bool> = region.surface.iter().map(|s| !s).collect();
        let mut groups = vec![("all".to_owned(), inner.clone())];
        if let Some(phase) = atoms.column("phase") {
            for (name, value) in phases_of(phase) {
                let own = phase
                    .iter()
                    .zip(&inner)
                    .map(|(p, inner)| *inner && *p == value);
                groups.push((name, own.collect()));
            }
        }
        self.out.sweep = Some(Sweep::new(space, &region.inside, &groups, params));
        self.time("oxidation", started);
    }

    fn voids(&mut self, params: &AnalyzeParams) {
        let (Some(space), Some(region)) = (&self.out.space, &self.out.region) else {
            return;
        };
        if !self.wanted.has("voids") {
            return;
        }
        if let Some(before) = self.same(|p| (p.void_radius, p.sliver_volume)) {
            self.out.voids = before.voids.clone();
            self.out.void_surfaces = Arc::clone(&before.void_surfaces);
            return;
        }
        let started = Instant::now();
        let positions = &self.out.atoms.positions;
        let limits = [params.void_radius, params.sliver_volume];
        let found = voids::voids(space, &region.inside, positions, limits);
        self.out.void_surfaces = Arc::new(voids::surfaces(&found, space, positions));
        self.out.voids = found;
        self.time("voids", started);
    }

    /// Voids against the distances from the particle's surface and the core's.
    fn void_radial(&mut self, params: &AnalyzeParams) {
        let (Some(space), Some(region)) = (&self.out.space, &self.out.region) else {
            return;
        };
        if !self.wanted.has("voids") {
            return;
        }
        let started = Instant::now();
        // Twice the nearest distance: a shell thinner than a void says nothing.
        let width = 4.0 * params.profile_bin.unwrap_or(0.5 * self.spacing);
        let scales = [width, params.void_radius];
        let both = ["surface", "core"].into_iter();
        let found = both.filter_map(|name| {
            let from = self.out.distances.iter().find(|d| d.from == name)?;
            Some(voids::Radial::new(
                from,
                &self.out.voids,
                space,
                region,
                scales,
            ))
        });
        self.out.void_radial = found.collect();
        self.time("voids", started);
    }

    fn templates(&mut self, params: &AnalyzeParams, monitor: &Monitor) -> Result<(), AnalyzeError> {
        if !self.wanted.has("ptm") {
            return Ok(());
        }
        let started = Instant::now();
        let wanted = &params.ptm_structures;
        let known = self.out.matches.take().filter(|m| m.wanted == *wanted);
        let limits = |p: &AnalyzeParams| (p.ptm_rmsd, p.grain_misorientation_deg);
        // The cutoff plays no part here.
        let kept = self.before.filter(|b| {
            known.is_some()
                && limits(&b.params) == limits(params)
                && b.atoms.column("ptm").is_some()
        });
        let matches = match known {
            Some(matches) => matches,
            None => Arc::new(ptm::Matches::new(
                &self.out.atoms.positions,
                wanted.clone(),
                self.spacing,
                monitor,
            )?),
        };
        self.out.notes.extend(matches.notes());
        (self.out.grains, self.out.twins) = match kept {
            Some(before) => (before.grains.clone(), before.twins.clone()),
            None => matches.describe(
                &mut self.out.atoms,
                params.ptm_rmsd,
                params.grain_misorientation_deg.to_radians(),
            ),
        };
        self.out.matches = Some(matches);
        self.fivefold();
        self.time("ptm", started);
        Ok(())
    }

    /// Five-fold axes, by the bonds of the cutoff.
    fn fivefold(&mut self) {
        if let Some(known) = self.same(|_| ()).and_then(|b| b.fivefold.clone()) {
            self.out.fivefold = Some(known);
            return;
        }
        let neighbors = self.neighbors();
        let atoms = &mut self.out.atoms;
        let found = fivefold::Fivefold::new(&atoms.positions, &neighbors.of);
        atoms.set_column("fivefold_axis", "", found.axis_of(atoms.len()));
        self.out.fivefold = Some(Arc::new(found));
    }

    /// The neighbours nearer than the cutoff.
    fn neighbors(&mut self) -> Arc<Neighbors> {
        let cutoff = self.out.cutoff;
        let known = self.out.neighbors.take().filter(|n| n.cutoff == cutoff);
        let neighbors = known.unwrap_or_else(|| {
            let of = neighbors_within(&self.out.atoms.positions, cutoff);
            Arc::new(Neighbors { cutoff, of })
        });
        self.out.neighbors = Some(Arc::clone(&neighbors));
        neighbors
    }

    /// The PDF of each phase by itself, its own shape corrected for.
    fn phase_pdfs(&mut self, params: &AnalyzeParams) {
        let Some(phase) = self
            .out
            .atoms
            .column("phase")
            .filter(|_| self.wanted.has("pdf"))
        else {
            return;
        };
        let started = Instant::now();
        let names = phases_of(phase);
        if names.len() < 2 {
            return;
        }
        // Beyond the first shells a phase's pairs say little that the whole does not.
        const RANGE: f64 = 12.0;
        let sampling = pdf::Sampling {
            range: params.pdf_range.min(RANGE),
            ..sampling(params)
        };
        let wanted = [sampling.range, sampling.bin];
        let known = self
            .before
            .filter(|b| b.atoms.column("phase") == Some(phase));
        let same = known.filter(|b| {
            let first = b.phase_counts.first();
            first.is_some_and(|(_, counted)| counted.sampling == wanted)
        });
        // Fewer atoms are no phase whose pairs say anything.
        const FEWEST: usize = 20;
        let positions = &self.out.atoms.positions;
        let spacing = self.spacing;
        let count = |(name, value): &(String, f64)| {
            let own: Vec<[f64; 3]> = (0..phase.len())
                .filter(|&i| phase[i] == *value)
                .map(|i| positions[i])
                .collect();
            let old = known.and_then(|b| b.phase_counts.iter().find(|(other, _)| other == name));
            (own.len() >= FEWEST).then(|| {
                let counted = match old {
                    Some((_, old)) => pdf::counted_again(old, &own, &sampling, spacing, None),
                    None => pdf::counted(&own, &sampling, spacing, None),
                };
                (name.clone(), counted)
            })
        };
        let counts = match same {
            Some(before) => Arc::clone(&before.phase_counts),
            None => Arc::new(names.par_iter().filter_map(count).collect()),
        };
        let made = counts
            .iter()
            .map(|(name, counted)| (name.clone(), counted.smoothed(sampling.smoothing)))
            .collect();
        self.out.phase_counts = counts;
        self.out.phase_pdfs = made;
        self.time("pdf", started);
    }
}

fn sampling(params: &AnalyzeParams) -> pdf::Sampling {
    pdf::Sampling {
        range: params.pdf_range,
        bin: params.pdf_bin,
        smoothing: params.pdf_smoothing,
    }
}
