//! Formats end to end: what is written reads back, bad input gives one clear sentence, mutated files never panic, and
//! (when the reference data are there) every file of the pack reads.

use aetlas::io::{self, SeriesOptions};
use aetlas::model::{Atoms, Volume};
use ndarray::{Array3, Ix3};
use proptest::prelude::*;
use std::path::{Path, PathBuf};

fn stack() -> Array3<f32> {
    Array3::from_shape_fn((5, 4, 3), |(t, x, y)| (t * 100 + x * 10 + y) as f32)
}

fn path(folder: &tempfile::TempDir, name: &str) -> (PathBuf, String) {
    let path = folder.path().join(name);
    let text = path.to_string_lossy().into_owned();
    (path, text)
}

fn angles(folder: &tempfile::TempDir, n: usize) -> String {
    let (file, text) = path(folder, "angles.txt");
    std::fs::write(
        file,
        (0..n)
            .map(|i| format!("{}\n", i as f64 * 2.5 - 5.0))
            .collect::<String>(),
    )
    .unwrap();
    text
}

fn series_error(file: &str, angles: &str) -> String {
    io::load_series(file, Some(angles), &SeriesOptions::default())
        .unwrap_err()
        .to_string()
}

#[test]
fn a_stack_reads_back_from_every_format_it_is_written_in() {
    let folder = tempfile::tempdir().unwrap();
    let angles = angles(&folder, 5);
    for name in ["s.mrc", "s.npy", "s.mat"] {
        let (file, text) = path(&folder, name);
        io::save_stack(&file, &stack(), Some(0.35), false).unwrap();
        let (series, _) = io::load_series(&text, Some(&angles), &SeriesOptions::default()).unwrap();
        assert_eq!(series.images, stack(), "{name}");
        assert!((series.angles[1].to_deg()[1] + 2.5).abs() < 1e-12);
        if name != "s.npy" {
            assert!((series.pixel_size.unwrap() - 0.35).abs() < 1e-6, "{name}");
        }
        assert!(
            io::save_stack(&file, &stack(), None, false)
                .unwrap_err()
                .to_string()
                .contains("--force")
        );
    }
}

#[test]
fn a_volume_reads_back_from_every_format_it_is_written_in() {
    let folder = tempfile::tempdir().unwrap();
    let volume = Volume::new(stack(), 0.25);
    for name in ["v.mrc", "v.npy", "v.mat"] {
        let (file, text) = path(&folder, name);
        io::save_volume(&file, &volume, false).unwrap();
        assert_eq!(
            io::load_volume(&text, Some(0.25)).unwrap(),
            volume,
            "{name}"
        );
    }
    assert!(
        io::load_volume(&path(&folder, "v.npy").1, None)
            .unwrap_err()
            .to_string()
            .contains("--pixel-size")
    );
}

#[test]
fn atoms_read_back_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let mut atoms = Atoms::from_positions(vec![[0.1, -2.0, 1.0 / 3.0], [4.0, 5.0, 1e-7]], "Zr");
    atoms.set_column("sigma_A", "Å", vec![0.5, f64::NAN]);
    atoms.set_column("rho_n", "", vec![1.0, 2.0]);
    for name in ["a.xyz", "a.csv"] {
        let (file, text) = path(&folder, name);
        io::save_atoms(&file, &atoms, false).unwrap();
        let back = io::load_atoms(&text, 1.0).unwrap();
        assert_eq!(
            (&back.positions, &back.ids, &back.species_names),
            (&atoms.positions, &atoms.ids, &atoms.species_names)
        );
        assert_eq!(back.column("rho_n"), atoms.column("rho_n"));
        assert!(back.column("sigma_A").unwrap()[1].is_nan());
    }
    assert_eq!(
        io::load_atoms(&path(&folder, "a.xyz").1, 1.0)
            .unwrap()
            .columns["sigma_A"]
            .unit,
        "Å"
    );
}

