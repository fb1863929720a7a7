// What every kernel knows. Volume slabs are (x, z, y), images (tilt, row, pixel), the last fastest.

struct Tilt {
    // Rows of the rotation: where a voxel is seen across and along the rows. `across.w` is 1 for a fitted tilt, else 0.
    across: vec4<f32>,
    along: vec4<f32>,
    // The axis nearest to the beam, the one beside it, the innermost; and which row bounds the innermost.
    plan: vec4<u32>,
}

struct Pair {
    // Voxels on x, stored y, z of the slab; tilts of the part.
    size: vec4<u32>,
    // Stored rows, stored pixels of a row; rows, pixels of a row.
    image: vec4<u32>,
    // Row and pixel of the image's center; whether no part came before, whether none follows.
    middle: vec4<u32>,
    // Stored y of the voxels that exist and of the pixels that exist.
    range: vec4<u32>,
    // The volume's center on x, y, z, counted from the slab's first voxel.
    center: vec4<f32>,
}

fn hat(x: f32) -> f32 {
    return max(0.0, 1.0 - abs(x));
}

// The k of 0..n for which `at + slope k` may lie between low and high: first, and one past the last.
fn clip(n: i32, at: f32, slope: f32, low: f32, high: f32) -> vec2<i32> {
    if abs(slope) < 1e-5 {
        let reach = 1.0 + 1e-5 * f32(n);
        let seen = at > low - reach && at < high + reach;
        return vec2<i32>(0, select(0, n, seen));
    }
    let a = (low - at) / slope;
    let b = (high - at) / slope;
    // Beyond what an integer holds there is nothing anyway.
    let lowest = clamp(min(a, b), -1.0, f32(n) + 1.0);
    let highest = clamp(max(a, b), -1.0, f32(n) + 1.0);
    return vec2<i32>(max(i32(floor(lowest)) - 1, 0), min(i32(ceil(highest)) + 2, n));
}
