// Whether the CPU module that is loaded computes what it should on this processor.

#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

// Runs each kind of operation that models are made of once, on small random input, and compares the result with plain code here.
//
// A module may crash (an instruction that the processor lacks, or that the compiler got wrong) or compute something else; the process
// that calls this ends with it, so it should do nothing else. Weights lie where llama.cpp would put them: packed for AMX or for tiles
// where the module does that. Kernels of ours take part when they were added before.
//
// Returns how many operations were compared, or -1 when one failed, with its name in `failed` (terminated, at most `size` bytes).
int slm_check_cpu(char * failed, size_t size);

// The score that the module file gives itself on this processor, 0 when it cannot run here, -1 when the file is no module.
int slm_module_score(const char * path);

#ifdef __cplusplus
}
#endif
