//! Modelfiles: recipe text to a value and back.
//!
//! A Modelfile makes a model from a base, adapters, a template, a system prompt,
//! messages and parameters. The grammar is Ollama's, with the corrections that
//! `docs/modelfile.md` lists under "Where this differs, and why".
//!
//! - [`parse`] and [`parse_bytes`] turn text into a [`Modelfile`], or into [`Diagnostics`] that
//!   name every mistake at once, each with line, column, the line itself and a remedy.
//! - Printing a [`Modelfile`] with [`Display`](std::fmt::Display) is the exact inverse of parsing.
//! - [`parameter`] is the one table of sampling and runner parameters: names, types, ranges,
//!   defaults. The same rules serve `PARAMETER` lines, JSON `options` and `/set parameter`.
//!
//! This crate is pure: it knows no files, no network and no store. A caller reads the bytes,
//! expands paths and resolves names.

mod check;
mod decode;
mod diagnostic;
mod instruction;
mod parser;
mod print;
mod recipe;
mod source;
mod suggest;
mod text;
mod value;

pub mod parameter;

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use instruction::{Instruction, Keyword, Message, Role};
pub use parameter::{Parameter, Parameters};
pub use parser::{MOST_FINDINGS, Parsed, parse, parse_bytes};
pub use recipe::Modelfile;
pub use source::{Source, name_of_file};

/// The longest Modelfile accepted, in bytes as stored: 4 MiB.
///
/// Licences are the longest texts in practice, tens of kilobytes each. The limit leaves room for many
/// of them, and is small for a service that keeps the text in memory.
pub const MAX_BYTES: usize = 4 << 20;
