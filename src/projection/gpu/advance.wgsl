// The step with momentum: the next point becomes the volume, and the point ahead lies beyond it.

struct Control {
    step: f32,
    beta: f32,
    positive: u32,
    mode: u32,
}

@group(0) @binding(0) var<uniform> control: Control;
@group(0) @binding(1) var<storage, read> fresh: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> volume: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> ahead: array<vec4<f32>>;

@compute @workgroup_size(256)
fn advance(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.y * groups.x + group.x) * 256u + lane;
    if at >= arrayLength(&volume) {
        return;
    }
    let next = fresh[at];
    ahead[at] = next + control.beta * (next - volume[at]);
    volume[at] = next;
}
