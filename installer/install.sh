#!/bin/sh
# Builds slm from this checkout and installs it for the current user.
set -eu

usage() {
    cat <<'TEXT'
Usage: installer/install.sh [--prefix DIR] [--uninstall] [--help]

Installs what a build needs and this machine lacks, builds in release, and installs
  DIR/bin/slm, slmd, slm-runner    the executables
  DIR/lib/slm/                     libraries of the engine
where DIR is ~/.local unless given. Running it again updates; nothing else is touched.

  --prefix DIR   install below DIR
  --uninstall    remove what an installation put below DIR; models stay
  --help         show this

CARGO_TARGET_DIR names the build folder; without it, it is ~/.cache/slm/target.
TEXT
}

cd "$(dirname "$0")/.."
. installer/needs.sh

prefix=
chore=install
while [ $# -gt 0 ]; do
    case $1 in
    --prefix)
        [ $# -ge 2 ] || fail "--prefix needs a folder"
        prefix=$2
        shift
        ;;
    --prefix=*) prefix=${1#--prefix=} ;;
    --uninstall) chore=uninstall ;;
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

need_packages
need_rust
use_target
own_target
say "$chore below $prefix"
cargo xtask "$chore" --prefix "$prefix" || fail "the ${chore} did not finish; the lines above say why"
