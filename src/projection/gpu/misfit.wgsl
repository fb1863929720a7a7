// How far each tilt is off, in parts of PART pixels: Σ|r| and Σ r². What is not fitted is zeroed after it was counted,
// pixels that are no numbers before.

const PART: u32 = 4096u;
// Where a pixel is no number, something far below this remains of it: `grid.rs`.
const MASKED: f32 = -1e37;

@group(0) @binding(0) var<uniform> pair: Pair;
@group(0) @binding(1) var<storage, read> tilts: array<Tilt>;
@group(0) @binding(2) var<storage, read_write> residual: array<f32>;
@group(0) @binding(3) var<storage, read_write> misfits: array<vec2<f32>>;

var<workgroup> sums: array<vec2<f32>, 256>;

@compute @workgroup_size(256)
fn misfit(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let pixels = pair.image.x * pair.image.y;
    let fitted = tilts[group.y].across.w != 0.0;
    var sum = vec2<f32>(0.0);
    let end = min(pixels, (group.x + 1u) * PART);
    for (var pixel = group.x * PART + lane; pixel < end; pixel += 256u) {
        let at = group.y * pixels + pixel;
        var value = residual[at];
        let masked = value < MASKED;
        value = select(value, 0.0, masked);
        sum += vec2<f32>(abs(value), value * value);
        if masked || !fitted {
            residual[at] = 0.0;
        }
    }
    sums[lane] = sum;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half >>= 1u) {
        if lane < half {
            sums[lane] += sums[lane + half];
        }
        workgroupBarrier();
    }
    if lane == 0u {
        misfits[group.y * groups.x + group.x] = sums[0];
    }
}
