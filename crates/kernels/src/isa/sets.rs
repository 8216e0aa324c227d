//! Which sets of instructions there are loops for, and which of them this processor has.

use super::Portable;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use super::Simd128;
#[cfg(target_arch = "x86_64")]
use super::{Avx2, Avx512Vnni, AvxVnni};
#[cfg(target_arch = "aarch64")]
use super::{Neon, NeonDot};
use crate::int8::Isa;
use std::sync::OnceLock;

/// The set that matrices are multiplied with, once it has been looked for.
static BEST: OnceLock<Set> = OnceLock::new();
/// All names of sets, of whatever processor, the best first.
const NAMES: [&str; 9] =
    ["amx", "avx512-bf16", "avx512-vnni", "avx-vnni", "avx2", "neon-dot", "neon", "simd128", "portable"];

/// A set of instructions that this processor has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Set {
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni(Avx512Vnni),
    #[cfg(target_arch = "x86_64")]
    AvxVnni(AvxVnni),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "aarch64")]
    NeonDot(NeonDot),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    Simd128(Simd128),
    Portable(Portable),
}

/// Evaluates an expression for the loops of a set, compiled for each.
macro_rules! with_kernels {
    ($set:expr, $kernels:ident => $value:expr) => {
        match $set {
            #[cfg(target_arch = "x86_64")]
            $crate::isa::Set::Avx512Vnni($kernels) => $value,
            #[cfg(target_arch = "x86_64")]
            $crate::isa::Set::AvxVnni($kernels) => $value,
            #[cfg(target_arch = "x86_64")]
            $crate::isa::Set::Avx2($kernels) => $value,
            #[cfg(target_arch = "aarch64")]
            $crate::isa::Set::NeonDot($kernels) => $value,
            #[cfg(target_arch = "aarch64")]
            $crate::isa::Set::Neon($kernels) => $value,
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            $crate::isa::Set::Simd128($kernels) => $value,
            $crate::isa::Set::Portable($kernels) => $value,
        }
    };
}
pub(crate) use with_kernels;

impl Set {
    /// The best set of this processor; looked for once.
    pub(crate) fn best() -> Self {
        *BEST.get_or_init(|| Self::all()[0])
    }

    /// All sets of this processor, the best first. The last is always [`Portable`].
    pub(crate) fn all() -> Vec<Self> {
        let all = [
            #[cfg(target_arch = "x86_64")]
            Avx512Vnni::detect().map(Self::Avx512Vnni),
            #[cfg(target_arch = "x86_64")]
            AvxVnni::detect().map(Self::AvxVnni),
            #[cfg(target_arch = "x86_64")]
            Avx2::detect().map(Self::Avx2),
            #[cfg(target_arch = "aarch64")]
            NeonDot::detect().map(Self::NeonDot),
            #[cfg(target_arch = "aarch64")]
            Neon::detect().map(Self::Neon),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Some(Self::Simd128(Simd128)),
            Some(Self::Portable(Portable)),
        ];
        all.into_iter().flatten().collect()
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni(_) => "avx512-vnni",
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(_) => "avx-vnni",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "aarch64")]
            Self::NeonDot(_) => "neon-dot",
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => "neon",
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Self::Simd128(_) => "simd128",
            Self::Portable(_) => "portable",
        }
    }
}

/// The sets of instructions that this processor has and that there are loops for, the best first: the first is
/// the one that matrices are multiplied with.
///
/// `avx512-vnni`, `avx-vnni` and `avx2` on x86-64, `neon-dot` and `neon` on 64-bit ARM, `simd128` in WebAssembly that is
/// compiled for it, and last, everywhere, `portable`. All of them give the same integers.
pub fn instruction_sets() -> Vec<&'static str> {
    Set::all().into_iter().map(Set::name).collect()
}

/// Whether a set of that name is none of those before `most`.
fn is_within(name: &str, most: &str) -> bool {
    let rank = |name| NAMES.iter().position(|of| *of == name);
    rank(name) >= rank(most)
}

/// From here on products and layers of this process use no better set of instructions than that of this name, one of
/// [`instruction_sets`] or of those of encoder layers. For tests and for comparisons with libraries that are held back alike;
/// what is between products in other crates is not held back.
///
/// # Errors
/// The names that are known, for another one; or, where something has been multiplied, or laid out for an encoder, before, that it is
/// too late.
pub fn limit_instructions(most: &str) -> Result<(), String> {
    if !NAMES.contains(&most) {
        return Err(format!("no set of instructions is called {most:?}, but {}", NAMES.join(", ")));
    }
    let set =
        Set::all().into_iter().find(|set| is_within(set.name(), most)).unwrap_or(Set::Portable(Portable));
    let late = |_| "instructions have been chosen before".to_owned();
    BEST.set(set).map_err(late)?;
    Isa::limit(|isa| is_within(isa.name(), most)).map_err(|_| late(set))
}
