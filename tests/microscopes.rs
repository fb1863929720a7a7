//! Files of microscopes: values, axes and the instrument's notes read back from files made here by the formats'
//! descriptions; damage is an error, never a panic; what a head promises is compared with what is there.

use aetlas::io::{self, Acquisition, ArrayInfo, SeriesOptions};
use hdf5_pure::{AttrValue, FileBuilder};
use ndarray::{Array3, Ix2, Ix3};
use proptest::prelude::*;
use std::path::{Path, PathBuf};

/// Counts of section t, row r, column c; all different.
fn count(t: usize, r: usize, c: usize) -> u16 {
    (t * 100 + r * 10 + c) as u16
}

const SIZE: [usize; 3] = [5, 4, 3];

fn sections() -> Vec<u16> {
    let [nt, nr, nc] = SIZE;
    (0..nt * nr * nc)
        .map(|k| count(k / (nr * nc), k / nc % nr, k % nc))
        .collect()
}

/// What the counts are as a series: columns are x, rows are y.
fn as_series() -> Array3<f32> {
    let [nt, nr, nc] = SIZE;
    Array3::from_shape_fn((nt, nc, nr), |(t, x, y)| f32::from(count(t, y, x)))
}

// ---------------------------------------------------------------- DigitalMicrograph

/// Writes the tag tree of a DM file, version 3 or 4, values in the byte order asked for.
struct DmWriter {
    wide: bool,
    big: bool,
}

enum Dm<'a> {
    Dir(Vec<(&'a str, Dm<'a>)>),
    F32(f32),
    U32(u32),
    Text(&'a str),
    U16s(Vec<u16>),
    /// A record of two 16-bit numbers, and an array of three such.
    Record,
    Records,
}

impl DmWriter {
    fn count(&self, n: usize) -> Vec<u8> {
        if self.wide {
            (n as u64).to_be_bytes().to_vec()
        } else {
            (n as u32).to_be_bytes().to_vec()
        }
    }

    fn two(&self, v: u16) -> [u8; 2] {
        if self.big {
            v.to_be_bytes()
        } else {
            v.to_le_bytes()
        }
    }

    fn four(&self, v: u32) -> [u8; 4] {
        if self.big {
            v.to_be_bytes()
        } else {
            v.to_le_bytes()
        }
    }

    fn value(&self, kinds: &[usize], data: Vec<u8>) -> Vec<u8> {
        let mut out = b"%%%%".to_vec();
        out.extend(self.count(kinds.len()));
        kinds.iter().for_each(|&kind| out.extend(self.count(kind)));
        out.extend(data);
        out
    }

    fn content(&self, tag: &Dm) -> (u8, Vec<u8>) {
        let pair = |n: usize| (0..2 * n).flat_map(|k| self.two(k as u16)).collect();
        match tag {
            Dm::Dir(entries) => (20, self.directory(entries)),
            Dm::F32(v) => (21, self.value(&[6], self.four(v.to_bits()).to_vec())),
            Dm::U32(v) => (21, self.value(&[5], self.four(*v).to_vec())),
            Dm::Text(text) => {
                let units: Vec<u16> = text.encode_utf16().collect();
                let data = units.iter().flat_map(|&u| self.two(u)).collect();
                (21, self.value(&[20, 4, units.len()], data))
            }
            Dm::U16s(v) => {
                let data = v.iter().flat_map(|&u| self.two(u)).collect();
                (21, self.value(&[20, 4, v.len()], data))
            }
            Dm::Record => (21, self.value(&[15, 0, 2, 0, 4, 0, 4], pair(1))),
            Dm::Records => (21, self.value(&[20, 15, 0, 2, 0, 4, 0, 4, 3], pair(3))),
        }
    }

    fn directory(&self, entries: &[(&str, Dm)]) -> Vec<u8> {
        let mut out = vec![1, 0];
        out.extend(self.count(entries.len()));
        for (name, tag) in entries {
            let (kind, content) = self.content(tag);
            out.push(kind);
            out.extend((name.len() as u16).to_be_bytes());
            out.extend(name.as_bytes());
            if self.wide {
                out.extend((content.len() as u64).to_be_bytes());
            }
            out.extend(content);
        }
        out
    }

