//! The backends of accelerators.

/// A backend that computes on accelerators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackendKind {
    /// Its name, that of its module.
    pub name: &'static str,
    /// Whether it is chosen without being named. The others compute with less exact numbers, or need settings.
    pub automatic: bool,
}

/// All of them, best first; `cargo xtask backend` builds the same ones.
pub const BACKENDS: [BackendKind; 10] = [
    automatic("cuda"),
    automatic("rocm"),
    automatic("metal"),
    automatic("sycl"),
    automatic("vulkan"),
    automatic("musa"),
    named("opencl"),
    named("openvino"),
    automatic("cann"),
    named("hexagon"),
];

const fn automatic(name: &'static str) -> BackendKind {
    BackendKind {
        name,
        automatic: true,
    }
}

const fn named(name: &'static str) -> BackendKind {
    BackendKind {
        name,
        automatic: false,
    }
}
