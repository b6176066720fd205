#include "chat.h"

// The header of llama.cpp's common library has the same name as ours.
#include <common/chat.h>
#include <common/log.h>

#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <string>

struct slm_chat {
    common_chat_templates_ptr templates;
};

namespace {

std::string to_string(slm_str text) {
    return text.data == nullptr ? std::string() : std::string(text.data, text.size);
}

// Copies a text for the caller. Without memory there is no text, which the caller reads as an unknown error.
slm_text to_text(const std::string & text) noexcept {
    char * data = static_cast<char *>(std::malloc(text.size() + 1));
    if (data == nullptr) {
        return { nullptr, 0 };
    }
    std::memcpy(data, text.data(), text.size());
    return { data, text.size() };
}

// Runs the body and turns whatever it throws into a text. True when it threw nothing.
template <typename Body> bool guarded(slm_text * error, Body body) noexcept {
    try {
        body();
        return true;
    } catch (const std::exception & exception) {
        *error = to_text(exception.what());
    } catch (...) {
        *error = to_text("unknown exception");
    }
    return false;
}

} // namespace

void slm_prepare_process(void) {
    // A failed assertion would start a debugger for a backtrace, in a process that may have no rights to start one.
    setenv("GGML_NO_BACKTRACE", "1", 1);
    // The common library has a log of its own, which llama_log_set does not reach.
    common_log_set_verbosity_thold(LOG_LEVEL_ERROR);
}

void slm_leave(int code) {
    std::_Exit(code);
}

slm_chat * slm_chat_new(slm_str source, slm_str bos, slm_str eos, slm_text * error) {
    slm_chat * chat = nullptr;
    guarded(error, [&] {
        const std::string text = to_string(source);
        // Parsed here first, because common_chat_templates_init loses the message of what it catches.
        common_chat_template parsed(text == "chatml" ? "" : text, to_string(bos), to_string(eos));
        auto templates = common_chat_templates_init(nullptr, text, to_string(bos), to_string(eos));
        chat = new slm_chat { std::move(templates) };
    });
    return chat;
}

void slm_chat_free(slm_chat * chat) {
    delete chat;
}

bool slm_chat_render(
    const slm_chat * chat,
    const slm_message * messages,
    size_t n_messages,
    bool add_generation_prompt,
    bool thinking,
    slm_text * prompt,
    slm_text * error) {
    return guarded(error, [&] {
        common_chat_templates_inputs inputs;
        inputs.messages.reserve(n_messages);
        for (size_t i = 0; i < n_messages; i++) {
            common_chat_msg message;
            message.role = to_string(messages[i].role);
            message.content = to_string(messages[i].content);
            inputs.messages.push_back(std::move(message));
        }
        inputs.add_generation_prompt = add_generation_prompt;
        inputs.enable_thinking = thinking;
        // Only the prompt is wanted. Without this, each call would also derive a parser for answers from the template.
        inputs.force_pure_content = true;
        const std::string text = common_chat_templates_apply(chat->templates.get(), inputs).prompt;
        *prompt = to_text(text);
        if (prompt->data == nullptr) {
            throw std::bad_alloc();
        }
    });
}

void slm_text_free(slm_text text) {
    std::free(text.data);
}