    fn file(&self, root: &[(&str, Dm)]) -> Vec<u8> {
        let tree = self.directory(root);
        let mut out = if self.wide { 4u32 } else { 3u32 }.to_be_bytes().to_vec();
        out.extend(self.count(tree.len()));
        out.extend(u32::from(!self.big).to_be_bytes());
        out.extend(tree);
        out.extend([0; 8]);
        out
    }
}

fn dm_image(kind: u32, size: &[usize], pixels: Vec<u16>) -> Dm<'static> {
    let unnamed = |values: Vec<Dm<'static>>| Dm::Dir(values.into_iter().map(|v| ("", v)).collect());
    let calibration = || {
        Dm::Dir(vec![
            ("Origin", Dm::F32(0.0)),
            ("Scale", Dm::F32(0.0325)),
            ("Units", Dm::Text("nm")),
        ])
    };
    Dm::Dir(vec![
        (
            "ImageData",
            Dm::Dir(vec![
                (
                    "Calibrations",
                    Dm::Dir(vec![(
                        "Dimension",
                        unnamed(vec![calibration(), calibration()]),
                    )]),
                ),
                ("Data", Dm::U16s(pixels)),
                ("DataType", Dm::U32(kind)),
                (
                    "Dimensions",
                    unnamed(size.iter().map(|&n| Dm::U32(n as u32)).collect()),
                ),
                ("PixelDepth", Dm::U32(2)),
            ]),
        ),
        (
            "ImageTags",
            Dm::Dir(vec![
                (
                    "DigiScan",
                    Dm::Dir(vec![
                        ("Sample Time", Dm::F32(4.5)),
                        ("Rotation", Dm::F32(90.0)),
                    ]),
                ),
                (
                    "Microscope Info",
                    Dm::Dir(vec![(
                        "Stage Position",
                        Dm::Dir(vec![("Stage Alpha", Dm::F32(-31.5))]),
                    )]),
                ),
            ]),
        ),
        ("Name", Dm::Text("HAADF µ")),
    ])
}

fn dm(wide: bool, big: bool, size: &[usize], pixels: Vec<u16>) -> Vec<u8> {
    let thumbnail = dm_image(23, &[2, 2], vec![0; 8]);
    let image = dm_image(10, size, pixels);
    DmWriter { wide, big }.file(&[
        ("ApplicationBounds", Dm::Record),
        ("ImageList", Dm::Dir(vec![("", thumbnail), ("", image)])),
        ("Markers", Dm::Records),
    ])
}

// ---------------------------------------------------------------- TIA

/// A series of 16-bit images; rows go from the bottom up.
fn ser(wide: bool, taken: usize) -> Vec<u8> {
    let [nt, nr, nc] = SIZE;
    let offset = |out: &mut Vec<u8>, at: usize| {
        if wide {
            out.extend((at as u64).to_le_bytes());
        } else {
            out.extend((at as u32).to_le_bytes());
        }
    };
    let width = if wide { 8 } else { 4 };
    let head = 22 + width + 4 + (4 + 8 + 8 + 4 + 4 + 6 + 4);
    let element = 50 + nr * nc * 2 + 8;
    let mut out = Vec::new();
    out.extend(0x4949u16.to_le_bytes());
    out.extend(0x0197u16.to_le_bytes());
    out.extend(if wide { 0x0220u16 } else { 0x0210 }.to_le_bytes());
    out.extend(0x4122u32.to_le_bytes());
    out.extend(0x4152u32.to_le_bytes());
    out.extend((nt as u32).to_le_bytes());
    out.extend((taken as u32).to_le_bytes());
    offset(&mut out, head);
    out.extend(1u32.to_le_bytes());
    out.extend((nt as u32).to_le_bytes());
    out.extend([0; 8]);
    out.extend(1f64.to_le_bytes());
    out.extend([0; 4]);
    out.extend(6u32.to_le_bytes());
    out.extend(b"Number");
    out.extend(0u32.to_le_bytes());
    assert_eq!(out.len(), head);
    let first = head + 2 * nt * width;
    for shift in [0, 50 + nr * nc * 2] {
        (0..nt).for_each(|k| offset(&mut out, first + k * element + shift));
    }
    for t in 0..nt {
        for _ in 0..2 {
            out.extend(0f64.to_le_bytes());
            out.extend(3.43e-11f64.to_le_bytes());
            out.extend(0u32.to_le_bytes());
        }
        out.extend(2u16.to_le_bytes());
        out.extend((nc as u32).to_le_bytes());
        out.extend((nr as u32).to_le_bytes());
        for r in (0..nr).rev() {
            (0..nc).for_each(|c| out.extend(count(t, r, c).to_le_bytes()));
        }
        out.extend([0x52, 0x41, 0, 0, 0, 0, 0, 0]);
    }
    out
}