#[test]
fn storage_orders_and_frames_are_understood() {
    let folder = tempfile::tempdir().unwrap();
    let angles = angles(&folder, 5);
    let (file, text) = path(&folder, "txy.npy");
    io::numpy::write(&file, stack().view().into_dyn(), false).unwrap();
    let (series, notes) = io::load_series(&text, Some(&angles), &SeriesOptions::default()).unwrap();
    assert_eq!((series.images, notes.axes.as_str()), (stack(), "txy"));
    // x and y exchanged, handedness flipped
    let options = SeriesOptions {
        tilt_axis_x: true,
        mirror: true,
        ..SeriesOptions::default()
    };
    let (turned, _) = io::load_series(&text, Some(&angles), &options).unwrap();
    assert_eq!(turned.images[[2, 1, 3]], stack()[[2, 3, 1]]);
    assert!((turned.angles[0].to_deg()[1] - 5.0).abs() < 1e-12);
    // two frames around the true image, as a fourth axis and as a flat stack
    let frames = ndarray::Array4::from_shape_fn((5, 2, 4, 3), |(t, f, x, y)| {
        stack()[[t, x, y]] + 2.0 * f as f32 - 1.0
    });
    let (file, text) = path(&folder, "frames.npy");
    io::numpy::write(&file, frames.view().into_dyn(), false).unwrap();
    let (series, notes) = io::load_series(&text, Some(&angles), &SeriesOptions::default()).unwrap();
    assert_eq!((series.images, notes.frames_per_tilt), (stack(), 2));
    let flat = frames.into_shape_with_order((10, 4, 3)).unwrap();
    let (file, text) = path(&folder, "flat.npy");
    io::numpy::write(&file, flat.view().into_dyn(), false).unwrap();
    let options = SeriesOptions {
        frames_per_tilt: Some(2),
        ..SeriesOptions::default()
    };
    assert_eq!(
        io::load_series(&text, Some(&angles), &options)
            .unwrap()
            .0
            .images,
        stack()
    );
}

#[test]
fn every_kind_of_bad_input_gives_one_clear_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let five = angles(&folder, 5);
    let (mrc, mrc_text) = path(&folder, "stack.mrc");
    io::save_stack(&mrc, &stack(), Some(0.3), false).unwrap();
    let whole = std::fs::read(&mrc).unwrap();
    let check = |name: &str, bytes: &[u8], expected: &[&str]| {
        let (file, text) = path(&folder, name);
        std::fs::write(file, bytes).unwrap();
        let message = series_error(&text, &five);
        for part in expected {
            assert!(
                message.contains(part),
                "{name}: '{part}' missing in '{message}'"
            );
        }
        assert!(
            message.contains(name) && !message.contains('\n'),
            "{message}"
        );
    };
    check("empty.mrc", b"", &["empty"]);
    check(
        "short.mrc",
        &whole[..whole.len() - 7],
        &["truncated", "1264", "1257"],
    );
    check(
        "text.mrc",
        "Dear colleague, here are the data. ".repeat(60).as_bytes(),
        &["not an MRC file", "text"],
    );
    let mut huge = whole.clone();
    for offset in [0, 4] {
        huge[offset..offset + 4].copy_from_slice(&30_000i32.to_le_bytes());
    }
    huge[8..12].copy_from_slice(&12i32.to_le_bytes());
    check("huge.mrc", &huge, &["truncated", "43200001024", "1264"]);
    for (name, value) in [("nan.mrc", f32::NAN), ("inf.mrc", f32::INFINITY)] {
        let mut bad = whole.clone();
        bad[1024..1028].copy_from_slice(&value.to_le_bytes());
        check(name, &bad, &["image 1", "pixel (0, 0)"]);
        // Asked to, a fit may leave such pixels out.
        let options = SeriesOptions {
            keep_gaps: true,
            ..SeriesOptions::default()
        };
        let text = path(&folder, name).1;
        let (series, _) = io::load_series(&text, Some(&five), &options).unwrap();
        let gaps = series.images.iter().filter(|v| !v.is_finite()).count();
        assert_eq!(gaps, 1, "{name}");
    }
    let mut blank = whole.clone();
    blank[1024..].fill(0);
    check("blank.mrc", &blank, &["constant"]);
    check("flat.npy", b"\x93NUMPY\x01\x00\x40\x00{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3), }      \n", &["stack of images", "0 × 3"]);
    let four = {
        let (file, text) = path(&folder, "four.tlt");
        std::fs::write(file, "1\n2\n3\n4.5\n").unwrap();
        text
    };
    // neither 4 nor 5 columns are ambiguous: 4 angles fit the rows' axis, so the axes must be said
    let options = SeriesOptions {
        axes: Some("tyx".to_owned()),
        ..SeriesOptions::default()
    };
    let message = io::load_series(&mrc_text, Some(&four), &options)
        .unwrap_err()
        .to_string();
    assert_eq!(message, "four.tlt holds 4 angles, stack.mrc 5 images");
    assert!(series_error("/no/such.mrc", &five).contains("/no/such.mrc"));
}

