#include "meter.h"

#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <malloc.h>
#include <new>

namespace {

// Bytes that are held at a time, and for each byte of text: contents are copied a few times on their way through the interpreter.
constexpr int64_t HELD = 128LL << 20;
constexpr int64_t HELD_PER_BYTE = 32;
// Pieces of memory that are asked for, which is what a step of a template is counted by.
constexpr int64_t STEPS = 20'000'000;
constexpr int64_t STEPS_PER_BYTE = 64;
// Seconds of this thread on a processor: a busy machine passes no bound.
constexpr int64_t NANOSECONDS = 2'000'000'000;
constexpr int64_t NANOSECONDS_PER_BYTE = 1000;
// Bytes of a result.
constexpr size_t RESULT = 8 << 20;
constexpr size_t RESULT_PER_BYTE = 4;
// Bytes of stack; the thread has far more, for what goes deep without asking for memory.
constexpr size_t STACK = 24 << 20;
// So many pieces lie between two looks at the clock.
constexpr int64_t STRIDE = 256;
// Allowed once a bound was passed: enough for error messages, so code that swallows the exception does not get further.
constexpr int64_t GRACE_BYTES = 1 << 20;
constexpr int64_t GRACE_STEPS = 4096;

// Plain values, so that nothing has to be made for a thread before they can be looked at.
struct Counters {
    bool on;
    const char * passed;
    int64_t held, most_held;
    int64_t steps, most_steps;
    int64_t deadline;
    const char * stack;
    size_t most_result;
};

thread_local Counters counters;

// Thrown by new.
struct Passed : std::bad_alloc {
    const char * what() const noexcept override { return "a bound was passed"; }
};

int64_t now() {
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return int64_t(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

[[noreturn]] void pass(const char * bound) {
    if (counters.passed == nullptr) {
        counters.passed = bound;
    }
    counters.most_held = counters.held + GRACE_BYTES;
    counters.most_steps = counters.steps + GRACE_STEPS;
    counters.deadline = INT64_MAX;
    throw Passed();
}

void count(size_t size) {
    const char here = 0;
    counters.steps++;
    if (counters.steps > counters.most_steps) {
        pass("it takes more than 20 million steps");
    }
    if (counters.held + int64_t(size) > counters.most_held || size > size_t(INT64_MAX / 2)) {
        pass("it takes more than 128 MiB of memory");
    }
    if (counters.stack - &here > ptrdiff_t(STACK)) {
        pass("it calls itself more than 24 MiB of stack deep");
    }
    if (counters.steps % STRIDE == 0 && now() > counters.deadline) {
        pass("it takes more than 2 s");
    }
}

} // namespace

void * operator new(size_t size) {
    if (counters.on) {
        count(size);
    }
    void * piece = std::malloc(size == 0 ? 1 : size);
    if (piece == nullptr) {
        throw std::bad_alloc();
    }
    if (counters.on) {
        counters.held += int64_t(malloc_usable_size(piece));
    }
    return piece;
}

void operator delete(void * piece) noexcept {
    if (counters.on && piece != nullptr) {
        counters.held -= int64_t(malloc_usable_size(piece));
    }
    std::free(piece);
}

void operator delete(void * piece, size_t) noexcept {
    operator delete(piece);
}

namespace slm {

Meter::Meter(size_t text) {
    const char here = 0;
    const int64_t bytes = int64_t(text);
    counters = Counters{};
    counters.most_held = HELD + HELD_PER_BYTE * bytes;
    counters.most_steps = STEPS + STEPS_PER_BYTE * bytes;
    counters.deadline = now() + NANOSECONDS + NANOSECONDS_PER_BYTE * bytes;
    counters.stack = &here;
    counters.most_result = RESULT + RESULT_PER_BYTE * text;
    counters.on = true;
}

Meter::~Meter() {
    counters.on = false;
}

const char * Meter::passed() const {
    return counters.passed;
}

bool Meter::is_too_long(size_t result) {
    if (result > counters.most_result && counters.passed == nullptr) {
        counters.passed = "it makes more than 8 MiB of text";
    }
    return result > counters.most_result;
}

} // namespace slm