// ---------------------------------------------------------------- HDF5

const TILTS: [f64; 5] = [-60.0, -30.0, 0.0, 30.0, 60.0];

/// Berkeley's EMD: (tilt, y, x), packed in chunks.
fn berkeley() -> Vec<u8> {
    let [nt, nr, nc] = SIZE.map(|n| n as u64);
    let mut file = FileBuilder::new();
    let mut data = file.create_group("data");
    let mut series = data.create_group("series");
    series.set_attr("emd_group_type", AttrValue::I64(1));
    series
        .create_dataset("data")
        .with_u16_data(&sections())
        .with_shape(&[nt, nr, nc])
        .with_chunks(&[1, nr, nc])
        .with_shuffle()
        .with_deflate(6);
    let text = |s: &str| AttrValue::String(s.to_owned());
    for (name, label, units, values) in [
        ("dim1", "tilt angle", "[deg]", TILTS.to_vec()),
        (
            "dim2",
            "y",
            "[n_m]",
            (0..nr).map(|k| k as f64 * 0.05).collect(),
        ),
        (
            "dim3",
            "x",
            "[n_m]",
            (0..nc).map(|k| k as f64 * 0.05).collect(),
        ),
    ] {
        series
            .create_dataset(name)
            .with_f64_data(&values)
            .set_attr("name", text(label))
            .set_attr("units", text(units));
    }
    data.add_group(series.finish());
    file.add_group(data.finish());
    file.finish().unwrap()
}

/// Velox's EMD: (y, x, frame), notes as columns of bytes.
fn velox(tilts_deg: &[f64]) -> Vec<u8> {
    let [_, nr, nc] = SIZE;
    let n = tilts_deg.len();
    let pixels: Vec<u16> = (0..nr * nc * n)
        .map(|k| count(k % n, k / (nc * n), k / n % nc))
        .collect();
    let texts: Vec<String> = tilts_deg
        .iter()
        .map(|tilt| {
            format!(
                "{{\"BinaryResult\":{{\"PixelSize\":{{\"width\":\"3.5e-11\",\"height\":\"3.5e-11\"}},\
                 \"PixelUnitX\":\"m\"}},\"Stage\":{{\"AlphaTilt\":\"{}\"}},\
                 \"Scan\":{{\"DwellTime\":\"2e-06\",\"FrameTime\":\"2.6e-05\",\"ScanRotation\":\"1.5707963267948966\"}}}}",
                tilt.to_radians()
            )
        })
        .collect();
    let length = 512;
    let mut notes = vec![0u8; length * n];
    for (frame, text) in texts.iter().enumerate() {
        for (k, byte) in text.bytes().enumerate() {
            notes[k * n + frame] = byte;
        }
    }
    let mut file = FileBuilder::new();
    let mut data = file.create_group("Data");
    let mut images = data.create_group("Image");
    let mut image = images.create_group("0a1b2c");
    image
        .create_dataset("Data")
        .with_u16_data(&pixels)
        .with_shape(&[nr as u64, nc as u64, n as u64]);
    image
        .create_dataset("Metadata")
        .with_u8_data(&notes)
        .with_shape(&[length as u64, n as u64]);
    images.add_group(image.finish());
    data.add_group(images.finish());
    file.add_group(data.finish());
    file.finish().unwrap()
}

