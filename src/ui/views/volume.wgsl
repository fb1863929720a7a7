// The 3D view: lit spheres and a volume (maximum intensity or isosurface), orthographic, and a blit to the window.

struct Scene {
    // Rows of the rotation from sample to view; w: the point in the middle, Å.
    right: vec4<f32>,
    up: vec4<f32>,
    toward: vec4<f32>,
    // x, y: clip units per Å; z: depth units per Å; w: 1 when the volume is shown as a surface.
    scale: vec4<f32>,
    // Corners of the volume, Å; w: level of the surface, step of the march in Å.
    low: vec4<f32>,
    high: vec4<f32>,
    // Clipping box, Å.
    clip_low: vec4<f32>,
    clip_high: vec4<f32>,
    // rgb of surface; w: opacity of the volume.
    tint: vec4<f32>,
};

@group(0) @binding(0) var<uniform> scene: Scene;
@group(1) @binding(0) var density: texture_3d<f32>;
@group(1) @binding(1) var smooth_sampler: sampler;

struct SphereOut {
    @builtin(position) position: vec4<f32>,
    @location(0) corner: vec2<f32>,
    @location(1) color: vec4<f32>,
    @location(2) radius: f32,
};

fn corner_of(index: u32) -> vec2<f32> {
    let x = select(-1.0, 1.0, index == 1u || index == 2u || index == 4u);
    let y = select(-1.0, 1.0, index == 2u || index == 4u || index == 5u);
    return vec2<f32>(x, y);
}

fn view_of(point: vec3<f32>) -> vec3<f32> {
    let d = point - vec3<f32>(scene.right.w, scene.up.w, scene.toward.w);
    return vec3<f32>(dot(scene.right.xyz, d), dot(scene.up.xyz, d), dot(scene.toward.xyz, d));
}

@vertex
fn sphere_vertex(
    @builtin(vertex_index) index: u32,
    @location(0) center: vec4<f32>,
    @location(1) color: vec4<f32>,
) -> SphereOut {
    var out: SphereOut;
    let corner = corner_of(index);
    let seen = view_of(center.xyz);
    let inside = all(center.xyz >= scene.clip_low.xyz) && all(center.xyz <= scene.clip_high.xyz);
    let xy = (seen.xy + corner * center.w) * scene.scale.xy;
    // What is clipped away collapses to a point.
    out.position = select(vec4<f32>(2.0, 2.0, 2.0, 1.0), vec4<f32>(xy, 0.5 - seen.z * scene.scale.z, 1.0), inside);
    out.corner = corner;
    out.color = color;
    out.radius = center.w;
    return out;
}

struct Lit {
    @location(0) color: vec4<f32>,
    @builtin(frag_depth) depth: f32,
};

fn light(normal: vec3<f32>, color: vec3<f32>) -> vec3<f32> {
    let key = max(dot(normal, normalize(vec3<f32>(-0.4, 0.6, 0.8))), 0.0);
    let shine = pow(max(dot(normal, normalize(vec3<f32>(-0.2, 0.35, 0.9))), 0.0), 40.0);
    return color * (0.28 + 0.72 * key) + vec3<f32>(0.22 * shine);
}

@fragment
fn sphere_fragment(in: SphereOut) -> Lit {
    let r2 = dot(in.corner, in.corner);
    if (r2 > 1.0) {
        discard;
    }
    let z = sqrt(1.0 - r2);
    let normal = vec3<f32>(in.corner, z);
    let depth = in.position.z - z * in.radius * scene.scale.z;
    // Atoms farther away fade a little: depth without perspective.
    let fog = clamp(1.15 - 0.55 * depth, 0.55, 1.0);
    return Lit(vec4<f32>(light(normal, in.color.rgb) * fog, 1.0), clamp(depth, 0.0, 1.0));
}

struct MeshOut {
    @builtin(position) position: vec4<f32>,
    @location(0) place: vec3<f32>,
    @location(1) normal: vec3<f32>,
    @location(2) color: vec4<f32>,
};

@vertex
fn mesh_vertex(
    @location(0) place: vec4<f32>,
    @location(1) normal: vec4<f32>,
    @location(2) color: vec4<f32>,
) -> MeshOut {
    let seen = view_of(place.xyz);
    var out: MeshOut;
    out.position = vec4<f32>(seen.xy * scene.scale.xy, clamp(0.5 - seen.z * scene.scale.z, 0.0, 1.0), 1.0);
    out.place = place.xyz;
    out.normal = vec3<f32>(dot(scene.right.xyz, normal.xyz), dot(scene.up.xyz, normal.xyz), dot(scene.toward.xyz, normal.xyz));
    out.color = color;
    return out;
}

