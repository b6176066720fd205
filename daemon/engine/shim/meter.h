// Bounds what llama.cpp's interpreter of chat templates takes, which has no bound of its own.
//
// Templates come with the weights, so they are untrusted. Whatever grows or goes on in one asks for
// memory: so the operators new and delete of this program are replaced, and count for the thread that is being metered.
// When a bound is passed, new throws there. For all other threads they are what they were.

#pragma once

#include <cstddef>

namespace slm {

// What is counted from now on until the end of the scope, for this thread. Only one at a time.
class Meter {
public:
    // For work on a text of so many bytes; more text may take more.
    explicit Meter(size_t text);
    ~Meter();
    Meter(const Meter &) = delete;
    Meter & operator=(const Meter &) = delete;

    // The bound that was passed, in words, also when what was thrown has been swallowed on its way. Null when none was.
    const char * passed() const;
    // Whether a result of so many bytes is too long.
    bool is_too_long(size_t result);
};

} // namespace slm