/// MATLAB 7.3: 512 bytes of its own before the file, axes reversed, classes as attributes.
fn matlab() -> Vec<u8> {
    let [nt, nr, nc] = SIZE.map(|n| n as u64);
    let class = |name: &str| AttrValue::AsciiString(name.to_owned());
    let mut file = FileBuilder::new();
    file.with_userblock(512);
    file.with_userblock_content(b"MATLAB 7.3 MAT-file, Platform: GLNXA64");
    // images(x, y, t) of MATLAB lies in the file as (t, y, x).
    file.create_dataset("images")
        .with_u16_data(&sections())
        .with_shape(&[nt, nr, nc])
        .set_attr("MATLAB_class", class("uint16"));
    file.create_dataset("angles")
        .with_f64_data(&TILTS)
        .with_shape(&[5, 1])
        .set_attr("MATLAB_class", class("double"));
    file.create_dataset("pixel_size_A")
        .with_f64_data(&[0.35])
        .with_shape(&[1, 1])
        .set_attr("MATLAB_class", class("double"));
    file.create_dataset("support")
        .with_u8_data(&[0, 1, 1])
        .with_shape(&[3, 1])
        .set_attr("MATLAB_class", class("logical"))
        .set_attr("MATLAB_int_decode", AttrValue::I64(1));
    file.create_dataset("nothing")
        .with_u64_data(&[0, 0])
        .with_shape(&[2])
        .set_attr("MATLAB_class", class("double"))
        .set_attr("MATLAB_empty", AttrValue::I64(1));
    file.finish().unwrap()
}

// ---------------------------------------------------------------- tests

fn place(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) -> (PathBuf, String) {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let text = path.to_string_lossy().into_owned();
    (path, text)
}

fn info<'a>(infos: &'a [ArrayInfo], name: &str) -> &'a ArrayInfo {
    infos
        .iter()
        .find(|info| info.name == name)
        .unwrap_or_else(|| panic!("no {name} in {infos:?}"))
}

fn near(found: Option<f64>, expected: f64) {
    let found = found.expect("the file says it");
    assert!(
        (found - expected).abs() < 1e-6 * expected.abs(),
        "{found} instead of {expected}"
    );
}

#[test]
fn both_versions_of_dm_read_with_their_calibration() {
    let folder = tempfile::tempdir().unwrap();
    let [nt, nr, nc] = SIZE;
    let (_, angles) = place(&folder, "tilts.txt", b"-20\n-10\n0\n10\n20\n");
    for (name, wide, big) in [
        ("le.dm3", false, false),
        ("be.dm3", false, true),
        ("le.dm4", true, false),
    ] {
        let (path, text) = place(&folder, name, &dm(wide, big, &[nc, nr, nt], sections()));
        let infos = io::list(&path).unwrap();
        assert_eq!(infos.len(), 1, "the thumbnail is no image");
        let noted = &infos[0].acquisition;
        assert_eq!(infos[0].name, "HAADF µ");
        near(noted.pixel_size, 0.325);
        near(noted.dwell_us, 4.5);
        assert_eq!(
            (noted.tilts_deg.as_slice(), noted.scan_rotation_deg),
            (&[-31.5][..], Some(90.0))
        );
        let (series, _) = io::load_series(&text, Some(&angles), &SeriesOptions::default()).unwrap();
        assert_eq!(series.images, as_series(), "{name}");
        near(series.pixel_size, 0.325);
    }
    // A single image, and a stack of one.
    for size in [vec![nc, nr], vec![nc, nr, 1]] {
        let (_, text) = place(
            &folder,
            "one.dm3",
            &dm(false, false, &size, sections()[..12].to_vec()),
        );
        let image = io::read_array(&text)
            .unwrap()
            .data
            .into_dimensionality::<Ix2>()
            .unwrap();
        assert_eq!(image[[2, 1]], f32::from(count(0, 2, 1)));
    }
}

