# shellcheck shell=sh
# What install.sh and test.sh share: saying what happens, and getting what a build needs.
# Sourced, not run. POSIX shell.

say() {
    printf '%s\n' "slm: $*"
}

fail() {
    printf '%s\n' "slm: error: $*" >&2
    exit 1
}

# Runs a command as root, with sudo where we are not.
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

# The packages that a build lacks here, and its tests where for_tests is set, one word each; nothing where nothing lacks.
missing_packages() {
    have cmake || printf ' cmake'
    have g++ || printf ' g++'
    have make || printf ' make'
    have_libclang || printf ' libclang-dev'
    # The built-in catalog takes its first model from a package index, with that index's own client.
    python3 -m pip --version >/dev/null 2>&1 || printf ' python3-pip'
    # rustup is fetched with curl.
    have_rust || have curl || printf ' curl ca-certificates'
    # What a push is tested against; test.sh asks for it.
    if [ -n "${for_tests:-}" ]; then
        have docker-registry || printf ' docker-registry'
        have skopeo || printf ' skopeo'
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
    # shellcheck disable=SC2086 # The names are words of ours.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing >/dev/null ||
        fail "the packages could not be installed:$missing"
    missing=$(missing_packages)
    [ -z "$missing" ] || fail "still missing after the installation:$missing"
}

# Whether a cargo is here that can build the project: rustup's fetches the pinned version by itself, any other must be new enough.
have_rust() {
    have cargo || return 1
    have rustup && return 0
    needed=$(sed -n 's/^rust-version = "1\.\([0-9]*\).*/\1/p' Cargo.toml)
    found=$(cargo --version | sed -n 's/^cargo 1\.\([0-9]*\)\..*/\1/p')
    [ "${found:-0}" -ge "$needed" ]
}

need_rust() {
    # A shell that was open when rustup came has no path to it.
    # shellcheck source=/dev/null
    have_rust || [ ! -f "$HOME/.cargo/env" ] || . "$HOME/.cargo/env"
    have_rust || install_rustup
    if have rustup && ! { cargo --version && cargo clippy --version && cargo fmt --version; } >/dev/null 2>&1; then
        # Without a name, this is the toolchain that rust-toolchain.toml asks for, with its components.
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
    # Its folder may be on the path already, behind an older cargo.
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
    [ -d "$CARGO_TARGET_DIR/release" ] || say "the first time takes about ten minutes on two cores, half of it in llama-cpp-sys-2; later ones build what changed"
}

# Runs a chore. `cargo xtask` selects the package of the chores alone, which has crates built with other features than slm has them;
# here, at the top of the project, all packages are selected, and what both use is built once.
chore() {
    cargo run --release --locked --bin installer -- "$@"
}

# Cargo tells by the age of files what has to be built again, and not by where they lie: what another checkout built of slm in the
# same folder would be taken for what this one would build. So it goes, and llama.cpp stays.
own_target() {
    mark=$CARGO_TARGET_DIR/slm-checkout
    owner=
    [ ! -e "$mark" ] || read -r owner <"$mark" || true
    [ "$owner" != "$(pwd -P)" ] || return 0
    if [ -d "$CARGO_TARGET_DIR/release" ]; then
        say "the build folder was another checkout's; what it built of slm is removed"
        cargo clean --quiet --release --workspace || fail "the build folder $CARGO_TARGET_DIR cannot be cleaned"
    fi
    [ -d "$CARGO_TARGET_DIR" ] || mkdir -p "$CARGO_TARGET_DIR" || fail "the build folder $CARGO_TARGET_DIR cannot be made"
    pwd -P >"$mark"
}
