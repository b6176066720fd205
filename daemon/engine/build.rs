//! Compiles the C++ shim against the `common` headers of the llama.cpp that `llama-cpp-sys-2` built,
//! and lays the native libraries where `slm-runner` finds them.
//!
//! ```text
//! <target>/<profile>/slm-runner
//! <target>/<profile>/slm-lib/libllama.so.0 …           libraries it is linked with, by their SONAMEs
//! <target>/<profile>/slm-lib/libggml-cpu-haswell.so …  backend modules, chosen at run time
//! ```
//! An installation has the same files as `bin/slm-runner` and `lib/slm/*`; the run path knows both.

#![expect(
    clippy::disallowed_methods,
    reason = "a build script reads cargo's variables and copies files between build directories"
)]

#[path = "native/llama_cpp.rs"]
mod llama_cpp;

use std::{
    fs,
    path::{Path, PathBuf},
};

use llama_cpp::variable;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=native/llama_cpp.rs");
    println!("cargo:rerun-if-changed=shim");

    let native = llama_cpp::build_folder();
    let source = llama_cpp::sources(&native);

    compile_shim(&source);
    name_sources(&source);

    let profile = profile_dir();
    let libraries = profile.join("slm-lib");
    lay_libraries(
        &native.join("lib"),
        Path::new(&variable("DEP_LLAMA_BACKENDS_DIR")),
        &libraries,
    );
    complete_links(&profile, &libraries);
    set_run_path();
}

/// States that one build of llama.cpp made are not read by another. Its folder has the version of its package in its name,
/// while what it says of itself stays the same over many of them.
fn name_sources(source: &Path) {
    let package = source.parent().and_then(Path::file_name);
    let package = package
        .expect("the sources lie in a package")
        .to_string_lossy();
    println!("cargo:rustc-env=SLM_LLAMA_PACKAGE={package}");
}

fn compile_shim(llama_cpp: &Path) {
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std("c++17")
        .file("shim/chat.cpp")
        .file("shim/check.cpp")
        .file("shim/graph.cpp")
        .file("shim/memory_report.cpp")
        .file("shim/meter.cpp")
        .warnings(false);
    // The root lets the shim write `<common/chat.h>`, which is not its own `chat.h`.
    for folder in [
        "",
        "common",
        "include",
        "ggml/include",
        "ggml/src",
        "vendor",
    ] {
        build.include(llama_cpp.join(folder));
    }
    build.compile("slm_shim");
}

/// `<target>/<profile>`, from `<target>/<profile>/build/<package>/out`.
fn profile_dir() -> PathBuf {
    let out = PathBuf::from(variable("OUT_DIR"));
    out.ancestors()
        .nth(3)
        .expect("OUT_DIR lies three levels below the profile's folder")
        .into()
}

/// `llama-cpp-sys-2` puts its links `libllama.so` → `libllama.so.0` and the like next to the executables, without what they point to.
/// When its build script runs again it takes such a link for missing, cannot make it, and fails.
/// So what they point to is put beside them, as links into `slm-lib`.
#[cfg(unix)]
fn complete_links(profile: &Path, libraries: &Path) {
    for folder in [
        profile.to_path_buf(),
        profile.join("deps"),
        profile.join("examples"),
    ] {
        for link in files_in(&folder).into_iter().filter(|path| !path.exists()) {
            let Ok(target) = fs::read_link(&link) else {
                continue;
            };
            let library = libraries.join(&target);
            if is_soname(&file_name(&target)) && library.exists() {
                // It may be there already, and then it does its work.
                let _ = std::os::unix::fs::symlink(library, folder.join(&target));
            }
        }
    }
}

#[cfg(not(unix))]
fn complete_links(_: &Path, _: &Path) {}

/// Fills `slm-lib`: linked libraries under their SONAMEs (`libllama.so.0`), and all backend modules.
fn lay_libraries(linked: &Path, backends: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap_or_else(|error| panic!("{}: {error}", to.display()));
    for stale in files_in(to) {
        let _ = fs::remove_file(stale);
    }
    let linked = files_in(linked)
        .into_iter()
        .filter(|path| is_soname(&file_name(path)));
    let modules = files_in(backends)
        .into_iter()
        .filter(|path| file_name(path).ends_with(".so"));
    for file in linked.chain(modules) {
        let to = to.join(file_name(&file));
        // A copy follows symbolic links, so a real file arrives.
        fs::copy(&file, &to)
            .unwrap_or_else(|error| panic!("{} to {}: {error}", file.display(), to.display()));
    }
}

/// `libx.so.1`, but neither `libx.so` nor `libx.so.1.2.3`.
fn is_soname(name: &str) -> bool {
    name.starts_with("lib")
        && name
            .split_once(".so.")
            .is_some_and(|(_, version)| version.parse::<u32>().is_ok())
}

/// Executables look beside themselves and in the installed place; tests and examples one folder up.
///
/// The old kind of run path is asked for, because only that one also holds for what the libraries themselves need.
fn set_run_path() {
    println!("cargo:rustc-link-arg=-Wl,--disable-new-dtags");
    for place in [
        "$ORIGIN/slm-lib",
        "$ORIGIN/../lib/slm",
        "$ORIGIN/../slm-lib",
    ] {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{place}");
    }
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| !path.is_dir())
        .collect()
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