#[test]
fn models_in_other_units_are_noticed() {
    let lattice = |step: f64| {
        Atoms::from_positions(
            (0..125)
                .map(|i| {
                    [
                        f64::from(i % 5) * step,
                        f64::from(i / 5 % 5) * step,
                        f64::from(i / 25) * step,
                    ]
                })
                .collect(),
            "Pt",
        )
    };
    assert_eq!(io::looks_like_voxels(&lattice(2.8)), None);
    assert!((io::looks_like_voxels(&lattice(0.28)).unwrap() - 0.28).abs() < 1e-9);
    assert!((io::looks_like_voxels(&lattice(8.1)).unwrap() - 8.1).abs() < 1e-9);
}

#[test]
fn dropped_files_find_their_roles() {
    let folder = tempfile::tempdir().unwrap();
    angles(&folder, 5);
    io::save_stack(&folder.path().join("series.mrc"), &stack(), None, false).unwrap();
    io::save_volume(
        &folder.path().join("volume.mrc"),
        &Volume::zeros([6, 6, 6], 0.3),
        false,
    )
    .unwrap();
    io::save_atoms(
        &folder.path().join("model.xyz"),
        &Atoms::from_positions(vec![[0.0; 3]], "Zr"),
        false,
    )
    .unwrap();
    std::fs::write(folder.path().join("notes.doc"), "x").unwrap();
    let pairing = io::pair_files(&[folder.path().to_owned()]);
    assert!(
        pairing
            .projections
            .as_ref()
            .unwrap()
            .ends_with("series.mrc")
    );
    assert!(pairing.angles.as_ref().unwrap().ends_with("angles.txt"));
    assert!(pairing.volume.as_ref().unwrap().ends_with("volume.mrc"));
    assert!(pairing.model.as_ref().unwrap().ends_with("model.xyz"));
    assert_eq!(pairing.unused.len(), 1);
    assert!(pairing.describe().contains("Angles: angles.txt"));
}

#[test]
fn two_arrays_that_suit_equally_well_are_a_question() {
    let folder = tempfile::tempdir().unwrap();
    let table = angles(&folder, 5);
    let file = folder.path().join("two.mat");
    io::save_stack(&file, &stack(), Some(0.3), false).unwrap();
    // The same variable twice, under names that say nothing.
    let mut bytes = std::fs::read(&file).unwrap();
    let name = io::list(&file).unwrap()[0].name.clone();
    let mut again = bytes[128..].to_vec();
    let at = again
        .windows(name.len())
        .position(|window| window == name.as_bytes())
        .unwrap();
    again[at] = b'q';
    bytes[128 + at] = b'a';
    bytes.extend(again);
    std::fs::write(&file, bytes).unwrap();
    let pairing = io::pair_files(&[file.clone(), table.into()]);
    assert_eq!(pairing.projections, Some(file.display().to_string()));
}

