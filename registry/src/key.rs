//! What makes two models the same to a runner.

use crate::{digest::Digest, model::Model};

/// The blobs and the chat template that a runner loads for good: weights, draft model and projectors, in this order.
///
/// Two models with the same key share one loaded runner, whatever their names, adapters, prompts and parameters are: each request has
/// the scales of its model's adapters.
/// A KV state needs less to be the same, see [`Manifest::state_key`](crate::manifest::Manifest::state_key).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModelKey(Vec<Digest>);

impl ModelKey {
    /// The key with more digests.
    #[must_use]
    pub fn with(&self, more: impl IntoIterator<Item = Digest>) -> Self {
        self.0.iter().copied().chain(more).collect()
    }

    /// The digests as one line.
    pub(crate) fn to_text(&self) -> String {
        let digests: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        digests.join(" ")
    }
}

impl FromIterator<Digest> for ModelKey {
    fn from_iter<I: IntoIterator<Item = Digest>>(digests: I) -> Self {
        Self(digests.into_iter().collect())
    }
}

impl Model {
    /// What makes it the same to a runner as another model.
    pub fn key(&self) -> ModelKey {
        let layers = self.weights().chain(self.draft()).chain(self.projectors());
        let template = self.chat_template.as_ref();
        layers
            .map(|layer| layer.digest)
            .chain(template.map(|text| Digest::of(text.as_bytes())))
            .collect()
    }
}
