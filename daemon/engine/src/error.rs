//! Errors of a runner, and how they are reported to the daemon.

use runner_protocol::{Failure, FailureKind, PromptLength};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The request is wrong; it says what and what would be right.
    #[error("{0}")]
    Invalid(String),
    /// The prompt does not fit.
    #[error(
        "the prompt has {prompt} tokens and the context {context}, which must also hold the answer; shorten the prompt or load with a larger context"
    )]
    ContextOverflow {
        /// Tokens of the prompt.
        prompt: usize,
        /// Cells of the context.
        context: usize,
    },
    /// A text has more tokens than fit; they were not counted.
    #[error(
        "the prompt of {bytes} bytes is far longer than the context of {context} tokens, which must also hold the answer; shorten the prompt or load with a larger context"
    )]
    TextTooLong {
        /// Bytes of the text.
        bytes: usize,
        /// Cells of the context.
        context: usize,
    },
    /// A text to embed or to rank is longer than the model reads, and must not be cut.
    #[error(
        "{what} has {tokens} tokens, and the model reads {longest} at most; shorten it or have it cut"
    )]
    InputTooLong {
        /// Which text.
        what: String,
        /// How many it has.
        tokens: usize,
        /// How many it may have.
        longest: usize,
    },
    /// The same for a text that is too long to be tokenized.
    #[error(
        "{what} has {bytes} bytes, and the model reads {longest} tokens at most; shorten it or have it cut"
    )]
    InputFarTooLong {
        /// Which text.
        what: String,
        /// Bytes of the text.
        bytes: usize,
        /// How many tokens it may have.
        longest: usize,
    },
    /// The logits are not finite.
    #[error("the model's results are not finite numbers; its weights may be damaged")]
    NotFinite,
    /// One sequence fills the cache before the context is full.
    #[error(
        "prompt and answer have {tokens} tokens by now, and this model's cache holds no more of them; shorten the prompt or load with a larger context"
    )]
    CacheFull {
        /// Tokens of the sequence.
        tokens: usize,
    },
    /// This engine cannot load the model.
    #[error("the model cannot be loaded: {0}")]
    Unsupported(String),
    /// Less memory is there than is needed.
    #[error(
        "{what} takes {needed} MiB and {available} MiB of memory are free; use a smaller context or unload other models"
    )]
    OutOfMemory {
        /// What needs it.
        what: &'static str,
        /// In MiB.
        needed: u64,
        /// In MiB.
        available: u64,
    },
    /// A device has less memory than is needed.
    #[error("the model does not fit into the memory of its device: {0}")]
    DeviceMemory(String),
    /// The module of an accelerator cannot be used.
    #[error("the backend {backend} cannot be used: {reason}")]
    Unavailable {
        /// Name of the backend.
        backend: String,
        /// The fault of its module.
        reason: String,
    },
    /// Too many requests wait.
    #[error("{0} requests wait already; try again later")]
    Busy(usize),
    /// Encoded images take too much memory.
    #[error("too many images are being read at once; try again later")]
    TooManyImages,
    /// The model wrote what its own form of answers does not know.
    #[error(
        "the model's answer is not in the form that its chat template asks for: {0}; try again, or use a larger model"
    )]
    Unreadable(String),
    /// The engine failed.
    #[error("the engine failed: {0}")]
    Internal(String),
}

impl Error {
    /// With so many more tokens of the prompt, which were not counted with the others.
    pub(crate) fn with_more(self, more: usize) -> Self {
        match self {
            Self::ContextOverflow { prompt, context } => Self::ContextOverflow {
                prompt: prompt + more,
                context,
            },
            other => other,
        }
    }
}

impl Error {
    /// The length of a prompt that does not fit the context.
    fn length(&self) -> Option<PromptLength> {
        let of = |tokens: Option<usize>, context: &usize| PromptLength {
            tokens: tokens.and_then(|tokens| u32::try_from(tokens).ok()),
            context: u32::try_from(*context).unwrap_or(u32::MAX),
        };
        match self {
            Self::ContextOverflow { prompt, context } => Some(of(Some(*prompt), context)),
            Self::TextTooLong { context, .. } => Some(of(None, context)),
            Self::InputTooLong {
                tokens, longest, ..
            } => Some(of(Some(*tokens), longest)),
            Self::InputFarTooLong { longest, .. } => Some(of(None, longest)),
            _ => None,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::Invalid(_) => FailureKind::Invalid,
            Error::ContextOverflow { .. }
            | Error::TextTooLong { .. }
            | Error::InputTooLong { .. }
            | Error::InputFarTooLong { .. }
            | Error::CacheFull { .. } => FailureKind::ContextOverflow,
            Error::Unsupported(_) | Error::Unavailable { .. } => FailureKind::Unsupported,
            Error::OutOfMemory { .. } | Error::DeviceMemory(_) => FailureKind::OutOfMemory,
            Error::Busy(_) | Error::TooManyImages => FailureKind::Busy,
            Error::Unreadable(_) => FailureKind::Unreadable,
            Error::NotFinite | Error::Internal(_) => FailureKind::Internal,
        };
        Self {
            length: error.length(),
            ..Self::new(kind, error.to_string())
        }
    }
}
