//! A runner without an engine: deterministic, and able to misbehave on command.
//!
//! It speaks the same protocol as the engine, so everything above the runner can be tested without a model.
//! It runs as a program ([`main`], `slm-mock-runner`) or, for tests with a paused clock, as a task of the caller's runtime
//! ([`spawner`]). Both drive the same state machine.
//!
//! # What it answers
//!
//! - A token is a word with the whitespace before it; whitespace after the last word is a token too. Ids are hashes, so they are the same everywhere.
//! - A prompt that is a conversation is answered with the words of its last `user` message;
//!   one that is text or tokens with all of its words, which shows what was rendered. Without words the answer is `ok`.
//! - Words are sent one by one, to all active requests in turn. The answer ends with its last word
//!   ([`StopReason::Stop`](runner_protocol::StopReason::Stop)), at a stop text, at `max_tokens` or at the end of the context.
//! - A conversation is rendered as one line `role: content` per message; then `thinking` on its own line where that is asked for;
//!   then `assistant:` where an answer is to follow. Around that, each on its own line: `offers TOOL: DESCRIPTION SCHEMA` and
//!   `call something` (`nothing`, `TOOL`) before the messages, then `NAME = VALUE` of each variable; `role thinks: …` before a
//!   message, `role calls ID: TOOL ARGUMENTS` behind it; a tool's result is `tool NAME ID: content`.
//! - Thoughts and calls come in fields of their own where the answer is one to a conversation ([`Prompt::Chat`] or
//!   [`Generate::read_as`]), and else as text in the markup `<think>…</think>` and `<call>TOOL ARGUMENTS</call>`.
//!   Who must not think does not.
//! - An answer with a constraint is `{}` where JSON is asked for and `ok` for a grammar or a pattern, after `hm` and the marker if there is one.
//!   A schema that holds `uniqueItems`, and a grammar without `root`, are refused as [`Invalid`](runner_protocol::FailureKind::Invalid).
//! - A vector has 8 numbers and says which words a text has; a document scores by the words that it shares with the query. At most 64 words are read.
//! - Who asks for drafts of at most N tokens is told that N were drafted, and as many of them accepted as words were said; who does not
//!   say is told of 4 where the model has a draft model, and else of none. That one must be readable, and is not read.
//! - An image of a prompt is the word `[image-N:BYTES]`. A model that was loaded with a projector takes them; the file `bad` is no image.
//! - Where probabilities are asked for, the n-th word has the logarithm −n/8, and each further token in its place one less.
//!
//! [`Prompt::Chat`]: runner_protocol::Prompt::Chat
//! [`Generate::read_as`]: runner_protocol::Generate::read_as
//!
//! - A state is 16 bytes for each token, prompt and answer of what was answered; each is handed out once, the latest first.
//!   Of the tokens of a prompt, those are remembered that a recalled state begins with.
//! - The seed changes nothing; [`Done::seed`](runner_protocol::Done::seed) tells the one that was given, or 0.
//! - The model has 64 MiB in memory and a trained context of 4096, unless it says otherwise.
//!
//! # Directives
//!
//! A directive is a word and its arguments. They stand, separated by `;`,
//! - in a prompt (for a conversation: in its last `user` message) between `[[mock:` and `]]`; they count for this answer and are not part of it;
//! - in the first 64 KiB of the weights file, in the same brackets; they count for loading, and for every answer;
//! - in the environment variable `SLM_MOCK`, without brackets; they count for the process, its loading and every answer.
//!
//! One that is unknown or misplaced fails the call as [`Invalid`](runner_protocol::FailureKind::Invalid), so a misspelt test does not pass.
//!
//! | directive | where | what it does |
//! |---|---|---|
//! | `answer TEXT` | any | answers with this text |
//! | `count N` | any | answers with the numbers from 1 to N |
//! | `think TEXT` | any | thinks this before the answer |
//! | `call TOOL JSON` | any | calls a tool after the answer, whether or not it was offered; several times for several calls. Without `answer` there is no text then |
//! | `echo-prompt` | any | answers with the whole rendered prompt |
//! | `try WHAT` | any | tries something that a sandbox prevents, and answers `worked: …` or `denied: …`; see below |
//! | `delay-ms N` | any | waits before each token |
//! | `prefill-delay-ms N` | any | waits before each piece of the prompt (of `batch` tokens) |
//! | `say TEXT` | any | writes a line to standard error when the process, load or answer begins |
//! | `load-delay-ms N` | weights, environment | waits before each quarter of the file |
//! | `resident-bytes N`, `device-bytes N` | weights, environment | sizes to report |
//! | `trained-context N` | weights, environment | trained context to report |
//! | `no-chat-template` | weights, environment | has no chat template, unless the daemon gives one |
//! | `hello-version N` | environment | introduces itself with this version |
//! | a fault | any | see below |
//!
//! A fault is `FAULT-in-hello` (environment), `FAULT-in-load` (weights, environment), `FAULT-in-prefill`, or `FAULT-at-token N`
//! (after N tokens were sent). Without a place, a prompt's fault is in its prefill, and any other in the load.
//! In load and prefill it comes after a first sign of progress.
//!
//! | fault | what it does |
//! |---|---|
//! | `crash` | dies: of `abort`, or of what is given: `crash-in-load segv`, `kill`, `exit-0` to `exit-255` |
//! | `fail` | fails the call: `internal`, or what is given: `invalid`, `context`, `unsupported`, `memory`, `busy`, `unreadable`. Not in hello |
//! | `stall` | the work stops for all, also for cancels; short questions, `Shutdown` and the end of the input still work |
//! | `deaf` | stops working, reading and writing; ends by a signal only |
//! | `freeze` | stops itself (SIGSTOP), so that only SIGKILL ends it; in a task the same as `deaf` |
//! | `hang-up` | closes the socket and stays |
//! | `garbage` | sends a frame that is no message |
//! | `half-frame` | sends a part of a frame and leaves with exit code 0 |
//! | `huge-frame` | announces a frame of 4 GiB |
//! | `wrong-event` | sends an event that belongs to another call. Not in hello |
//! | `wrong-id` | answers a request that nobody made. Not in hello |
//!
//! What can be tried, by a process only: `read PATH`, `list PATH`, `write PATH`, `remove PATH`, `mode PATH`,
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
