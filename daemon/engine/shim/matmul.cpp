#include "matmul.h"

#if defined(__x86_64__) && defined(__linux__)

#include "matmul/kernel.h"

// Not part of ggml's interface: how the CPU backend looks for other ways to compute an operation, and what it hands them.
// The version is pinned.
#include <ggml-backend-impl.h>
#include <ggml-cpu/ggml-cpu-impl.h>
#include <ggml-cpu/traits.h>

#include <algorithm>
#include <vector>

#include <dlfcn.h>

namespace ggml::cpu {

// The modules have these for themselves; they cannot be linked with.
tensor_traits::~tensor_traits() {}
extra_buffer_type::~extra_buffer_type() {}

} // namespace ggml::cpu

namespace {

// Rows of weights that a thread takes at once.
constexpr int64_t ROWS = 32;

// Functions of the module that was loaded.
struct Module {
    void (*barrier)(ggml_threadpool *) = nullptr;
    void (*set_chunk)(ggml_threadpool *, int) = nullptr;
    int (*add_chunk)(ggml_threadpool *, int) = nullptr;
};

Module module;

// A kernel as an operation of ggml.
class Operation : public ggml::cpu::tensor_traits {
  public:
    Operation(const slm::Kernel & kernel, slm::Quantize quantize) : kernel(kernel), quantize(quantize) {}

    // Whether this computes a product.
    bool takes(const ggml_tensor * op) const {
        const ggml_tensor * const weights = op->src[0];
        const ggml_tensor * const inputs = op->src[1];
        const int64_t columns = ggml_nrows(inputs);
        return op->type == GGML_TYPE_F32 && ggml_is_contiguous(op)
            && inputs->type == GGML_TYPE_F32 && ggml_is_contiguous(inputs)
            && columns >= kernel.least_columns && columns <= kernel.most_columns
            && weights->type == kernel.type && weights->nb[0] == ggml_type_size(weights->type)
            && weights->ne[1] % 4 == 0 && weights->ne[2] == 1 && weights->ne[3] == 1
            && weights->buffer != nullptr && ggml_backend_buffer_is_host(weights->buffer);
    }

    bool work_size(int, const ggml_tensor * op, size_t & size) override {
        size = column_bytes(op) * static_cast<size_t>(ggml_nrows(op->src[1]));
        return true;
    }

    bool compute_forward(ggml_compute_params * params, ggml_tensor * op) override {
        if (params->use_ref) {
            return false;
        }
        const ggml_tensor * const weights = op->src[0];
        const int64_t columns = ggml_nrows(op->src[1]);
        const int64_t rows = weights->ne[1];
        prepare(*params, op);
        if (params->ith == 0) {
            // Each thread begins with the part that has its number.
            module.set_chunk(params->threadpool, params->nth);
        }
        module.barrier(params->threadpool);
        for (int64_t first = params->ith * ROWS; first < rows;) {
            kernel.multiply({
                blocks(op),
                static_cast<const char *>(weights->data) + first * weights->nb[1],
                weights->nb[1],
                std::min(ROWS, rows - first),
                static_cast<const char *>(params->wdata),
                column_bytes(op),
                columns,
                static_cast<float *>(op->data) + first,
                static_cast<size_t>(rows),
            });
            first = module.add_chunk(params->threadpool, 1) * ROWS;
        }
        return true;
    }

  private:
    int64_t blocks(const ggml_tensor * op) const { return op->src[0]->ne[0] / kernel.block_values; }

    size_t column_bytes(const ggml_tensor * op) const { return static_cast<size_t>(blocks(op)) * kernel.input_bytes; }

    // This thread's part of all columns.
    void prepare(const ggml_compute_params & params, const ggml_tensor * op) const {
        const ggml_tensor * const inputs = op->src[1];
        const int64_t begin = blocks(op) * params.ith / params.nth, end = blocks(op) * (params.ith + 1) / params.nth;
        for (int64_t column = 0; column < ggml_nrows(inputs); column++) {
            const float * const from = static_cast<const float *>(inputs->data) + column * inputs->ne[0];
            char * const to = static_cast<char *>(params.wdata) + column * column_bytes(op);
            kernel.prepare(quantize, from + begin * kernel.block_values, to + begin * kernel.input_bytes, end - begin);
        }
    }

    const slm::Kernel & kernel;
    const slm::Quantize quantize;
};

// Where the backend looks. It asks for every operation, whatever buffers its tensors lie in.
class Operations : public ggml::cpu::extra_buffer_type {
  public:
    std::vector<Operation> all;

    bool supports_op(ggml_backend_dev_t, const ggml_tensor *) override { return false; }

    ggml::cpu::tensor_traits * get_tensor_traits(const ggml_tensor * op) override {
        if (op->op == GGML_OP_MUL_MAT) {
            for (Operation & operation : all) {
                if (operation.takes(op)) {
                    return &operation;
                }
            }
        }
        return nullptr;
    }
};

template <typename F> bool find(void * library, const char * name, F & function) {
    function = reinterpret_cast<F>(dlsym(library, name));
    return function != nullptr;
}

const slm::Kernel * kernels(bool plain) {
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
        return nullptr;
    }
    const bool vnni = !plain && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512vnni");
    return vnni ? slm::kernels_vnni : slm::kernels_avx2;
}

} // namespace

int slm_add_kernels(int plain) {
    const slm::Kernel * const table = kernels(plain != 0);
    ggml_backend_dev_t device = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    if (table == nullptr || device == nullptr) {
        return 0;
    }
    // Asked once, the backend remembers its list of buffers, in which ours, where nothing can lie, must not be.
    using Buffers = ggml_backend_buffer_type_t * (*)(ggml_backend_dev_t);
    const Buffers buffers = reinterpret_cast<Buffers>(
        ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(device), "ggml_backend_dev_get_extra_bufts"));
    Dl_info file;
    if (buffers == nullptr || dladdr(reinterpret_cast<void *>(buffers), &file) == 0) {
        return 0;
    }
    buffers(device);
    void * const library = dlopen(file.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    std::vector<ggml_backend_buffer_type_t> & (*types)() = nullptr;
    if (library == nullptr || !find(library, "_Z39ggml_backend_cpu_get_extra_buffer_typesv", types)
        || !find(library, "ggml_barrier", module.barrier)
        || !find(library, "ggml_threadpool_chunk_set", module.set_chunk)
        || !find(library, "ggml_threadpool_chunk_add", module.add_chunk)) {
        return 0;
    }
    // These live as long as the process, as the module does.
    static Operations operations;
    static ggml_backend_buffer_type type = {};
    operations.all.clear();
    for (int i = 0; i < slm::KERNELS; i++) {
        slm::Quantize quantize;
        if (find(library, table[i].quantize, quantize)) {
            operations.all.emplace_back(table[i], quantize);
        }
    }
    if (type.context == nullptr) {
        type.device = device;
        type.context = static_cast<ggml::cpu::extra_buffer_type *>(&operations);
        types().push_back(&type);
    }
    return static_cast<int>(operations.all.size());
}

#else

int slm_add_kernels(int) {
    return 0;
}

#endif
