//! The model's own chat template, rendered by llama.cpp's Jinja interpreter.

use std::time::Instant;

use runner::protocol::Template;

use crate::{error::Error, ffi};

/// The template that llama.cpp falls back to for a model that brings none: it knows the source by this name.
const CHATML: &str = "chatml";

/// Most messages of one conversation.
const MAX_MESSAGES: usize = 65_536;

/// Longest source of a template in bytes; those of today's models have up to some ten thousand.
const MAX_SOURCE: usize = 1024 * 1024;

/// A parsed chat template.
#[derive(Debug)]
pub(crate) struct Chat(ffi::Chat);

impl Chat {
    /// Parses the template, or `ChatML` where there is none.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the parser's message, or for more than [`MAX_SOURCE`].
    pub(crate) fn parse(source: Option<&str>, bos: &str, eos: &str) -> Result<Self, Error> {
        let began = Instant::now();
        let size = source.map_or(0, str::len);
        if size > MAX_SOURCE {
            return Err(Error::Invalid(format!(
                "the chat template of {size} bytes is longer than {MAX_SOURCE}"
            )));
        }
        if source.is_none() {
            tracing::warn!("the model has no chat template; ChatML is used");
        }
        let chat = ffi::Chat::parse(source.unwrap_or(CHATML), bos, eos).map_err(|why| {
            Error::Invalid(format!(
                "the chat template cannot be parsed: {}",
                reason(&why)
            ))
        })?;
        tracing::debug!(took = ?began.elapsed(), "parsed the chat template");
        Ok(Self(chat))
    }

    /// Renders a conversation.
    ///
    /// # Errors
    /// [`Error::Invalid`] with what the template says.
    pub(crate) fn render(&self, template: &Template) -> Result<String, Error> {
        if template.messages.is_empty() {
            return Err(Error::Invalid(
                "a conversation needs at least one message".into(),
            ));
        }
        if template.messages.len() > MAX_MESSAGES {
            return Err(Error::Invalid(format!(
                "a conversation of {} messages is longer than {MAX_MESSAGES}",
                template.messages.len()
            )));
        }
        let messages: Vec<(&str, &str)> = template
            .messages
            .iter()
            .map(|message| (message.role.as_str(), message.content.as_str()))
            .collect();
        // llama.cpp has no third state: a template that is not told otherwise is told that thinking is allowed.
        let thinking = template.thinking.unwrap_or(true);
        self.0
            .render(&messages, template.add_generation_prompt, thinking)
            .map_err(|why| {
                Error::Invalid(format!(
                    "the chat template refuses this conversation: {}",
                    reason(&why)
                ))
            })
    }
}

/// What went wrong, out of a message that may begin with a listing of the template and end with `Error: …`.
fn reason(message: &str) -> &str {
    let message = message.trim();
    let last = message
        .rsplit_once("\nError: ")
        .map_or(message, |(_, last)| last);
    last.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use runner::protocol::Message;

    use super::*;

    fn conversation(roles: &[(&str, &str)]) -> Template {
        let messages = roles
            .iter()
            .map(|&(role, content)| Message {
                role: role.into(),
                content: content.into(),
            })
            .collect();
        Template {
            messages,
            add_generation_prompt: true,
            thinking: None,
        }
    }

    #[test]
    fn a_model_without_a_template_speaks_chatml() {
        let chat = Chat::parse(None, "<s>", "</s>").unwrap();
        let prompt = chat
            .render(&conversation(&[("system", "Be brief."), ("user", "Hi")]))
            .unwrap();
        assert_eq!(
            prompt,
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
        );
    }

    #[test]
    fn a_template_sees_tokens_messages_and_flags() {
        let source = "{{ bos_token }}{% for m in messages %}[{{ m.role }}:{{ m.content }}]{% endfor %}\
                      {% if add_generation_prompt %}>{% endif %}{% if not enable_thinking %}no-think{% endif %}{{ eos_token }}";
        let chat = Chat::parse(Some(source), "<s>", "</s>").unwrap();
        let mut asked = conversation(&[("user", "a\0b <é🦀>")]);
        assert_eq!(chat.render(&asked).unwrap(), "<s>[user:a\0b <é🦀>]></s>");
        asked.thinking = Some(false);
        asked.add_generation_prompt = false;
        assert_eq!(
            chat.render(&asked).unwrap(),
            "<s>[user:a\0b <é🦀>]no-think</s>"
        );
    }

    #[test]
    fn a_template_that_cannot_be_parsed_says_so() {
        let error = Chat::parse(Some("{% for x in %}"), "", "").unwrap_err();
        assert!(
            matches!(&error, Error::Invalid(why) if why.starts_with("the chat template cannot be parsed: ")),
            "{error}"
        );
        assert!(!error.to_string().contains('\n'), "{error}");
    }

    #[test]
    fn a_template_that_is_too_long_says_so() {
        let error = Chat::parse(Some(&"x".repeat(MAX_SOURCE + 1)), "", "").unwrap_err();
        assert!(error.to_string().contains("longer"), "{error}");
    }

    #[test]
    fn what_a_template_raises_comes_back() {
        let source = "{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}{{ m.content }}{% endfor %}";
        let chat = Chat::parse(Some(source), "", "").unwrap();
        assert_eq!(
            chat.render(&conversation(&[("user", "fine")])).unwrap(),
            "fine"
        );
        let error = chat.render(&conversation(&[("tool", "x")])).unwrap_err();
        assert!(error.to_string().ends_with("no tools here"), "{error}");
    }

    #[test]
    fn an_empty_conversation_is_refused() {
        let chat = Chat::parse(None, "", "").unwrap();
        assert!(matches!(
            chat.render(&conversation(&[])),
            Err(Error::Invalid(_))
        ));
    }
}
