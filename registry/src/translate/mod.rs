//! Weights that were made for Ollama's own engine, in llama.cpp's layout.
//!
//! Ollama's converter gave some families other keys, other names of tensors, and vision tensors in the file of the weights.
//! llama.cpp reads none of that. Each family has a file below `families/`, with the tests that recognise its layout and the
//! table of what is renamed, added, removed and reshaped; the tables are those of Ollama's `llama/compat` at commit fb307609,
//! held against llama.cpp's own loaders (`src/models/*.cpp`, `tools/mtmd/clip.cpp`).
//!
//! ```text
//! header of the source ─► family ─► keys and tensors, edited ─► plan: a new head, and where each byte comes from
//! ```
//! A plan is made from the header alone, and from the few bytes that its tables need, so it is cheap and knows the size of the file.
//! What most tensors need is a copy; the new head is filled up so that they stand at the same places of a file system's blocks as
//! before, and a file system that can share blocks then copies nothing.
//! Where the same source becomes two files, weights and projector, each has its own plan.
//!
//! The source has passed the strict reader, and the result passes it again before any other code reads it.
//! Whatever the source says is bounded all the same: see the limits in [`Error::TooMuch`].

#![forbid(unsafe_code)]

mod error;
mod families;
mod keys;
mod layout;
mod plan;
mod source;
mod tensors;
#[cfg(test)]
mod tests;
mod values;

use serde::{Deserialize, Serialize};

use crate::gguf::{GeneralType, Gguf};

pub use self::error::Error;
pub use self::families::Family;
pub(crate) use self::plan::{BLOCK, Piece, Plan};
pub(crate) use self::source::{ReadAt, Span};

use self::source::{Source, View};

/// Version of the translation. A change of the result raises it, and files of other versions are made again;
/// a change of what is recognised also raises the version of the reader in `index::blobs`.
/// Saved states know nothing of it: a change that computes other values must end theirs, too.
pub(crate) const VERSION: u32 = 1;

/// What is in Ollama's own layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foreign {
    /// Whose layout.
    pub family: Family,
    /// The file holds the tensors of a projector, too.
    pub sees: bool,
}

/// What a translation makes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    /// What computes.
    Weights,
    /// What reads images or sound.
    Projector,
}

impl Part {
    /// Both, in this order.
    pub(crate) const ALL: [Self; 2] = [Self::Weights, Self::Projector];

    /// The word for it in names of files.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Weights => "weights",
            Self::Projector => "projector",
        }
    }
}

impl Foreign {
    /// The files that come of this one.
    pub(crate) fn parts(self) -> &'static [Part] {
        match (self.family.is_projector(), self.sees) {
            (true, _) => &[Part::Projector],
            (false, true) => &Part::ALL,
            (false, false) => &[Part::Weights],
        }
    }

    /// Sees that there is a translation.
    ///
    /// # Errors
    /// [`Error::NotYet`].
    pub(crate) fn check(self) -> Result<(), Error> {
        let family = self.family;
        match family.is_translated() {
            true => Ok(()),
            false => Err(Error::NotYet { family }),
        }
    }
}

/// What of Ollama's own layouts a file is in; `None` for a file that runs as it is.
pub(crate) fn recognise(gguf: &Gguf) -> Option<Foreign> {
    let view = View(gguf);
    if GeneralType::of(&gguf.metadata) == GeneralType::Adapter {
        return None;
    }
    let family = Family::of(view)?;
    Some(Foreign {
        family,
        sees: family.sees(view),
    })
}

/// Plans one of the files that come of a source. `gguf` is its header.
///
/// # Errors
/// See [`Error`].
pub(crate) fn plan(
    gguf: &Gguf,
    bytes: &dyn ReadAt,
    foreign: Foreign,
    part: Part,
) -> Result<Plan, Error> {
    foreign.check()?;
    let family = foreign.family;
    if gguf
        .metadata
        .u64("split.count")
        .is_some_and(|count| count > 1)
    {
        return Err(Error::Split { family });
    }
    let view = View(gguf);
    let source = Source { view, bytes };
    match part {
        Part::Weights => family.weights(source)?.finish(),
        Part::Projector => family.projector(source)?.finish(),
    }
}
