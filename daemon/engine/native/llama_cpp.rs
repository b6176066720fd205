//! Where `llama-cpp-sys-2` built llama.cpp, for the build scripts of the engine and of its kernels.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// A variable that cargo sets for build scripts.
pub(crate) fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| {
        panic!("cargo sets {name} for a build script with this crate's dependencies")
    })
}

/// The folder that llama.cpp was built in: the `OUT_DIR` of `llama-cpp-sys-2`.
pub(crate) fn build_folder() -> PathBuf {
    // `<OUT_DIR of llama-cpp-sys-2>/lib/cmake`, see the key `links` of that package.
    let cmake = PathBuf::from(variable("DEP_LLAMA_GGML_CMAKE_DIR"));
    let folder = cmake
        .ancestors()
        .nth(2)
        .expect("the cmake folder lies two levels below OUT_DIR");
    folder.into()
}

/// Where the sources of llama.cpp lie, as its own build recorded it.
pub(crate) fn sources(build: &Path) -> PathBuf {
    let cache = build.join("build/CMakeCache.txt");
    let text =
        fs::read_to_string(&cache).unwrap_or_else(|error| panic!("{}: {error}", cache.display()));
    let home = text
        .lines()
        .find_map(|line| line.strip_prefix("CMAKE_HOME_DIRECTORY:INTERNAL="));
    PathBuf::from(home.unwrap_or_else(|| panic!("{}: no CMAKE_HOME_DIRECTORY", cache.display())))
}
