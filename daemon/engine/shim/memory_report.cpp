#include "memory_report.h"

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include <ggml-backend.h>
#include <llama.h>

// A staging header of llama.cpp: the sizes of buffers by their type. Cargo.toml pins the version.
#include <src/llama-ext.h>

// From `src/llama-model.h`: all tensors of the weights.
const std::vector<std::pair<std::string, ggml_tensor *>> & llama_internal_get_tensor_map(const llama_model * model);

namespace {

// Buffers that a device keeps in main memory are those of the processor.
const char * device_of(ggml_backend_buffer_type_t type) {
    ggml_backend_dev_t device = ggml_backend_buft_get_device(type);
    return device == nullptr || ggml_backend_buft_is_host(type) ? "CPU" : ggml_backend_dev_name(device);
}

struct Report {
    slm_device_bytes * devices;
    size_t most;
    size_t count = 0;

    slm_device_bytes * of(ggml_backend_buffer_type_t type) {
        const char * name = device_of(type);
        for (size_t i = 0; i < count; i++) {
            if (strcmp(devices[i].device, name) == 0) {
                return &devices[i];
            }
        }
        if (count == most) {
            return nullptr;
        }
        slm_device_bytes * added = &devices[count++];
        *added = slm_device_bytes{};
        strncpy(added->device, name, sizeof added->device - 1);
        return added;
    }
};

bool is_mapped(const ggml_tensor * tensor) {
    return tensor->buffer != nullptr && strstr(ggml_backend_buffer_name(tensor->buffer), "_Mapped") != nullptr;
}

} // namespace

size_t slm_memory_of(const llama_context * context, slm_device_bytes * devices, size_t most) try {
    Report report{devices, most};
    for (const auto & [type, bytes] : llama_get_memory_breakdown(context)) {
        if (slm_device_bytes * device = report.of(type)) {
            device->cache += bytes.context;
            device->compute += bytes.compute;
        }
    }
    // The size of a mapped buffer is that of the range from its first to its last tensor, so tensors are counted.
    for (const auto & [name, tensor] : llama_internal_get_tensor_map(llama_get_model(context))) {
        if (tensor->buffer == nullptr) {
            continue;
        }
        ggml_backend_buffer_type_t type = ggml_backend_buffer_get_type(tensor->buffer);
        if (slm_device_bytes * device = report.of(type)) {
            if (is_mapped(tensor)) {
                device->mapped += ggml_nbytes(tensor);
            } else {
                device->weights += ggml_backend_buft_get_alloc_size(type, tensor);
            }
        }
    }
    return report.count;
} catch (...) {
    return 0;
}
