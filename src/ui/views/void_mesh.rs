//! The surfaces of voids as the 3D view draws them.

use super::volume_gpu::{Corner, Mesh};
use crate::analyze::voids::VoidSurface;
use crate::figures::palette;
use crate::ui::theme;
use eframe::egui::Color32;

/// Opacity of a surface.
const OPACITY: f32 = 0.72;

/// Triangles of all surfaces, coloured by class; `None` without any.
#[must_use]
pub fn mesh(surfaces: &[VoidSurface]) -> Option<Mesh> {
    let mut made = Mesh::default();
    for one in surfaces {
        let [r, g, b, _] = theme::void_color(one.class)
            .to_array()
            .map(|c| f32::from(c) / 255.0);
        let first = made.corners.len() as u32;
        let wide = |p: [f64; 3], w: f32| [p[0] as f32, p[1] as f32, p[2] as f32, w];
        let both = one.surface.vertices.iter().zip(one.surface.normals());
        made.corners.extend(both.map(|(place, normal)| Corner {
            place: wide(*place, 1.0),
            normal: wide(normal, 0.0),
            color: [r, g, b, OPACITY],
        }));
        let all = one.surface.triangles.iter().flatten();
        made.indices.extend(all.map(|i| i + first));
    }
    (!made.indices.is_empty()).then_some(made)
}

/// The classes that there are, with how many of each.
#[must_use]
pub fn classes(surfaces: &[VoidSurface]) -> Vec<(Color32, String)> {
    palette::counted_voids(surfaces)
        .filter(|(n, ..)| *n > 0)
        .map(|(_, said, color)| (theme::color_of(color), said))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::surface::Surface;

    #[test]
    fn every_triangle_keeps_its_own_corners_and_classes_are_counted() {
        let one = |class, shift: f64| VoidSurface {
            void: 0,
            class,
            surface: Surface {
                vertices: vec![[shift, 0.0, 0.0], [shift, 1.0, 0.0], [shift, 0.0, 1.0]],
                triangles: vec![[0, 1, 2]],
            },
        };
        let all = [one("vacancy", 1.0), one("large", 2.0), one("vacancy", 3.0)];
        let made = mesh(&all).unwrap();
        assert_eq!(made.indices, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(made.corners[8].place, [3.0, 0.0, 1.0, 1.0]);
        assert_eq!(made.corners[4].normal[..3], [1.0, 0.0, 0.0]);
        assert_ne!(made.corners[0].color, made.corners[3].color);
        let told: Vec<String> = classes(&all).into_iter().map(|c| c.1).collect();
        assert_eq!(told, ["2 vacancies", "1 large pores"]);
        assert!(mesh(&[]).is_none());
    }
}
