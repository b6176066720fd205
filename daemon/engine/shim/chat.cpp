#include "chat.h"
#include "meter.h"

// The header of llama.cpp's common library has the same name as ours.
#include <common/chat.h>
#include <common/chat-auto-parser.h>
#include <common/log.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using json = common_json;

struct slm_chat {
    common_chat_templates_ptr templates;
    bool is_special;
};

struct slm_form {
    common_chat_parser_params params;
    // As llama.cpp writes it.
    std::string parser;
};

struct slm_reader {
    // The form's, with this answer's beginning.
    common_chat_parser_params params;
    std::string text;
    // What was reported already.
    common_chat_msg told;
    // Whether the name of each call was reported.
    std::vector<bool> named;
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

// The same, where the caller waits for the text itself.
slm_text to_result(const std::string & text) {
    slm_text copy = to_text(text);
    if (copy.data == nullptr) {
        throw std::bad_alloc();
    }
    return copy;
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

// The same for work on a template, within bounds. What passes one says so first, behind the character that no message has.
template <typename Body> bool metered(size_t text, slm_text * error, Body body) noexcept {
    const char * passed = nullptr;
    const bool done = guarded(error, [&] {
        slm::Meter meter(text);
        try {
            body(meter);
        } catch (...) {
            passed = meter.passed();
            throw;
        }
        passed = meter.passed();
    });
    if (passed == nullptr) {
        return done;
    }
    slm_text_free(*error);
    *error = to_text(std::string("\x01") + passed);
    return false;
}

// Whether llama.cpp has code of its own for this template. One that fails on the simplest conversation is taken for such,
// because then nothing is known of it.
bool is_special(const common_chat_template & chat) {
    try {
        autoparser::generation_params params;
        params.messages = json::array({ json{ { "role", "user" }, { "content", "x" } } });
        params.extra_context = json::object();
        params.add_generation_prompt = true;
        return common_chat_try_specialized_template(chat, chat.source(), params).has_value();
    } catch (...) {
        return true;
    }
}

common_chat_templates_inputs to_inputs(const slm_chat & chat, const json & request) {
    common_chat_templates_inputs inputs;
    inputs.messages = common_chat_msgs_parse_oaicompat(request.at("messages"));
    inputs.tools = common_chat_tools_parse_oaicompat(request.at("tools"));
    inputs.tool_choice = common_chat_tool_choice_parse_oaicompat(request.at("tool_choice").get<std::string>());
    inputs.add_generation_prompt = request.at("add_generation_prompt").get<bool>();
    inputs.enable_thinking = request.at("enable_thinking").get<bool>();
    inputs.force_pure_content = request.at("plain").get<bool>();
    inputs.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
    inputs.parallel_tool_calls = request.contains("parallel_tool_calls")
        ? request.at("parallel_tool_calls").get<bool>()
        : common_chat_templates_get_caps(chat.templates.get()).at("supports_parallel_tool_calls");
    for (const auto & [name, value] : request.at("variables").items()) {
        inputs.chat_template_kwargs[name] = value.dump();
    }
    return inputs;
}

json to_json(const common_grammar_trigger & trigger) {
    return json{ { "kind", static_cast<int>(trigger.type) }, { "value", trigger.value } };
}

// An empty message.
const common_chat_msg SILENCE;

// The end of `now` that `told` does not have yet; `told` gets it. Empty when the two contradict each other.
std::string grown(std::string & told, const std::string & now) {
    if (now.size() <= told.size() || now.compare(0, told.size(), told) != 0) {
        return std::string();
    }
    std::string more = now.substr(told.size());
    told = now;
    return more;
}

json tell(slm_reader & reader, const common_chat_msg & now, bool whole) {
    json result{
        { "content", grown(reader.told.content, now.content) },
        { "reasoning", grown(reader.told.reasoning_content, now.reasoning_content) },
    };
    json calls = json::array();
    const size_t count = now.tool_calls.size();
    reader.told.tool_calls.resize(std::max(reader.told.tool_calls.size(), count));
    reader.named.resize(reader.told.tool_calls.size(), false);
    for (size_t i = 0; i < count; i++) {
        const auto & call = now.tool_calls[i];
        auto & told = reader.told.tool_calls[i];
        json piece{ { "index", i }, { "id", "" }, { "name", "" } };
        if (!reader.named[i]) {
            // The name may be the beginning of a longer one, and the brace a guess, until something follows.
            const bool is_certain = call.arguments.size() > 1 || i + 1 < count || whole;
            if (call.name.empty() || !is_certain) {
                continue;
            }
            reader.named[i] = true;
            told.name = call.name;
            piece["id"] = call.id;
            piece["name"] = call.name;
        } else if (told.name != call.name) {
            // It was certain and is another one now: what follows belongs to neither.
            continue;
        }
        const std::string arguments = grown(told.arguments, call.arguments);
        if (arguments.empty() && piece.at("name").get<std::string>().empty()) {
            continue;
        }
        piece["arguments"] = arguments;
        calls.push_back(piece);
    }
    result["calls"] = calls;
    return result;
}

bool ends_with(const std::string & text, char last) {
    return !text.empty() && text.back() == last;
}

bool is_blank(const std::string & text) {
    return text.find_first_not_of(" \t\r\n") == std::string::npos;
}

// Whether the parser stopped because the text was over.
bool wants_more(const slm_reader & reader) {
    if (reader.params.parser.empty()) {
        return false;
    }
    common_peg_parse_context context(reader.params.generation_prompt + reader.text, COMMON_PEG_PARSE_FLAG_LENIENT);
    return reader.params.parser.parse(context).need_more_input();
}

// Reads an answer that the model ended itself.
//
// The parser keeps back what may be the beginning of markup, and does so at the end too. A character that no markup has, put
// behind the text, settles it: either the end is text after all, or the answer breaks off within its markup.
common_chat_msg parse_whole(const slm_reader & reader) {
    common_chat_msg message = common_chat_parse(reader.text, false, reader.params);
    if (!message.tool_calls.empty() || is_blank(reader.text) || !wants_more(reader)) {
        return message;
    }
    constexpr char settler = '\x01';
    common_chat_msg settled = common_chat_parse(reader.text + settler, false, reader.params);
    std::string & last = ends_with(settled.content, settler) ? settled.content : settled.reasoning_content;
    if (!ends_with(last, settler)) {
        throw std::runtime_error("it breaks off within its markup");
    }
    last.pop_back();
    return settled;
}

common_chat_msg parse_growing(const slm_reader & reader) {
    try {
        return common_chat_parse(reader.text, true, reader.params);
    } catch (const std::exception &) {
        return SILENCE;
    }
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
    // Keeps prompts out of the log; tests do not call slm_prepare_process.
    common_log_set_verbosity_thold(LOG_LEVEL_ERROR);
    const bool done = metered(source.size, error, [&](slm::Meter &) {
        const std::string text = to_string(source);
        // Parsed here first, because common_chat_templates_init loses the message of what it catches.
        common_chat_template parsed(text == "chatml" ? "" : text, to_string(bos), to_string(eos));
        auto templates = common_chat_templates_init(nullptr, text, to_string(bos), to_string(eos));
        chat = new slm_chat { std::move(templates), is_special(parsed) };
    });
    if (!done) {
        delete chat;
        return nullptr;
    }
    return chat;
}

void slm_chat_free(slm_chat * chat) {
    delete chat;
}

bool slm_chat_is_special(const slm_chat * chat) {
    return chat->is_special;
}

slm_form * slm_chat_apply(const slm_chat * chat, slm_str request, slm_text * result, slm_text * error) {
    std::unique_ptr<slm_form> form;
    const bool done = metered(request.size, error, [&](slm::Meter & meter) {
        const auto inputs = to_inputs(*chat, json::parse(to_string(request)));
        auto applied = common_chat_templates_apply(chat->templates.get(), inputs);
        if (meter.is_too_long(applied.prompt.size())) {
            throw std::length_error("too much text");
        }

        form = std::make_unique<slm_form>();
        form->params = common_chat_parser_params(applied);
        form->params.reasoning_format = inputs.reasoning_format;
        form->params.parse_tool_calls = !inputs.tools.empty();
        if (!applied.parser.empty()) {
            form->params.parser.load(applied.parser);
        }

        const auto abilities = common_chat_templates_get_caps(chat->templates.get());
        json triggers = json::array();
        for (const auto & trigger : applied.grammar_triggers) {
            triggers.push_back(to_json(trigger));
        }
        const json said{
            { "prompt", applied.prompt },
            { "generation_prompt", applied.generation_prompt },
            { "tools", abilities.at("supports_tools") || abilities.at("supports_tool_calls") },
            { "thinks", applied.supports_thinking },
            { "grammar", applied.grammar },
            { "grammar_lazy", applied.grammar_lazy },
            { "grammar_triggers", triggers },
            { "preserved_tokens", applied.preserved_tokens },
            { "stops", applied.additional_stops },
            { "thinking_start", applied.thinking_start_tag },
            { "thinking_ends", applied.thinking_end_tags },
        };
        form->parser = std::move(applied.parser);
        *result = to_result(said.dump_safe());
    });
    return done ? form.release() : nullptr;
}

void slm_form_free(slm_form * form) {
    delete form;
}

bool slm_form_parser(const slm_form * form, slm_text * parser) {
    *parser = to_text(form->parser);
    return parser->data != nullptr;
}

slm_reader * slm_reader_new(const slm_form * form, slm_str generation_prompt) {
    slm_text error = { nullptr, 0 };
    slm_reader * reader = nullptr;
    guarded(&error, [&] {
        auto made = std::make_unique<slm_reader>();
        made->params = form->params;
        made->params.generation_prompt = to_string(generation_prompt);
        reader = made.release();
    });
    slm_text_free(error);
    return reader;
}

void slm_reader_free(slm_reader * reader) {
    delete reader;
}

bool slm_reader_skip(slm_reader * reader, slm_str more, slm_place place) {
    slm_text error = { nullptr, 0 };
    const bool done = guarded(&error, [&] {
        const std::string text = to_string(more);
        reader->text += text;
        (place == SLM_PLACE_REASONING ? reader->told.reasoning_content : reader->told.content) += text;
    });
    slm_text_free(error);
    return done;
}

bool slm_reader_read(slm_reader * reader, slm_str more, bool whole, slm_text * grown, slm_text * error) {
    return guarded(error, [&] {
        reader->text += to_string(more);
        const auto message = whole ? parse_whole(*reader) : parse_growing(*reader);
        *grown = to_result(tell(*reader, message, whole).dump_safe());
    });
}

void slm_text_free(slm_text text) {
    std::free(text.data);
}
