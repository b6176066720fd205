// The CPU backend's module, as far as its header files do not say it.

#pragma once

// Not part of ggml's interface: how the CPU backend looks for other ways to compute an operation, and what it hands them.
// The version is pinned.
#include <ggml-backend-impl.h>
#include <ggml-cpu/ggml-cpu-impl.h>
#include <ggml-cpu/traits.h>

namespace slm {

// Functions of the module that was loaded, with which the threads that compute a graph share an operation.
struct Module {
    void (*barrier)(ggml_threadpool *) = nullptr;
    void (*set_chunk)(ggml_threadpool *, int) = nullptr;
    int (*add_chunk)(ggml_threadpool *, int) = nullptr;

    // Has this thread do its share of so many parts: the one with its number first, then whichever is next.
    // What was written before is seen by all threads. Between two of these there must be a barrier: who is late would take parts of
    // the next.
    template <class Part> void share(const ggml_compute_params & params, int64_t parts, Part part) const {
        if (params.ith == 0) {
            set_chunk(params.threadpool, params.nth);
        }
        barrier(params.threadpool);
        for (int64_t i = params.ith; i < parts; i = add_chunk(params.threadpool, 1)) {
            part(i);
        }
    }
};

// Inputs of a product that are many, and tokens of attention.
constexpr int64_t MANY = 32;

// Where the memory that an operation works with begins a line, and so many bytes it may lose by that.
constexpr size_t LINE = 64;

inline char * work_of(const ggml_compute_params & params) {
    const uintptr_t at = reinterpret_cast<uintptr_t>(params.wdata);
    return static_cast<char *>(params.wdata) + (LINE - at % LINE) % LINE;
}

// An operation that is computed with kernels.
class Operation : public ggml::cpu::tensor_traits {
  public:
    virtual bool takes(const ggml_tensor * op) const = 0;
};

} // namespace slm
