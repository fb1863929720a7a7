// Images smoothed along one axis by a Gaussian whose weights beside the image are made up for, or the transpose of
// that: `projection/blur.rs`.

struct Pass {
    // 0: x, from row to row; 1: y.
    axis: u32,
    transposed: u32,
    // Weights on either side.
    reach: u32,
    // 1: subtracts what was measured.
    subtract: u32,
    // Place of the first pixel in a stored row.
    first: u32,
}

@group(0) @binding(0) var<uniform> pair: Pair;
@group(0) @binding(1) var<uniform> control: Pass;
// Weights at distance 0, 1, …, then for each pixel 1 over the sum of the weights that fall on the image.
@group(0) @binding(2) var<storage, read> line: array<f32>;
@group(0) @binding(3) var<storage, read> source: array<f32>;
@group(0) @binding(4) var<storage, read> measured: array<f32>;
@group(0) @binding(5) var<storage, read_write> smoothed: array<f32>;

@compute @workgroup_size(32, 8, 1)
fn blur(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>) {
    let y = group.x * 32u + lane.x;
    let x = group.z * 8u + lane.y;
    if y >= pair.image.w || x >= pair.image.z {
        return;
    }
    let at = i32((group.y * pair.image.x + x + 1u) * pair.image.y + control.first + y);
    let along = i32(select(x, y, control.axis == 1u));
    let count = i32(select(pair.image.z, pair.image.w, control.axis == 1u));
    let stride = i32(select(pair.image.y, 1u, control.axis == 1u));
    let reach = i32(control.reach);
    var sum = 0.0;
    for (var k = max(-reach, -along); k <= min(reach, count - 1 - along); k++) {
        var weight = line[abs(k)];
        if control.transposed == 1u {
            weight *= line[reach + 1 + along + k];
        }
        sum += weight * source[at + k * stride];
    }
    if control.transposed == 0u {
        sum *= line[reach + 1 + along];
    }
    if control.subtract == 1u {
        sum -= measured[at];
    }
    smoothed[at] = sum;
}
