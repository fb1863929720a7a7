// Any geometry: pixels walk along the axis nearest to the beam and gather the voxels whose hat they lie under. Four
// pixels of a row are worked on together.
//
// Where the tilt axis lies nearly along y (a *gentle* tilt), one voxel farther along y is seen almost one pixel farther
// in the row: the four pixels share five voxels of a column, and each takes two, with weights that change linearly from
// pixel to pixel. Elsewhere, for given steps along two axes, the third is bounded by one of the two conditions
// |across| < 1, |along| < 1.

@group(0) @binding(0) var<uniform> first: vec4<u32>;
@group(0) @binding(1) var<uniform> pair: Pair;
@group(0) @binding(2) var<storage, read> tilts: array<Tilt>;
@group(0) @binding(3) var<storage, read> volume: array<f32>;
@group(0) @binding(4) var<storage, read> measured: array<f32>;
@group(0) @binding(5) var<storage, read_write> residual: array<f32>;

// Projects ones instead of the volume, and only where fitted.
override ONES: bool = false;
// Subtracts what was measured.
override SUBTRACT: bool = true;

// Largest |R₁₁ − 1| of a gentle tilt: within a run of four, rounding changes seldom.
const GENTLE: f32 = 0.02;

const RAMP: vec4<f32> = vec4<f32>(0.0, 1.0, 2.0, 3.0);

fn density(at: i32) -> f32 {
    if ONES {
        return 1.0;
    }
    return volume[at];
}

// The rays of four pixels of a row; that of the first begins at `place`.
fn gentle(tilt: Tilt, place: vec2<f32>) -> vec4<f32> {
    // Along the beam, and across it beside y.
    let a = tilt.plan.x;
    let b = tilt.plan.y;
    let upright = a == 2u;
    let count_a = i32(select(pair.size.x, pair.size.z, upright));
    let count_b = i32(select(pair.size.z, pair.size.x, upright));
    let count = i32(pair.range.y);
    let length = i32(pair.size.y);
    let stride_a = length * select(i32(pair.size.z), 1, upright);
    let stride_b = length * select(1, i32(pair.size.z), upright);
    let center_a = select(pair.center.x, pair.center.z, upright);
    let center_b = select(pair.center.z, pair.center.x, upright);
    let by_a = vec2<f32>(tilt.across[a], tilt.along[a]);
    let by_b = vec2<f32>(tilt.across[b], tilt.along[b]);
    let by_y = vec2<f32>(tilt.across.y, tilt.along.y);
    let inverse = 1.0 / (by_b.x * by_y.y - by_y.x * by_b.y);
    let drift = by_y.y - 1.0;
    let per_y = 1.0 / by_y.y;

    // How far b and y move along a row of four, and how far they may be off.
    let way_b = -3.0 * by_y.x * inverse;
    let way_y = 3.0 * by_b.x * inverse;
    let reach_b = (abs(by_y.y) + abs(by_y.x)) * abs(inverse);
    let reach_y = (abs(by_b.y) + abs(by_b.x)) * abs(inverse);
    let begin = place + by_a * center_a;
    let begin_b = (begin.x * by_y.y - begin.y * by_y.x) * inverse + center_b;
    let begin_y = (by_b.x * begin.y - by_b.y * begin.x) * inverse + pair.center.y;
    let slope_b = -(by_a.x * by_y.y - by_a.y * by_y.x) * inverse;
    let slope_y = -(by_b.x * by_a.y - by_b.y * by_a.x) * inverse;
    let low_b = -reach_b - max(way_b, 0.0);
    let high_b = reach_b - min(way_b, 0.0) + f32(count_b - 1);
    let low_y = -reach_y - max(way_y, 0.0);
    let high_y = reach_y - min(way_y, 0.0) + f32(count - 1);
    let in_b = clip(count_a, begin_b, slope_b, low_b, high_b);
    let in_y = clip(count_a, begin_y, slope_y, low_y, high_y);

    var sum = vec4<f32>(0.0);
    for (var k = max(in_b.x, in_y.x); k < min(in_b.y, in_y.y); k++) {
        let rest = place - by_a * (f32(k) - center_a);
        let middle = (rest.x * by_y.y - rest.y * by_y.x) * inverse + center_b;
        let least = max(i32(ceil(middle + min(way_b, 0.0) - reach_b)), 0);
        let most = min(i32(floor(middle + max(way_b, 0.0) + reach_b)), count_b - 1);
        for (var j = least; j <= most; j++) {
            // Of the column's voxels: the last one seen before the first pixel, and how far before.
            let left = rest - by_b * (f32(j) - center_b);
            let y = floor(left.y * per_y + pair.center.y);
            let across = left.x - by_y.x * (y - pair.center.y);
            let before = by_y.y * (y - pair.center.y) - left.y;
            let voxel = i32(y);
            let line = k * stride_a + j * stride_b + voxel;
            // No voxel but these two within reach of any of the four.
            let last = before + 3.0 * drift;
            let simple = max(before, last) <= min(drift, 0.0) && min(before, last) >= -1.0 - 2.0 * drift + abs(drift);
            if simple && voxel >= 0 && voxel + 4 < count {
                let near = 1.0 + before + drift * RAMP;
                let far = 1.0 - drift - near;
                let weights = 1.0 - abs(across - by_y.x * RAMP);
                let here = max(weights, vec4<f32>(0.0))
                    * vec4<f32>(density(line), density(line + 1), density(line + 2), density(line + 3));
                let behind = hat(across - by_y.x * 4.0) * density(line + 4);
                sum += near * here + far * vec4<f32>(here.yzw, behind);
            } else {
                for (var i = max(-1, -voxel); i <= min(6, count - 1 - voxel); i++) {
                    let off = before + by_y.y * f32(i) - RAMP;
                    let weight = hat(across - by_y.x * f32(i)) * density(line + i);
                    sum += weight * max(vec4<f32>(0.0), 1.0 - abs(off));
                }
            }
        }
    }
    return sum;
}

