// Internals of ggml's CPU module that its public headers do not declare.

#pragma once

// Private headers of ggml: the classes by which the CPU backend finds another implementation of an operation. Cargo.toml pins the version.
#include <ggml-backend-impl.h>
#include <ggml-cpu/ggml-cpu-impl.h>
#include <ggml-cpu/traits.h>

namespace slm {

// Functions of the loaded module by which the threads of a graph share an operation.
struct Module {
    void (*barrier)(ggml_threadpool *) = nullptr;
    void (*set_chunk)(ggml_threadpool *, int) = nullptr;
    int (*add_chunk)(ggml_threadpool *, int) = nullptr;

    // Distributes `parts` work items: each thread takes the item with its own number, then the next free one.
    // It begins with a barrier, so all threads see what was written before. Two calls need a barrier between them, or a late thread
    // takes items of the next call.
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

// Batch size from which the prefill kernels are used: columns of a product, tokens of attention.
constexpr int64_t GEMM_MIN_COLUMNS = 32;

// Size of a cache line. Aligning the work buffer to one wastes fewer bytes than this.
constexpr size_t CACHE_LINE = 64;

inline char * aligned_work(const ggml_compute_params & params) {
    const uintptr_t at = reinterpret_cast<uintptr_t>(params.wdata);
    return static_cast<char *>(params.wdata) + (CACHE_LINE - at % CACHE_LINE) % CACHE_LINE;
}

// An operation of ggml that the kernels implement.
class Operation : public ggml::cpu::tensor_traits {
  public:
    virtual bool takes(const ggml_tensor * op) const = 0;
};

} // namespace slm
