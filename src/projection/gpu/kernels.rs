//! The kernels: shaders, what they are bound to, pipelines.

use std::cell::OnceCell;

/// What a kernel is given at a binding, in order of the bindings.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// One number, chosen by an offset at the dispatch: see [`super::work::Firsts`].
    First,
    Uniform,
    Read,
    Write,
}

/// A pipeline and what it is bound to.
pub(super) struct Kernel {
    pub(super) pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
    slots: &'static [Slot],
}

const FORWARD: &[Slot] = &[
    Slot::First,
    Slot::Uniform,
    Slot::Read,
    Slot::Read,
    Slot::Read,
    Slot::Write,
];
const ADJOINT: &[Slot] = &[
    Slot::First,
    Slot::Uniform,
    Slot::Uniform,
    Slot::Read,
    Slot::Read,
    Slot::Write,
    Slot::Read,
    Slot::Write,
    Slot::Read,
    Slot::Write,
];
const MISFIT: &[Slot] = &[Slot::Uniform, Slot::Read, Slot::Write, Slot::Write];
const ADVANCE: &[Slot] = &[Slot::Uniform, Slot::Read, Slot::Write, Slot::Write];

const BLUR: &[Slot] = &[
    Slot::Uniform,
    Slot::Uniform,
    Slot::Read,
    Slot::Read,
    Slot::Read,
    Slot::Write,
];

/// The kernels of one geometry.
pub(super) struct Directions {
    /// Projects the volume and subtracts what was measured.
    pub(super) forward: Kernel,
    /// Projects the volume.
    pub(super) plain: Kernel,
    /// Projects ones.
    pub(super) ones: Kernel,
    pub(super) adjoint: Kernel,
}

/// All kernels; those that not every reconstruction needs are made when one does.
pub(super) struct Kernels {
    device: wgpu::Device,
    single_axis: OnceCell<Directions>,
    general: OnceCell<Directions>,
    blur: OnceCell<Kernel>,
    pub(super) misfit: Kernel,
    pub(super) advance: Kernel,
}

const COMMON: &str = include_str!("common.wgsl");
const TAKE: &str = include_str!("take.wgsl");

impl Kernels {
    pub(super) fn new(device: &wgpu::Device) -> Self {
        let misfit = [COMMON, include_str!("misfit.wgsl")].concat();
        let advance = include_str!("advance.wgsl");
        Self {
            single_axis: OnceCell::new(),
            general: OnceCell::new(),
            blur: OnceCell::new(),
            misfit: Kernel::new(device, "misfit", &misfit, MISFIT, &[]),
            advance: Kernel::new(device, "advance", advance, ADVANCE, &[]),
            device: device.clone(),
        }
    }

    /// The kernels of a geometry.
    pub(super) fn directions(&self, single_axis: bool) -> &Directions {
        let (made, forward, adjoint) = if single_axis {
            (
                &self.single_axis,
                include_str!("single_forward.wgsl"),
                include_str!("single_adjoint.wgsl"),
            )
        } else {
            (
                &self.general,
                include_str!("general_forward.wgsl"),
                include_str!("general_adjoint.wgsl"),
            )
        };
        made.get_or_init(|| {
            let forward = [COMMON, forward].concat();
            let adjoint = [COMMON, TAKE, adjoint].concat();
            let of = |ones: f64, subtract: f64| {
                let constants = [("ONES", ones), ("SUBTRACT", subtract)];
                Kernel::new(&self.device, "forward", &forward, FORWARD, &constants)
            };
            Directions {
                forward: of(0.0, 1.0),
                plain: of(0.0, 0.0),
                ones: of(1.0, 0.0),
                adjoint: Kernel::new(&self.device, "adjoint", &adjoint, ADJOINT, &[]),
            }
        })
    }

    /// Smooths images.
    pub(super) fn blur(&self) -> &Kernel {
        self.blur.get_or_init(|| {
            let source = [COMMON, include_str!("blur.wgsl")].concat();
            Kernel::new(&self.device, "blur", &source, BLUR, &[])
        })
    }
}

impl Kernel {
    fn new(
        device: &wgpu::Device,
        entry: &'static str,
        source: &str,
        slots: &'static [Slot],
        constants: &[(&str, f64)],
    ) -> Self {
        let entries: Vec<_> = (0..).zip(slots).map(|(at, slot)| slot.entry(at)).collect();
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(entry),
            entries: &entries,
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(entry),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(entry),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants,
                // What is read of it was written before.
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        Self {
            pipeline,
            layout,
            slots,
        }
    }

    /// Binds buffers, in order of the bindings.
    pub(super) fn bind(&self, device: &wgpu::Device, buffers: &[&wgpu::Buffer]) -> wgpu::BindGroup {
        let entries: Vec<_> = (0..)
            .zip(self.slots.iter().zip(buffers))
            .map(|(binding, (slot, buffer))| wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer,
                    offset: 0,
                    size: (*slot == Slot::First).then_some(FIRST_BYTES),
                }),
            })
            .collect();
        device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &self.layout,
            entries: &entries,
        })
    }

    /// Whether a dispatch chooses a first tilt or sheet.
    pub(super) fn has_first(&self) -> bool {
        self.slots.contains(&Slot::First)
    }
}

/// Bytes that a kernel sees of the first-number buffer.
const FIRST_BYTES: wgpu::BufferSize = wgpu::BufferSize::new(16).expect("not zero");

impl Slot {
    fn entry(self, binding: u32) -> wgpu::BindGroupLayoutEntry {
        let ty = match self {
            Self::First | Self::Uniform => wgpu::BufferBindingType::Uniform,
            Self::Read => wgpu::BufferBindingType::Storage { read_only: true },
            Self::Write => wgpu::BufferBindingType::Storage { read_only: false },
        };
        wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty,
                has_dynamic_offset: self == Self::First,
                min_binding_size: None,
            },
            count: None,
        }
    }
}
