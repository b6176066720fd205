#include "measure.h"

#include "kernels.h"

#include <ggml-alloc.h>
#include <ggml-backend.h>
#include <ggml.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
}

// The length of a row: the width of a small model.
constexpr int64_t LENGTH = 2048;

// Numbers of inputs, with rows of weights for which one thread computes about a millisecond. That is shorter than the time slice of the
// system's scheduler, so most runs are not interrupted, however busy the machine is.
struct Size {
    int64_t columns, rows;
};

constexpr Size SIZES[] = { { 1, 2048 }, { 4, 2048 }, { 16, 1024 }, { 64, 512 }, { 512, 64 } };
constexpr int64_t MOST_ROWS = 2048;

// Rows with different content. Quantizing is slow, and equal rows take the same time.
constexpr int64_t DIFFERENT_ROWS = 16;

// A product is computed so often; the shortest time counts.
constexpr int RUNS = 6;

// All products together take about a second, and longer on a busy machine, whose first load of a model should not wait for all of them.
constexpr double MOST_SECONDS = 3;

constexpr ggml_type TYPES[] = { GGML_TYPE_Q4_0, GGML_TYPE_Q4_K, GGML_TYPE_Q6_K, GGML_TYPE_Q8_0, GGML_TYPE_F16 };

struct Freer {
    void operator()(ggml_context * context) const { ggml_free(context); }
    void operator()(ggml_backend * backend) const { ggml_backend_free(backend); }
    void operator()(ggml_backend_buffer * buffer) const { ggml_backend_buffer_free(buffer); }
};

using Context = std::unique_ptr<ggml_context, Freer>;
using Backend = std::unique_ptr<ggml_backend, Freer>;
using Buffer = std::unique_ptr<ggml_backend_buffer, Freer>;

Context make_context() {
    return Context(ggml_init({ ggml_tensor_overhead() * 8 + ggml_graph_overhead(), nullptr, true }));
}

template <typename F> F function_of(ggml_backend_dev_t device, const char * name) {
    return reinterpret_cast<F>(ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(device), name));
}

// Numbers between -1 and 1 that repeat late.
std::vector<float> numbers(int64_t count) {
    std::vector<float> all(count);
    uint32_t state = 1;
    for (float & number : all) {
        state = state * 1664525 + 1013904223;
        number = static_cast<float>(state >> 8) / 8388608.0f - 1.0f;
    }
    return all;
}

// Rows of weights of this type, as they are in a file.
std::vector<char> weights(ggml_type type, int64_t rows) {
    const size_t row = ggml_row_size(type, LENGTH);
    const std::vector<float> values = numbers(LENGTH * DIFFERENT_ROWS);
    std::vector<char> all(row * rows);
    ggml_quantize_chunk(type, values.data(), all.data(), 0, DIFFERENT_ROWS, LENGTH, nullptr);
    for (int64_t done = DIFFERENT_ROWS; done < rows; done += DIFFERENT_ROWS) {
        memcpy(all.data() + done * row, all.data(), row * std::min(DIFFERENT_ROWS, rows - done));
    }
    return all;
}

// The shortest time of a product, and the next one, in seconds.
struct Shortest {
    double seconds = 0, next = 0;
};

