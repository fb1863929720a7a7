// Any geometry: a voxel gathers from four pixels of every image.

alias Value = f32;

fn total(value: Value) -> f32 {
    return value;
}

fn largest(value: Value) -> f32 {
    return value;
}

fn bits(at: u32) -> bool {
    return ((allowed[at >> 5u] >> (at & 31u)) & 1u) != 0u;
}

@compute @workgroup_size(32, 4, 2)
fn adjoint(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) lane: vec3<u32>,
    @builtin(local_invocation_index) number: u32,
) {
    let y = group.z * 32u + lane.x;
    let z = group.x * 4u + lane.y;
    let sheet = first.x + group.y;
    let x = sheet * 2u + lane.z;
    var part = 0.0;
    if y < pair.range.y && x < pair.size.x && z < pair.size.z {
        let off = vec3<f32>(f32(x), f32(y), f32(z)) - pair.center.xyz;
        let last = vec2<i32>(pair.image.zw);
        let before = vec2<i32>(pair.middle.xy) + 1;
        let length = pair.image.y;
        var sum = 0.0;
        for (var index = 0u; index < pair.size.w; index++) {
            let place = vec2<f32>(dot(tilts[index].across.xyz, off), dot(tilts[index].along.xyz, off));
            let low = floor(place);
            let pixel = vec2<i32>(low) + before;
            if all(pixel >= vec2<i32>(0)) && all(pixel <= last) {
                let weight = place - low;
                let at = (index * pair.image.x + u32(pixel.x)) * length + u32(pixel.y);
                let near = mix(residual[at], residual[at + 1u], weight.y);
                let far = mix(residual[at + length], residual[at + length + 1u], weight.y);
                sum += mix(near, far, weight.x);
            }
        }
        part = take((x * pair.size.z + z) * pair.size.y + y, sum);
    }
    let groups_z = (pair.size.z + 3u) / 4u;
    let groups_x = (pair.size.x + 1u) / 2u;
    join(part, number, (group.z * groups_x + sheet) * groups_z + group.x);
}
