//! Copies of weights in the layout that the processor multiplies fastest.
//!
//! The CPU module of llama.cpp copies a matrix when the model is loaded, if one of its kernels takes it; the matrix in the file is then not
//! read again. AMX goes first (`ggml-cpu/amx/amx.cpp`), then `CPU_REPACK` (`ggml_repack_get_optimal_repack_type` in `ggml-cpu/repack.cpp`).

use registry::memory::{TensorBytes, Tensors};

/// Which weights are copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Packing {
    /// The processor multiplies tiles (AMX).
    pub amx: bool,
    /// The kernels of `CPU_REPACK`.
    pub repack: Repack,
    /// slm's own kernels compute Q4_K from the layout of the file.
    pub own_kernels: bool,
}

/// The instruction set that `CPU_REPACK` is built for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Repack {
    /// None that it has kernels for.
    #[default]
    None,
    /// AVX2.
    Avx2,
    /// AVX-512.
    Avx512,
    /// NEON with dot products.
    Neon,
}

/// Bytes of tensors on the processor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Packed {
    /// In the layout of the file.
    pub(super) plain: u64,
    /// Copied into another layout.
    pub(super) copied: u64,
}

impl Packed {
    /// Both together.
    pub(super) fn bytes(self) -> u64 {
        self.plain.saturating_add(self.copied)
    }
}

impl Packing {
    /// What a CPU module of llama.cpp does, by its name, such as `zen4`; `own_kernels` tells whether slm's kernels are on.
    #[must_use]
    pub fn of_module(module: &str, own_kernels: bool) -> Self {
        let repack = match module {
            "haswell" | "alderlake" => Repack::Avx2,
            "skylakex" | "cannonlake" | "cascadelake" | "icelake" | "cooperlake" | "zen4"
            | "sapphirerapids" => Repack::Avx512,
            "armv8.0_1" => Repack::None,
            name if name.starts_with("armv") || name.starts_with("apple_") => Repack::Neon,
            _ => Repack::None,
        };
        Self {
            amx: module == "sapphirerapids",
            repack,
            own_kernels,
        }
    }

    /// The bytes of tensors whose matrices are multiplied on the processor.
    pub(super) fn of(self, tensors: &Tensors) -> Packed {
        let mut packed = Packed::default();
        for sum in &tensors.0 {
            let (amx, grown) = self.by_amx(sum);
            let repacked = self.by_repack(sum, amx);
            let plain = sum.bytes.saturating_sub(amx).saturating_sub(repacked);
            packed.plain = packed.plain.saturating_add(plain);
            let copied = grown.saturating_add(repacked);
            packed.copied = packed.copied.saturating_add(copied);
        }
        packed
    }

    /// The bytes that AMX takes, in the file and in its own layout (`ggml_backend_amx_get_alloc_size`).
    fn by_amx(self, sum: &TensorBytes) -> (u64, u64) {
        let (file, copy) = match sum.kind.as_str() {
            _ if !self.amx => return (0, 0),
            "Q4_0" | "Q4_1" | "Q6_K" | "F16" => (1, 1),
            "Q8_0" => (34, 38),
            "Q4_K" => (144, 148),
            "Q5_K" => (176, 180),
            "IQ4_XS" => (136, 138),
            _ => return (0, 0),
        };
        let grown = u128::from(sum.matrices_by_32) * copy / file;
        (sum.matrices_by_32, u64::try_from(grown).unwrap_or(u64::MAX))
    }

    fn by_repack(self, sum: &TensorBytes, taken: u64) -> u64 {
        let kind = sum.kind.as_str();
        if kind == "Q4_K" && self.own_kernels {
            // slm keeps the matrices of dense layers in the layout of the file, not those of experts.
            return sum.experts_by_8;
        }
        let takes = match self.repack {
            Repack::None => false,
            Repack::Avx2 => ["Q4_0", "Q4_K", "IQ4_NL", "MXFP4"].contains(&kind),
            Repack::Avx512 => ["Q4_0", "Q4_K", "IQ4_NL", "MXFP4", "Q2_K"].contains(&kind),
            Repack::Neon => [
                "Q4_0", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "MXFP4", "Q8_0", "Q1_0",
            ]
            .contains(&kind),
        };
        if !takes {
            return 0;
        }
        let matrices = sum.matrices_by_8.saturating_sub(taken);
        matrices.saturating_add(sum.experts_by_8)
    }
}
