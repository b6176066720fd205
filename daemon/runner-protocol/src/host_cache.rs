//! The host cache of a runner, and the states that it imports and exports.

use serde::{Deserialize, Serialize};

/// Most saved states that a runner gets.
pub const MAX_STATES: usize = 64;

/// Most bytes of a state in one reply.
pub const MAX_STATE_PART: usize = 4 * 1024 * 1024;

/// The budget of a runner's host cache, and the states that an earlier runner saved.
///
/// A *state* is the KV cache of one sequence as bytes that only the same engine reads, for the same model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostCacheSetup {
    /// Names weights and adapters: equal for equal ones only. 1 to [`MAX_MODEL_KEY`](crate::state::MAX_MODEL_KEY) bytes.
    pub model: String,
    /// Size of the host cache in bytes; `None` lets the engine choose, 0 turns it off.
    pub memory: Option<u64>,
    /// Inherited read-only descriptors of saved states (see [`crate::state`]), the latest used first; at most [`MAX_STATES`].
    pub files: Vec<i32>,
}

/// Which states are worth an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportState {
    /// Least tokens of a state, and least tokens that it has beyond a saved state with the same prefix.
    pub min_tokens: u32,
    /// Most bytes of a state.
    pub max_bytes: u64,
}

/// An exported state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Its model, build and tokens.
    pub head: crate::state::Head,
    /// Saved states that it replaces, because their tokens are a prefix of its own; indices in [`HostCacheSetup::files`].
    pub instead_of: Vec<u32>,
}

/// What a runner did with a saved state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StateOutcome {
    /// A sequence continued from it.
    Used,
    /// It is damaged, or from another build or model.
    Refused,
}
