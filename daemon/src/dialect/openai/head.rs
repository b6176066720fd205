//! What all chunks and answers of this dialect have in common.

use jiff::Timestamp;

use crate::random;

/// Id, time and model of an answer.
#[derive(Debug, Clone)]
pub(super) struct Head {
    /// Its id.
    pub(super) id: String,
    /// When the request came, in seconds since 1970.
    pub(super) created: i64,
    /// The model, as the request names it.
    pub(super) model: String,
}

/// What made an answer: the version of slm.
pub(super) const FINGERPRINT: &str = concat!("slm-", env!("CARGO_PKG_VERSION"));

impl Head {
    /// With a new id that starts with this prefix.
    pub(super) fn new(prefix: &str, model: &str) -> Self {
        Self {
            id: format!(
                "{prefix}-{:016x}{:08x}",
                random::bits(),
                random::bits() as u32
            ),
            created: Timestamp::now().as_second(),
            model: model.to_owned(),
        }
    }
}
