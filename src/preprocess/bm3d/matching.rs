//! Block matching: the blocks most alike a reference block within a search window.
//!
//! All references of one row of blocks are matched together. For one displacement the squared differences of two
//! eight-row strips are summed down the columns and then over eight columns, which gives the distances of every
//! reference to its candidate at that displacement: 8 multiply-adds per pixel of the strip instead of 64 per
//! reference and candidate, along contiguous memory.

use super::transform::EDGE;

/// Columns worked on at once.
const LANES: usize = 16;

/// An image with rows padded, so that whole vectors can be read from any pixel.
#[derive(Debug, Clone)]
pub(super) struct Plane {
    /// Pixels on x (rows) and y (contiguous).
    pub size: [usize; 2],
    stride: usize,
    data: Vec<f32>,
}

impl Plane {
    /// From `size[0] · size[1]` pixels, y fastest.
    pub(super) fn new(size: [usize; 2], pixels: impl IntoIterator<Item = f32>) -> Self {
        let stride = size[1] + LANES;
        let mut data = vec![0.0; size[0] * stride];
        let mut pixels = pixels.into_iter();
        for row in data.chunks_exact_mut(stride) {
            for (slot, pixel) in row[..size[1]].iter_mut().zip(&mut pixels) {
                *slot = pixel;
            }
        }
        Self { size, stride, data }
    }

    /// Row `x` with its padding.
    #[inline(always)]
    pub(super) fn row(&self, x: usize) -> &[f32] {
        &self.data[x * self.stride..(x + 1) * self.stride]
    }

    /// All pixels, y fastest.
    pub(super) fn pixels(&self) -> impl Iterator<Item = f32> {
        self.data
            .chunks_exact(self.stride)
            .flat_map(|row| row[..self.size[1]].iter().copied())
    }
}

/// Distances of all references of one row, and its working memory.
#[derive(Debug, Default)]
pub(super) struct Matcher {
    /// Candidates reach this far from the reference, pixels.
    reach: usize,
    /// Squared distance per displacement, one row per reference; infinite where the candidate leaves the image.
    distances: Vec<f32>,
    stride: usize,
    columns: Vec<f32>,
    least: Vec<f32>,
    keys: Vec<u64>,
}

/// A matched block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Match {
    /// Sum of squared differences over the block.
    pub distance: f32,
    /// Place of its first pixel.
    pub at: [usize; 2],
}

impl Matcher {
    /// For a window of `2 reach + 1` displacements on each axis.
    pub(super) fn new(reach: usize) -> Self {
        let displacements = (2 * reach + 1).pow(2);
        // An odd number of cache lines: the same displacement of neighboring references then lies in different sets.
        let stride = (displacements.div_ceil(LANES) | 1) * LANES;
        Self {
            reach,
            stride,
            ..Self::default()
        }
    }

    /// Measures the distances of the blocks at `(x, y)` for all `ys`.
    #[inline(always)]
    pub(super) fn measure(&mut self, image: &Plane, x: usize, ys: &[usize]) {
        let [nx, ny] = image.size;
        let side = 2 * self.reach + 1;
        self.distances.clear();
        self.distances.resize(ys.len() * self.stride, f32::INFINITY);
        self.columns.resize(ny + 2 * LANES, 0.0);
        for dx in 0..side {
            let Some(other) = (x + dx).checked_sub(self.reach) else {
                continue;
            };
            if other + EDGE > nx {
                break;
            }
            for dy in 0..side {
                // Columns of the reference's strip that have a partner.
                let from = self.reach.saturating_sub(dy);
                let to = ny.min((ny + self.reach).saturating_sub(dy));
                if to < from + EDGE {
                    continue;
                }
                let partner = from + dy - self.reach;
                let width = to - from;
                self.sum_columns(image, [x, other], [from, partner], width);
                let sums = &mut self.columns[..width];
                for reach in [1, 2, 4] {
                    for i in 0..width - reach {
                        sums[i] += sums[i + reach];
                    }
                }
                let displacement = dx * side + dy;
                for (row, &y) in self.distances.chunks_exact_mut(self.stride).zip(ys) {
                    if y >= from && y + EDGE <= to {
                        row[displacement] = self.columns[y - from];
                    }
                }
            }
        }
    }