class Machine {
  public:
    Machine() : device(ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU)) {
        if (device == nullptr) {
            return;
        }
        backend.reset(ggml_backend_dev_init(device, nullptr));
        const auto set_threads = function_of<ggml_backend_set_n_threads_t>(device, "ggml_backend_set_n_threads");
        if (backend && set_threads != nullptr) {
            set_threads(backend.get(), 1);
        }
    }

    explicit operator bool() const { return backend != nullptr; }

    // Null where this module has no such buffer type.
    ggml_backend_buffer_type_t buffer_type(int way) const {
        const char * const name = way == SLM_REPACK ? "CPU_REPACK" : way == SLM_AMX ? "AMX" : nullptr;
        if (name == nullptr) {
            return ggml_backend_dev_buffer_type(device);
        }
        const auto extra = function_of<ggml_backend_dev_get_extra_bufts_t>(device, "ggml_backend_dev_get_extra_bufts");
        for (ggml_backend_buffer_type_t * next = extra == nullptr ? nullptr : extra(device); next != nullptr && *next != nullptr; ++next) {
            if (strcmp(ggml_backend_buft_name(*next), name) == 0) {
                return *next;
            }
        }
        return nullptr;
    }

    // Where a product cannot be computed so, it takes no time.
    Shortest product(ggml_type type, const std::vector<char> & data, int64_t rows, int64_t columns, ggml_backend_buffer_type_t layout) const {
        const Context of_weights = make_context();
        ggml_tensor * const matrix = ggml_new_tensor_2d(of_weights.get(), type, LENGTH, rows);
        const Context rest = make_context();
        ggml_tensor * const inputs = ggml_new_tensor_2d(rest.get(), GGML_TYPE_F32, LENGTH, columns);
        ggml_tensor * const result = ggml_mul_mat(rest.get(), matrix, inputs);
        if (!supports(layout, matrix, result)) {
            return {};
        }
        const Buffer first(ggml_backend_alloc_ctx_tensors_from_buft(of_weights.get(), layout));
        const Buffer second(ggml_backend_alloc_ctx_tensors(rest.get(), backend.get()));
        if (!first || !second) {
            return {};
        }
        ggml_backend_tensor_set(matrix, data.data(), 0, ggml_row_size(type, LENGTH) * rows);
        const std::vector<float> values = numbers(LENGTH * columns);
        ggml_backend_tensor_set(inputs, values.data(), 0, values.size() * sizeof(float));
        ggml_cgraph * const graph = ggml_new_graph(rest.get());
        ggml_build_forward_expand(graph, result);
        return shortest(graph);
    }

  private:
    // As llama.cpp asks before it puts weights into a buffer type: of a buffer without bytes.
    bool supports(ggml_backend_buffer_type_t layout, ggml_tensor * matrix, const ggml_tensor * result) const {
        const Buffer empty(ggml_backend_buft_alloc_buffer(layout, 0));
        matrix->buffer = empty.get();
        const bool supported = empty && ggml_backend_dev_supports_op(device, result);
        matrix->buffer = nullptr;
        return supported;
    }

    Shortest shortest(ggml_cgraph * graph) const {
        // The first run has page faults.
        if (ggml_backend_graph_compute(backend.get(), graph) != GGML_STATUS_SUCCESS) {
            return {};
        }
        double times[RUNS];
        for (double & seconds : times) {
            const auto begin = Clock::now();
            ggml_backend_graph_compute(backend.get(), graph);
            seconds = seconds_since(begin);
        }
        std::sort(times, times + RUNS);
        return { times[0], times[1] };
    }

    ggml_backend_dev_t device;
    Backend backend;
};

} // namespace

int slm_measure_products(slm_time * times, int most) {
    const Machine machine;
    if (!machine) {
        return 0;
    }
    const bool has_ours = slm_asks_kernels() != 0;
    const auto begin = Clock::now();
    int count = 0;
    for (const ggml_type type : TYPES) {
        const std::vector<char> data = weights(type, MOST_ROWS);
        for (const auto [columns, rows] : SIZES) {
            for (int way = SLM_PLAIN; way <= SLM_AMX && count < most; way++) {
                const ggml_backend_buffer_type_t layout = machine.buffer_type(way);
                if (layout == nullptr || (way == SLM_OURS && !has_ours)) {
                    continue;
                }
                if (seconds_since(begin) > MOST_SECONDS) {
                    return 0;
                }
                slm_choose_product(type, way == SLM_OURS, way == SLM_OURS, 1, 1);
                const Shortest time = machine.product(type, data, rows, columns, layout);
                if (time.seconds > 0) {
                    const double thousands = static_cast<double>(rows * LENGTH) * columns / 1000;
                    times[count++] = { type, static_cast<int32_t>(columns), way, static_cast<float>(time.seconds * 1e9 / thousands),
                        static_cast<float>(time.next / time.seconds) };
                }
            }
        }
    }
    return count;
}

double slm_measure_bandwidth(int threads) {
    // More than the caches of most machines, read in parts, so that some part is read without an interruption.
    constexpr size_t BYTES = 256u << 20;
    constexpr int PARTS = 4, ROUNDS = 2;
    std::vector<uint64_t> memory;
    try {
        memory.assign(BYTES / sizeof(uint64_t), 1);
    } catch (const std::bad_alloc &) {
        return 0;
    }
    double best = 0;
    const size_t part = memory.size() / PARTS;
    for (int run = 0; run < PARTS * ROUNDS; run++) {
        const uint64_t * const begin_of_part = memory.data() + part * (run % PARTS);
        std::vector<uint64_t> sums(threads);
        std::vector<std::thread> readers;
        const auto begin = Clock::now();
        for (int thread = 0; thread < threads; thread++) {
            readers.emplace_back([&, thread] {
                const size_t from = part * thread / threads, to = part * (thread + 1) / threads;
                uint64_t sum = 0;
                for (size_t i = from; i < to; i++) {
                    sum += begin_of_part[i];
                }
                sums[thread] = sum;
            });
        }
        for (std::thread & reader : readers) {
            reader.join();
        }
        const double seconds = seconds_since(begin);
        uint64_t sum = 0;
        for (const uint64_t of_thread : sums) {
            sum += of_thread;
        }
        // The sum makes the compiler keep the loop.
        if (sum == part && seconds > 0) {
            best = std::max(best, part * sizeof(uint64_t) / seconds);
        }
    }
    return best;
}
