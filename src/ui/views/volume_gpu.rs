//! Draws the 3D scene into a picture of its own (colour and depth) and copies that into the window: the window's own
//! pass has no depth.

use eframe::egui::{Color32, PaintCallbackInfo};
use eframe::egui_wgpu::{CallbackResources, CallbackTrait, RenderState, ScreenDescriptor};
use std::sync::Arc;
use wgpu::util::DeviceExt;

const COLOR: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8Unorm;
const DEPTH: wgpu::TextureFormat = wgpu::TextureFormat::Depth32Float;

/// One sphere.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Instance {
    /// Å; w is the radius.
    center: [f32; 4],
    color: [f32; 4],
}

impl Instance {
    /// A sphere at `position` Å of `radius` Å; `dim` darkens it.
    #[must_use]
    pub fn new(position: [f64; 3], radius: f32, color: Color32, dim: f32) -> Self {
        let [x, y, z] = position.map(|v| v as f32);
        let [r, g, b, _] = color.to_array().map(|c| f32::from(c) / 255.0 * dim);
        Self {
            center: [x, y, z, radius],
            color: [r, g, b, 1.0],
        }
    }
}

/// A corner of a surface.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Corner {
    /// Å.
    pub place: [f32; 4],
    /// Unit length, outwards.
    pub normal: [f32; 4],
    /// Its alpha is the opacity.
    pub color: [f32; 4],
}

/// Triangles seen through.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mesh {
    /// Corners.
    pub corners: Vec<Corner>,
    /// Three indices a triangle.
    pub indices: Vec<u32>,
}

/// See `volume.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[expect(missing_docs, reason = "the shader says what each field is")]
pub struct Scene {
    pub right: [f32; 4],
    pub up: [f32; 4],
    pub toward: [f32; 4],
    pub scale: [f32; 4],
    pub low: [f32; 4],
    pub high: [f32; 4],
    pub clip_low: [f32; 4],
    pub clip_high: [f32; 4],
    pub tint: [f32; 4],
}

/// A volume as bytes, x fastest.
#[derive(Debug, Clone)]
pub struct VolumeTexture {
    /// Voxels on x, y, z.
    pub size: [u32; 3],
    /// Density, 0–255 over the shown range.
    pub data: Vec<u8>,
    /// Lower corner, Å.
    pub low: [f32; 3],
    /// Upper corner, Å.
    pub high: [f32; 3],
    /// Edge of a voxel, Å.
    pub voxel: f32,
    /// Tells volumes apart.
    pub id: u64,
}

/// One frame of the scene.
pub struct Draw {
    /// Camera, clipping, levels.
    pub scene: Scene,
    /// Pixels.
    pub size: [u32; 2],
    /// Spheres.
    pub instances: Arc<Vec<Instance>>,
    /// Tells sets of spheres apart.
    pub instances_key: u64,
    /// The volume, if shown.
    pub texture: Option<Arc<VolumeTexture>>,
    /// Surfaces, if shown.
    pub mesh: Option<Arc<Mesh>>,
}

/// What lives on the GPU.
struct Gpu {
    spheres: wgpu::RenderPipeline,
    volume: wgpu::RenderPipeline,
    /// The nearest of the surfaces first, then its colour: what lies behind it in the same mesh is not mixed in twice.
    mesh_depth: wgpu::RenderPipeline,
    mesh_color: wgpu::RenderPipeline,
    blit: wgpu::RenderPipeline,
    scene: wgpu::Buffer,
    scene_group: wgpu::BindGroup,
    volume_layout: wgpu::BindGroupLayout,
    blit_layout: wgpu::BindGroupLayout,
    sampler: wgpu::Sampler,
    instances: Option<(u64, wgpu::Buffer, u32)>,
    texture: Option<(u64, wgpu::BindGroup)>,
    /// With its corners and indices.
    mesh: Option<(Arc<Mesh>, [wgpu::Buffer; 2])>,
    target: Option<Target>,
}

struct Target {
    size: [u32; 2],
    color: wgpu::TextureView,
    depth: wgpu::TextureView,
    group: wgpu::BindGroup,
}

/// Prepares the window's device for the 3D view; once, at the start.
pub fn install(state: &RenderState) {
    let gpu = Gpu::new(&state.device, state.target_format);
    state.renderer.write().callback_resources.insert(gpu);
}

fn texture_entry(
    binding: u32,
    dimension: wgpu::TextureViewDimension,
) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::FRAGMENT,
        ty: wgpu::BindingType::Texture {
            sample_type: wgpu::TextureSampleType::Float { filterable: true },
            view_dimension: dimension,
            multisampled: false,
        },
        count: None,
    }
}

