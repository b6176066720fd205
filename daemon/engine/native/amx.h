// Included before every C++ file of a module that uses AMX.
//
// The intrinsic _tile_loadconfig of GCC 12 (amxtileintrin.h) declares 8 of the 64 bytes that `ldtilecfg` reads. The stores of rows and
// columns are then dropped as dead, each tile has 0 rows, and the first `tilezero` ends the process with SIGILL. This one declares all.
#pragma once

#if defined(__AMX_TILE__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>

#define _tile_loadconfig(config) __asm__ volatile("ldtilecfg %0" ::"m"(*(const char(*)[64])(config)))
#endif
