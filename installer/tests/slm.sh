#!/bin/sh
# Stands for an installed slm in tests: writes one page of a manual, and prints its arguments otherwise.
set -eu
if [ "$1" = reference ]; then
    echo page >"$3/slm.1"
else
    echo "$@"
fi