// The ray of one pixel, at any tilt.
fn steep(tilt: Tilt, place: vec2<f32>) -> f32 {
    let a = tilt.plan.x;
    let b = tilt.plan.y;
    let c = tilt.plan.z;
    var count = array<i32, 3>(i32(pair.size.x), i32(pair.range.y), i32(pair.size.z));
    var stride = array<i32, 3>(i32(pair.size.y * pair.size.z), 1, i32(pair.size.y));
    var center = array<f32, 3>(pair.center.x, pair.center.y, pair.center.z);
    let by_a = vec2<f32>(tilt.across[a], tilt.along[a]);
    let by_b = vec2<f32>(tilt.across[b], tilt.along[b]);
    let by_c = vec2<f32>(tilt.across[c], tilt.along[c]);
    let inverse = 1.0 / (by_b.x * by_c.y - by_c.x * by_b.y);
    let reach_b = (abs(by_c.y) + abs(by_c.x)) * abs(inverse);
    let reach_c = (abs(by_b.y) + abs(by_b.x)) * abs(inverse);
    let lead = tilt.plan.w;
    let inverse_c = 1.0 / by_c[lead];
    let bound_c = abs(inverse_c);

    // Where the ray is at step k along a: b and c, counted from the slab's first voxel.
    let begin = place + by_a * center[a];
    let begin_b = (begin.x * by_c.y - begin.y * by_c.x) * inverse + center[b];
    let begin_c = (by_b.x * begin.y - by_b.y * begin.x) * inverse + center[c];
    let slope_b = -(by_a.x * by_c.y - by_a.y * by_c.x) * inverse;
    let slope_c = -(by_b.x * by_a.y - by_b.y * by_a.x) * inverse;
    let in_b = clip(count[a], begin_b, slope_b, -reach_b, f32(count[b] - 1) + reach_b);
    let in_c = clip(count[a], begin_c, slope_c, -reach_c, f32(count[c] - 1) + reach_c);

    var sum = 0.0;
    for (var k = max(in_b.x, in_c.x); k < min(in_b.y, in_c.y); k++) {
        let rest = place - by_a * (f32(k) - center[a]);
        let middle_b = (rest.x * by_c.y - rest.y * by_c.x) * inverse + center[b];
        let least_b = max(i32(ceil(middle_b - reach_b)), 0);
        let most_b = min(i32(floor(middle_b + reach_b)), count[b] - 1);
        for (var j = least_b; j <= most_b; j++) {
            let left = rest - by_b * (f32(j) - center[b]);
            let middle_c = left[lead] * inverse_c + center[c];
            let least_c = max(i32(ceil(middle_c - bound_c)), 0);
            let most_c = min(i32(floor(middle_c + bound_c)), count[c] - 1);
            let line = k * stride[a] + j * stride[b];
            for (var i = least_c; i <= most_c; i++) {
                let off = left - by_c * (f32(i) - center[c]);
                sum += hat(off.x) * hat(off.y) * density(line + i * stride[c]);
            }
        }
    }
    return sum;
}

@compute @workgroup_size(8, 32, 1)
fn forward(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>) {
    let pixel = (group.z * 8u + lane.x) * 4u;
    let row = group.x * 32u + lane.y;
    let index = first.x + group.y;
    if pixel >= pair.image.w || row >= pair.image.z || index >= pair.size.w {
        return;
    }
    let tilt = tilts[index];
    let place = vec2<f32>(f32(row) - f32(pair.middle.x), f32(pixel) - f32(pair.middle.y));
    var sum = vec4<f32>(0.0);
    if tilt.plan.x != 1u && abs(tilt.along.y - 1.0) <= GENTLE {
        sum = gentle(tilt, place);
    } else {
        for (var i = 0u; i < 4u; i++) {
            sum[i] = steep(tilt, place + vec2<f32>(0.0, f32(i)));
        }
    }
    if ONES {
        sum *= tilt.across.w;
    }
    let at = (index * pair.image.x + row + 1u) * pair.image.y + pixel + 1u;
    for (var i = 0u; i < min(4u, pair.image.w - pixel); i++) {
        var before = 0.0;
        if pair.middle.z == 0u {
            before = residual[at + i];
        } else if SUBTRACT {
            before = -measured[at + i];
        }
        residual[at + i] = before + sum[i];
    }
}
