#include "check.h"

#include <ggml-alloc.h>
#include <ggml-backend.h>
#include <ggml.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#ifdef __linux__
#include <dlfcn.h>
#endif

namespace {

using Values = std::vector<float>;

// A multiple of all block sizes, and of the tiles of AMX.
constexpr int64_t INNER = 512;
constexpr int64_t ROWS = 64;

// The square of the error against the square of the result: what llama.cpp's own tests of backends allow (tests/test-backend-ops.cpp).
constexpr double PRODUCT_ERROR = 5e-4;
constexpr double OTHER_ERROR = 1e-5;

struct Freer {
    void operator()(ggml_context * context) const { ggml_free(context); }
    void operator()(ggml_backend * backend) const { ggml_backend_free(backend); }
    void operator()(ggml_backend_buffer * buffer) const { ggml_backend_buffer_free(buffer); }
};

using Context = std::unique_ptr<ggml_context, Freer>;
using Backend = std::unique_ptr<ggml_backend, Freer>;
using Buffer = std::unique_ptr<ggml_backend_buffer, Freer>;

Context make_context() {
    return Context(ggml_init({ ggml_tensor_overhead() * 32 + ggml_graph_overhead(), nullptr, true }));
}

class Check {
  public:
    explicit Check(ggml_backend_dev_t device) : device(device), backend(ggml_backend_dev_init(device, nullptr)) {
        const auto set_threads = reinterpret_cast<ggml_backend_set_n_threads_t>(
            ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(device), "ggml_backend_set_n_threads"));
        if (backend && set_threads != nullptr) {
            set_threads(backend.get(), 2);
        }
    }

    int compared = 0;

    bool products() {
        for (const ggml_type type : { GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_Q4_0, GGML_TYPE_Q4_1, GGML_TYPE_Q5_0,
                 GGML_TYPE_Q8_0, GGML_TYPE_Q4_K, GGML_TYPE_Q5_K, GGML_TYPE_Q6_K, GGML_TYPE_IQ4_XS }) {
            // One token; a few side by side; a prompt.
            for (const int64_t columns : { 1, 5, 48 }) {
                if (!product(type, columns)) {
                    failed = std::string("product with weights in ") + ggml_type_name(type) + ", " + std::to_string(columns) + " columns";
                    return false;
                }
            }
        }
        return true;
    }

    bool rest() {
        const Values a = random(INNER * 3);
        const Values b = random(INNER * 3);
        const auto each = [&](const std::function<double(size_t)> & value) {
            Values all(a.size());
            for (size_t i = 0; i < all.size(); i++) {
                all[i] = static_cast<float>(value(i));
            }
            return all;
        };
        const auto silu = [](double x) { return x / (1 + std::exp(-x)); };
        return named("addition", pair(a, b, ggml_add, each([&](size_t i) { return a[i] + b[i]; })))
            && named("multiplication", pair(a, b, ggml_mul, each([&](size_t i) { return a[i] * b[i]; })))
            && named("SwiGLU", pair(a, b, ggml_swiglu_split, each([&](size_t i) { return silu(a[i]) * b[i]; })))
            && named("GELU", one(a, ggml_gelu_erf, each([&](size_t i) { return a[i] * 0.5 * (1 + std::erf(a[i] / std::sqrt(2.0))); })))
            && named("RMS norm", one(a, [](ggml_context * c, ggml_tensor * t) { return ggml_rms_norm(c, t, 1e-5f); }, rms_norm(a)))
            && named("softmax", one(a, ggml_soft_max, soft_max(a))) && named("attention", attention(1)) && named("attention", attention(40));
    }

    std::string failed;

  private:
    ggml_backend_dev_t device;
    Backend backend;
    std::mt19937 numbers { 1 };

    Values random(size_t count) {
        std::uniform_real_distribution<float> range(-1, 1);
        Values all(count);
        for (float & value : all) {
            value = range(numbers);
        }
        return all;
    }

    bool named(const char * name, bool right) {
        if (!right) {
            failed = name;
        }
        return right;
    }

