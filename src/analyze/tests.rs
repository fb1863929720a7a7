//! An analysis repeated gives what a new one gives, whatever has moved.

use super::oxidation::tests::fcc_ball;
use super::*;

type Move = (&'static str, fn(&mut AnalyzeParams));

/// A metal ball in an oxide, one half of which is shaken out of its lattice.
fn particle() -> Atoms {
    let size = |p: &[f64; 3]| p.iter().map(|v| v * v).sum::<f64>().sqrt();
    let mut points = fcc_ball(4.53, 9.5);
    let oxide = fcc_ball(5.09, 18.0);
    for (i, p) in oxide.into_iter().enumerate() {
        let off = |k: usize| ((i * (37 + 11 * k)) % 101) as f64 / 101.0 - 0.5;
        let shake = if p[0] > 0.0 { 1.1 } else { 0.1 };
        if size(&p) > 11.5 {
            points.push(std::array::from_fn(|k| p[k] + shake * off(k)));
        }
    }
    Atoms::from_positions(points, "Zr")
}

/// The outcome as numbers, but for the time it took.
fn numbers(out: &Analyzed) -> String {
    let mut json = out.summary.clone();
    json.as_object_mut().unwrap().remove("seconds");
    json.to_string()
}

fn columns(out: &Analyzed) -> Vec<(String, Vec<u64>)> {
    let bits = |c: &crate::model::Column| c.values.iter().map(|v| v.to_bits()).collect();
    let each = out.atoms.columns.iter();
    each.map(|(name, column)| (name.clone(), bits(column)))
        .collect()
}

#[test]
fn every_slider_that_moves_gives_what_a_new_analysis_gives() {
    let atoms = particle();
    let silent = Monitor::silent();
    let params = AnalyzeParams::default();
    let first = Arc::new(analyze(&atoms, &params, &silent).unwrap());
    assert!(first.phase_pdfs.len() >= 2, "{:?}", first.notes);
    let moves: [Move; 18] = [
        ("boo_threshold", |p| p.boo_threshold += 0.1),
        ("oxygen_volume", |p| p.oxygen_volume += 0.2),
        ("max_distortion", |p| p.max_distortion += 0.03),
        ("sliver_volume", |p| p.sliver_volume += 0.3),
        ("map_sigma", |p| p.map_sigma += 0.5),
        ("void_radius", |p| p.void_radius -= 0.3),
        ("ptm_rmsd", |p| p.ptm_rmsd += 0.03),
        ("grain_misorientation", |p| {
            p.grain_misorientation_deg += 3.0
        }),
        ("face_share", |p| p.face_share += 0.01),
        ("pdf_smoothing", |p| p.pdf_smoothing += 0.1),
        ("pdf_bin", |p| p.pdf_bin = 0.07),
        ("pdf_range", |p| p.pdf_range = 10.0),
        ("profile_bin", |p| p.profile_bin = Some(2.5)),
        ("strain_sigma", |p| p.strain_sigma += 0.7),
        ("strain_lattice", |p| p.strain_lattice = Some(4.6)),
        ("interface_sigma", |p| p.interface_sigma = Some(3.1)),
        ("surface", |p| p.surface = SurfaceKind::Convex),
        ("cutoff", |p| p.cutoff = Some(4.3)),
    ];
    let mut told = Vec::new();
    for (name, change) in moves {
        let mut moved = params.clone();
        change(&mut moved);
        let mut early = None;
        let mut tell = |out| early = Some(out);
        let again = reanalyze_in_steps(&first, None, &moved, &mut tell, &silent).unwrap();
        let fresh = analyze(&atoms, &moved, &silent).unwrap();
        assert_eq!(numbers(&again), numbers(&fresh), "{name}");
        assert_eq!(columns(&again), columns(&fresh), "{name}");
        assert_eq!(again.pdf, fresh.pdf, "{name}");
        assert_eq!(again.phase_pdfs, fresh.phase_pdfs, "{name}");
        assert_eq!(again.sweep, fresh.sweep, "{name}");
        assert_eq!(again.voids, fresh.voids, "{name}");
        assert_eq!(again.void_surfaces, fresh.void_surfaces, "{name}");
        assert_eq!(again.void_radial, fresh.void_radial, "{name}");
        assert!(again.pending.is_none());
        let Some(early) = early else { continue };
        told.push(name);
        // What is told first is right already but for the parts it names.
        let pending = early.pending.as_ref().unwrap();
        assert!(
            !pending.parts.is_empty() && early.cutoff == fresh.cutoff,
            "{name}"
        );
        assert_eq!(early.pdf, fresh.pdf, "{name}");
        for column in ["boo", "rho_n", "oxidation", "phase", "cn_voronoi", "ptm"] {
            let same = |out: &Analyzed| columns(out).into_iter().find(|(c, _)| c == column);
            assert_eq!(same(&early), same(&fresh), "{name}: {column}");
        }
        // And no one who begins from it is misled.
        let early = Arc::new(early);
        let back = reanalyze_in_steps(&early, None, &params, &mut |_| {}, &silent).unwrap();
        assert_eq!(numbers(&back), numbers(&first), "{name} and back");
    }
    assert!(
        told.contains(&"cutoff") && told.contains(&"oxygen_volume"),
        "{told:?}"
    );
    assert!(
        !told.contains(&"map_sigma") && !told.contains(&"strain_sigma"),
        "{told:?}"
    );
}

#[test]
fn atoms_that_cannot_be_analysed_are_refused_in_a_sentence() {
    let good = fcc_ball(4.53, 9.0);
    let with = |change: &dyn Fn(&mut Vec<[f64; 3]>)| {
        let mut points = good.clone();
        change(&mut points);
        Atoms::from_positions(points, "Zr")
    };
    let refused = |atoms: &Atoms| {
        let found = analyze(atoms, &AnalyzeParams::default(), &Monitor::silent());
        found.expect_err("refused").to_string()
    };
    for (atoms, said) in [
        (
            with(&|p| p.truncate(4)),
            "model: expected at least 5 atoms, found 4",
        ),
        (
            with(&|p| p.clear()),
            "model: expected at least 5 atoms, found 0",
        ),
        (
            with(&|p| p[7][1] = f64::NAN),
            "expected finite coordinates, found",
        ),
        (
            with(&|p| p[7] = p[8]),
            "found 2 atoms at the place of another",
        ),
        (
            with(&|p| p.iter_mut().flatten().for_each(|x| *x *= 0.1)),
            "coordinates: expected Å (nearest atoms 0.8 to 8 Å apart), found a median nearest distance of 0.32",
        ),
    ] {
        let sentence = refused(&atoms);
        assert!(sentence.contains(said), "{sentence}");
    }
    // Atoms of one plane have pairs and neighbours, but no cells; what is missing is said.
    let flat = with(&|p| {
        p.retain(|p| p[2].abs() < 0.1);
        p.iter_mut().for_each(|p| p[2] = 0.0);
    });
    let found = analyze(&flat, &AnalyzeParams::default(), &Monitor::silent()).unwrap();
    assert!(found.pdf.is_some() && found.atoms.column("rho_n").is_none());
    let note = "the atoms lie in one plane: no tessellation";
    assert!(found.notes.iter().any(|n| n == note), "{:?}", found.notes);
    // One species has no core and no shell; who asks is told.
    let asked = AnalyzeParams {
        only: Some(vec!["core-shell".to_owned()]),
        ..AnalyzeParams::default()
    };
    let found = analyze(&with(&|_| {}), &asked, &Monitor::silent()).unwrap();
    let note = "core-shell: needs two species, found Zr";
    assert!(found.core_shell.is_none() && found.notes.iter().any(|n| n == note));
}
