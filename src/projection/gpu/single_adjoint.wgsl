// One tilt axis: four voxels along y gather from two rows of every image.

@group(0) @binding(4) var<storage, read> residual: array<vec4<f32>>;

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
        let from_x = f32(x) - pair.center.x;
        let from_z = f32(z) - pair.center.z;
        let last = i32(pair.image.z);
        let before = i32(pair.middle.x) + 1;
        var sum = vec4<f32>(0.0);
        for (var index = 0u; index < pair.size.w; index++) {
            let across = tilts[index].across;
            let place = across.x * from_x + across.z * from_z;
            let low = floor(place);
            let row = i32(low) + before;
            if row >= 0 && row <= last {
                let weight = place - low;
                let at = (index * pair.image.x + u32(row)) * quads + quad;
                sum += (1.0 - weight) * residual[at] + weight * residual[at + quads];
            }
        }
        part = take((x * pair.size.z + z) * quads + quad, sum);
    }
    let groups_z = (pair.size.z + 7u) / 8u;
    let groups_x = (pair.size.x + 3u) / 4u;
    join(part, number, (group.z * groups_x + sheet) * groups_z + group.x);
}
