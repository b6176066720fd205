#!/bin/sh
# Stands for an installed slm in tests: prints its arguments.
echo "$@"
