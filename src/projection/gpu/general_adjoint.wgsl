// Any geometry: four voxels along y gather from every image.
//
// At a gentle tilt (see `general_forward.wgsl`) they share five pixels of two rows; where one voxel farther along y
// crosses to the next pair of rows, of three: with f the place from the first row, the weights of the rows are
// 1 − f, f and, beyond the second, `f − 1` times 1, −2, 1 more. Elsewhere each voxel takes its four pixels alone.

@group(0) @binding(4) var<storage, read> residual: array<f32>;

// Largest |R₁₁ − 1| of a gentle tilt, and largest |R₀₁|: no four voxels are seen in more than three rows.
const GENTLE: f32 = 0.02;
const LEVEL: f32 = 0.3;

const RAMP: vec4<f32> = vec4<f32>(0.0, 1.0, 2.0, 3.0);

// Between the pixels of a run of four and their neighbours behind.
fn between(at: u32, weights: vec4<f32>) -> vec4<f32> {
    let here = vec4<f32>(residual[at], residual[at + 1u], residual[at + 2u], residual[at + 3u]);
    let next = vec4<f32>(here.yzw, residual[at + 4u]);
    return here + weights * (next - here);
}

// What an image gives to the voxel seen at `place`.
fn alone(index: u32, place: vec2<f32>) -> f32 {
    let low = floor(place);
    let pixel = vec2<i32>(low) + vec2<i32>(pair.middle.xy) + 1;
    if any(pixel < vec2<i32>(0)) || any(pixel > vec2<i32>(pair.image.zw)) {
        return 0.0;
    }
    let weight = place - low;
    let length = pair.image.y;
    let at = (index * pair.image.x + u32(pixel.x)) * length + u32(pixel.y);
    let near = mix(residual[at], residual[at + 1u], weight.y);
    let far = mix(residual[at + length], residual[at + length + 1u], weight.y);
    return mix(near, far, weight.x);
}

@compute @workgroup_size(8, 8, 4)
fn adjoint(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) lane: vec3<u32>,
    @builtin(local_invocation_index) number: u32,
) {
    let quad = group.z * 8u + lane.x;
    let z = group.x * 8u + lane.y;
    let sheet = first.x + group.y;
    let x = sheet * 4u + lane.z;
    let quads = pair.size.y / 4u;
    var part = 0.0;
    if quad < quads && x < pair.size.x && z < pair.size.z {
        let off = vec3<f32>(f32(x), f32(quad * 4u), f32(z)) - pair.center.xyz;
        let before = vec2<i32>(pair.middle.xy) + 1;
        let last = vec2<i32>(pair.image.zw);
        let length = pair.image.y;
        var sum = vec4<f32>(0.0);
        for (var index = 0u; index < pair.size.w; index++) {
            let across = tilts[index].across.xyz;
            let along = tilts[index].along.xyz;
            let place = vec2<f32>(dot(across, off), dot(along, off));
            let way = vec2<f32>(across.y, along.y);
            let drift = way.y - 1.0;
            // The rows and pixels before all four.
            let low = floor(vec2<f32>(place.x + min(3.0 * way.x, 0.0), place.y + min(3.0 * drift, 0.0)));
            let pixel = vec2<i32>(low) + before;
            let down = place.x - low.x + way.x * RAMP;
            let right = place.y - low.y + drift * RAMP;
            let farthest = max(down.x, down.w);
            let crosses = farthest > 1.0;
            let inside = all(pixel >= vec2<i32>(0)) && pixel.x + i32(crosses) <= last.x && pixel.y + 3 <= last.y;
            let level = abs(drift) <= GENTLE && abs(way.x) <= LEVEL;
            if level && inside && max(right.x, right.w) <= 1.0 {
                let at = (index * pair.image.x + u32(pixel.x)) * length + u32(pixel.y);
                let near = between(at, right);
                let far = between(at + length, right);
                sum += near + down * (far - near);
                if crosses {
                    let third = between(at + 2u * length, right);
                    let over = max(down - 1.0, vec4<f32>(0.0));
                    sum += over * (near - far + (third - far));
                }
            } else if !level || (pixel.x >= -2 && pixel.x <= last.x && pixel.y >= -4 && pixel.y <= last.y) {
                for (var i = 0u; i < 4u; i++) {
                    sum[i] += alone(index, place + way * f32(i));
                }
            }
        }
        let lanes = vec4<u32>(quad * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
        sum = select(vec4<f32>(0.0), sum, lanes < vec4<u32>(pair.range.y));
        part = take((x * pair.size.z + z) * quads + quad, sum);
    }
    let groups_z = (pair.size.z + 7u) / 8u;
    let groups_x = (pair.size.x + 3u) / 4u;
    join(part, number, (group.z * groups_x + sheet) * groups_z + group.x);
}
