//! Holds the code to the layers stated in `src/lib.rs`: arrows point down only.

use std::path::{Path, PathBuf};

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the source folder is there") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// `(path inside src, whole text)` of every source file.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    files
        .into_iter()
        .map(|file| {
            let text = std::fs::read_to_string(&file).expect("a readable source file");
            let name = file.strip_prefix(&root).expect("files lie under src");
            (name.to_string_lossy().replace('\\', "/"), text)
        })
        .collect()
}

/// Lines of code: no comments, no test modules.
fn code_lines(name: &str, text: &str) -> Vec<String> {
    if name.ends_with("tests.rs") {
        return Vec::new();
    }
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines()
        .map(str::trim_start)
        .filter(|line| !line.starts_with("//"))
        .map(str::to_owned)
        .collect()
}

fn names_module(line: &str, module: &str) -> bool {
    let path = format!("crate::{module}");
    line.match_indices(&path).any(|(at, _)| {
        !line[at + path.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
    })
}

#[test]
fn arrows_point_down_only() {
    let ground = ["numeric", "projection", "io"];
    let stages = ["preprocess", "reconstruct", "trace", "analyze", "simulate"];
    let upper = ["project", "figures", "jobs", "ui", "cli"];
    let above_ground: Vec<&str> = [&stages[..], &upper[..]].concat();
    let with = |more: &[&'static str]| [more, &above_ground[..]].concat();
    let mut forbidden: Vec<(&str, Vec<&str>)> = vec![
        ("model", with(&ground)),
        ("monitor.rs", with(&ground)),
        ("numeric", with(&["projection", "io"])),
        ("projection", with(&["io"])),
        ("io", with(&["projection"])),
        ("project", vec!["jobs", "ui", "cli"]),
        ("figures", vec!["jobs", "ui", "cli", "io"]),
        ("jobs", vec!["ui", "cli"]),
        ("ui", vec!["cli", "io"]),
        ("cli", vec!["numeric", "projection", "io"]),
    ];
    for stage in stages {
        let others = stages.iter().copied().filter(|other| *other != stage);
        forbidden.push((
            stage,
            ["io"].into_iter().chain(others).chain(upper).collect(),
        ));
    }
    let mut broken = Vec::new();
    for (name, text) in sources() {
        for (module, banned) in &forbidden {
            if name != *module && !name.starts_with(&format!("{module}/")) {
                continue;
            }
            for line in code_lines(&name, &text) {
                for target in banned.iter().filter(|target| names_module(&line, target)) {
                    broken.push(format!("src/{name} must not know {target}: {line}"));
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn outside_crates_stay_in_their_rooms() {
    let rooms: [(&str, &[&str]); 6] = [
        ("egui", &["ui/"]),
        ("eframe", &["ui/"]),
        ("wgpu", &["ui/", "projection/gpu"]),
        ("anyhow", &["main.rs", "cli/"]),
        ("process::exit", &["main.rs", "cli/"]),
        ("std::fs", &["io/", "project/", "jobs/"]),
    ];
    let mut broken = Vec::new();
    for (name, text) in sources() {
        for (word, allowed) in rooms {
            if allowed.iter().any(|room| name.starts_with(room)) {
                continue;
            }
            for line in code_lines(&name, &text) {
                if line
                    .strip_prefix("use ")
                    .is_some_and(|rest| rest.starts_with(word))
                    || line.contains(&format!("{word}::"))
                {
                    broken.push(format!("src/{name} must not use {word}: {line}"));
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn files_stay_short_and_say_what_they_are() {
    let mut broken = Vec::new();
    for (name, text) in sources() {
        let lines = text.lines().count();
        if lines > 800 {
            broken.push(format!("src/{name} has {lines} lines"));
        }
        if !text.starts_with("//!") {
            broken.push(format!("src/{name} does not open with //!"));
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}
