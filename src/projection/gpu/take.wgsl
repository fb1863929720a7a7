// What becomes of a gradient, four voxels along y at a time.

struct Control {
    step: f32,
    beta: f32,
    // 1: values below zero become zero.
    positive: u32,
    mode: u32,
}

const STORE: u32 = 0u;
const DESCEND: u32 = 1u;
const PROPOSE: u32 = 2u;
const LARGEST: u32 = 3u;

@group(0) @binding(0) var<uniform> first: vec4<u32>;
@group(0) @binding(1) var<uniform> pair: Pair;
@group(0) @binding(2) var<uniform> control: Control;
@group(0) @binding(3) var<storage, read> tilts: array<Tilt>;
@group(0) @binding(5) var<storage, read_write> volume: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> ahead: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> fresh: array<vec4<f32>>;
// One bit per voxel: it exists, and the support allows it.
@group(0) @binding(8) var<storage, read> allowed: array<u32>;
@group(0) @binding(9) var<storage, read_write> partials: array<f32>;

fn total(value: vec4<f32>) -> f32 {
    return value.x + value.y + value.z + value.w;
}

fn largest(value: vec4<f32>) -> f32 {
    return max(max(value.x, value.y), max(value.z, value.w));
}

fn bits(at: u32) -> vec4<bool> {
    let word = allowed[at >> 3u] >> ((at & 7u) * 4u);
    return (vec4<u32>(word) & vec4<u32>(1u, 2u, 4u, 8u)) != vec4<u32>(0u);
}

fn admit(at: u32, value: vec4<f32>) -> vec4<f32> {
    let positive = select(value, max(value, vec4<f32>(0.0)), control.positive == 1u);
    return select(vec4<f32>(0.0), positive, bits(at));
}

// Ends the sum of a voxel's gradient; returns what it adds to the number wanted of the whole volume.
fn take(at: u32, gradient: vec4<f32>) -> f32 {
    var sum = gradient;
    if pair.middle.z == 0u {
        sum += fresh[at];
    }
    if pair.middle.w == 0u {
        fresh[at] = sum;
        return 0.0;
    }
    switch control.mode {
        case STORE: {
            volume[at] = sum;
            return 0.0;
        }
        case DESCEND: {
            volume[at] = admit(at, volume[at] - control.step * sum);
            return 0.0;
        }
        case PROPOSE: {
            let point = ahead[at];
            let next = admit(at, point - control.step * sum);
            fresh[at] = next;
            return total((point - next) * (next - volume[at]));
        }
        default: {
            return largest(sum);
        }
    }
}

var<workgroup> shared_numbers: array<f32, 256>;

// The number of a whole group; all its lanes call this.
fn join(number: f32, lane: u32, place: u32) {
    if control.mode < PROPOSE || pair.middle.w == 0u {
        return;
    }
    shared_numbers[lane] = number;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half >>= 1u) {
        if lane < half {
            let other = shared_numbers[lane + half];
            let own = shared_numbers[lane];
            shared_numbers[lane] = select(own + other, max(own, other), control.mode == LARGEST);
        }
        workgroupBarrier();
    }
    if lane == 0u {
        partials[place] = shared_numbers[0];
    }
}
