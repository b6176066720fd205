// C interface to the parts of llama.cpp's `common` library that have none: chat templates written in Jinja.
//
// No C++ exception leaves these functions. Texts go in as pointer and length and need no terminator.
// Texts that come out are owned by the caller and go back through slm_text_free.

#pragma once

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

// Text that belongs to somebody else, UTF-8.
struct slm_str {
    const char * data;
    size_t size;
};

// Text that belongs to the caller, or nothing when data is null.
struct slm_text {
    char * data;
    size_t size;
};

// One message of a conversation.
struct slm_message {
    struct slm_str role;
    struct slm_str content;
};

// A parsed chat template.
struct slm_chat;

// Settings that hold for the whole process; call before any thread is started.
void slm_prepare_process(void);

// Ends the process at once, without running destructors while other threads still compute.
void slm_leave(int code);

// Parses a template. Null when it cannot be parsed; then *error says why.
struct slm_chat * slm_chat_new(struct slm_str source, struct slm_str bos, struct slm_str eos, struct slm_text * error);

void slm_chat_free(struct slm_chat * chat);

// Renders a conversation into *prompt. False when the template refuses it; then *error says why.
bool slm_chat_render(
    const struct slm_chat * chat,
    const struct slm_message * messages,
    size_t n_messages,
    bool add_generation_prompt,
    bool thinking,
    struct slm_text * prompt,
    struct slm_text * error);

void slm_text_free(struct slm_text text);

#ifdef __cplusplus
}
#endif
