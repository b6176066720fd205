//! The runner process `slm-runner`: one loaded model in llama.cpp, behind one socket.
//!
//! ```text
//!            frames            requests              replies             frames
//! daemon ──► main thread ──► inbox ──► engine thread ──► outbox ──► writer thread ──► daemon
//! ```
//! - The **main thread** ([`process`]) turns frames into requests. When the socket closes, it ends the process at once.
//! - The **engine thread** (`engine`) owns the model, the context and all state.
//!   Between two steps it reads its inbox; a step decodes one batch with tokens of all running sequences.
//! - **Other threads** encode images, render chat templates, tokenize prompts and read saved states. Their results lie in the inbox.
//! - The **writer thread** (`outbox`) turns replies into frames. Its queue is bounded: if the daemon does not read, the engine waits, and memory does not grow.
//!
//! The process is expendable: llama.cpp may abort on a bad model or input, and the daemon starts a new process.
//! Still, all input is checked before llama.cpp sees it: one failed call is better than a crash for all.
//!
//! All `unsafe` code lies in `ffi`, and in the crate `kernels`.

mod answer;
mod cache;
mod chat;
mod constraint;
mod embed;
mod engine;
mod error;
mod ffi;
mod images;
mod inbox;
mod load;
mod model;
mod outbox;
mod probe;
pub mod process;
mod prompt;
mod sampler;
mod schedule;
mod speculation;
mod system;
mod vocabulary;