/// Valid files of every kind, small.
fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    let mut seeds = Vec::new();
    for name in ["s.mrc", "s.npy", "s.mat"] {
        let file = folder.path().join(name);
        io::save_stack(&file, &stack(), Some(0.3), true).unwrap();
        seeds.push((name, std::fs::read(file).unwrap()));
    }
    // A deflated variable around the plain one.
    let plain = seeds[2].1.clone();
    let length = u32::from_le_bytes(plain[132..136].try_into().unwrap()) as usize + 8;
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, &plain[128..128 + length]).unwrap();
    let packed = encoder.finish().unwrap();
    let mut deflated = plain[..128].to_vec();
    deflated.extend(15u32.to_le_bytes());
    deflated.extend((packed.len() as u32).to_le_bytes());
    deflated.extend(packed);
    seeds.push(("z.mat", deflated));
    let mut zip = Vec::new();
    {
        let mut writer = npyz::npz::NpzWriter::new(std::io::Cursor::new(&mut zip));
        use npyz::WriterBuilder;
        let mut array = writer
            .array("images", Default::default())
            .unwrap()
            .default_dtype()
            .shape(&[5, 4, 3])
            .begin_nd()
            .unwrap();
        array.extend(stack().iter().copied()).unwrap();
        array.finish().unwrap();
    }
    seeds.push(("s.npz", zip));
    let mut tiff = std::io::Cursor::new(Vec::new());
    {
        let mut encoder = tiff::encoder::TiffEncoder::new(&mut tiff).unwrap();
        for page in 0..3u16 {
            let pixels: Vec<u16> = (0..12).map(|i| i * 7 + page).collect();
            encoder
                .write_image::<tiff::encoder::colortype::Gray16>(4, 3, &pixels)
                .unwrap();
        }
    }
    seeds.push(("s.tif", tiff.into_inner()));
    seeds.push(("a.xyz", b"2\nProperties=species:S:1:pos:R:3:id:I:1:q:R:2 Lattice=\"1 0 0 0 1 0 0 0 1\"\nZr 1 2 3 0 4 5\nO\t1\t2\t4\t1\t6\t7\t\n".to_vec()));
    seeds.push((
        "a.csv",
        b"id,species,x_A,y_A,z_A,q\n0,Zr,1,2,3,4\n5,O,1,2,4,\n".to_vec(),
    ));
    seeds.push(("a.txt", b"% truth\n14\t1.0\t2.0\t3.0\n8 1 2 4 9\n".to_vec()));
    seeds.push(("a.tlt", b"-60.0\n-57.5\n# x\n0\n".to_vec()));
    seeds.push((
        "a.mdoc",
        b"PixelSpacing = 1.5\n[ZValue = 1]\nTiltAngle = 3\n[ZValue = 0]\nTiltAngle = -3\n".to_vec(),
    ));
    seeds
}

fn read_by_every_door(file: &Path) {
    let text = file.to_string_lossy();
    let _ = io::list(file);
    let _ = io::read_array(&text);
    let _ = io::load_atoms(&text, 1.0);
    let _ = io::load_angles(&text);
    let _ = io::load_volume(&text, Some(1.0));
    let _ = io::load_series(&text, None, &SeriesOptions::default());
}

