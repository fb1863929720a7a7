//! Exact counts of all pairs by their distance.
//!
//! Points lie cell by cell, coordinate by coordinate, so that the bins of a whole run of them are computed side by side; what
//! lies beyond the range falls into one bin more, which nobody reads.

use super::Sampling;
use crate::numeric::neighbors::CellList;
use rayon::prelude::*;
use std::ops::Range;

/// Pairs by bin, for every ordered pair of classes (a ≤ b at `a * kinds + b`). The `bins` reach to the range; a pair is nearer
/// than that.
pub(super) fn count_pairs(
    positions: &[[f64; 3]],
    sampling: &Sampling,
    bins: usize,
    kinds: usize,
    of: Option<&[usize]>,
) -> Vec<Vec<u64>> {
    // Small cells fit the sphere better, large ones need fewer rows: about a quarter of the range is best.
    let list = CellList::new(positions, (0.25 * sampling.range).clamp(2.0, 8.0));
    let axis = |k: usize| list.placed().iter().map(|p| p[k]).collect();
    let pairs = Pairs {
        places: [axis(0), axis(1), axis(2)],
        class: match of {
            Some(of) => list.order().iter().map(|&i| of[i as usize]).collect(),
            None => Vec::new(),
        },
        list: &list,
        range: sampling.range,
        bin: sampling.bin,
        bins,
        kinds,
    };
    let empty = || vec![0u64; kinds * kinds * (bins + 1)];
    const CHUNK: usize = 256;
    let counts = (0..positions.len().div_ceil(CHUNK))
        .into_par_iter()
        .fold(empty, |mut counts, chunk| {
            let slots = CHUNK * chunk..(CHUNK * (chunk + 1)).min(positions.len());
            count_slots(&pairs, slots, &mut counts);
            counts
        })
        .reduce(empty, |mut a, b| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
            a
        });
    let within = counts.chunks(bins + 1).map(|c| c[..bins].to_vec());
    within.collect()
}

/// What is counted, and how.
struct Pairs<'a> {
    list: &'a CellList,
    /// Coordinates in the order of the list.
    places: [Vec<f64>; 3],
    /// Classes in that order; empty for one class.
    class: Vec<usize>,
    range: f64,
    bin: f64,
    bins: usize,
    kinds: usize,
}

/// Adds the pairs whose first point is among `slots`. Only loops without closures, so that all of it is compiled for the
/// instructions of its caller.
#[inline(always)]
fn count_in(pairs: &Pairs<'_>, slots: Range<usize>, counts: &mut [u64]) {
    let (mut runs, mut found) = (Vec::new(), Vec::<i32>::new());
    let limit = pairs.range * pairs.range;
    let [xs, ys, zs] = &pairs.places;
    let (last, beyond) = (pairs.bins as i32 - 1, pairs.bins as i32);
    for slot in slots {
        let [cx, cy, cz] = [xs[slot], ys[slot], zs[slot]];
        pairs.runs(slot, &mut runs);
        let own = pairs.class.get(slot).copied().unwrap_or(0);
        for run in &runs {
            let n = run.len();
            if found.len() < n {
                found.resize(n, 0);
            }
            let (x, y, z) = (&xs[run.clone()], &ys[run.clone()], &zs[run.clone()]);
            let bins = &mut found[..n];
            for k in 0..n {
                let (dx, dy, dz) = (x[k] - cx, y[k] - cy, z[k] - cz);
                let d2 = dx * dx + dy * dy + dz * dz;
                let bin = ((d2.sqrt() / pairs.bin) as i32).min(last);
                bins[k] = if d2 < limit { bin } else { beyond };
            }
            if pairs.class.is_empty() {
                for &bin in &*bins {
                    counts[bin as usize] += 1;
                }
            } else {
                let class = &pairs.class[run.clone()];
                for k in 0..n {
                    let pair = own.min(class[k]) * pairs.kinds + own.max(class[k]);
                    counts[pair * (pairs.bins + 1) + bins[k] as usize] += 1;
                }
            }
        }
    }
}

impl Pairs<'_> {
    /// Runs of places after `slot` that hold all within range of it.
    fn runs(&self, slot: usize, runs: &mut Vec<Range<usize>>) {
        runs.clear();
        let center = self.list.placed()[slot];
        let more = |run| runs.push(run);
        self.list.for_each_run(center, self.range, slot + 1, more);
    }
}

/// As [`count_in`], with the widest vectors of this processor.
fn count_slots(pairs: &Pairs<'_>, slots: Range<usize>, counts: &mut [u64]) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn with_avx2(pairs: &Pairs<'_>, slots: Range<usize>, counts: &mut [u64]) {
            count_in(pairs, slots, counts);
        }
        if std::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2, checked on the line above; the body is safe code.
            #[allow(unsafe_code)]
            unsafe {
                with_avx2(pairs, slots, counts);
            }
            return;
        }
    }
    count_in(pairs, slots, counts);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_pair_is_counted_once(
            points in prop::collection::vec(prop::array::uniform3(-14.0..14.0f64), 2..90),
            range in 1.0..25.0f64,
            bin in 0.03..3.0f64,
        ) {
            let of: Vec<usize> = (0..points.len()).map(|i| i % 3).collect();
            let sampling = Sampling { range, bin, smoothing: 0.0 };
            let bins = (range / bin).ceil().max(1.0) as usize;
            let one = count_pairs(&points, &sampling, bins, 1, None);
            let three = count_pairs(&points, &sampling, bins, 3, Some(&of));
            let mut slow = vec![vec![0u64; bins]; 9];
            for (i, a) in points.iter().enumerate() {
                for (j, b) in points.iter().enumerate().skip(i + 1) {
                    let d2: f64 = (0..3).map(|k| (a[k] - b[k]).powi(2)).sum();
                    if d2 < range * range {
                        let bin = ((d2.sqrt() / bin) as usize).min(bins - 1);
                        slow[of[i].min(of[j]) * 3 + of[i].max(of[j])][bin] += 1;
                    }
                }
            }
            prop_assert_eq!(&three, &slow);
            let all: Vec<u64> = (0..bins).map(|k| slow.iter().map(|c| c[k]).sum()).collect();
            prop_assert_eq!(&one[0], &all);
        }
    }
}