#[test]
fn tia_series_read_upright_with_the_notes_beside_them() {
    let folder = tempfile::tempdir().unwrap();
    let (_, angles) = place(&folder, "tilts.txt", b"-20\n-10\n0\n10\n20\n");
    place(
        &folder,
        "scan.emi",
        b"\x4a\x4b<ObjectInfo><Data><Label>Stage A</Label><Value>7.25</Value><Unit>deg</Unit></Data>\
          <AcquireInfo><DwellTimePath>8E-6</DwellTimePath></AcquireInfo></ObjectInfo>",
    );
    for wide in [false, true] {
        let (path, text) = place(&folder, "scan_1.ser", &ser(wide, 5));
        let (series, _) = io::load_series(&text, Some(&angles), &SeriesOptions::default()).unwrap();
        assert_eq!(series.images, as_series());
        near(series.pixel_size, 0.343);
        let noted = &io::list(&path).unwrap()[0].acquisition;
        near(noted.dwell_us, 8.0);
        assert_eq!(noted.tilts_deg, [7.25]);
    }
    // A series that was broken off has only the images that were taken.
    let (path, _) = place(&folder, "broken_1.ser", &ser(true, 2));
    assert_eq!(io::list(&path).unwrap()[0].shape, [2, 4, 3]);
    let error = io::list(&folder.path().join("scan.emi"))
        .unwrap_err()
        .to_string();
    assert!(error.contains(".ser"), "{error}");
}

#[test]
fn berkeley_emd_names_its_axes_units_and_tilts() {
    let folder = tempfile::tempdir().unwrap();
    let (path, text) = place(&folder, "series.emd", &berkeley());
    let infos = io::list(&path).unwrap();
    let data = info(&infos, "data/series/data");
    assert_eq!(data.acquisition.axes.as_deref(), Some("tyx"));
    let (series, notes) = io::load_series(&text, None, &SeriesOptions::default()).unwrap();
    assert_eq!(series.images, as_series(), "{notes:?}");
    near(series.pixel_size, 0.5);
    let tilts: Vec<f64> = series.angles.iter().map(|a| a.to_deg()[1]).collect();
    assert!(
        tilts.iter().zip(TILTS).all(|(a, b)| (a - b).abs() < 1e-9),
        "{tilts:?}"
    );
    // By its path, with and without the slash.
    for spec in [
        format!("{text}:/data/series/data"),
        format!("{text}:data/series/data"),
    ] {
        assert_eq!(io::read_array(&spec).unwrap().data.shape(), SIZE);
    }
    let error = io::read_array(&format!("{text}:/data/other"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("data/other") && error.contains("data/series/data"),
        "{error}"
    );
}

#[test]
fn velox_emd_gives_frames_notes_and_tilts() {
    let folder = tempfile::tempdir().unwrap();
    let (path, text) = place(&folder, "velox.emd", &velox(&TILTS));
    let infos = io::list(&path).unwrap();
    let noted = &info(&infos, "Data/Image/0a1b2c/Data").acquisition;
    near(noted.pixel_size, 0.35);
    near(noted.dwell_us, 2.0);
    // 26 µs for 4 lines of 3 pixels of 2 µs.
    near(noted.flyback_us, 0.5);
    near(noted.scan_rotation_deg, 90.0);
    assert!(!info(&infos, "Data/Image/0a1b2c/Metadata").readable);
    let (series, _) = io::load_series(&text, None, &SeriesOptions::default()).unwrap();
    assert_eq!(series.images, as_series());
    assert!((series.angles[0].to_deg()[1] + 60.0).abs() < 1e-9);
    // A stage at rest: frames of one tilt, no series of its own.
    let (path, text) = place(&folder, "rest.emd", &velox(&[12.5; 5]));
    let still = &io::list(&path).unwrap()[0].acquisition;
    assert_eq!((still.series_tilts(), still.tilts_deg.len()), (None, 5));
    assert!(io::load_angles(&text).is_err());
}

#[test]
fn matlab_7_3_reads_as_matlab_shows_it() {
    let folder = tempfile::tempdir().unwrap();
    let (path, text) = place(&folder, "new.mat", &matlab());
    let infos = io::list(&path).unwrap();
    assert_eq!(
        (
            info(&infos, "images").shape.as_slice(),
            info(&infos, "images").dtype.as_str()
        ),
        (&[3, 4, 5][..], "uint16")
    );
    assert_eq!(info(&infos, "support").dtype, "logical");
    assert!(!info(&infos, "nothing").readable);
    let images = io::read_array(&format!("{text}:images"))
        .unwrap()
        .data
        .into_dimensionality::<Ix3>()
        .unwrap();
    assert_eq!(images.permuted_axes([2, 0, 1]), as_series());
    let (series, _) = io::load_series(&text, None, &SeriesOptions::default()).unwrap();
    assert_eq!(series.images, as_series());
    near(series.pixel_size, 0.35);
    assert!((series.angles[4].to_deg()[1] - 60.0).abs() < 1e-9);
}

#[test]
fn plain_hdf5_reads_every_type_and_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = FileBuilder::new();
    file.create_dataset("i8").with_i8_data(&[-3, 4]);
    file.create_dataset("u32")
        .with_u32_data(&[7, 4_000_000_000]);
    file.create_dataset("f32")
        .with_f32_data(&[0.5, -1.5])
        .with_chunks(&[2])
        .with_lzf();
    file.create_dataset("texts").with_vlen_strings(&["a", "b"]);
    let (path, text) = place(&folder, "plain.h5", &file.finish().unwrap());
    let read = |name: &str| {
        io::read_array(&format!("{text}:{name}"))
            .unwrap()
            .data
            .into_raw_vec_and_offset()
            .0
    };
    assert_eq!(read("i8"), [-3.0, 4.0]);
    assert_eq!(read("u32"), [7.0, 4e9]);
    assert_eq!(read("f32"), [0.5, -1.5]);
    assert!(!info(&io::list(&path).unwrap(), "texts").readable);
}

