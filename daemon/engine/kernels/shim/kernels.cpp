#include "kernels.h"

#if defined(__x86_64__) && defined(__linux__)

#include "kernels/activate.h"
#include "kernels/attend.h"
#include "kernels/multiply.h"

#include <ggml-alloc.h>

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

// The ways to compute products, by the type of their weights.
struct Choices {
    slm::Choice of[GGML_TYPE_COUNT];

    Choices() { of[GGML_TYPE_Q4_K].repack = false; }
};

// Never freed, as are the hooks.
Choices & choices() {
    static Choices & choices = *new Choices;
    return choices;
}

// Wraps a buffer type that packs weights, and keeps weights out of it that are multiplied faster in another layout.
class KeepOut : public ggml::cpu::extra_buffer_type {
  public:
    explicit KeepOut(bool slm::Choice::*permits) : permits(permits) {}

    void wrap(ggml_backend_buffer_type_t type) {
        wrapped = type;
        packing = static_cast<ggml::cpu::extra_buffer_type *>(type->context);
        type->context = static_cast<ggml::cpu::extra_buffer_type *>(this);
    }

    void unwrap() {
        if (wrapped != nullptr) {
            wrapped->context = packing;
            wrapped = nullptr;
        }
    }

    bool supports_op(ggml_backend_dev_t device, const ggml_tensor * op) override {
        const bool kept_out = op->op == GGML_OP_MUL_MAT && !(choices().of[op->src[0]->type].*permits);
        return !kept_out && packing->supports_op(device, op);
    }

    ggml::cpu::tensor_traits * get_tensor_traits(const ggml_tensor * op) override { return packing->get_tensor_traits(op); }

  private:
    bool slm::Choice::*const permits;
    ggml_backend_buffer_type_t wrapped = nullptr;
    ggml::cpu::extra_buffer_type * packing = nullptr;
};

// An operation that shows whether the module computes with what it finds in its list of buffer types. It computes nothing itself.
class Probe : public slm::Operation {
  public:
    const ggml_tensor * probed = nullptr;
    bool reached = false;

    bool takes(const ggml_tensor * op) const override { return op == probed; }

    bool work_size(int, const ggml_tensor *, size_t & size) override {
        size = 0;
        return true;
    }

    bool compute_forward(ggml_compute_params *, ggml_tensor *) override {
        reached = true;
        return false;
    }
};

using BufferTypes = std::vector<ggml_backend_buffer_type_t>;

// What is hooked into the module.
struct Hooks {
    Operations operations;
    KeepOut repack { &slm::Choice::repack };
    KeepOut amx { &slm::Choice::amx };
    ggml_backend_buffer_type type = {};
    // The module's list with `type`, once that is in it.
    BufferTypes * list = nullptr;
};

// Never freed: the module uses them until the process ends.
Hooks & hooks() {
    static Hooks & hooks = *new Hooks;
    return hooks;
}

template <typename F> F function_of(ggml_backend_dev_t device, const char * name) {
    return reinterpret_cast<F>(ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(device), name));
}

// Whether the module says that it was built with CPU_REPACK.
bool has_repack(ggml_backend_dev_t device) {
    const auto features = function_of<ggml_backend_get_features_t>(device, "ggml_backend_get_features");
    if (features == nullptr) {
        return true;
    }
    for (const ggml_backend_feature * feature = features(ggml_backend_dev_backend_reg(device)); feature->name != nullptr; ++feature) {
        if (strcmp(feature->name, "REPACK") == 0) {
            return true;
        }
    }
    return false;
}

ggml_backend_buffer_type_t find_type(const BufferTypes & types, const char * name) {
    const auto found = std::find_if(types.begin(), types.end(), [name](ggml_backend_buffer_type_t type) {
        return type != nullptr && strcmp(ggml_backend_buft_name(type), name) == 0;
    });
    return found == types.end() ? nullptr : *found;
}

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

int slm_add_kernels(int avx2_only, const char * repack, const char ** missing) {
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
    const auto buffers = function_of<ggml_backend_buffer_type_t * (*)(ggml_backend_dev_t)>(device, "ggml_backend_dev_get_extra_bufts");
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
    BufferTypes & (*types)() = nullptr;
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
        all.push_back(std::make_unique<slm::Multiply>(kernel, table->panels, quantize, module, choices().of[kernel.type]));
    }
    all.push_back(std::make_unique<slm::Attend>(*table, module));
    all.push_back(std::make_unique<slm::Activate>(*table));
    if (symbols.missing != nullptr) {
        *missing = symbols.missing;
        return -1;
    }
    slm_remove_kernels();
    const ggml_backend_buffer_type_t packed = find_type(types(), repack);
    if (packed == nullptr && has_repack(device)) {
        *missing = repack;
        return -1;
    }
    Hooks & hook = hooks();
    if (packed != nullptr) {
        hook.repack.wrap(packed);
    }
    // Only a module for processors with AMX has it.
    if (const ggml_backend_buffer_type_t tiles = find_type(types(), "AMX")) {
        hook.amx.wrap(tiles);
    }
    hook.operations.all = std::move(all);
    hook.type.device = device;
    hook.type.context = static_cast<ggml::cpu::extra_buffer_type *>(&hook.operations);
    hook.list = &types();
    hook.list->push_back(&hook.type);
    return 1;
}

void slm_choose_product(int type, int gemv, int gemm, int repack, int amx) {
    if (type >= 0 && type < GGML_TYPE_COUNT) {
        choices().of[type] = { gemv != 0, gemm != 0, repack != 0, amx != 0 };
    }
}

int slm_asks_kernels(void) {
    ggml_backend_dev_t device = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    const auto set_threads = function_of<ggml_backend_set_n_threads_t>(device, "ggml_backend_set_n_threads");
    ggml_backend_t backend = ggml_backend_dev_init(device, nullptr);
    if (backend == nullptr || set_threads == nullptr) {
        ggml_backend_free(backend);
        return 0;
    }
    set_threads(backend, 1);
    ggml_context * const context = ggml_init({2 * ggml_tensor_overhead() + ggml_graph_overhead(), nullptr, true});
    ggml_tensor * const number = ggml_new_tensor_1d(context, GGML_TYPE_F32, 1);
    ggml_tensor * const negative = ggml_neg(context, number);
    ggml_cgraph * const graph = ggml_new_graph(context);
    ggml_build_forward_expand(graph, negative);
    ggml_backend_buffer_t buffer = ggml_backend_alloc_ctx_tensors(context, backend);

    auto & all = hooks().operations.all;
    Probe * const probe = new Probe;
    probe->probed = negative;
    all.emplace(all.begin(), probe);
    const bool computed = buffer != nullptr && ggml_backend_graph_compute(backend, graph) == GGML_STATUS_SUCCESS;
    const bool reached = probe->reached;
    all.erase(all.begin());

    ggml_backend_buffer_free(buffer);
    ggml_free(context);
    ggml_backend_free(backend);
    return computed && reached;
}

void slm_remove_kernels(void) {
    Hooks & hook = hooks();
    if (hook.list != nullptr) {
        hook.list->erase(std::find(hook.list->begin(), hook.list->end(), &hook.type));
        hook.list = nullptr;
        hook.repack.unwrap();
        hook.amx.unwrap();
    }
}

#else

int slm_add_kernels(int, const char *, const char **) {
    return 0;
}

void slm_choose_product(int, int, int, int, int) {}

int slm_asks_kernels(void) {
    return 0;
}

void slm_remove_kernels(void) {}

#endif
