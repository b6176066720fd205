#include "memory.h"

// Private header of ggml: the functions of a buffer type. Cargo.toml pins the version.
#include <ggml-backend-impl.h>

#include <cstdint>
#include <cstring>

#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace {

ggml_backend_buffer_t (*original_alloc)(ggml_backend_buffer_type_t, size_t) = nullptr;

// Returns the pages of a range to the operating system; they read as zeros afterwards. False when it refuses.
bool drop(uint8_t * begin, uint8_t * end) {
#ifdef __linux__
    return begin >= end || madvise(begin, static_cast<size_t>(end - begin), MADV_DONTNEED) == 0;
#else
    return false;
#endif
}

uint8_t * aligned(uint8_t * place, bool up) {
#ifdef __linux__
    const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    const uintptr_t address = reinterpret_cast<uintptr_t>(place) + (up ? page - 1 : 0);
    return reinterpret_cast<uint8_t *>(address / page * page);
#else
    return place;
#endif
}

void clear(ggml_backend_buffer_t buffer, uint8_t value) {
    uint8_t * const begin = static_cast<uint8_t *>(ggml_backend_buffer_get_base(buffer));
    uint8_t * const end = begin + ggml_backend_buffer_get_size(buffer);
    uint8_t * const first = aligned(begin, true);
    uint8_t * const last = aligned(end, false);
    if (value != 0 || first >= last || !drop(first, last)) {
        memset(begin, value, static_cast<size_t>(end - begin));
        return;
    }
    memset(begin, 0, static_cast<size_t>(first - begin));
    memset(last, 0, static_cast<size_t>(end - last));
}

ggml_backend_buffer_t make(ggml_backend_buffer_type_t kind, size_t size) {
    ggml_backend_buffer_t buffer = original_alloc(kind, size);
    if (buffer != nullptr) {
        buffer->iface.clear = clear;
    }
    return buffer;
}

} // namespace

void slm_clear_lazily(void) {
    ggml_backend_buffer_type_t kind = ggml_backend_cpu_buffer_type();
    if (kind->iface.alloc_buffer != make) {
        original_alloc = kind->iface.alloc_buffer;
        kind->iface.alloc_buffer = make;
    }
}
