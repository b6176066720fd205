#!/bin/sh
# Runs all checks and tests of the project; CI runs only this script.
set -eu

case ${1:-} in
--help | -h)
    cat <<'TEXT'
Usage: installer/test.sh [STAGE...]

Installs missing build tools, then runs `cargo xtask check` with all stages
(format, deny, lint, lint-tests, doc, build, backend, test) or only the named ones.

CARGO_TARGET_DIR names the build folder; the default is ~/.cache/slm/target.
TEXT
    exit 0
    ;;
esac

cd "$(dirname "$0")/.."
. installer/needs.sh

# shellcheck disable=SC2034 # needs.sh reads both.
for_tests=1 backends=vulkan
need_packages
need_rust
use_target
own_target
installer check "$@" || fail "a check failed; the lines above say which"
