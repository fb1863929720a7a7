//! The device: which adapter, how it is opened, what went wrong with it.

use super::GpuError;
use super::kernels::Kernels;
use super::work::Pace;
use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Share of the memory the driver reports as free that may be taken, percent.
const MEMORY_SHARE: u8 = 90;

/// Which adapters will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Only a graphics processor.
    Hardware,
    /// A software one as well, if there is no other.
    Any,
}

/// An opened device with its kernels.
pub struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) kernels: Kernels,
    /// Largest buffer that a kernel can be given, bytes.
    pub(super) binding_bytes: u64,
    pub(super) pace: Pace,
    name: String,
    software: bool,
    /// The first error nobody waited for.
    failure: Arc<Mutex<Option<String>>>,
}

/// All adapters of this machine, the fastest kind first. Loading the drivers takes a while: once.
fn adapters() -> &'static [wgpu::Adapter] {
    static ADAPTERS: OnceLock<Vec<wgpu::Adapter>> = OnceLock::new();
    ADAPTERS.get_or_init(|| {
        let mut wanted = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
        wanted.flags = wgpu::InstanceFlags::empty();
        wanted.memory_budget_thresholds.for_resource_creation = Some(MEMORY_SHARE);
        let backends = wanted.backends & wgpu::Backends::PRIMARY;
        wanted.backends = backends;
        if backends.is_empty() {
            return Vec::new();
        }
        let instance = wgpu::Instance::new(wanted);
        let mut adapters = at_once(instance.enumerate_adapters(backends));
        adapters.retain(|adapter| computes(&adapter.limits()));
        adapters.sort_by_key(|adapter| rank(adapter.get_info().device_type));
        adapters
    })
}

/// Where Linux shows graphics processors (the last: those of a host that runs Windows).
const DEVICE_FILES: [&str; 3] = ["/dev/dri", "/dev/nvidiactl", "/dev/dxg"];

/// Whether it is worth while to load the drivers: on a machine without a graphics processor they only take time and
/// some complain aloud that there is no screen.
fn may_have_hardware() -> bool {
    let exists = |path: &&str| Path::new(path).exists();
    !cfg!(target_os = "linux") || DEVICE_FILES.iter().any(exists)
}

fn computes(limits: &wgpu::Limits) -> bool {
    limits.max_storage_buffers_per_shader_stage >= 8
        && limits.max_compute_invocations_per_workgroup >= 256
        && limits.max_compute_workgroup_size_x >= 256
        && limits.max_compute_workgroups_per_dimension >= 65535
}