#[test]
fn unharmed_seeds_read() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in seeds() {
        let (file, text) = path(&folder, name);
        std::fs::write(&file, &bytes).unwrap();
        let read = match name {
            "a.tlt" | "a.mdoc" => io::load_angles(&text).map(|t| t.angles.len()),
            _ if name.starts_with('a') => io::load_atoms(&text, 1.0).map(|a| a.len()),
            _ => io::read_array(&text).map(|a| a.data.len()),
        };
        let expected = match name {
            "s.tif" => 36,
            "a.tlt" => 3,
            _ if name.starts_with('a') => 2,
            _ => 60,
        };
        assert_eq!(read.unwrap(), expected, "{name}");
        if name == "z.mat" || name == "s.npz" {
            let array = io::read_array(&text)
                .unwrap()
                .data
                .into_dimensionality::<Ix3>()
                .unwrap();
            let array = if name == "z.mat" {
                array.permuted_axes([2, 0, 1])
            } else {
                array
            };
            assert_eq!(array, stack(), "{name}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Flips, cuts, insertions and huge numbers in any place: an error or an answer, never a panic.
    #[test]
    fn mutated_files_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), 0u8..5, any::<u8>()), 1..6)) {
        thread_local! { static SEEDS: Vec<(&'static str, Vec<u8>)> = seeds(); }
        let folder = tempfile::tempdir().unwrap();
        SEEDS.with(|seeds| for (name, seed) in seeds {
            let mut bytes = seed.clone();
            for (place, kind, value) in &changes {
                if bytes.is_empty() { break; }
                // Half the changes go into the head, where the sizes are.
                let at = if value % 2 == 0 { place.index(bytes.len().min(240)) } else { place.index(bytes.len()) };
                match kind {
                    0 => bytes[at] ^= 1 << (value % 8),
                    1 => bytes.truncate(at),
                    2 => bytes.insert(at, *value),
                    3 => for byte in bytes.iter_mut().skip(at).take(4) { *byte = 0xff },
                    _ => for byte in bytes.iter_mut().skip(at / 4 * 4).take(4) { *byte = value.rotate_left(at as u32 % 8) },
                }
            }
            let file = folder.path().join(name);
            std::fs::write(&file, &bytes).unwrap();
            read_by_every_door(&file);
        });
    }
}

fn shared() -> Option<PathBuf> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    if data.is_dir() {
        return Some(data);
    }
    println!("skipped: no reference data");
    None
}

#[test]
fn every_file_of_the_reference_pack_reads() {
    let Some(data) = shared() else { return };
    let mut folders = vec![data];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let file = entry.unwrap().path();
            let text = file.to_string_lossy().into_owned();
            let ending = file
                .extension()
                .map(|e| e.to_string_lossy().into_owned())
                .unwrap_or_default();
            if file.is_dir() {
                folders.push(file);
                continue;
            }
            match ending.as_str() {
                "mat" | "npy" | "npz" | "mrc" => {
                    let infos = io::list(&file).unwrap_or_else(|e| panic!("{e}"));
                    assert!(!infos.is_empty(), "{text}");
                    for info in infos.iter().filter(|i| i.readable) {
                        let spec = if info.name.is_empty() {
                            text.clone()
                        } else {
                            format!("{text}:{}", info.name)
                        };
                        assert_eq!(
                            io::read_array(&spec).unwrap().data.shape(),
                            info.shape.as_slice()
                        );
                    }
                }
                "xyz" => assert!(io::load_atoms(&text, 1.0).unwrap().len() > 1000),
                "csv" => assert!(io::load_atoms(&text, 1.0).unwrap().len() > 50),
                "txt" if text.contains("angles") => {
                    assert!(io::load_angles(&text).unwrap().angles.len() > 40)
                }
                "txt" => assert!(io::load_atoms(&text, 1.0).unwrap().len() > 200),
                _ => continue,
            }
            seen += 1;
        }
    }
    println!("{seen} files read");
    assert!(seen > 60);
}

