// C interface to the parts of llama.cpp's `common` library that have none: chat templates written in Jinja, and the parsers that
// it derives from them for what models answer.
//
// No C++ exception leaves these functions. Texts go in as pointer and length and need no terminator.
// Texts that come out are owned by the caller and go back through slm_text_free. What has a structure is JSON, both ways.

#pragma once

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

// Borrowed text, UTF-8.
struct slm_str {
    const char * data;
    size_t size;
};

// Text that the caller owns, or none when data is null.
struct slm_text {
    char * data;
    size_t size;
};

// A parsed chat template.
struct slm_chat;

// The format of answers in one conversation.
struct slm_form;

// A parser of an answer in that format.
struct slm_reader;

// Settings that hold for the whole process; call before any thread is started.
void slm_prepare_process(void);

// Ends the process at once, without running destructors while other threads still compute.
void slm_leave(int code);

// Templates are parsed and rendered within the bounds of shim/meter.h, on a thread with 256 MiB of stack. What passes one of them
// fails with a text that begins with the character U+0001 and says which.
//
// Parses a template. Null when it cannot be parsed; then *error says why.
struct slm_chat * slm_chat_new(struct slm_str source, struct slm_str bos, struct slm_str eos, struct slm_text * error);

void slm_chat_free(struct slm_chat * chat);

// Whether llama.cpp has code of its own for this template. Then a conversation may be rewritten before it is rendered, so a
// prompt that was rendered plainly is not the one to use.
bool slm_chat_is_special(const struct slm_chat * chat);

// Renders a conversation.
//
// The request is an object:
//   messages               as in the chat completions of OpenAI, contents being texts, arguments of calls being texts
//   tools                  the same; may be empty
//   tool_choice            "auto", "none" or "required"
//   parallel_tool_calls    optional
//   add_generation_prompt, enable_thinking
//   variables              what else the template is told, by name
//   plain                  render only: no parser is derived, and the form is that of plain text
//
// *result is an object:
//   prompt, generation_prompt
//   tools                  whether the template knows tools
//   thinks                 whether the form has a place for thoughts
//   grammar                GBNF, or the empty text; the root is what may be written after the prompt or, lazily, after a trigger
//   grammar_lazy
//   grammar_triggers       [{kind: 0 token, 1 word, 2 pattern to search, 3 pattern for the whole text; value}]
//   preserved_tokens       texts of control tokens that are part of the markup and must reach the reader
//   stops                  texts that end the answer
//   thinking_start, thinking_ends
//
// Null when the template refuses the conversation or its form is not understood; then *error says why.
struct slm_form * slm_chat_apply(
    const struct slm_chat * chat, struct slm_str request, struct slm_text * result, struct slm_text * error);

void slm_form_free(struct slm_form * form);

// The parser of the form in llama.cpp's own JSON.
bool slm_form_parser(const struct slm_form * form, struct slm_text * parser);

// Begins to read an answer. `generation_prompt` is where the prompt let it begin. Null when there is no memory.
struct slm_reader * slm_reader_new(const struct slm_form * form, struct slm_str generation_prompt);

void slm_reader_free(struct slm_reader * reader);

// The part of a message that a text belongs to.
enum slm_place {
    SLM_PLACE_UNKNOWN = 0,
    SLM_PLACE_CONTENT = 1,
    SLM_PLACE_REASONING = 2,
};

// Adds text whose part is known; nothing is parsed.
bool slm_reader_skip(struct slm_reader * reader, struct slm_str more, enum slm_place place);

// Adds text and says in *grown what it added to the message:
//   {content, reasoning, calls: [{index, id, name, arguments}]}, all of them additions.
// When the text so far is not in the form, nothing grows. With `whole`, which is to be said at the end of an answer that the
// model itself ended, that is an error.
bool slm_reader_read(
    struct slm_reader * reader, struct slm_str more, bool whole, struct slm_text * grown, struct slm_text * error);

void slm_text_free(struct slm_text text);

#ifdef __cplusplus
}
#endif