    /// Squared differences of two strips of eight rows, summed down the columns.
    #[inline(always)]
    fn sum_columns(&mut self, image: &Plane, rows: [usize; 2], starts: [usize; 2], width: usize) {
        let padded = width.div_ceil(LANES) * LANES;
        let strip = |which: usize| -> [&[f32]; EDGE] {
            std::array::from_fn(|r| {
                let row = &image.row(rows[which] + r)[starts[which]..];
                &row[..padded.min(row.len())]
            })
        };
        let (left, right) = (strip(0), strip(1));
        for (chunk, sums) in self.columns[..padded].chunks_exact_mut(LANES).enumerate() {
            let mut sum = [0f32; LANES];
            for r in 0..EDGE {
                let a = &left[r][chunk * LANES..(chunk + 1) * LANES];
                let b = &right[r][chunk * LANES..(chunk + 1) * LANES];
                for lane in 0..LANES {
                    let difference = a[lane] - b[lane];
                    sum[lane] += difference * difference;
                }
            }
            sums.copy_from_slice(&sum);
        }
    }

    /// The up to `most` blocks nearest to reference `index` of the row last measured, nearest first. The reference
    /// itself is always the first. `at` is its place.
    #[inline(always)]
    pub(super) fn best(
        &mut self,
        index: usize,
        at: [usize; 2],
        most: usize,
        found: &mut Vec<Match>,
    ) {
        let side = 2 * self.reach + 1;
        let row = &mut self.distances[index * self.stride..(index + 1) * self.stride];
        row[self.reach * side + self.reach] = f32::INFINITY;
        // Every chunk holds a value as small as its least: the (most − 1)-th of the leasts bounds what can be chosen,
        // and few candidates are left to be sorted.
        self.least.clear();
        self.least.extend(row.chunks_exact(LANES).map(least_of));
        let rank = most.saturating_sub(2);
        let bound = if rank < self.least.len() {
            *self.least.select_nth_unstable_by(rank, f32::total_cmp).1
        } else {
            f32::MAX
        }
        .min(f32::MAX);
        self.keys.clear();
        for (chunk, values) in row.chunks_exact(LANES).enumerate() {
            if least_of(values) > bound {
                continue;
            }
            for (lane, &distance) in values.iter().enumerate() {
                if distance <= bound {
                    // Positive numbers sort as their bits do; of equals the first displacement is taken.
                    let displacement = (chunk * LANES + lane) as u64;
                    self.keys
                        .push(u64::from(distance.to_bits()) << 32 | displacement);
                }
            }
        }
        self.keys.sort_unstable();
        found.clear();
        found.push(Match { distance: 0.0, at });
        for &key in self.keys.iter().take(most.saturating_sub(1)) {
            let displacement = (key & u64::from(u32::MAX)) as usize;
            found.push(Match {
                distance: f32::from_bits((key >> 32) as u32),
                at: [
                    at[0] + displacement / side - self.reach,
                    at[1] + displacement % side - self.reach,
                ],
            });
        }
    }
}

#[inline(always)]
fn least_of(values: &[f32]) -> f32 {
    let mut least = f32::INFINITY;
    for &value in values {
        least = if value < least { value } else { least };
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture([nx, ny]: [usize; 2]) -> Plane {
        let mut state = 9u64;
        Plane::new(
            [nx, ny],
            (0..nx * ny).map(move |_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 40) as f32 / (1 << 24) as f32
            }),
        )
    }

    fn naive(image: &Plane, a: [usize; 2], b: [usize; 2]) -> f32 {
        let mut sum = 0.0;
        for r in 0..EDGE {
            for c in 0..EDGE {
                sum += (image.row(a[0] + r)[a[1] + c] - image.row(b[0] + r)[b[1] + c]).powi(2);
            }
        }
        sum
    }

    #[test]
    fn the_nearest_blocks_are_those_of_a_plain_search() {
        for (size, reach) in [([40, 37], 9), ([9, 30], 19), ([8, 8], 5), ([21, 8], 4)] {
            let image = picture(size);
            let [nx, ny] = size;
            let ys: Vec<usize> = (0..=ny - EDGE).step_by(3).collect();
            let mut matcher = Matcher::new(reach);
            let mut found = Vec::new();
            for x in (0..=nx - EDGE).step_by(5) {
                matcher.measure(&image, x, &ys);
                for (index, &y) in ys.iter().enumerate() {
                    matcher.best(index, [x, y], 16, &mut found);
                    let mut all: Vec<(f32, [usize; 2])> = Vec::new();
                    for a in x.saturating_sub(reach)..=(x + reach).min(nx - EDGE) {
                        for b in y.saturating_sub(reach)..=(y + reach).min(ny - EDGE) {
                            all.push((naive(&image, [x, y], [a, b]), [a, b]));
                        }
                    }
                    all.sort_by(|a, b| a.0.total_cmp(&b.0));
                    assert_eq!(found.len(), all.len().min(16));
                    assert_eq!(found[0].at, [x, y]);
                    for (m, (distance, _)) in found.iter().zip(&all) {
                        assert!((m.distance - distance).abs() < 1e-4);
                        assert!((naive(&image, [x, y], m.at) - distance).abs() < 1e-4);
                    }
                }
            }
        }
    }
}