@fragment
fn mesh_fragment(in: MeshOut) -> @location(0) vec4<f32> {
    if (any(in.place < scene.clip_low.xyz) || any(in.place > scene.clip_high.xyz)) {
        discard;
    }
    var normal = normalize(in.normal + vec3<f32>(0.0, 0.0, 1e-6));
    // The inside of a surface that is cut open is lit, too.
    if (normal.z < 0.0) {
        normal = -normal;
    }
    let fog = clamp(1.15 - 0.55 * in.position.z, 0.55, 1.0);
    return vec4<f32>(light(normal, in.color.rgb) * fog, in.color.a);
}

struct ScreenOut {
    @builtin(position) position: vec4<f32>,
    @location(0) ndc: vec2<f32>,
};

@vertex
fn screen_vertex(@builtin(vertex_index) index: u32) -> ScreenOut {
    let corner = corner_of(index);
    return ScreenOut(vec4<f32>(corner, 0.0, 1.0), corner);
}

fn sample_at(point: vec3<f32>) -> f32 {
    let uvw = (point - scene.low.xyz) / (scene.high.xyz - scene.low.xyz);
    return textureSampleLevel(density, smooth_sampler, uvw, 0.0).r;
}

@fragment
fn volume_fragment(in: ScreenOut) -> Lit {
    let middle = vec3<f32>(scene.right.w, scene.up.w, scene.toward.w);
    let plane = middle + scene.right.xyz * (in.ndc.x / scene.scale.x) + scene.up.xyz * (in.ndc.y / scene.scale.y);
    let forward = -scene.toward.xyz;
    let low = max(scene.low.xyz, scene.clip_low.xyz);
    let high = min(scene.high.xyz, scene.clip_high.xyz);
    // A direction that is exactly zero would give 0/0 at a face.
    let safe = select(forward, vec3<f32>(1e-6), abs(forward) < vec3<f32>(1e-6));
    let a = (low - plane) / safe;
    let b = (high - plane) / safe;
    let near = max(max(min(a.x, b.x), min(a.y, b.y)), min(a.z, b.z));
    let far = min(min(max(a.x, b.x), max(a.y, b.y)), max(a.z, b.z));
    if (near >= far) {
        discard;
    }
    let step = scene.high.w;
    let level = scene.low.w;
    var best = 0.0;
    var t = near;
    for (var i = 0; i < 700; i++) {
        if (t > far) {
            break;
        }
        let value = sample_at(plane + forward * t);
        if (scene.scale.w > 0.5 && value >= level) {
            let hit = plane + forward * t;
            let h = step;
            let gradient = vec3<f32>(
                sample_at(hit + vec3<f32>(h, 0.0, 0.0)) - sample_at(hit - vec3<f32>(h, 0.0, 0.0)),
                sample_at(hit + vec3<f32>(0.0, h, 0.0)) - sample_at(hit - vec3<f32>(0.0, h, 0.0)),
                sample_at(hit + vec3<f32>(0.0, 0.0, h)) - sample_at(hit - vec3<f32>(0.0, 0.0, h)),
            );
            let outward = -normalize(gradient + vec3<f32>(1e-9));
            let normal = vec3<f32>(dot(scene.right.xyz, outward), dot(scene.up.xyz, outward), dot(scene.toward.xyz, outward));
            let depth = 0.5 - view_of(hit).z * scene.scale.z;
            let fog = clamp(1.15 - 0.55 * depth, 0.55, 1.0);
            return Lit(vec4<f32>(light(normal, scene.tint.rgb) * fog, 1.0), clamp(depth, 0.0, 1.0));
        }
        best = max(best, value);
        t += step;
    }
    if (scene.scale.w > 0.5) {
        discard;
    }
    let shown = best * scene.tint.w;
    return Lit(vec4<f32>(shown * scene.tint.rgb, 1.0), 1.0);
}

@group(0) @binding(0) var picture: texture_2d<f32>;
@group(0) @binding(1) var picture_sampler: sampler;

@fragment
fn blit_fragment(in: ScreenOut) -> @location(0) vec4<f32> {
    let uv = vec2<f32>(0.5 + 0.5 * in.ndc.x, 0.5 - 0.5 * in.ndc.y);
    return textureSample(picture, picture_sampler, uv);
}
