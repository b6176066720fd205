//! How a request becomes the prompt of a runner.
//!
//! There are four ways, and the first that applies is taken:
//! 1. `raw`: the text as it is;
//! 2. a template in Go's language, of the request or of the model, rendered here ([`crate::template`]);
//! 3. the model's own chat template in Jinja, rendered by the runner;
//! 4. no template at all: the plain text of the conversation, as for a base model that only continues.

use jiff::Zoned;
use runner::protocol::{self, Prompt, Tokenize};
use runner::supervisor::Runner;

use crate::error::Error;
use crate::template::{self, Template, Turn};

/// Template of a model that has none: texts in order, a blank line between them.
const PLAIN: &str = "{{ if .System }}{{ .System }}\n\n{{ end }}{{ .Prompt }}{{ if .Response }}\n\n{{ .Response }}\n\n{{ end }}";

/// Which way a prompt is made.
#[derive(Debug, Clone)]
pub enum Way {
    /// By a template in Go's language; the text says whose it is.
    Go(Box<Template>, &'static str),
    /// By the model's own template, in the runner.
    Own,
}

impl Way {
    /// Decides, and reads the template where there is one.
    ///
    /// # Errors
    /// [`Error::Template`] when the template cannot be read.
    pub fn choose(
        request: Option<&str>,
        model: Option<&str>,
        has_own: bool,
    ) -> Result<Self, Error> {
        let given = request.filter(|text| !text.is_empty());
        let (text, whose) = match (given, model.filter(|text| !text.is_empty())) {
            (Some(text), _) => (text, "the template of the request"),
            (None, Some(text)) => (text, "the template of the model"),
            (None, None) if has_own => return Ok(Self::Own),
            (None, None) => (PLAIN, "the plain template"),
        };
        let template = Template::parse(text).map_err(|source| Error::Template { whose, source })?;
        Ok(Self::Go(Box::new(template), whose))
    }

    /// Whether a suffix can be placed.
    pub fn takes_suffix(&self) -> bool {
        matches!(self, Self::Go(template, _) if template.mentions("Suffix"))
    }
}

/// What is to be rendered.
#[derive(Debug, Clone, Default)]
pub struct Conversation {
    /// First to last.
    pub turns: Vec<Turn>,
    /// Text that follows the answer, with the text before it.
    pub insert: Option<(String, String)>,
    /// Whether the model thinks first.
    pub think: Option<bool>,
}

impl Conversation {
    /// Makes the prompt. Only a prompt of the [`Way::Go`] takes time here.
    ///
    /// # Errors
    /// [`Error::Template`] when the template fails or is unbounded; [`Error::Unsupported`] for a conversation that ends with
    /// the model's own words, where its own template would begin a new answer.
    pub async fn to_prompt(&self, way: &Way) -> Result<Prompt, Error> {
        match way {
            Way::Go(template, whose) => {
                let text = self.render(template.clone(), whose).await?;
                Ok(Prompt::Text {
                    text,
                    special: true,
                })
            }
            Way::Own if self.turns.last().is_some_and(|turn| turn.role == "assistant") => {
                Err(Error::Unsupported(
                    "going on with an unfinished assistant message by the model's own chat template".into(),
                ))
            }
            Way::Own => Ok(Prompt::Chat(self.to_template())),
        }
    }

    async fn render(&self, template: Box<Template>, whose: &'static str) -> Result<String, Error> {
        let conversation = self.clone();
        let rendered = tokio::task::spawn_blocking(move || {
            let (prompt, suffix) = conversation.insert.unwrap_or_default();
            template.render(&template::Input {
                turns: &conversation.turns,
                prompt: &prompt,
                suffix: &suffix,
                think: conversation.think,
                today: Zoned::now().date(),
            })
        });
        rendered
            .await
            .map_err(|_| Error::Internal)?
            .map_err(|source| Error::Template { whose, source })
    }

