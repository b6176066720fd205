//! Compiles the kernels against the headers of the ggml that `llama-cpp-sys-2` built.

#![expect(
    clippy::disallowed_methods,
    reason = "a build script reads cargo's variables, and files of other builds"
)]

#[path = "../native/llama_cpp.rs"]
mod llama_cpp;

use std::path::Path;

use llama_cpp::variable;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=../native/llama_cpp.rs");
    println!("cargo:rerun-if-changed=shim");

    let built = llama_cpp::build_folder();
    let ggml = llama_cpp::sources(&built).join("ggml");
    compile_shim(&ggml);
    if variable("CARGO_CFG_TARGET_ARCH") == "x86_64" {
        compile_kernels(&ggml);
    }
    // For the tests of this package; the programs that use it have a run path of their own.
    println!(
        "cargo:rustc-link-arg=-Wl,-rpath,{}",
        built.join("lib").display()
    );
    println!(
        "cargo:rustc-env=SLM_BACKENDS={}",
        variable("DEP_LLAMA_BACKENDS_DIR")
    );
}

fn compile_shim(ggml: &Path) {
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std("c++17")
        .warnings(false)
        .include(ggml.join("include"))
        .include(ggml.join("src"))
        .file("shim/kernels.cpp")
        .file("shim/measure.cpp")
        .file("shim/memory.cpp");
    build.compile("slm_kernels");
}

/// The same kernels for two kinds of processors; which they are for is seen at run time.
fn compile_kernels(ggml: &Path) {
    let avx2 = ["-mavx2", "-mfma", "-mf16c"];
    let vnni = ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512vnni"];
    for (name, flags) in [
        ("avx2", avx2.to_vec()),
        ("vnni", [avx2.as_slice(), &vnni].concat()),
    ] {
        let mut build = cc::Build::new();
        build
            .cpp(true)
            .std("c++17")
            // Also in a build for tests, where they would otherwise be slower than what they stand in for.
            .opt_level(3)
            .warnings(false)
            .include(ggml.join("include"))
            .file(format!("shim/kernels/{name}.cpp"));
        for flag in flags {
            build.flag(flag);
        }
        build.compile(&format!("slm_kernels_{name}"));
    }
}
