//! The device nodes of each backend: what its drivers open, also after the sandbox is in force.

use std::path::PathBuf;

use super::fs;

/// Nodes in a folder whose names start with a text.
type Nodes = (&'static str, &'static str);

/// NVIDIA's: `nvidia0`, `nvidiactl`, `nvidia-uvm`, `nvidia-caps/`; and those of its Tegra chips.
const NVIDIA: [Nodes; 3] = [("/dev", "nvidia"), ("/dev", "nvhost"), ("/dev", "nvmap")];

/// GPUs of AMD, Intel and others, without the right to change what the screen shows.
const RENDER: Nodes = ("/dev/dri", "renderD");

/// GPUs inside WSL.
const WSL: Nodes = ("/dev", "dxg");

/// AMD's compute interface.
const KFD: Nodes = ("/dev", "kfd");

/// GPUs of Qualcomm and ARM, where they have no render node.
const MOBILE: [Nodes; 2] = [("/dev", "kgsl-3d"), ("/dev", "mali")];

/// NPUs of the Linux accel subsystem.
const ACCEL: Nodes = ("/dev/accel", "accel");

/// NPUs of Huawei.
const ASCEND: [Nodes; 3] = [
    ("/dev", "davinci"),
    ("/dev", "devmm_svm"),
    ("/dev", "hisi_hdc"),
];

/// DSPs of Qualcomm, and the memory that they share.
const HEXAGON: [Nodes; 3] = [
    ("/dev", "fastrpc"),
    ("/dev", "adsprpc"),
    ("/dev/dma_heap", "system"),
];

/// The device nodes that exist here for these backends, by the names that `cargo xtask backend` lists.
pub(super) fn of(backends: &[String]) -> Vec<PathBuf> {
    let mut nodes: Vec<PathBuf> = backends
        .iter()
        .flat_map(|backend| kinds(backend))
        .flat_map(|(folder, name)| fs::beginning(folder, name))
        .collect();
    nodes.sort();
    nodes.dedup();
    nodes
}

/// An unknown backend has no nodes, so it fails visibly at its first device.
fn kinds(backend: &str) -> Vec<Nodes> {
    match backend {
        "vulkan" | "opencl" => [&NVIDIA[..], &MOBILE, &[RENDER, WSL]].concat(),
        "cuda" => [&NVIDIA[..], &[WSL]].concat(),
        "rocm" => vec![KFD, RENDER, WSL],
        "sycl" | "musa" => vec![RENDER, WSL],
        "openvino" => vec![ACCEL, RENDER, WSL],
        "cann" => ASCEND.to_vec(),
        "hexagon" => HEXAGON.to_vec(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_has_the_nodes_of_its_drivers_only() {
        assert!(kinds("cuda").contains(&("/dev", "nvidia")));
        assert!(!kinds("cuda").contains(&RENDER));
        assert!(kinds("rocm").contains(&KFD));
        assert!(kinds("openvino").contains(&ACCEL));
        assert_eq!(kinds("unknown"), []);
        assert_eq!(of(&[]), Vec::<PathBuf>::new());
    }

    #[test]
    fn nodes_are_found_by_the_start_of_their_names() {
        let found = fs::beginning("/dev", "zer");
        assert_eq!(found, [PathBuf::from("/dev/zero")]);
        assert_eq!(fs::beginning("/nonexistent", ""), Vec::<PathBuf>::new());
    }
}
