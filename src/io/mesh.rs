//! Triangulated surfaces as PLY (ASCII 1.0): corners in Å with a colour each, triangles anticlockwise seen from outside.

use crate::numeric::surface::Surface;
use std::fmt::Write;

/// The surfaces in one file, each in its colour; `comments` are lines about them.
#[must_use]
pub fn ply(parts: &[(&Surface, [u8; 3])], comments: &[String]) -> String {
    let vertices: usize = parts.iter().map(|(s, _)| s.vertices.len()).sum();
    let triangles: usize = parts.iter().map(|(s, _)| s.triangles.len()).sum();
    let mut text = "ply\nformat ascii 1.0\n".to_owned();
    for comment in comments {
        let _ = writeln!(text, "comment {}", comment.replace(['\n', '\r'], " "));
    }
    let _ = writeln!(
        text,
        "element vertex {vertices}\nproperty float x\nproperty float y\nproperty float z\n\
         property uchar red\nproperty uchar green\nproperty uchar blue\n\
         element face {triangles}\nproperty list uchar int vertex_indices\nend_header"
    );
    for (surface, [red, green, blue]) in parts {
        for [x, y, z] in &surface.vertices {
            let _ = writeln!(text, "{x:.4} {y:.4} {z:.4} {red} {green} {blue}");
        }
    }
    let mut first = 0;
    for (surface, _) in parts {
        for t in &surface.triangles {
            let [a, b, c] = t.map(|i| i as usize + first);
            let _ = writeln!(text, "3 {a} {b} {c}");
        }
        first += surface.vertices.len();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_counts_its_lines_and_its_triangles_point_to_their_own_corners() {
        let one = Surface {
            vertices: vec![[0.0; 3], [1.0, 0.0, 0.0], [0.0, 1.5, 0.0]],
            triangles: vec![[0, 1, 2]],
        };
        let text = ply(
            &[(&one, [1, 2, 3]), (&one, [4, 5, 6])],
            &["two\nparts".to_owned()],
        );
        let lines: Vec<&str> = text.lines().collect();
        let body = 1 + lines.iter().position(|l| *l == "end_header").unwrap();
        assert!(lines[..body].contains(&"element vertex 6"));
        assert!(lines[..body].contains(&"element face 2"));
        assert!(lines[..body].contains(&"comment two parts"));
        assert_eq!(lines.len(), body + 8);
        assert_eq!(lines[body + 2], "0.0000 1.5000 0.0000 1 2 3");
        assert_eq!(lines[body + 6..], ["3 0 1 2", "3 3 4 5"]);
    }
}
