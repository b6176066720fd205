// Included before every C++ file of a module that uses AMX.
#pragma once

#if defined(__AMX_TILE__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>

// The intrinsic _tile_loadconfig of GCC 12 (amxtileintrin.h) declares 8 of the 64 bytes that `ldtilecfg` reads. The stores of rows and
// columns are then dropped as dead, each tile has 0 rows, and the first `tilezero` ends the process with SIGILL. This one declares all.
#define _tile_loadconfig(config) __asm__ volatile("ldtilecfg %0" ::"m"(*(const char(*)[64])(config)))
#endif

#if defined(__AMX_TILE__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>

// ggml_backend_amx_buffer_type() asks the kernel for AMX, and every thread calls it for every product: some 400 system calls a token of a
// model with 30 layers. The permission is the process's and is never taken back (Documentation/arch/x86/xstate.rst), so one call is enough.
// amx.cpp has no other system call.
inline long slm_ask_once(long number, long request, long feature) {
    static const long answer = ::syscall(number, request, feature);
    return answer;
}
#define syscall(number, request, feature) slm_ask_once(number, request, feature)
#endif
