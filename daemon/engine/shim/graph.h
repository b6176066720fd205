// What llama.cpp makes of a model's graph, which its own interface does not tell.

#pragma once

#ifdef __cplusplus
extern "C" {
#endif

struct llama_context;

// The number of parts that the graph of the context was cut into at its last plan; each part is computed by one backend.
int slm_graph_splits(const struct llama_context * context);

#ifdef __cplusplus
}
#endif