fn sampler_entry(binding: u32) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::FRAGMENT,
        ty: wgpu::BindingType::Sampler(wgpu::SamplerBindingType::Filtering),
        count: None,
    }
}

/// What a pipeline draws.
#[derive(Clone, Copy, PartialEq)]
enum Vertices {
    /// Two triangles over the screen.
    Screen,
    /// One [`Instance`] a sphere.
    Spheres,
    /// [`Corner`]s of a mesh.
    Mesh,
}

/// What differs between the pipelines.
struct Recipe<'a> {
    name: &'a str,
    vertex: &'a str,
    fragment: &'a str,
    layouts: &'a [Option<&'a wgpu::BindGroupLayout>],
    vertices: Vertices,
    depth: bool,
    /// Colours are mixed by their alpha.
    blend: bool,
    /// Only the depth is written.
    only_depth: bool,
    format: wgpu::TextureFormat,
}

fn pipeline(
    device: &wgpu::Device,
    shader: &wgpu::ShaderModule,
    recipe: &Recipe<'_>,
) -> wgpu::RenderPipeline {
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(recipe.name),
        bind_group_layouts: recipe.layouts,
        immediate_size: 0,
    });
    let attributes = wgpu::vertex_attr_array![0 => Float32x4, 1 => Float32x4];
    let corner = wgpu::vertex_attr_array![0 => Float32x4, 1 => Float32x4, 2 => Float32x4];
    let buffers = match recipe.vertices {
        Vertices::Screen => Vec::new(),
        Vertices::Spheres => vec![Some(wgpu::VertexBufferLayout {
            array_stride: size_of::<Instance>() as u64,
            step_mode: wgpu::VertexStepMode::Instance,
            attributes: &attributes,
        })],
        Vertices::Mesh => vec![Some(wgpu::VertexBufferLayout {
            array_stride: size_of::<Corner>() as u64,
            step_mode: wgpu::VertexStepMode::Vertex,
            attributes: &corner,
        })],
    };
    device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some(recipe.name),
        layout: Some(&layout),
        vertex: wgpu::VertexState {
            module: shader,
            entry_point: Some(recipe.vertex),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            buffers: &buffers,
        },
        primitive: wgpu::PrimitiveState::default(),
        depth_stencil: recipe.depth.then(|| wgpu::DepthStencilState {
            format: DEPTH,
            depth_write_enabled: Some(true),
            depth_compare: Some(wgpu::CompareFunction::LessEqual),
            stencil: wgpu::StencilState::default(),
            bias: wgpu::DepthBiasState::default(),
        }),
        multisample: wgpu::MultisampleState::default(),
        fragment: Some(wgpu::FragmentState {
            module: shader,
            entry_point: Some(recipe.fragment),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            targets: &[Some(wgpu::ColorTargetState {
                format: recipe.format,
                blend: recipe.blend.then_some(wgpu::BlendState::ALPHA_BLENDING),
                write_mask: if recipe.only_depth {
                    wgpu::ColorWrites::empty()
                } else {
                    wgpu::ColorWrites::ALL
                },
            })],
        }),
        multiview_mask: None,
        cache: None,
    })
}

