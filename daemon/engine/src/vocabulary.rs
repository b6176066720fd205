//! What the sampler and constraints know of a model's tokens.

/// What is known of a model's tokens.
pub(crate) trait Vocabulary {
    /// How many there are.
    fn count(&self) -> usize;
    /// The bytes of one in an answer; control tokens have none.
    fn piece(&self, token: i32) -> Vec<u8>;
    /// The bytes of one as it is written; control tokens too.
    fn spell(&self, token: i32) -> Vec<u8>;
    /// Whether it ends an answer.
    fn ends(&self, token: i32) -> bool;
    /// Tokens that the model's maker suppresses.
    fn suppressed(&self) -> Vec<i32>;
}