fn rank(kind: wgpu::DeviceType) -> u8 {
    match kind {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}

impl Gpu {
    /// The device that this thread has open, or else a new one: to open one and to compile its kernels takes longer than
    /// a short reconstruction.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn shared(which: Which) -> Result<Rc<Self>, GpuError> {
        thread_local! {
            static OPEN: RefCell<Weak<Gpu>> = const { RefCell::new(Weak::new()) };
        }
        let serves = |gpu: &Rc<Self>| gpu.check().is_ok() && (which == Which::Any || !gpu.software);
        if let Some(gpu) = OPEN.with_borrow(Weak::upgrade).filter(serves) {
            return Ok(gpu);
        }
        let gpu = Rc::new(Self::open(which)?);
        OPEN.set(Rc::downgrade(&gpu));
        Ok(gpu)
    }

    /// Opens the best adapter of the wanted kind.
    ///
    /// # Errors
    /// No such adapter, or one that gives no device.
    pub fn open(which: Which) -> Result<Self, GpuError> {
        const EXPECTED: &str = "a graphics processor with a Vulkan, Metal or DX12 driver";
        if which == Which::Hardware && !may_have_hardware() {
            return Err(GpuError::NoAdapter {
                expected: EXPECTED,
                found: format!("none of {}", DEVICE_FILES.join(", ")),
            });
        }
        let hardware = rank(wgpu::DeviceType::VirtualGpu);
        let found = adapters()
            .iter()
            .find(|a| which == Which::Any || rank(a.get_info().device_type) <= hardware);
        match found {
            Some(adapter) => Self::of(adapter),
            None => Err(GpuError::NoAdapter {
                expected: match which {
                    Which::Hardware => EXPECTED,
                    Which::Any => "a Vulkan, Metal or DX12 driver",
                },
                found: names(),
            }),
        }
    }

    fn of(adapter: &wgpu::Adapter) -> Result<Self, GpuError> {
        let info = adapter.get_info();
        let limits = adapter.limits();
        let software = info.device_type == wgpu::DeviceType::Cpu;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("aetlas compute"),
            required_features: adapter.features() & wgpu::Features::TIMESTAMP_QUERY,
            required_limits: limits.clone(),
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..wgpu::DeviceDescriptor::default()
        };
        let (device, queue) =
            at_once(adapter.request_device(&descriptor)).map_err(|error| GpuError::NoDevice {
                adapter: info.name.clone(),
                reason: error.to_string(),
            })?;
        let failure = Arc::new(Mutex::new(None));
        let note = |failure: &Arc<Mutex<Option<String>>>| {
            let failure = Arc::clone(failure);
            move |text: String| {
                let mut first = failure.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert(text);
            }
        };
        let note_error = note(&failure);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            note_error(error.to_string());
        }));
        let note_loss = note(&failure);
        device.set_device_lost_callback(move |reason, text| {
            note_loss(
                format!("device lost ({reason:?}) {text}")
                    .trim_end()
                    .to_owned(),
            );
        });
        let gpu = Self {
            kernels: Kernels::new(&device),
            device,
            queue,
            binding_bytes: limits
                .max_storage_buffer_binding_size
                .min(limits.max_buffer_size),
            pace: Pace::new(software),
            software,
            name: info.name,
            failure,
        };
        gpu.check()?;
        Ok(gpu)
    }

    /// The adapter's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the driver tells how long a kernel took.
    #[must_use]
    pub fn has_timestamps(&self) -> bool {
        self.device
            .features()
            .contains(wgpu::Features::TIMESTAMP_QUERY)
    }

    /// Cuts volumes and images as if no buffer might be larger.
    pub fn limit_bindings(&mut self, bytes: u64) {
        self.binding_bytes = self.binding_bytes.min(bytes);
    }

    /// Gives the device up, as a driver's failure would.
    pub fn lose(&self) {
        self.device.destroy();
    }

    pub(super) fn failed(&self, reason: impl Into<String>) -> GpuError {
        GpuError::Lost {
            adapter: self.name.clone(),
            reason: reason.into(),
        }
    }

    /// The first error that came since the device was opened.
    pub(super) fn check(&self) -> Result<(), GpuError> {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        match &*failure {
            Some(reason) => Err(self.failed(reason.as_str())),
            None => Ok(()),
        }
    }

    /// Waits until all that was submitted is done, at most `patience`; says whether it is.
    pub(super) fn wait(&self, patience: Duration) -> Result<bool, GpuError> {
        self.check()?;
        let wait = wgpu::PollType::Wait {
            submission_index: None,
            timeout: Some(patience),
        };
        // wgpu panics where waiting finds the device lost; nothing of it is used after that.
        let polled = catch_unwind(AssertUnwindSafe(|| self.device.poll(wait)));
        self.check()?;
        match polled {
            Ok(Ok(_)) => Ok(true),
            Ok(Err(wgpu::PollError::Timeout)) => Ok(false),
            Ok(Err(error)) => Err(self.failed(error.to_string())),
            Err(_) => Err(self.failed("device lost")),
        }
    }

    /// Makes buffers; what the driver has no room for is an error.
    pub(super) fn allocate<T>(&self, needed: u64, make: impl FnOnce() -> T) -> Result<T, GpuError> {
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let made = make();
        let too_large = |reason: String| GpuError::TooLarge {
            adapter: self.name.clone(),
            needed_gb: needed as f64 / 1e9,
            reason,
        };
        if let Some(error) = at_once(scope.pop()) {
            return Err(too_large(error.to_string()));
        }
        self.check()?;
        Ok(made)
    }
}

fn names() -> String {
    let names: Vec<String> = adapters()
        .iter()
        .map(|adapter| {
            let info = adapter.get_info();
            format!("{} ({:?})", info.name, info.device_type)
        })
        .collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

/// The answer of a future that does not wait: natively wgpu's are done when they are made.
pub(super) fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => std::thread::yield_now(),
        }
    }
}
