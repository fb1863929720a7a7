// One tilt axis: every y by itself, four at a time. A pixel gathers, along the axis nearest to the beam, the (at most
// three) columns whose hat it lies under.

@group(0) @binding(0) var<uniform> first: vec4<u32>;
@group(0) @binding(1) var<uniform> pair: Pair;
@group(0) @binding(2) var<storage, read> tilts: array<Tilt>;
@group(0) @binding(3) var<storage, read> volume: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> measured: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> residual: array<vec4<f32>>;

// Projects ones instead of the volume, and only where fitted.
override ONES: bool = false;
// Subtracts what was measured.
override SUBTRACT: bool = true;

fn within(y: u32, low: u32, high: u32) -> vec4<f32> {
    let lanes = vec4<u32>(y) + vec4<u32>(0u, 1u, 2u, 3u);
    return select(vec4<f32>(0.0), vec4<f32>(1.0), lanes >= vec4<u32>(low) & lanes < vec4<u32>(high));
}

@compute @workgroup_size(8, 32, 1)
fn forward(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>) {
    // Groups of one y lie together in time: their part of the volume stays in the cache.
    let quad = group.z * 8u + lane.x;
    let row = group.x * 32u + lane.y;
    let index = first.x + group.y;
    let quads = pair.size.y / 4u;
    if quad >= quads || row >= pair.image.z || index >= pair.size.w {
        return;
    }
    let tilt = tilts[index];
    let upright = abs(tilt.across.x) >= abs(tilt.across.z);
    let deep = select(tilt.across.x, tilt.across.z, upright);
    let wide = select(tilt.across.z, tilt.across.x, upright);
    let depth = i32(select(pair.size.x, pair.size.z, upright));
    let width = i32(select(pair.size.z, pair.size.x, upright));
    let depth_center = select(pair.center.x, pair.center.z, upright);
    let width_center = select(pair.center.z, pair.center.x, upright);
    let depth_stride = i32(quads * select(pair.size.z, 1u, upright));
    let width_stride = i32(quads * select(1u, pair.size.z, upright));

    let place = f32(row) - f32(pair.middle.x);
    let inverse = 1.0 / wide;
    let reach = abs(inverse);
    let begin = (place + deep * depth_center) * inverse + width_center;
    let steps = clip(depth, begin, -deep * inverse, -reach, f32(width - 1) + reach);
    let ones = within(quad * 4u, pair.range.x, pair.range.y);
    var sum = vec4<f32>(0.0);
    for (var k = steps.x; k < steps.y; k++) {
        let rest = place - deep * (f32(k) - depth_center);
        let columns = vec3<i32>(floor(rest * inverse - reach + width_center) + vec3<f32>(1.0, 2.0, 3.0));
        let near = clamp(columns, vec3<i32>(0), vec3<i32>(width - 1));
        let off = rest - wide * (vec3<f32>(columns) - width_center);
        let weights = select(vec3<f32>(0.0), max(vec3<f32>(0.0), 1.0 - abs(off)), near == columns);
        if ONES {
            sum += (weights.x + weights.y + weights.z) * ones;
        } else {
            let at = vec3<i32>(k * depth_stride + i32(quad)) + near * width_stride;
            sum += weights.x * volume[at.x] + weights.y * volume[at.y] + weights.z * volume[at.z];
        }
    }
    sum *= within(quad * 4u, pair.range.z, pair.range.w);
    let at = (index * pair.image.x + row + 1u) * quads + quad;
    if ONES {
        sum *= tilt.across.w;
    }
    if SUBTRACT {
        sum -= measured[at];
    }
    residual[at] = sum;
}