impl Gpu {
    fn new(device: &wgpu::Device, target_format: wgpu::TextureFormat) -> Self {
        let shader = device.create_shader_module(wgpu::include_wgsl!("volume.wgsl"));
        let scene_layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("scene"),
            entries: &[wgpu::BindGroupLayoutEntry {
                binding: 0,
                visibility: wgpu::ShaderStages::VERTEX_FRAGMENT,
                ty: wgpu::BindingType::Buffer {
                    ty: wgpu::BufferBindingType::Uniform,
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            }],
        });
        let volume_layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("density"),
            entries: &[
                texture_entry(0, wgpu::TextureViewDimension::D3),
                sampler_entry(1),
            ],
        });
        let blit_layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("picture"),
            entries: &[
                texture_entry(0, wgpu::TextureViewDimension::D2),
                sampler_entry(1),
            ],
        });
        let scene = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("scene"),
            size: size_of::<Scene>() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let scene_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("scene"),
            layout: &scene_layout,
            entries: &[wgpu::BindGroupEntry {
                binding: 0,
                resource: scene.as_entire_binding(),
            }],
        });
        let spheres = Recipe {
            name: "spheres",
            vertex: "sphere_vertex",
            fragment: "sphere_fragment",
            layouts: &[Some(&scene_layout)],
            vertices: Vertices::Spheres,
            depth: true,
            blend: false,
            only_depth: false,
            format: COLOR,
        };
        let volume = Recipe {
            name: "volume",
            vertex: "screen_vertex",
            fragment: "volume_fragment",
            layouts: &[Some(&scene_layout), Some(&volume_layout)],
            vertices: Vertices::Screen,
            depth: true,
            blend: false,
            only_depth: false,
            format: COLOR,
        };
        let mesh_depth = Recipe {
            name: "surfaces, depth",
            vertex: "mesh_vertex",
            fragment: "mesh_fragment",
            layouts: &[Some(&scene_layout)],
            vertices: Vertices::Mesh,
            depth: true,
            blend: false,
            only_depth: true,
            format: COLOR,
        };
        let mesh_color = Recipe {
            name: "surfaces",
            blend: true,
            only_depth: false,
            ..mesh_depth
        };
        let blit = Recipe {
            name: "blit",
            vertex: "screen_vertex",
            fragment: "blit_fragment",
            layouts: &[Some(&blit_layout)],
            vertices: Vertices::Screen,
            depth: false,
            blend: false,
            only_depth: false,
            format: target_format,
        };
        Self {
            spheres: pipeline(device, &shader, &spheres),
            volume: pipeline(device, &shader, &volume),
            mesh_depth: pipeline(device, &shader, &mesh_depth),
            mesh_color: pipeline(device, &shader, &mesh_color),
            blit: pipeline(device, &shader, &blit),
            scene,
            scene_group,
            sampler: device.create_sampler(&wgpu::SamplerDescriptor {
                label: Some("smooth"),
                mag_filter: wgpu::FilterMode::Linear,
                min_filter: wgpu::FilterMode::Linear,
                ..Default::default()
            }),
            volume_layout,
            blit_layout,
            instances: None,
            texture: None,
            mesh: None,
            target: None,
        }
    }

    fn sampled(
        &self,
        device: &wgpu::Device,
        layout: &wgpu::BindGroupLayout,
        view: &wgpu::TextureView,
    ) -> wgpu::BindGroup {
        device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout,
            entries: &[
                wgpu::BindGroupEntry {
                    binding: 0,
                    resource: wgpu::BindingResource::TextureView(view),
                },
                wgpu::BindGroupEntry {
                    binding: 1,
                    resource: wgpu::BindingResource::Sampler(&self.sampler),
                },
            ],
        })
    }

    fn upload_mesh(&mut self, device: &wgpu::Device, mesh: &Arc<Mesh>) {
        let known = self.mesh.as_ref();
        if known.is_some_and(|(known, _)| Arc::ptr_eq(known, mesh)) {
            return;
        }
        let buffer = |contents: &[u8], usage| {
            device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
                label: Some("surfaces"),
                contents,
                usage,
            })
        };
        let both = [
            buffer(
                bytemuck::cast_slice(&mesh.corners),
                wgpu::BufferUsages::VERTEX,
            ),
            buffer(
                bytemuck::cast_slice(&mesh.indices),
                wgpu::BufferUsages::INDEX,
            ),
        ];
        self.mesh = Some((Arc::clone(mesh), both));
    }

    fn upload(&mut self, device: &wgpu::Device, queue: &wgpu::Queue, draw: &Draw) {
        queue.write_buffer(&self.scene, 0, bytemuck::bytes_of(&draw.scene));
        if self
            .instances
            .as_ref()
            .is_none_or(|(key, ..)| *key != draw.instances_key)
        {
            let buffer = (!draw.instances.is_empty()).then(|| {
                device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
                    label: Some("spheres"),
                    contents: bytemuck::cast_slice(&draw.instances),
                    usage: wgpu::BufferUsages::VERTEX,
                })
            });
            let count = draw.instances.len() as u32;
            self.instances = buffer.map(|buffer| (draw.instances_key, buffer, count));
        }
        if let Some(mesh) = &draw.mesh {
            self.upload_mesh(device, mesh);
        }
        if let Some(texture) = &draw.texture
            && self
                .texture
                .as_ref()
                .is_none_or(|(id, _)| *id != texture.id)
        {
            let [width, height, depth] = texture.size;
            let size = wgpu::Extent3d {
                width,
                height,
                depth_or_array_layers: depth,
            };
            let made = device.create_texture_with_data(
                queue,
                &wgpu::TextureDescriptor {
                    label: Some("density"),
                    size,
                    mip_level_count: 1,
                    sample_count: 1,
                    dimension: wgpu::TextureDimension::D3,
                    format: wgpu::TextureFormat::R8Unorm,
                    usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
                    view_formats: &[],
                },
                wgpu::util::TextureDataOrder::LayerMajor,
                &texture.data,
            );
            let view = made.create_view(&wgpu::TextureViewDescriptor::default());
            self.texture = Some((texture.id, self.sampled(device, &self.volume_layout, &view)));
        }
        if self
            .target
            .as_ref()
            .is_none_or(|target| target.size != draw.size)
        {
            let attachment = |format, usage| {
                let texture = device.create_texture(&wgpu::TextureDescriptor {
                    label: Some("3d"),
                    size: wgpu::Extent3d {
                        width: draw.size[0],
                        height: draw.size[1],
                        depth_or_array_layers: 1,
                    },
                    mip_level_count: 1,
                    sample_count: 1,
                    dimension: wgpu::TextureDimension::D2,
                    format,
                    usage: wgpu::TextureUsages::RENDER_ATTACHMENT | usage,
                    view_formats: &[],
                });
                texture.create_view(&wgpu::TextureViewDescriptor::default())
            };
            let color = attachment(COLOR, wgpu::TextureUsages::TEXTURE_BINDING);
            let depth = attachment(DEPTH, wgpu::TextureUsages::RENDER_ATTACHMENT);
            let group = self.sampled(device, &self.blit_layout, &color);
            self.target = Some(Target {
                size: draw.size,
                color,
                depth,
                group,
            });
        }
    }

    fn render(&self, encoder: &mut wgpu::CommandEncoder, shows_volume: bool, shows_mesh: bool) {
        let Some(target) = &self.target else { return };
        let background = crate::ui::theme::PICTURE
            .to_array()
            .map(|c| f64::from(c) / 255.0);
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: Some("3d"),
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: &target.color,
                depth_slice: None,
                resolve_target: None,
                ops: wgpu::Operations {
                    load: wgpu::LoadOp::Clear(wgpu::Color {
                        r: background[0],
                        g: background[1],
                        b: background[2],
                        a: 1.0,
                    }),
                    store: wgpu::StoreOp::Store,
                },
            })],
            depth_stencil_attachment: Some(wgpu::RenderPassDepthStencilAttachment {
                view: &target.depth,
                depth_ops: Some(wgpu::Operations {
                    load: wgpu::LoadOp::Clear(1.0),
                    store: wgpu::StoreOp::Discard,
                }),
                stencil_ops: None,
            }),
            timestamp_writes: None,
            occlusion_query_set: None,
            multiview_mask: None,
        });
        pass.set_bind_group(0, &self.scene_group, &[]);
        if let Some((_, group)) = self.texture.as_ref().filter(|_| shows_volume) {
            pass.set_pipeline(&self.volume);
            pass.set_bind_group(1, group, &[]);
            pass.draw(0..6, 0..1);
        }
        if let Some((_, buffer, count)) = &self.instances {
            pass.set_pipeline(&self.spheres);
            pass.set_vertex_buffer(0, buffer.slice(..));
            pass.draw(0..6, 0..*count);
        }
        if let Some((mesh, [corners, indices])) = self.mesh.as_ref().filter(|_| shows_mesh) {
            for pipeline in [&self.mesh_depth, &self.mesh_color] {
                pass.set_pipeline(pipeline);
                pass.set_vertex_buffer(0, corners.slice(..));
                pass.set_index_buffer(indices.slice(..), wgpu::IndexFormat::Uint32);
                pass.draw_indexed(0..mesh.indices.len() as u32, 0, 0..1);
            }
        }
    }
}

impl CallbackTrait for Draw {
    fn prepare(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        _screen: &ScreenDescriptor,
        encoder: &mut wgpu::CommandEncoder,
        resources: &mut CallbackResources,
    ) -> Vec<wgpu::CommandBuffer> {
        if let Some(gpu) = resources.get_mut::<Gpu>() {
            gpu.upload(device, queue, self);
            gpu.render(encoder, self.texture.is_some(), self.mesh.is_some());
        }
        Vec::new()
    }

    fn paint(
        &self,
        _info: PaintCallbackInfo,
        pass: &mut wgpu::RenderPass<'static>,
        resources: &CallbackResources,
    ) {
        let Some(gpu) = resources.get::<Gpu>() else {
            return;
        };
        if let Some(target) = &gpu.target {
            pass.set_pipeline(&gpu.blit);
            pass.set_bind_group(0, &target.group, &[]);
            pass.draw(0..6, 0..1);
        }
    }
}
