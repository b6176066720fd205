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

mod adapters;
mod answer;
mod backend;
mod cache;
mod cells;
mod chat;
mod constraint;
mod conversation;
mod embed;
mod engine;
mod error;
#[cfg(test)]
mod families;
mod ffi;
mod form;
mod fs;
mod images;
mod inbox;
mod interrupt;
mod kept;
mod length;
mod load;
mod log;
mod marks;
mod memory;
mod model;
mod modules;
mod outbox;
mod pace;
pub mod process;
mod prompt;
mod recall;
mod renderer;
mod report;
mod sampler;
mod seams;
mod sequence;
mod shelf;
mod slots;
mod speculation;
mod step;
mod text;
mod threads;
mod worth;
