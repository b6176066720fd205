//! The call of the runner for one request.

use runner_protocol::{self as protocol, Generate, Prompt};

use crate::error::Error;
use crate::prompt::{self, Conversation, PromptSource};
use crate::scheduler::Lease;

/// What all tries to start one answer have in common.
pub(super) struct Attempt {
    /// The name of the model, for messages.
    pub(super) label: String,
    /// `None` for a raw prompt.
    pub(super) source: Option<PromptSource>,
    /// Tokens that the prompt continues.
    pub(super) after: Vec<i32>,
    /// The call, without prompt and images.
    pub(super) base: Generate,
}

impl Attempt {
    /// The call of the runner for this conversation.
    pub(super) async fn to_call(
        &self,
        conversation: &Conversation,
        overflow: protocol::Overflow,
        lease: &Lease,
    ) -> Result<Generate, Error> {
        let read_as = match &self.source {
            None => None,
            Some(source) => conversation.read_as(source)?,
        };
        let prompt = self.prompt(conversation, lease).await?;
        Ok(Generate {
            // The runner parses the answer to a `Prompt::Chat` by that conversation.
            read_as: match prompt {
                Prompt::Chat(_) => None,
                _ => read_as.map(Box::new),
            },
            prompt,
            overflow,
            images: conversation.images(),
            ..self.base.clone()
        })
    }

    /// The prompt of this conversation.
    pub(super) async fn prompt(
        &self,
        conversation: &Conversation,
        lease: &Lease,
    ) -> Result<Prompt, Error> {
        let (runner, label) = (lease.runner(), &self.label);
        let prompt = match &self.source {
            None if conversation.turns.is_empty() => return Ok(Prompt::Tokens(self.after.clone())),
            None => conversation.to_raw_prompt(),
            Some(source) => conversation.to_whole_prompt(source, runner, label).await?,
        };
        if self.after.is_empty() {
            return Ok(prompt);
        }
        let new = prompt::tokens(runner, label, prompt, false).await?;
        Ok(Prompt::Tokens([self.after.as_slice(), &new].concat()))
    }
}