#[test]
fn the_reference_series_read_as_the_pack_describes_them() {
    let Some(data) = shared() else { return };
    let at = |name: &str| data.join(name).to_string_lossy().into_owned();
    let load = |images: &str, angles: Option<&str>, options: &SeriesOptions| {
        io::load_series(&at(images), angles.map(&at).as_deref(), options)
            .unwrap_or_else(|e| panic!("{images}: {e}"))
    };
    let usual = SeriesOptions::default();
    let (area, notes) = load("ta_film/Projections_area1.mat", None, &usual);
    assert_eq!(area.images.dim(), (46, 131, 61), "{:?}", notes.lines);
    assert!((area.angles[0].to_deg()[1] + 63.0).abs() < 0.1);
    assert_eq!(
        load(
            "asi_208/aSi_2nmFosCetr_Dose1p6e5_cov35pm_ForBM3D.mat",
            None,
            &usual
        )
        .0
        .images
        .dim(),
        (60, 128, 128)
    );
    assert_eq!(
        load("mg_sample/sample_projections_amorphous.mat", None, &usual)
            .0
            .images
            .dim(),
        (41, 64, 64)
    );
    let (zr, _) = load("zr_series/projections.mat", None, &usual);
    assert_eq!(zr.images.dim(), (50, 320, 320));
    assert!(zr.pixel_size.is_some());
    // The same numbers from MRC (after exchanging x and y) and from NumPy.
    let nominal = Some("sim_hea4/tilt_angles_nominal.txt");
    let turned = SeriesOptions {
        tilt_axis_x: true,
        ..SeriesOptions::default()
    };
    let (from_mrc, _) = load("sim_hea4/tilt_series_raw.mrc", nominal, &turned);
    let (from_npy, _) = load("sim_hea4/tilt_series_raw.npy", nominal, &usual);
    assert_eq!(from_mrc.images.dim(), (45, 150, 141));
    assert_eq!(from_mrc.images, from_npy.images);
    assert!((from_mrc.pixel_size.unwrap() - 0.347).abs() < 1e-6);
    // Tilts first, with and without frames.
    let (counts, notes) = load(
        "pdpt_multislice/noisefree.npy",
        Some("pdpt_multislice/angles_true.txt"),
        &usual,
    );
    assert_eq!(
        (counts.images.dim(), notes.axes.as_str()),
        ((41, 144, 144), "txy")
    );
    assert_eq!(
        counts.images,
        load("pdpt_multislice/noisefree.mat", None, &usual).0.images
    );
    let (_, notes) = load(
        "pdpt_multislice/raw_frames.npy",
        Some("pdpt_multislice/angles_nominal.txt"),
        &usual,
    );
    assert_eq!((notes.axes.as_str(), notes.frames_per_tilt), ("tfxy", 3));
    let wrong = io::load_series(
        &at("ta_film/Projections_area1.mat"),
        Some(&at("zr_series/angles.mat")),
        &usual,
    );
    assert_eq!(
        wrong.unwrap_err().to_string(),
        "angles.mat holds 50 angles, Projections_area1.mat 46 images"
    );
    let object = io::read_array(&at("mg_sample/sample_amorphous_res.mat"))
        .unwrap_err()
        .to_string();
    assert!(object.contains("object"), "{object}");
}

#[test]
fn the_reference_models_read_as_the_pack_describes_them() {
    let Some(data) = shared() else { return };
    let load = |name: &str| io::load_atoms(&data.join(name).to_string_lossy(), 1.0).unwrap();
    let particle = load("pdpt/PB.xyz");
    assert_eq!(
        (particle.len(), particle.species_counts()["Pd"]),
        (12038, 2054)
    );
    assert!((io::looks_like_voxels(&particle).unwrap() * 0.3434 - 2.7).abs() < 0.2);
    assert_eq!(
        load("asi_9nm/aSi9nm_model_GT.txt").species_counts()["Si"],
        19993
    );
    assert_eq!(load("asi_208/aSi_208atoms_GT.txt").len(), 208);
    let silica = load("sio2/model_GT.mat");
    assert_eq!(
        (silica.species_counts()["Si"], silica.species_counts()["O"]),
        (2603, 5101)
    );
    let alloy = load("hea/Final_atomic_model_HEA_4_nanoparticle.mat");
    assert_eq!((alloy.len(), io::looks_like_voxels(&alloy)), (1501, None));
    let zr = load("zr_series/truth.xyz");
    assert!(zr.column("phase").is_some() && io::looks_like_voxels(&zr).is_none());
}
