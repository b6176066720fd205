#!/bin/sh
# Builds slm from this checkout and installs it for the current user.
set -eu

usage() {
    cat <<'TEXT'
Usage: installer/install.sh [--prefix DIR] [--backend NAMES] [--all-cpus]
                            [--uninstall] [--help]

Installs missing build tools, builds in release mode, and installs
  DIR/bin/slm, slmd, slm-runner    the executables
  DIR/lib/slm/                     libraries of the engine
  DIR/share/                       manual pages, completions, documents, a unit
where DIR is ~/.local by default. Run it again to update; it changes nothing else.

The engine is built for this machine's processor, for the next lesser kind, and for
any; a build folder from another machine is detected and rebuilt.

  --prefix DIR   install below DIR
  --backend NAMES
                 also build and install the modules of accelerators, such as
                 vulkan or vulkan,openvino; docs/backends.md lists them.
                 Those that are installed already are updated in any case.
  --all-cpus     build for every kind of processor, as packages need it; takes longer
  --uninstall    remove the installed files below DIR; models stay
  --help         show this

CARGO_TARGET_DIR names the build folder; the default is ~/.cache/slm/target.
TEXT
}

cd "$(dirname "$0")/.."
. installer/needs.sh

prefix=
what=install
all_cpus=
backends=
while [ $# -gt 0 ]; do
    case $1 in
    --prefix)
        [ $# -ge 2 ] || fail "--prefix needs a folder"
        prefix=$2
        shift
        ;;
    --prefix=*) prefix=${1#--prefix=} ;;
    --backend)
        [ $# -ge 2 ] || fail "--backend needs names, such as vulkan"
        backends=$2
        shift
        ;;
    --backend=*) backends=${1#--backend=} ;;
    --all-cpus) all_cpus=--all-cpus ;;
    --uninstall) what=uninstall ;;
    --help | -h)
        usage
        exit 0
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
    shift
done

case $prefix in
'') prefix=$HOME/.local ;;
/*) ;;
*) prefix=${OLDPWD:-$(pwd)}/$prefix ;;
esac

say "1 of 3: build tools"
need_packages
need_rust
say "2 of 3: building the installer"
use_target
own_target
cargo build --release --locked --bin installer || fail "the installer could not be built; the lines above have the reason"
case $what in
install) say "3 of 3: building slm and its engine, and installing them below $prefix" ;;
**) say "3 of 3: removing the installed files below $prefix" ;;
esac
# shellcheck disable=SC2086 # Empty, or one fixed word.
installer "$what" --prefix "$prefix" ${backends:+--backend "$backends"} $all_cpus || fail "the $what did not finish; the lines above have the reason"