    fn to_template(&self) -> protocol::Template {
        protocol::Template {
            messages: self
                .turns
                .iter()
                .map(|turn| protocol::Message {
                    role: turn.role.clone(),
                    content: turn.content.clone(),
                })
                .collect(),
            add_generation_prompt: true,
            // What a model thinks cannot be told from its answer yet, so it thinks for nobody who did not ask.
            thinking: Some(self.think == Some(true)),
        }
    }
}

/// The tokens of a prompt.
///
/// # Errors
/// What the runner says, in the name of `model`.
pub async fn tokens(
    runner: &Runner,
    model: &impl ToString,
    prompt: Prompt,
    is_start: bool,
) -> Result<Vec<i32>, Error> {
    let failed = |source| Error::runner(model, source);
    let (text, special) = match prompt {
        Prompt::Tokens(tokens) => return Ok(tokens),
        Prompt::Text { text, special } => (text, special),
        Prompt::Chat(template) => (runner.template(template).await.map_err(failed)?, true),
    };
    let tokenize = Tokenize {
        text,
        add_special: is_start,
        parse_special: special,
    };
    runner.tokenize(tokenize).await.map_err(failed)
}

/// A conversation that lost its oldest messages.
#[derive(Debug)]
pub struct Shortened {
    /// What is left.
    pub conversation: Conversation,
    /// How many messages were dropped.
    pub dropped: usize,
}

/// Drops the oldest messages until the prompt leaves room for an answer. System messages and the last message always stay.
///
/// What is left begins with a message of the user, because many templates refuse anything else. When even the shortest
/// conversation is too long it is returned all the same, and the runner cuts the prompt and says by how much.
///
/// # Errors
/// As [`Conversation::to_prompt`] and [`tokens`].
pub async fn shorten(
    conversation: &Conversation,
    way: &Way,
    runner: &Runner,
    model: &impl ToString,
    context: u32,
) -> Result<Shortened, Error> {
    // An eighth for the answer: a prompt that just fits would leave no room to say anything.
    let room = (context - context / 8) as usize;
    let starts = starts(&conversation.turns);
    // The first start that fits, by halves: later starts are shorter.
    let (mut low, mut high) = (0, starts.len().saturating_sub(1));
    while low < high {
        let middle = usize::midpoint(low, high);
        let prompt = from(conversation, starts[middle])
            .conversation
            .to_prompt(way)
            .await?;
        if fits(runner, model, prompt, room).await? {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    let start = starts.get(low).copied().unwrap_or(0);
    Ok(from(conversation, start))
}

/// Whether a prompt has at most `room` tokens. The runner does not count one that is far longer than the context.
async fn fits(
    runner: &Runner,
    model: &impl ToString,
    prompt: Prompt,
    room: usize,
) -> Result<bool, Error> {
    match tokens(runner, model, prompt, true).await {
        Ok(tokens) => Ok(tokens.len() <= room),
        Err(Error::ContextOverflow(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Where a shorter conversation can begin: at each question after the first message, and at the last message.
fn starts(turns: &[Turn]) -> Vec<usize> {
    let Some(last) = turns.len().checked_sub(1) else {
        return Vec::new();
    };
    let first = turns
        .iter()
        .position(|turn| turn.role != "system")
        .unwrap_or(last);
    let mut starts: Vec<usize> = (first + 1..last)
        .filter(|index| turns[*index].role == "user")
        .collect();
    starts.push(last);
    starts
}

/// The conversation from `start` on, with all system messages.
fn from(conversation: &Conversation, start: usize) -> Shortened {
    let kept: Vec<Turn> = conversation
        .turns
        .iter()
        .enumerate()
        .filter(|(index, turn)| *index >= start || turn.role == "system")
        .map(|(_, turn)| turn.clone())
        .collect();
    Shortened {
        dropped: conversation.turns.len() - kept.len(),
        conversation: Conversation {
            turns: kept,
            ..conversation.clone()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(roles: &str) -> Vec<Turn> {
        roles
            .chars()
            .enumerate()
            .map(|(index, role)| Turn {
                role: match role {
                    's' => "system",
                    'u' => "user",
                    _ => "assistant",
                }
                .into(),
                content: index.to_string(),
                ..Turn::default()
            })
            .collect()
    }

    #[test]
    fn a_shorter_conversation_begins_with_a_question() {
        let check = |roles: &str, expected: &[usize]| {
            assert_eq!(starts(&turns(roles)), expected, "{roles}")
        };
        check("", &[]);
        check("u", &[0]);
        check("su", &[1]);
        check("uau", &[2]);
        check("suauau", &[3, 5]);
        check("uaua", &[2, 3]);
        check("uasuau", &[3, 5]);
    }

    #[test]
    fn system_messages_and_the_last_one_stay() {
        let conversation = Conversation {
            turns: turns("suasuau"),
            ..Conversation::default()
        };
        let shortened = from(&conversation, 6);
        assert_eq!(shortened.dropped, 4);
        let left: Vec<&str> = shortened
            .conversation
            .turns
            .iter()
            .map(|turn| turn.content.as_str())
            .collect();
        assert_eq!(left, ["0", "3", "6"]);
    }

    #[tokio::test]
    async fn a_template_of_the_request_goes_over_that_of_the_model_and_over_its_own() {
        let conversation = Conversation {
            turns: turns("u"),
            ..Conversation::default()
        };
        let text = async |request, model, own| {
            let way = Way::choose(request, model, own).unwrap();
            conversation.to_prompt(&way).await.unwrap()
        };
        let plain = |text: &str| Prompt::Text {
            text: text.into(),
            special: true,
        };
        assert_eq!(
            text(Some("r{{.Prompt}}"), Some("m"), true).await,
            plain("r0")
        );
        assert_eq!(text(None, Some("m{{.Prompt}}"), true).await, plain("m0"));
        assert_eq!(text(Some(""), None, false).await, plain("0"));
        assert!(matches!(text(None, None, true).await, Prompt::Chat(_)));
    }

    #[tokio::test]
    async fn a_model_thinks_only_when_asked_to() {
        for (think, expected) in [(None, false), (Some(false), false), (Some(true), true)] {
            let conversation = Conversation {
                turns: turns("u"),
                think,
                ..Conversation::default()
            };
            match conversation.to_prompt(&Way::Own).await.unwrap() {
                Prompt::Chat(template) => assert_eq!(template.thinking, Some(expected)),
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn an_unfinished_answer_goes_on_only_by_a_go_template() {
        let conversation = Conversation {
            turns: turns("ua"),
            ..Conversation::default()
        };
        let own = conversation.to_prompt(&Way::Own).await;
        assert!(matches!(own, Err(Error::Unsupported(_))));
        let way = Way::choose(None, Some("Q:{{.Prompt}} A:{{.Response}}#"), true).unwrap();
        let prompt = conversation.to_prompt(&way).await.unwrap();
        assert_eq!(
            prompt,
            Prompt::Text {
                text: "Q:0 A:1".into(),
                special: true
            }
        );
    }
}
