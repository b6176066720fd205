//! The mock runner: a runner without an engine, deterministic, with faults on command.
//!
//! It speaks the runner protocol, so everything above the runner can be tested without a model.
//! It runs as a program ([`main`], `slm-mock-runner`), or as a task of the caller's runtime for tests with a paused clock
//! ([`spawner`]). Both run the same state machine.
//!
//! # Answers
//!
//! - A token is a word with the whitespace before it; whitespace after the last word is a token too. Token ids are hashes of the word.
//! - The answer to a conversation repeats the words of its last `user` message. The answer to text or tokens repeats all words, which
//!   shows how the prompt was rendered. Without words the answer is `ok`.
//! - Words are sent one by one, to all active requests in turn. An answer ends with its last word
//!   ([`StopReason::Stop`](runner_protocol::StopReason::Stop)), at a stop text, at `max_tokens` or at the end of the context.
//! - A conversation is rendered in lines. First `offers TOOL: DESCRIPTION SCHEMA` for each tool, `call something` (`nothing`, `TOOL`)
//!   for a tool choice, and `NAME = VALUE` for each variable. Then each message: `role thinks: …` for its reasoning,
//!   `role: content` (`tool NAME ID: content` for a tool's result), and `role calls ID: TOOL ARGUMENTS` for each call.
//!   Then `thinking` if reasoning is on, and `assistant:` for `add_generation_prompt`.
//! - Reasoning and tool calls have their own fields in the answer to a conversation ([`Prompt::Chat`] or [`Generate::read_as`]), and are
//!   text in the markup `<think>…</think>` and `<call>TOOL ARGUMENTS</call>` in any other. There is no reasoning when it is off.
//! - An answer with a constraint is `{}` for JSON and `ok` for a grammar or a pattern, after `hm` and the marker if there is one.
//!   A schema with `uniqueItems`, and a grammar without `root`, are refused as [`Invalid`](runner_protocol::FailureKind::Invalid).
//! - A vector has 8 numbers that depend on the words of the input. The score of a document is the number of words that it shares with
//!   the query. The context of both is 64 words.
//! - A request with `draft: N` reports N drafted tokens, of which as many were accepted as the answer has words. Without `draft` it
//!   reports 4 drafted tokens if a draft model was given, which is opened and never read, and else none.
//! - An image of a prompt is the word `[image-N:BYTES]`. Images need a projector; the file `bad` is not an image.
//! - The logprob of the n-th word is −n/8, and each further top logprob is one less.
//!
//! [`Prompt::Chat`]: runner_protocol::Prompt::Chat
//! [`Generate::read_as`]: runner_protocol::Generate::read_as
//!
//! - A KV state has 16 bytes for each token of prompt and answer. Each is exported once, the latest first.
//!   The cached tokens of a prompt are its common prefix with an imported state.
//! - The seed changes nothing; [`Done::seed`](runner_protocol::Done::seed) is the one of the request, or 0.
//! - The model takes 64 MiB of memory and has a trained context of 4096, unless a directive says otherwise.
//!
//! # Directives
//!
//! A directive is a word and its arguments. They stand, separated by `;`,
//! - in a prompt (of a conversation: in its last `user` message) between `[[mock:` and `]]`, for this answer, which does not repeat them;
//! - in the first 64 KiB of the weights file, in the same brackets, for the load and every answer;
//! - in the environment variable `SLM_MOCK`, without brackets, for the process, the load and every answer.
//!
//! An unknown or misplaced directive fails the call as [`Invalid`](runner_protocol::FailureKind::Invalid), so a test with a typing error fails.
//!
//! | directive | where | what it does |
//! |---|---|---|
//! | `answer TEXT` | any | answers with this text |
//! | `count N` | any | answers with the numbers from 1 to N |
//! | `think TEXT` | any | has this reasoning before the answer |
//! | `call TOOL JSON` | any | calls a tool after the answer, also one that the request does not have; repeated for several calls. Without `answer` there is no text |
//! | `then` | prompt | separates the directives of this answer from those after the results of its calls: in a conversation, each message with calls after the last `user` message skips to the next `then` |
//! | `echo-prompt` | any | answers with the whole rendered prompt |
//! | `echo-adapters` | any | answers with the adapters of the request: eight letters of each digest, and its scale |
//! | `try WHAT` | any | attempts what a sandbox forbids, and answers `worked: …` or `denied: …`; see below |
//! | `delay-ms N` | any | waits before each token |
//! | `prefill-delay-ms N` | any | waits before each batch of prefill |
//! | `say TEXT` | any | writes a line to standard error when the process, load or answer begins |
//! | `load-delay-ms N` | weights, environment | waits before each quarter of the file |
//! | `resident-bytes N`, `device-bytes N` | weights, environment | reports these sizes |
//! | `refuse-adapter DIGEST` | weights, environment | reports that this adapter does not fit |
//! | `trained-context N` | weights, environment | reports this trained context |
//! | `no-chat-template` | weights, environment | has no chat template, unless the daemon gives one |
//! | `hello-version N` | environment | has this version in its hello |
//! | a fault | any | see below |
//!
//! A fault is `FAULT-in-hello` (environment), `FAULT-in-load` (weights, environment), `FAULT-in-prefill`, or `FAULT-at-token N`
//! (after N tokens). Without a place, a fault in a prompt happens in its prefill, and any other in the load.
//! In load and prefill it happens after a first event of progress.
//!
//! | fault | effect |
//! |---|---|
//! | `crash` | ends by `abort`, or as given: `crash-in-load segv`, `kill`, `exit-0` to `exit-255` |
//! | `fail` | fails the call as `internal`, or as given: `invalid`, `context`, `unsupported`, `memory`, `busy`, `unreadable`. Not in hello |
//! | `stall` | all answers and the load stop, also for cancels; short calls, `Shutdown` and the end of the input still work |
//! | `deaf` | neither computes, reads nor writes; ends only by a signal |
//! | `freeze` | stops itself (SIGSTOP), so that only SIGKILL ends it; as a task the same as `deaf` |
//! | `hang-up` | closes the socket and does not exit |
//! | `garbage` | sends a frame without a message |
//! | `half-frame` | sends a part of a frame and exits with code 0 |
//! | `huge-frame` | announces a frame of 4 GiB |
//! | `wrong-event` | sends an event of another call. Not in hello |
//! | `wrong-id` | sends a reply to an unknown request. Not in hello |
//!
//! Attempts, as a process only: `read PATH`, `list PATH`, `write PATH`, `remove PATH`, `mode PATH`,
//! `tcp ADDRESS`, `udp ADDRESS`, `listen`, `unix PATH`, `exec PATH`, `processes N`, `memory N` (times that of the machine),
//! `signal`, `steal` (a descriptor of its parent), `outlive` (its parent) and `environment` (whose names are the answer).
//! In a path to read or to list, the word `parent` stands for the number of the parent's process.

mod answer;
mod attempt;
mod machine;
mod memory;
mod process;
mod script;
mod task;
mod vectors;
mod words;

pub use process::main;
pub use task::spawner;
