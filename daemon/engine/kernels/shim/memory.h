// How llama.cpp takes memory for what it computes.

#pragma once

#ifdef __cplusplus
extern "C" {
#endif

// Lets the kernel clear buffers in main memory: their pages are given back, and come again as zeros when they are first used.
//
// llama.cpp clears the KV cache and the buffer of outputs when it makes them, by writing zeros into all of them, so that a
// context takes all of its memory from the start, and that takes time. Most of a long context is never used.
//
// Call before any thread is started, and before a model is loaded.
void slm_clear_lazily(void);

#ifdef __cplusplus
}
#endif
