//! Vectors of single-precision numbers, the widest this processor has, chosen when the program runs.
//!
//! A kernel is written once for any [`Vector`]; [`dispatch`] compiles it for each instruction set and runs the best
//! one. Everything a kernel calls in its inner loops must be `#[inline(always)]`: only code inlined into the function
//! that is compiled for an instruction set may use it.

/// A few single-precision numbers that are worked on at once.
pub trait Vector: Copy {
    /// How many.
    const WIDTH: usize;

    /// The same number everywhere.
    fn splat(value: f32) -> Self;

    /// `from[at..at + WIDTH]`.
    ///
    /// # Panics
    /// When the slice is shorter.
    fn load(from: &[f32], at: usize) -> Self;

    /// Writes `to[at..at + WIDTH]`.
    ///
    /// # Panics
    /// When the slice is shorter.
    fn store(self, to: &mut [f32], at: usize);

    /// `self + other`.
    fn add(self, other: Self) -> Self;

    /// `self − other`.
    fn sub(self, other: Self) -> Self;

    /// `self · factor + addend`.
    fn mul_add(self, factor: Self, addend: Self) -> Self;
}

/// Work on any [`Vector`]. A trait instead of a closure: its method can be forced inline.
pub(crate) trait Kernel {
    /// Does the work; implementations are `#[inline(always)]`.
    fn run<V: Vector>(self);
}

/// Plain arrays: what the compiler makes of them on any processor.
#[derive(Clone, Copy)]
struct Portable([f32; 4]);

impl Vector for Portable {
    const WIDTH: usize = 4;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; 4])
    }

    #[inline(always)]
    fn load(from: &[f32], at: usize) -> Self {
        let from = &from[at..at + 4];
        Self([from[0], from[1], from[2], from[3]])
    }

    #[inline(always)]
    fn store(self, to: &mut [f32], at: usize) {
        to[at..at + 4].copy_from_slice(&self.0);
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        let (a, b) = (self.0, other.0);
        Self([a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]])
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        let (a, b) = (self.0, other.0);
        Self([a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3]])
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        let (a, b, c) = (self.0, factor.0, addend.0);
        // Not `f32::mul_add`: without the instruction that is a call for every number.
        Self([
            a[0] * b[0] + c[0],
            a[1] * b[1] + c[1],
            a[2] * b[2] + c[2],
            a[3] * b[3] + c[3],
        ])
    }
}

/// A [`Vector`] of intrinsics.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! intrinsic_vector {
    ($name:ident, $register:ty, $width:literal, $splat:path, $load:path, $store:path, $add:path, $sub:path,
     |$a:ident, $b:ident, $c:ident| $mul_add:expr) => {
        #[derive(Clone, Copy)]
        struct $name($register);

        #[allow(unsafe_code)]
        impl Vector for $name {
            const WIDTH: usize = $width;

            #[inline(always)]
            fn splat(value: f32) -> Self {
                // SAFETY: the type is private, and `dispatch` uses it only where the processor has its instructions.
                Self(unsafe { $splat(value) })
            }

            #[inline(always)]
            fn load(from: &[f32], at: usize) -> Self {
                let from = &from[at..at + $width];
                // SAFETY: as in `splat`; the slice holds the whole vector, and the instruction needs no alignment.
                Self(unsafe { $load(from.as_ptr()) })
            }

            #[inline(always)]
            fn store(self, to: &mut [f32], at: usize) {
                let to = &mut to[at..at + $width];
                // SAFETY: as in `load`.
                unsafe { $store(to.as_mut_ptr(), self.0) }
            }

            #[inline(always)]
            fn add(self, other: Self) -> Self {
                // SAFETY: as in `splat`.
                Self(unsafe { $add(self.0, other.0) })
            }

            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                // SAFETY: as in `splat`.
                Self(unsafe { $sub(self.0, other.0) })
            }

            #[inline(always)]
            fn mul_add(self, factor: Self, addend: Self) -> Self {
                let ($a, $b, $c) = (self.0, factor.0, addend.0);
                // SAFETY: as in `splat`.
                Self(unsafe { $mul_add })
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256, __m512, _mm256_add_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps,
    _mm256_storeu_ps, _mm256_sub_ps, _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps,
    _mm512_set1_ps, _mm512_storeu_ps, _mm512_sub_ps,
};

#[cfg(target_arch = "x86_64")]
intrinsic_vector!(
    Avx512,
    __m512,
    16,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_add_ps,
    _mm512_sub_ps,
    |a, b, c| _mm512_fmadd_ps(a, b, c)
);

#[cfg(target_arch = "x86_64")]
intrinsic_vector!(
    Avx2,
    __m256,
    8,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_add_ps,
    _mm256_sub_ps,
    |a, b, c| _mm256_fmadd_ps(a, b, c)
);

#[cfg(target_arch = "aarch64")]
use std::arch::aarch64::{
    float32x4_t, vaddq_f32, vdupq_n_f32, vfmaq_f32, vld1q_f32, vst1q_f32, vsubq_f32,
};

#[cfg(target_arch = "aarch64")]
intrinsic_vector!(
    Neon,
    float32x4_t,
    4,
    vdupq_n_f32,
    vld1q_f32,
    vst1q_f32,
    vaddq_f32,
    vsubq_f32,
    |a, b, c| vfmaq_f32(c, a, b)
);

/// Instructions a kernel is run with: always such as this processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instructions(Set);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    Neon,
    Portable,
}

impl Instructions {
    /// Those this processor has, the best first.
    pub(crate) fn available() -> Vec<Self> {
        let mut sets = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512dq")
            {
                sets.push(Self(Set::Avx512));
            }
            if avx2 {
                sets.push(Self(Set::Avx2));
            }
        }
        #[cfg(target_arch = "aarch64")]
        sets.push(Self(Set::Neon));
        sets.push(Self(Set::Portable));
        sets
    }

    /// The best this processor has; asked for once.
    pub(crate) fn best() -> Self {
        static BEST: std::sync::LazyLock<Instructions> =
            std::sync::LazyLock::new(|| Instructions::available()[0]);
        *BEST
    }

    /// Its usual name.
    fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "avx2",
            #[cfg(target_arch = "aarch64")]
            Set::Neon => "neon",
            Set::Portable => "scalar",
        }
    }

    /// Runs a kernel with these instructions.
    #[allow(unsafe_code)]
    #[inline]
    pub(crate) fn run(self, kernel: impl Kernel) {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx2,fma")]
        fn avx512(kernel: impl Kernel) {
            kernel.run::<Avx512>();
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        fn avx2(kernel: impl Kernel) {
            kernel.run::<Avx2>();
        }
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` asked the processor for every feature the function is compiled for.
            Set::Avx512 => unsafe { avx512(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Set::Avx2 => unsafe { avx2(kernel) },
            #[cfg(target_arch = "aarch64")]
            Set::Neon => kernel.run::<Neon>(),
            Set::Portable => kernel.run::<Portable>(),
        }
    }
}

/// Runs a kernel with the widest vectors this processor has.
pub(crate) fn dispatch(kernel: impl Kernel) {
    Instructions::best().run(kernel);
}

/// Name of the vector instructions [`dispatch`] chooses.
#[must_use]
pub fn vector_name() -> &'static str {
    Instructions::best().name()
}
