//! A conversation: model, messages, system prompt and parameters.

use api::Message;
use modelfile::{Parameters, parameter};
use serde_json::{Map, Value};

use crate::answer;
use crate::error::Failure;

/// One conversation. The daemon keeps none, so each request sends all of it.
#[derive(Debug)]
pub(crate) struct Conversation {
    /// The model.
    pub(crate) model: String,
    /// System prompt, in place of the model's.
    pub(crate) system: Option<String>,
    parameters: Parameters,
    messages: Vec<Message>,
}

impl Conversation {
    /// An empty conversation.
    pub(crate) fn new(model: &str, system: Option<String>, parameters: Parameters) -> Self {
        Self {
            model: model.to_owned(),
            system,
            parameters,
            messages: Vec::new(),
        }
    }

    /// Starts over with `model` and the same settings.
    pub(crate) fn begin_with(&mut self, model: &str) {
        model.clone_into(&mut self.model);
        self.clear();
    }

    /// Removes all messages.
    pub(crate) fn clear(&mut self) {
        self.messages.clear();
    }

    /// Adds a message.
    pub(crate) fn add(&mut self, message: Message) {
        self.messages.push(message);
    }

    /// Removes the last message.
    pub(crate) fn forget_last(&mut self) {
        self.messages.pop();
    }

    /// The messages.
    pub(crate) fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The messages of a request, with the system prompt.
    pub(crate) fn to_send(&self) -> Vec<Message> {
        let system = self
            .system
            .as_deref()
            .map(|text| answer::message("system", text));
        system
            .into_iter()
            .chain(self.messages.iter().cloned())
            .collect()
    }

    /// The parameters of the conversation as the `options` of a request.
    pub(crate) fn options(&self) -> Option<Map<String, Value>> {
        (!self.parameters.is_empty()).then(|| self.parameters.to_json())
    }

    /// Sets a parameter.
    pub(crate) fn set_parameter(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        self.parameters.set(name, value).map_err(refuse)
    }

    /// The parameters of the conversation.
    pub(crate) fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The parameters of the conversation, one line each.
    pub(crate) fn parameter_lines(&self) -> String {
        self.parameters
            .to_json()
            .iter()
            .map(|(name, value)| format!("{name:20}{value}\n"))
            .collect()
    }
}

/// The failure for a wrong name or value of a parameter.
pub(crate) fn refuse(error: parameter::Error) -> Failure {
    let failure = Failure::usage(error.to_string());
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None if error.is_ignorable() => failure.hint("`/set parameter` lists all parameters"),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_prompt_is_sent_first_and_is_no_message_of_the_conversation() {
        let system = Some("be brief".to_owned());
        let mut conversation = Conversation::new("m", system, Parameters::default());
        conversation.add(answer::message("user", "hi"));
        let roles: Vec<_> = conversation.to_send().into_iter().map(|m| m.role).collect();
        assert_eq!(roles, ["system", "user"]);
        assert_eq!(conversation.messages().len(), 1);
        conversation.begin_with("other");
        assert_eq!(conversation.messages().len(), 0);
        assert_eq!(conversation.system.as_deref(), Some("be brief"));
    }

    #[test]
    fn a_wrong_parameter_changes_nothing() {
        let mut conversation = Conversation::new("m", None, Parameters::default());
        assert!(conversation.set_parameter("temperature", "hot").is_err());
        assert_eq!(conversation.options(), None);
        conversation.set_parameter("temperature", "0.5").unwrap();
        assert_eq!(conversation.parameter_lines(), "temperature         0.5\n");
    }
}
