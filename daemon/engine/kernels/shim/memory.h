// How CPU buffers are cleared.

#pragma once

#ifdef __cplusplus
extern "C" {
#endif

// Zeroes CPU buffers lazily, with MADV_DONTNEED.
//
// llama.cpp writes zeros into the KV cache and the output buffer when it allocates them, so a context takes all of its memory from the
// start. Most of a long context is never used.
//
// Call before any thread is started, and before a model is loaded.
void slm_clear_lazily(void);

#ifdef __cplusplus
}
#endif
