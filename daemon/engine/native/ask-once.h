// Included before every C++ file of a module that uses AMX.
//
// ggml_backend_amx_buffer_type() asks the kernel for AMX, and every thread calls it for every product: some 400 system calls a token of a
// model with 30 layers, each of which goes through the sandbox's filter. The permission is the process's and is never taken back
// (the kernel's Documentation/arch/x86/xstate.rst), so one call is enough. amx.cpp has no other system call.
#pragma once

#if defined(__AMX_TILE__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>

inline long slm_ask_once(long number, long request, long feature) {
    static const long answer = ::syscall(number, request, feature);
    return answer;
}

#define syscall(number, request, feature) slm_ask_once(number, request, feature)
#endif