/// Heads that promise more than the file holds are refused before memory is taken, with both numbers.
#[test]
fn promises_of_40_gigabytes_are_refused_with_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, bytes: &[u8], expected: &str| {
        let (_, text) = place(&folder, name, bytes);
        let error = io::read_array(&text).unwrap_err().to_string();
        assert!(
            error.contains(name) && error.contains("truncated") && error.contains(expected),
            "{error}"
        );
    };
    refused(
        "huge.dm3",
        &dm(false, false, &[100_000, 100_000, 2], sections()),
        "40000000000",
    );
    let mut series = ser(true, 5);
    let first = u64::from_le_bytes(series[22..30].try_into().unwrap()) as usize + 80;
    series[first + 42..first + 46].copy_from_slice(&100_000u32.to_le_bytes());
    series[first + 46..first + 50].copy_from_slice(&40_000u32.to_le_bytes());
    refused("huge.ser", &series, "40000000000");
    // The extents of the data set, where they stand in its head, blown up.
    let mut bytes = berkeley();
    let shape: Vec<u8> = SIZE
        .iter()
        .flat_map(|&n| (n as u64).to_le_bytes())
        .collect();
    let at = bytes
        .windows(24)
        .position(|w| w == shape)
        .expect("the shape is stored in full");
    bytes[at..at + 8].copy_from_slice(&1_700_000_000u64.to_le_bytes());
    let (_, text) = place(&folder, "huge.emd", &bytes);
    assert!(io::read_array(&format!("{text}:data/series/data")).is_err());
}

fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let [nt, nr, nc] = SIZE;
    vec![
        ("s.dm3", dm(false, false, &[nc, nr, nt], sections())),
        ("s.dm4", dm(true, false, &[nc, nr, nt], sections())),
        ("s.ser", ser(false, 5)),
        ("w.ser", ser(true, 5)),
        ("b.emd", berkeley()),
        ("v.emd", velox(&TILTS)),
        ("m.mat", matlab()),
    ]
}

