# shellcheck shell=sh
# Common functions of install.sh and test.sh: messages, and the build tools.
# Sourced, not run. POSIX shell.

say() {
    printf '%s\n' "slm: $*"
}

fail() {
    printf '%s\n' "slm: error: $*" >&2
    exit 1
}

# Runs a command as root, with sudo for other users.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        fail "root is needed for: $*; run it as root, install sudo, or install the packages by hand and run this again"
    fi
}

have() {
    command -v "$1" >/dev/null 2>&1
}

# libclang is a library, so there is no command to look for.
have_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] && return 0
    for library in /usr/lib/llvm-*/lib/libclang.so* /usr/lib/libclang.so* /usr/lib64/libclang.so*; do
        [ -e "$library" ] && return 0
    done
    return 1
}

# Prints the missing packages for the modules in $backends, with commas between. Other kits than these are not packages of Debian;
# `cargo xtask backend` says which are missing.
missing_for_backends() {
    case ,${backends:-}, in
    *,vulkan,*)
        have glslc || printf ' glslc'
        [ -e /usr/include/vulkan/vulkan.hpp ] || printf ' libvulkan-dev'
        [ -e /usr/include/spirv/unified1/spirv.hpp ] || printf ' spirv-headers'
        ;;
    esac
    case ,${backends:-}, in
    *,openvino,* | *,opencl,*)
        [ -e /usr/include/CL/cl.h ] || printf ' opencl-headers opencl-clhpp-headers ocl-icd-opencl-dev'
        have patch || printf ' patch'
        ;;
    esac
}

# Prints the missing packages of a build, and of its tests if for_tests is set, one word each.
missing_packages() {
    have cmake || printf ' cmake'
    have g++ || printf ' g++'
    have make || printf ' make'
    have_libclang || printf ' libclang-dev'
    # The built-in catalog fetches its first model from a package index, with pip.
    python3 -m pip --version >/dev/null 2>&1 || printf ' python3-pip'
    # rustup is fetched with curl.
    have_rust || have curl || printf ' curl ca-certificates'
    missing_for_backends
    if [ -n "${for_tests:-}" ]; then
        # The test of the Vulkan backend runs on Mesa's software driver.
        [ -e /usr/share/vulkan/icd.d ] || printf ' mesa-vulkan-drivers'
        # The tests of pushes need these.
        have docker-registry || printf ' docker-registry'
        have skopeo || printf ' skopeo'
        # The client libraries of tests/clients need these.
        have node || printf ' nodejs'
        have npm || printf ' npm'
    fi
}

need_packages() {
    missing=$(missing_packages)
    if [ -z "$missing" ]; then
        say "packages: nothing is missing"
        return
    fi
    have apt-get || fail "missing here:$missing; install them with this system's package manager (names as on Debian) and run this again"
    say "packages: installing$missing"
    as_root apt-get update -qq || fail "the package lists could not be fetched; is there a network?"
    # shellcheck disable=SC2086 # The names are fixed words.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing >/dev/null ||
        fail "the packages could not be installed:$missing"
    missing=$(missing_packages)
    [ -z "$missing" ] || fail "still missing after the installation:$missing"
}

# Whether cargo can build the project: rustup's cargo fetches the pinned version, any other must be new enough.
have_rust() {
    have cargo || return 1
    have rustup && return 0
    needed=$(sed -n 's/^rust-version = "1\.\([0-9]*\).*/\1/p' Cargo.toml)
    found=$(cargo --version | sed -n 's/^cargo 1\.\([0-9]*\)\..*/\1/p')
    [ "${found:-0}" -ge "$needed" ]
}

need_rust() {
    # A shell that started before rustup was installed lacks its path.
    # shellcheck source=/dev/null
    have_rust || [ ! -f "$HOME/.cargo/env" ] || . "$HOME/.cargo/env"
    have_rust || install_rustup
    if have rustup && ! { cargo --version && cargo clippy --version && cargo fmt --version; } >/dev/null 2>&1; then
        # Without a name, this installs the toolchain of rust-toolchain.toml with its components.
        rustup toolchain install || fail "the pinned Rust toolchain could not be installed"
    fi
    version=$(cargo --version) || fail "cargo does not run in $(pwd)"
    say "rust: $version"
}

install_rustup() {
    say "rust: installing rustup for this user"
    script=$(mktemp)
    fetch_rustup "$script" || fail "rustup could not be fetched; install Rust from https://rustup.rs and run this again"
    sh "$script" -y --quiet --no-modify-path --profile minimal --default-toolchain none >/dev/null ||
        fail "rustup could not be installed"
    rm -f "$script"
    # shellcheck source=/dev/null
    . "$HOME/.cargo/env"
    # Its folder may already be on the path, after an older cargo.
    PATH=$HOME/.cargo/bin:$PATH
}

fetch_rustup() {
    for address in https://sh.rustup.rs https://static.rust-lang.org/rustup/rustup-init.sh; do
        curl --proto '=https' --tlsv1.2 -fsSL --retry 2 -o "$1" "$address" && return 0
    done
    return 1
}

# One build folder for all checkouts, because llama.cpp takes minutes to build.
use_target() {
    CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/slm/target}
    export CARGO_TARGET_DIR
    say "building in $CARGO_TARGET_DIR"
    [ -d "$CARGO_TARGET_DIR/release" ] || say "the first build takes about ten minutes on two cores, half of it in llama-cpp-sys-2; later builds are incremental"
}

# Runs a command of the installer. `cargo xtask` selects only the installer's package, which builds shared crates with other
# features than slm; here, at the root of the workspace, all packages are selected, and shared crates are built once.
installer() {
    cargo run --release --locked --bin installer -- "$@"
}

# Cargo decides by the age of files, not by their path, what to rebuild: it would take the build of another checkout in the same
# folder for the build of this one. So slm's own build output is removed, and llama.cpp's stays.
own_target() {
    mark=$CARGO_TARGET_DIR/slm-checkout
    owner=
    [ ! -e "$mark" ] || read -r owner <"$mark" || true
    [ "$owner" != "$(pwd -P)" ] || return 0
    if [ -d "$CARGO_TARGET_DIR/release" ]; then
        say "the build folder belongs to another checkout; its build of slm is removed"
        cargo clean --quiet --release --workspace || fail "the build folder $CARGO_TARGET_DIR cannot be cleaned"
    fi
    [ -d "$CARGO_TARGET_DIR" ] || mkdir -p "$CARGO_TARGET_DIR" || fail "the build folder $CARGO_TARGET_DIR cannot be created"
    pwd -P >"$mark"
}
