#include "kernels.h"

#if defined(__x86_64__) && defined(__linux__)

#include "kernels/activate.h"
#include "kernels/attend.h"
#include "kernels/multiply.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include <dlfcn.h>

namespace ggml::cpu {

// The module defines these, but does not export them.
tensor_traits::~tensor_traits() {}
extra_buffer_type::~extra_buffer_type() {}

} // namespace ggml::cpu

namespace {

// The buffer type that the backend asks for an implementation of each operation, whatever buffers its tensors are in.
class Operations : public ggml::cpu::extra_buffer_type {
  public:
    std::vector<std::unique_ptr<slm::Operation>> all;

    bool supports_op(ggml_backend_dev_t, const ggml_tensor *) override { return false; }

    ggml::cpu::tensor_traits * get_tensor_traits(const ggml_tensor * op) override {
        if (ggml_is_empty(op)) {
            return nullptr;
        }
        const auto found = std::find_if(all.begin(), all.end(), [op](const auto & operation) { return operation->takes(op); });
        return found == all.end() ? nullptr : found->get();
    }
};

// Wraps the buffer type CPU_REPACK and keeps weights out of it that are multiplied faster in their own layout.
class KeepOutOfRepack : public ggml::cpu::extra_buffer_type {
  public:
    void wrap(ggml_backend_buffer_type_t type) {
        if (type->context != this) {
            packing = static_cast<ggml::cpu::extra_buffer_type *>(type->context);
            type->context = static_cast<ggml::cpu::extra_buffer_type *>(this);
        }
    }

    bool supports_op(ggml_backend_dev_t device, const ggml_tensor * op) override {
        const bool ours = op->op == GGML_OP_MUL_MAT && op->src[0]->type == GGML_TYPE_Q4_K;
        return !ours && packing->supports_op(device, op);
    }

    ggml::cpu::tensor_traits * get_tensor_traits(const ggml_tensor * op) override { return packing->get_tensor_traits(op); }

  private:
    ggml::cpu::extra_buffer_type * packing = nullptr;
};

// The functions of a loaded module by their names.
class Symbols {
  public:
    explicit Symbols(void * library) : library(library) {}

    template <typename F> void find(const char * name, F & function) {
        function = reinterpret_cast<F>(dlsym(library, name));
        if (function == nullptr && missing == nullptr) {
            missing = name;
        }
    }

    // The first that was not found.
    const char * missing = nullptr;

  private:
    void * const library;
};

const slm::Kernels * kernels(bool avx2_only) {
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("f16c")) {
        return nullptr;
    }
    const bool vnni = !avx2_only && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512vnni");
    return vnni ? &slm::kernels_vnni : &slm::kernels_avx2;
}

} // namespace

int slm_add_kernels(int avx2_only, int expected, const char ** missing) {
    const slm::Kernels * const table = kernels(avx2_only != 0);
    if (table == nullptr) {
        return 0;
    }
    ggml_backend_dev_t device = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    if (device == nullptr) {
        *missing = "the CPU backend";
        return -1;
    }
    // The backend caches its list of buffer types at the first call. Ours must not be in it, because no tensor can be allocated there.
    using Buffers = ggml_backend_buffer_type_t * (*)(ggml_backend_dev_t);
    const Buffers buffers = reinterpret_cast<Buffers>(
        ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(device), "ggml_backend_dev_get_extra_bufts"));
    Dl_info file;
    if (buffers == nullptr || dladdr(reinterpret_cast<void *>(buffers), &file) == 0) {
        *missing = "ggml_backend_dev_get_extra_bufts";
        return -1;
    }
    buffers(device);
    void * const library = dlopen(file.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    if (library == nullptr) {
        *missing = "a file of the CPU module";
        return -1;
    }
    Symbols symbols(library);
    std::vector<ggml_backend_buffer_type_t> & (*types)() = nullptr;
    slm::Module module;
    symbols.find("_Z39ggml_backend_cpu_get_extra_buffer_typesv", types);
    symbols.find("ggml_barrier", module.barrier);
    symbols.find("ggml_threadpool_chunk_set", module.set_chunk);
    symbols.find("ggml_threadpool_chunk_add", module.add_chunk);
    std::vector<std::unique_ptr<slm::Operation>> all;
    for (const slm::Kernel & kernel : table->products) {
        slm::Quantize quantize = nullptr;
        if (kernel.quantize != nullptr) {
            symbols.find(kernel.quantize, quantize);
        }
        all.push_back(std::make_unique<slm::Multiply>(kernel, table->panels, quantize, module));
    }
    all.push_back(std::make_unique<slm::Attend>(*table, module));
    all.push_back(std::make_unique<slm::Activate>(*table));
    if (symbols.missing != nullptr) {
        *missing = symbols.missing;
        return -1;
    }
    if (all.size() != static_cast<size_t>(expected)) {
        *missing = "the expected number of operations";
        return -1;
    }
    // Never freed: the module uses them until the process ends.
    static Operations & operations = *new Operations;
    static ggml_backend_buffer_type type = {};
    operations.all = std::move(all);
    static KeepOutOfRepack & keep_out = *new KeepOutOfRepack;
    for (ggml_backend_buffer_type_t packed : types()) {
        if (packed != &type && strcmp(ggml_backend_buft_name(packed), "CPU_REPACK") == 0) {
            keep_out.wrap(packed);
        }
    }
    if (type.context == nullptr) {
        type.device = device;
        type.context = static_cast<ggml::cpu::extra_buffer_type *>(&operations);
        types().push_back(&type);
    }
    return 1;
}

#else

int slm_add_kernels(int, int, const char **) {
    return 0;
}

#endif
