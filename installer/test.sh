#!/bin/sh
# Runs every check and test of the project; CI runs this and nothing else.
set -eu

case ${1:-} in
--help | -h)
    cat <<'TEXT'
Usage: installer/test.sh [STAGE...]

Installs what a build needs and this machine lacks, then runs `cargo xtask check`:
format, deny, lint, lint-tests, doc, build, test; or only the stages named.

CARGO_TARGET_DIR names the build folder; without it, it is ~/.cache/slm/target.
TEXT
    exit 0
    ;;
esac

cd "$(dirname "$0")/.."
. installer/needs.sh

# shellcheck disable=SC2034 # needs.sh reads it.
for_tests=1
need_packages
need_rust
use_target
own_target
chore check "$@" || fail "not everything is in order; the lines above say what"
