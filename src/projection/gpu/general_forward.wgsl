// Any geometry: a pixel walks along the axis nearest to the beam and gathers the voxels whose hat it lies under. For
// given steps along two axes the third is bounded by one of the two conditions |across| < 1, |along| < 1.

@group(0) @binding(0) var<uniform> first: vec4<u32>;
@group(0) @binding(1) var<uniform> pair: Pair;
@group(0) @binding(2) var<storage, read> tilts: array<Tilt>;
@group(0) @binding(3) var<storage, read> volume: array<f32>;
@group(0) @binding(4) var<storage, read> measured: array<f32>;
@group(0) @binding(5) var<storage, read_write> residual: array<f32>;

// Projects ones instead of the volume, and only where fitted.
override ONES: bool = false;

@compute @workgroup_size(32, 8, 1)
fn forward(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>) {
    let pixel = group.z * 32u + lane.x;
    let row = group.x * 8u + lane.y;
    let index = first.x + group.y;
    if pixel >= pair.image.w || row >= pair.image.z || index >= pair.size.w {
        return;
    }
    let tilt = tilts[index];
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
    let place = vec2<f32>(f32(row) - f32(pair.middle.x), f32(pixel) - f32(pair.middle.y));
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
        let from_b = max(i32(ceil(middle_b - reach_b)), 0);
        let to_b = min(i32(floor(middle_b + reach_b)), count[b] - 1);
        for (var j = from_b; j <= to_b; j++) {
            let left = rest - by_b * (f32(j) - center[b]);
            let middle_c = left[lead] * inverse_c + center[c];
            let from_c = max(i32(ceil(middle_c - bound_c)), 0);
            let to_c = min(i32(floor(middle_c + bound_c)), count[c] - 1);
            let line = k * stride[a] + j * stride[b];
            for (var i = from_c; i <= to_c; i++) {
                let off = left - by_c * (f32(i) - center[c]);
                let weight = hat(off.x) * hat(off.y);
                if ONES {
                    sum += weight;
                } else {
                    sum += weight * volume[line + i * stride[c]];
                }
            }
        }
    }
    let at = (index * pair.image.x + row + 1u) * pair.image.y + pixel + 1u;
    var before = 0.0;
    if pair.middle.z == 0u {
        before = residual[at];
    } else if !ONES {
        before = -measured[at];
    }
    if ONES {
        sum *= tilt.across.w;
    }
    residual[at] = before + sum;
}
