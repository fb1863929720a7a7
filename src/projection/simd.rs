//! Vectors of single-precision numbers, the widest this processor has, chosen when the program runs.
//!
//! A kernel is written once for any [`Vector`]; `dispatch` compiles it for each instruction set and runs the best
//! one. Everything a kernel calls in its inner loops must be `#[inline(always)]`: only code inlined into the function
//! that is compiled for an instruction set may use it.

use rustfft::num_complex::Complex32;

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

    /// `self · factor`.
    fn mul(self, factor: Self) -> Self;

    /// The smaller one.
    fn min(self, other: Self) -> Self;

    /// The larger one.
    fn max(self, other: Self) -> Self;

    /// `self · factor + addend`.
    fn mul_add(self, factor: Self, addend: Self) -> Self;

    /// All but the first, then the first of `next`.
    fn followed_by(self, next: Self) -> Self;

    /// The last of `before`, then all but the last.
    fn preceded_by(self, before: Self) -> Self;

    /// The last one.
    #[inline(always)]
    fn last(self) -> f32 {
        let mut values = [0.0; 16];
        self.store(&mut values, 0);
        values[Self::WIDTH - 1]
    }
}

/// `⌊x⌋` for `|x| < 2²²`, as a number and as an integer. A cast would round up to the largest integer where it must,
/// and compilers make no vectors of that; this way they do.
#[inline(always)]
pub(super) fn floor(x: f32) -> (f32, i32) {
    // Numbers this large have no fraction: adding it rounds to the nearest, and the last bits are the integer.
    const LARGE: f32 = 12_582_912.0;
    let nearest = (x + LARGE) - LARGE;
    let floor = if nearest > x { nearest - 1.0 } else { nearest };
    (
        floor,
        (floor + LARGE).to_bits() as i32 - LARGE.to_bits() as i32,
    )
}

/// Work on any [`Vector`]. A trait instead of a closure: its method can be forced inline.
pub(crate) trait Kernel {
    /// Does the work; implementations are `#[inline(always)]`.
    fn run<V: Vector>(self);
}

/// Plain arrays: what the compiler makes of them on any processor.
#[derive(Clone, Copy)]
struct Portable([f32; 4]);

impl Portable {
    #[inline(always)]
    fn with(self, other: Self, act: impl Fn(f32, f32) -> f32) -> Self {
        let (a, b) = (self.0, other.0);
        Self([
            act(a[0], b[0]),
            act(a[1], b[1]),
            act(a[2], b[2]),
            act(a[3], b[3]),
        ])
    }
}

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
        self.with(other, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.with(other, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, factor: Self) -> Self {
        self.with(factor, |a, b| a * b)
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        self.with(other, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.with(other, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // Not `f32::mul_add`: without the instruction that is a call for every number.
        self.mul(factor).add(addend)
    }

    #[inline(always)]
    fn followed_by(self, next: Self) -> Self {
        Self([self.0[1], self.0[2], self.0[3], next.0[0]])
    }

    #[inline(always)]
    fn preceded_by(self, before: Self) -> Self {
        Self([before.0[3], self.0[0], self.0[1], self.0[2]])
    }
}

/// A [`Vector`] of intrinsics.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! intrinsic_vector {
    ($name:ident, $register:ty, $width:literal, $splat:path, $load:path, $store:path,
     [$($method:ident $operation:path),*], |$a:ident, $b:ident, $c:ident| $mul_add:expr,
     |$d:ident, $e:ident| $followed_by:expr, |$f:ident, $g:ident| $preceded_by:expr) => {
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

            $(
                #[inline(always)]
                fn $method(self, other: Self) -> Self {
                    // SAFETY: as in `splat`.
                    Self(unsafe { $operation(self.0, other.0) })
                }
            )*

            #[inline(always)]
            fn mul_add(self, factor: Self, addend: Self) -> Self {
                let ($a, $b, $c) = (self.0, factor.0, addend.0);
                // SAFETY: as in `splat`.
                Self(unsafe { $mul_add })
            }

            #[inline(always)]
            fn followed_by(self, next: Self) -> Self {
                let ($d, $e) = (self.0, next.0);
                // SAFETY: as in `splat`.
                Self(unsafe { $followed_by })
            }

            #[inline(always)]
            fn preceded_by(self, before: Self) -> Self {
                let ($f, $g) = (self.0, before.0);
                // SAFETY: as in `splat`.
                Self(unsafe { $preceded_by })
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

#[cfg(target_arch = "x86_64")]
intrinsic_vector!(
    Avx512, __m512, 16, _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps,
    [add _mm512_add_ps, sub _mm512_sub_ps, mul _mm512_mul_ps, min _mm512_min_ps, max _mm512_max_ps],
    |a, b, c| _mm512_fmadd_ps(a, b, c),
    |a, b| _mm512_castsi512_ps(_mm512_alignr_epi32::<1>(
        _mm512_castps_si512(b),
        _mm512_castps_si512(a),
    )),
    |a, b| _mm512_castsi512_ps(_mm512_alignr_epi32::<15>(
        _mm512_castps_si512(a),
        _mm512_castps_si512(b),
    ))
);

#[cfg(target_arch = "x86_64")]
intrinsic_vector!(
    Avx2, __m256, 8, _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps,
    [add _mm256_add_ps, sub _mm256_sub_ps, mul _mm256_mul_ps, min _mm256_min_ps, max _mm256_max_ps],
    |a, b, c| _mm256_fmadd_ps(a, b, c),
    |a, b| _mm256_castsi256_ps(_mm256_alignr_epi8::<4>(
        _mm256_castps_si256(_mm256_permute2f128_ps::<0x21>(a, b)),
        _mm256_castps_si256(a),
    )),
    |a, b| _mm256_castsi256_ps(_mm256_alignr_epi8::<12>(
        _mm256_castps_si256(a),
        _mm256_castps_si256(_mm256_permute2f128_ps::<0x21>(b, a)),
    ))
);

#[cfg(target_arch = "aarch64")]
use std::arch::aarch64::*;

#[cfg(target_arch = "aarch64")]
intrinsic_vector!(
    Neon, float32x4_t, 4, vdupq_n_f32, vld1q_f32, vst1q_f32,
    [add vaddq_f32, sub vsubq_f32, mul vmulq_f32, min vminq_f32, max vmaxq_f32],
    |a, b, c| vfmaq_f32(c, a, b),
    |a, b| vextq_f32::<1>(a, b),
    |a, b| vextq_f32::<3>(b, a)
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

/// Name of the vector instructions `dispatch` chooses.
#[must_use]
pub fn vector_name() -> &'static str {
    Instructions::best().name()
}

/// Complex numbers as they lie in memory: real and imaginary parts in turn.
#[allow(unsafe_code)]
#[inline(always)]
pub(super) fn parts(values: &[Complex32]) -> &[f32] {
    // SAFETY: `Complex` is `repr(C)` of two numbers of one type, which needs no more alignment than one of them.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), 2 * values.len()) }
}

/// As [`parts`], to change.
#[allow(unsafe_code)]
#[inline(always)]
pub(super) fn parts_mut(values: &mut [Complex32]) -> &mut [f32] {
    // SAFETY: as in `parts`; any two numbers are a complex one.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), 2 * values.len()) }
}
