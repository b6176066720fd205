#include "graph.h"

#include <src/llama-context.h>

int slm_graph_splits(const llama_context * context) {
    return ggml_backend_sched_get_n_splits(context->get_sched());
}
