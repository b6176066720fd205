//! The backends of llama.cpp that have a module: what each computes on, and what its build needs.

use anyhow::Result;

use super::needs::{Need, Place};

/// A backend.
#[derive(Debug)]
pub(crate) struct Kind {
    /// Its name, which is also that of its folder.
    pub(crate) name: &'static str,
    /// What it computes on.
    pub(crate) about: &'static str,
    /// The target of llama.cpp's build; the module is `lib<target>.so`.
    pub(crate) target: &'static str,
    /// Options of the configuration.
    pub(super) options: &'static [&'static str],
    /// Further options, which depend on this machine.
    pub(super) found: fn() -> Result<Vec<String>>,
    /// What the build needs.
    needs: &'static [Need],
}

impl Kind {
    /// What is missing for a build, each with the way to get it.
    pub(crate) fn missing(&self) -> Vec<String> {
        self.needs.iter().filter_map(Need::missing).collect()
    }
}

/// No further options.
const NONE: fn() -> Result<Vec<String>> = || Ok(Vec::new());

const CMAKE: Need = Need::Program("cmake", "Debian's package cmake");

const OPENCL_HEADERS: Need = Need::File(
    "OpenCL's headers",
    &["/usr/include/CL/cl.h"],
    "Debian's packages opencl-headers and opencl-clhpp-headers",
);

const OPENCL_LOADER: Need = Need::File(
    "libOpenCL.so",
    &[
        "/usr/lib/x86_64-linux-gnu/libOpenCL.so",
        "/usr/lib/aarch64-linux-gnu/libOpenCL.so",
        "/usr/lib64/libOpenCL.so",
        "/usr/lib/libOpenCL.so",
    ],
    "Debian's package ocl-icd-opencl-dev",
);

/// All backends, from the most widely usable one on.
pub(crate) const KINDS: &[Kind] = &[
    Kind {
        name: "vulkan",
        about: "GPUs of all makers, through their Vulkan drivers",
        target: "ggml-vulkan",
        options: &["-DGGML_VULKAN=ON"],
        found: NONE,
        needs: &[
            CMAKE,
            Need::Program("glslc", "Debian's package glslc"),
            Need::File(
                "Vulkan's C++ headers",
                &["/usr/include/vulkan/vulkan.hpp"],
                "Debian's package libvulkan-dev",
            ),
            Need::File(
                "the headers of SPIR-V",
                &["/usr/include/spirv/unified1/spirv.hpp"],
                "Debian's package spirv-headers",
            ),
        ],
    },
    Kind {
        name: "cuda",
        about: "GPUs of NVIDIA",
        target: "ggml-cuda",
        options: &["-DGGML_CUDA=ON"],
        found: super::cuda::options,
        needs: &[
            CMAKE,
            Need::Tool(
                "nvcc",
                &["/usr/local/cuda/bin", "/opt/cuda/bin"],
                "NVIDIA's CUDA toolkit 11.8 or newer, or Debian's package nvidia-cuda-toolkit (non-free)",
            ),
        ],
    },
    Kind {
        name: "rocm",
        about: "GPUs of AMD",
        target: "ggml-hip",
        options: &["-DGGML_HIP=ON"],
        found: NONE,
        needs: &[
            CMAKE,
            Need::Tool(
                "hipcc",
                &["/opt/rocm/bin"],
                "AMD's ROCm 6.1 or newer, with hipblas and rocblas",
            ),
        ],
    },
    Kind {
        name: "metal",
        about: "GPUs of Apple",
        target: "ggml-metal",
        options: &["-DGGML_METAL=ON", "-DGGML_METAL_EMBED_LIBRARY=ON"],
        found: NONE,
        needs: &[CMAKE, Need::System("macos")],
    },
    Kind {
        name: "openvino",
        about: "NPUs and GPUs of Intel, through OpenVINO",
        target: "ggml-openvino",
        options: &["-DGGML_OPENVINO=ON"],
        found: super::openvino::options,
        needs: &[
            CMAKE,
            OPENCL_HEADERS,
            OPENCL_LOADER,
            Need::Program("patch", "Debian's package patch"),
            Need::Program("python3", "Debian's packages python3 and python3-pip"),
        ],
    },
    Kind {
        name: "opencl",
        about: "GPUs of Qualcomm and Intel, through OpenCL",
        target: "ggml-opencl",
        options: &["-DGGML_OPENCL=ON"],
        found: NONE,
        needs: &[
            CMAKE,
            OPENCL_HEADERS,
            OPENCL_LOADER,
            Need::Program("python3", "Debian's package python3"),
        ],
    },
    Kind {
        name: "sycl",
        about: "GPUs of Intel, through oneAPI",
        target: "ggml-sycl",
        options: &[
            "-DGGML_SYCL=ON",
            "-DCMAKE_C_COMPILER=icx",
            "-DCMAKE_CXX_COMPILER=icpx",
        ],
        found: NONE,
        needs: &[
            CMAKE,
            Need::Program(
                "icpx",
                "Intel's oneAPI base toolkit, and its setvars.sh sourced in this shell",
            ),
        ],
    },
    Kind {
        name: "hexagon",
        about: "NPUs of Qualcomm (Hexagon)",
        target: "ggml-hexagon",
        options: &["-DGGML_HEXAGON=ON"],
        found: NONE,
        needs: &[
            CMAKE,
            Need::Kit(Place {
                variables: &["HEXAGON_SDK_ROOT"],
                folders: &[],
                kit: "Qualcomm's Hexagon SDK",
            }),
            Need::Kit(Place {
                variables: &["HEXAGON_TOOLS_ROOT"],
                folders: &[],
                kit: "the tools of Qualcomm's Hexagon SDK",
            }),
        ],
    },
    Kind {
        name: "cann",
        about: "NPUs of Huawei (Ascend)",
        target: "ggml-cann",
        options: &["-DGGML_CANN=ON"],
        found: NONE,
        needs: &[
            CMAKE,
            Need::Kit(Place {
                variables: &["CANN_INSTALL_DIR", "ASCEND_TOOLKIT_HOME"],
                folders: &["/usr/local/Ascend/ascend-toolkit/latest"],
                kit: "Huawei's CANN toolkit",
            }),
        ],
    },
    Kind {
        name: "musa",
        about: "GPUs of Moore Threads",
        target: "ggml-musa",
        options: &["-DGGML_MUSA=ON"],
        found: NONE,
        needs: &[
            CMAKE,
            Need::Kit(Place {
                variables: &["MUSA_PATH"],
                folders: &["/usr/local/musa", "/opt/musa"],
                kit: "the MUSA toolkit of Moore Threads",
            }),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_targets_are_unique() {
        for what in [|kind: &Kind| kind.name, |kind: &Kind| kind.target] {
            let mut all: Vec<&str> = KINDS.iter().map(what).collect();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), KINDS.len());
        }
    }

    #[test]
    fn what_this_machine_cannot_have_is_missing() {
        let metal = KINDS.iter().find(|kind| kind.name == "metal");
        let missing = metal.expect("it is listed").missing();
        assert_eq!(
            missing.iter().any(|it| it == "macOS"),
            std::env::consts::OS != "macos",
            "{missing:?}"
        );
    }
}
