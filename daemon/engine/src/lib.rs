//! The runner process `slm-runner`: one loaded model in llama.cpp, behind one socket.
//!
//! ```text
//!            frames            requests              replies             frames
//! daemon ──► main thread ──► inbox ──► engine thread ──► outbox ──► writer thread ──► daemon
//! ```
//! - The **main thread** ([`process`]) turns frames into requests. When the socket closes, it ends the process at once.
//! - The **engine thread** (`engine`) owns the model, the context and all state.
//!   Between two steps it takes in what has arrived; a step decodes one batch of tokens of all sequences that run.
//! - The **writer thread** (`outbox`) turns replies into frames. Its queue is bounded: a daemon that does not read stops the engine, not the memory.
//!
//! The process is expendable: llama.cpp may abort on a model or an input that it does not like, and the daemon starts a new one.
//! Still, whatever the daemon sends is checked before llama.cpp sees it, because a call that fails alone is better than a process that fails for all.
//!
//! All code that the compiler cannot check lies in one module, `ffi`.

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
pub mod process;
mod prompt;
mod sampler;
mod schedule;
mod speculation;
mod system;
mod vocabulary;