    // Computes `result` and compares it; inputs are set when there is memory for them.
    bool computes(ggml_context * context, ggml_tensor * result, const std::function<void()> & set, const Values & expected, double allowed) {
        ggml_cgraph * const graph = ggml_new_graph(context);
        ggml_build_forward_expand(graph, result);
        const Buffer memory(ggml_backend_alloc_ctx_tensors(context, backend.get()));
        if (!backend || !memory) {
            return false;
        }
        set();
        if (ggml_backend_graph_compute(backend.get(), graph) != GGML_STATUS_SUCCESS) {
            return false;
        }
        Values found(expected.size());
        if (ggml_nbytes(result) != found.size() * sizeof(float)) {
            return false;
        }
        ggml_backend_tensor_get(result, found.data(), 0, ggml_nbytes(result));
        double error = 0;
        double whole = 0;
        for (size_t i = 0; i < found.size(); i++) {
            const double difference = static_cast<double>(found[i]) - expected[i];
            error += difference * difference;
            whole += static_cast<double>(expected[i]) * expected[i];
        }
        compared++;
        // Also false for what is not a number.
        return error <= allowed * whole;
    }

    // The kind of buffer that llama.cpp would choose for weights of an operation: the first one that the module has for it.
    ggml_backend_buffer_type_t kind_for(ggml_tensor * weights, const ggml_tensor * operation) {
        using Extra = ggml_backend_buffer_type_t * (*)(ggml_backend_dev_t);
        const auto extra = reinterpret_cast<Extra>(
            ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(device), "ggml_backend_dev_get_extra_bufts"));
        for (auto * kind = extra == nullptr ? nullptr : extra(device); kind != nullptr && *kind != nullptr; kind++) {
            const Buffer empty(ggml_backend_buft_alloc_buffer(*kind, 0));
            weights->buffer = empty.get();
            const bool takes = empty && ggml_backend_dev_supports_op(device, operation);
            weights->buffer = nullptr;
            if (takes) {
                return *kind;
            }
        }
        return ggml_backend_dev_buffer_type(device);
    }

    bool product(ggml_type type, int64_t columns) {
        const Values exact = random(INNER * ROWS);
        std::vector<uint8_t> packed(ggml_row_size(type, INNER) * ROWS);
        ggml_quantize_chunk(type, exact.data(), packed.data(), 0, ROWS, INNER, nullptr);
        // What the file says; how well it says it is not the module's affair.
        Values weights(exact);
        if (type != GGML_TYPE_F32) {
            ggml_get_type_traits(type)->to_float(packed.data(), weights.data(), INNER * ROWS);
        }
        const Values inputs = random(INNER * columns);
        Values expected(ROWS * columns);
        for (int64_t column = 0; column < columns; column++) {
            for (int64_t row = 0; row < ROWS; row++) {
                double sum = 0;
                for (int64_t i = 0; i < INNER; i++) {
                    sum += static_cast<double>(weights[row * INNER + i]) * inputs[column * INNER + i];
                }
                expected[column * ROWS + row] = static_cast<float>(sum);
            }
        }
        const Context still = make_context();
        const Context moving = make_context();
        ggml_tensor * const left = ggml_new_tensor_2d(still.get(), type, INNER, ROWS);
        ggml_tensor * const right = ggml_new_tensor_2d(moving.get(), GGML_TYPE_F32, INNER, columns);
        ggml_tensor * const result = ggml_mul_mat(moving.get(), left, right);
        const Buffer memory(ggml_backend_alloc_ctx_tensors_from_buft(still.get(), kind_for(left, result)));
        if (!memory) {
            return false;
        }
        ggml_backend_buffer_set_usage(memory.get(), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
        ggml_backend_tensor_set(left, packed.data(), 0, packed.size());
        const auto set = [&] { ggml_backend_tensor_set(right, inputs.data(), 0, ggml_nbytes(right)); };
        return computes(moving.get(), result, set, expected, PRODUCT_ERROR);
    }

    template <typename Operation> bool pair(const Values & a, const Values & b, Operation operation, const Values & expected) {
        const Context context = make_context();
        ggml_tensor * const left = ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, INNER, 3);
        ggml_tensor * const right = ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, INNER, 3);
        const auto set = [&] {
            ggml_backend_tensor_set(left, a.data(), 0, ggml_nbytes(left));
            ggml_backend_tensor_set(right, b.data(), 0, ggml_nbytes(right));
        };
        return computes(context.get(), operation(context.get(), left, right), set, expected, OTHER_ERROR);
    }

    template <typename Operation> bool one(const Values & a, Operation operation, const Values & expected) {
        const Context context = make_context();
        ggml_tensor * const input = ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, INNER, 3);
        const auto set = [&] { ggml_backend_tensor_set(input, a.data(), 0, ggml_nbytes(input)); };
        return computes(context.get(), operation(context.get(), input), set, expected, OTHER_ERROR);
    }

    static Values rms_norm(const Values & a) {
        Values all(a.size());
        for (size_t row = 0; row < a.size(); row += INNER) {
            double sum = 0;
            for (size_t i = row; i < row + INNER; i++) {
                sum += static_cast<double>(a[i]) * a[i];
            }
            for (size_t i = row; i < row + INNER; i++) {
                all[i] = static_cast<float>(a[i] / std::sqrt(sum / INNER + 1e-5));
            }
        }
        return all;
    }

    static Values soft_max(const Values & a, size_t width = INNER) {
        Values all(a.size());
        for (size_t row = 0; row < a.size(); row += width) {
            double sum = 0;
            for (size_t i = row; i < row + width; i++) {
                sum += std::exp(static_cast<double>(a[i]));
            }
            for (size_t i = row; i < row + width; i++) {
                all[i] = static_cast<float>(std::exp(static_cast<double>(a[i])) / sum);
            }
        }
        return all;
    }

    // One head of 64 numbers over 64 cells in half precision, all of which each token sees.
    bool attention(int64_t tokens) {
        constexpr int64_t head = 64;
        constexpr int64_t cells = 64;
        const Values queries = random(head * tokens);
        std::vector<ggml_fp16_t> keys(head * cells);
        std::vector<ggml_fp16_t> values(head * cells);
        ggml_fp32_to_fp16_row(random(keys.size()).data(), keys.data(), head * cells);
        ggml_fp32_to_fp16_row(random(values.size()).data(), values.data(), head * cells);
        const float scale = 0.125f;
        Values scores(cells * tokens);
        for (int64_t token = 0; token < tokens; token++) {
            for (int64_t cell = 0; cell < cells; cell++) {
                double sum = 0;
                for (int64_t i = 0; i < head; i++) {
                    sum += static_cast<double>(queries[token * head + i]) * ggml_fp16_to_fp32(keys[cell * head + i]);
                }
                scores[token * cells + cell] = static_cast<float>(sum * scale);
            }
        }
        const Values shares = soft_max(scores, cells);
        Values expected(head * tokens);
        for (int64_t token = 0; token < tokens; token++) {
            for (int64_t i = 0; i < head; i++) {
                double sum = 0;
                for (int64_t cell = 0; cell < cells; cell++) {
                    sum += static_cast<double>(shares[token * cells + cell]) * ggml_fp16_to_fp32(values[cell * head + i]);
                }
                expected[token * head + i] = static_cast<float>(sum);
            }
        }
        const Context context = make_context();
        ggml_tensor * const q = ggml_new_tensor_4d(context.get(), GGML_TYPE_F32, head, tokens, 1, 1);
        ggml_tensor * const k = ggml_new_tensor_4d(context.get(), GGML_TYPE_F16, head, cells, 1, 1);
        ggml_tensor * const v = ggml_new_tensor_4d(context.get(), GGML_TYPE_F16, head, cells, 1, 1);
        ggml_tensor * const mask = ggml_new_tensor_4d(context.get(), GGML_TYPE_F16, cells, tokens, 1, 1);
        const std::vector<ggml_fp16_t> open(cells * tokens, ggml_fp32_to_fp16(0));
        const auto set = [&] {
            ggml_backend_tensor_set(q, queries.data(), 0, ggml_nbytes(q));
            ggml_backend_tensor_set(k, keys.data(), 0, ggml_nbytes(k));
            ggml_backend_tensor_set(v, values.data(), 0, ggml_nbytes(v));
            ggml_backend_tensor_set(mask, open.data(), 0, ggml_nbytes(mask));
        };
        return computes(context.get(), ggml_flash_attn_ext(context.get(), q, k, v, mask, scale, 0, 0), set, expected, PRODUCT_ERROR);
    }
};

} // namespace

int slm_check_cpu(char * failed, size_t size) {
    ggml_backend_dev_t device = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    if (device == nullptr) {
        snprintf(failed, size, "%s", "no CPU module is loaded");
        return -1;
    }
    Check check(device);
    if (check.products() && check.rest()) {
        return check.compared;
    }
    snprintf(failed, size, "%s", check.failed.c_str());
    return -1;
}

int slm_module_score(const char * path) {
#ifdef __linux__
    void * const file = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (file == nullptr) {
        return -1;
    }
    const auto score = reinterpret_cast<int (*)()>(dlsym(file, "ggml_backend_score"));
    const int found = score == nullptr ? -1 : score();
    dlclose(file);
    return found;
#else
    (void) path;
    return -1;
#endif
}