fn read_by_every_door(file: &Path) {
    let text = file.to_string_lossy();
    for info in io::list(file).unwrap_or_default() {
        let _ = io::read_array(&format!("{text}:{}", info.name));
    }
    let _ = io::read_array(&text);
    let _ = io::load_angles(&text);
    let _ = io::load_volume(&text, Some(1.0));
    let _ = io::load_series(&text, None, &SeriesOptions::default());
}

#[test]
fn cut_off_anywhere_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for (name, seed) in seeds() {
        for end in (0..seed.len()).step_by(seed.len() / 60 + 1) {
            let (path, _) = place(&folder, name, &seed[..end]);
            read_by_every_door(&path);
        }
        // A DM or TIA file without its images' end has no images.
        if name.ends_with("dm3") || name.ends_with("dm4") || name.ends_with("ser") {
            let (_, text) = place(&folder, name, &seed[..seed.len() / 2]);
            assert!(io::read_array(&text).is_err(), "{name}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Flips, cuts, insertions and huge numbers in any place: an error or an answer, never a panic.
    #[test]
    fn mutated_files_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), 0u8..5, any::<u8>()), 1..5)) {
        thread_local! { static SEEDS: Vec<(&'static str, Vec<u8>)> = seeds(); }
        let folder = tempfile::tempdir().unwrap();
        SEEDS.with(|seeds| for (name, seed) in seeds {
            let mut bytes = seed.clone();
            for (place, kind, value) in &changes {
                if bytes.is_empty() { break; }
                let at = place.index(bytes.len());
                match kind {
                    0 => bytes[at] ^= 1 << (value % 8),
                    1 if value % 4 == 0 => bytes.truncate(at),
                    2 => bytes.insert(at, *value),
                    3 => for byte in bytes.iter_mut().skip(at).take(4) { *byte = 0xff },
                    _ => bytes[at] = *value,
                }
            }
            let file = folder.path().join(name);
            std::fs::write(&file, &bytes).unwrap();
            read_by_every_door(&file);
        });
    }
}

/// Most memory this process has asked for, bytes; `None` where the system does not tell.
fn most_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmPeak:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

/// One word after the other of every structure blown up: counts, lengths, offsets and types alike. Nothing panics, and no
/// length is believed before the file is seen to hold as much.
#[test]
fn a_huge_number_in_any_word_is_neither_believed_nor_fatal() {
    let folder = tempfile::tempdir().unwrap();
    let before = most_memory();
    for (name, seed) in seeds() {
        // Words of zeros only are mostly padding and pixels: every fifth of them.
        let words = (0..seed.len().saturating_sub(8)).step_by(4);
        let telling = words.filter(|&at| at % 20 == 0 || seed[at..at + 4].iter().any(|&b| b != 0));
        let telling: Vec<usize> = telling.collect();
        let step = telling.len() / 250 + 1;
        for (n, &at) in telling.iter().step_by(step).enumerate() {
            let mut bytes = seed.clone();
            let huge: &[u8] = match n % 3 {
                0 => &[0xff; 4],
                1 => &[0xff, 0xff, 0xff, 0x7f],
                _ => &[0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00],
            };
            bytes[at..at + huge.len()].copy_from_slice(huge);
            let (path, _) = place(&folder, name, &bytes);
            read_by_every_door(&path);
        }
    }
    // Threads of other tests ask for stacks of a few megabytes each.
    if let (Some(before), Some(after)) = (before, most_memory()) {
        let grown = after.saturating_sub(before);
        assert!(grown < 1 << 30, "{grown} bytes more were asked for");
    }
}

#[test]
fn notes_are_told_in_phrases() {
    let noted = Acquisition {
        pixel_size: Some(0.35),
        tilts_deg: vec![-60.0, 60.0],
        dwell_us: Some(2.0),
        ..Acquisition::default()
    };
    assert_eq!(
        noted.describe(),
        [
            "pixel size 0.3500 Å",
            "2 stage tilts, -60.00° to 60.00°",
            "dwell time 2 µs"
        ]
    );
}
