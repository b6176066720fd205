//! Turns a conversation into a prompt.
//!
//! A prompt comes from the first of these sources that applies:
//! 1. `raw`: the text is the prompt;
//! 2. a Go template of the request or of the model, rendered here ([`crate::template`]);
//! 3. the Jinja chat template of the weights, rendered by the runner;
//! 4. the plain text of the conversation, for a base model without a template.

mod literal;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{Zoned, civil::Date};
use runner_protocol::{self as protocol, Message, Prompt, Tokenize, Tool, Variable};
use supervisor::Runner;

use crate::blocking;
use crate::error::Error;
use crate::images::{self, Images};
use crate::template::{self, Template};
use crate::think::Think;
use crate::turn::{Block, Role, Turn};

/// The template for a model without one: the texts in order, with blank lines between them.
const PLAIN: &str = "{{ if .System }}{{ .System }}\n\n{{ end }}{{ .Prompt }}{{ if .Response }}\n\n{{ .Response }}\n\n{{ end }}";

/// The template that turns a conversation into a prompt.
#[derive(Debug, Clone)]
pub enum PromptSource {
    /// A Go template.
    Go {
        /// The template.
        template: Arc<Template>,
        /// Its name in messages.
        whose: &'static str,
        /// Whether the weights also have a Jinja template, which defines the format of calls and thinking.
        has_jinja: bool,
    },
    /// The chat template of the weights, which the runner renders.
    Jinja,
}

/// What the template of a conversation must support.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// Tools.
    pub tools: bool,
    /// Thinking, if the request asks for it.
    pub thinking: bool,
}

impl Needs {
    /// Whether a template supports all of it.
    fn are_met_by(self, template: &Template) -> bool {
        let mentions = |fields: &[&str]| fields.iter().any(|field| template.mentions(field));
        (!self.tools || mentions(&["Tools"]))
            && (!self.thinking || mentions(&["Think", "Thinking", "IsThinkSet", "ThinkLevel"]))
    }
}

impl PromptSource {
    /// Chooses the source and parses a Go template. A template of the model is parsed once and kept in `cache`.
    ///
    /// If the model's Go template does not support what is needed, the Jinja template of the weights is taken.
    ///
    /// # Errors
    /// [`Error::Template`] for a template that does not parse.
    pub fn choose(
        given: Option<&str>,
        model: Option<&str>,
        has_jinja: bool,
        needs: Needs,
        cache: &template::Cache,
    ) -> Result<Self, Error> {
        let given = given.filter(|text| !text.is_empty());
        let (parsed, whose) = match (given, model.filter(|text| !text.is_empty())) {
            (Some(text), _) => (
                Template::parse(text).map(Arc::new),
                "the template of the request",
            ),
            (None, Some(text)) => (cache.parse(text), "the template of the model"),
            (None, None) if has_jinja => return Ok(Self::Jinja),
            (None, None) => (cache.parse(PLAIN), "the plain template"),
        };
        let template = parsed.map_err(|source| Error::Template { whose, source })?;
        if given.is_none() && has_jinja && !needs.are_met_by(&template) {
            return Ok(Self::Jinja);
        }
        Ok(Self::Go {
            template,
            whose,
            has_jinja,
        })
    }

    /// Whether the template has a field for the suffix.
    pub fn takes_suffix(&self) -> bool {
        matches!(self, Self::Go { template, .. } if template.mentions("Suffix"))
    }
}

/// The conversation that becomes a prompt.
#[derive(Debug, Clone, Default)]
pub struct Conversation {
    /// The turns in order.
    pub turns: Vec<Turn>,
    /// Text after the answer.
    pub suffix: Option<String>,
    /// Whether the model thinks first.
    pub think: Think,
    /// The tools that the model may call.
    pub tools: Vec<Tool>,
    /// Whether the model may, must or must not call a tool.
    pub tool_choice: protocol::ToolChoice,
    /// Whether one answer may have several calls; `None` leaves it to the template.
    pub parallel_tool_calls: Option<bool>,
    /// Further variables of a Jinja template.
    pub variables: BTreeMap<String, Variable>,
    /// The images of all turns.
    pub images: Images,
}

/// The texts of a conversation, as a template gets them.
#[derive(Debug, Clone)]
struct Texts {
    messages: Vec<Message>,
    suffix: String,
    tools: Vec<Tool>,
}

impl Conversation {
    /// Makes the prompt. A Go template is rendered here, a Jinja template later in the runner.
    ///
    /// # Errors
    /// [`Error::Template`] when the template fails or exceeds its budget.
    pub async fn to_prompt(&self, source: &PromptSource) -> Result<Prompt, Error> {
        match source {
            PromptSource::Go {
                template, whose, ..
            } => {
                let rendered = self.render(template.clone(), whose).await?;
                Ok(Prompt::Rendered(rendered))
            }
            PromptSource::Jinja => Ok(Prompt::Chat(self.to_template())),
        }
    }

    /// The same, but a last turn of the assistant is continued by a Jinja template too: its text follows the prompt of the turns
    /// before it.
    ///
    /// # Errors
    /// As [`to_prompt`](Self::to_prompt), and the error of the runner.
    pub async fn to_whole_prompt(
        &self,
        source: &PromptSource,
        runner: &Runner,
        model: &impl ToString,
    ) -> Result<Prompt, Error> {
        match (self.to_prompt(source).await?, self.to_continue()) {
            (Prompt::Chat(template), Some(begun)) => {
                let rendered = runner.template(template).await;
                let rendered = rendered.map_err(|source| Error::runner(model, source))?;
                Ok(Prompt::Rendered(continued(rendered, &begun)))
            }
            (prompt, _) => Ok(prompt),
        }
    }

    /// The text of a last turn of the assistant, which the answer continues.
    fn to_continue(&self) -> Option<String> {
        let last = self.turns.last()?;
        let is_text = |block: &Block| matches!(block, Block::Text(_));
        (last.role == Role::Assistant && last.blocks.iter().all(is_text))
            .then(|| message(last, &self.images).content)
    }

    /// The conversation by which the runner parses the answer to a rendered prompt; `None` takes the answer as plain text.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for tools, and for thinking that the request asks for, if the weights have no chat template that
    /// defines their format.
    pub fn read_as(&self, source: &PromptSource) -> Result<Option<protocol::Template>, Error> {
        let has_jinja = match source {
            PromptSource::Jinja => return Ok(Some(self.to_template())),
            PromptSource::Go { has_jinja, .. } => *has_jinja,
        };
        let wants_thoughts = self.think.on == Some(true) && self.think.is_asked;
        let field = match (self.tools.is_empty(), wants_thoughts) {
            (false, _) => "tools",
            (true, true) => "think",
            (true, false) if self.think.on.is_none() || !has_jinja => return Ok(None),
            (true, false) => "",
        };
        if has_jinja {
            return Ok(Some(self.to_template()));
        }
        Err(Error::Unsupported(format!(
            "{field} with a template in Go's language, for a model whose weights have no chat template that says how answers are written,"
        )))
    }

    /// The text of the last turn as the prompt, without a template.
    pub fn to_raw_prompt(&self) -> Prompt {
        let last = self.messages().pop().unwrap_or_default();
        Prompt::Text {
            text: last.content,
            special: true,
        }
    }

    /// The images in the prompt.
    pub fn images(&self) -> Option<protocol::Images> {
        self.images.for_runner(&self.turns)
    }

    async fn render(
        &self,
        template: Arc<Template>,
        whose: &'static str,
    ) -> Result<protocol::Rendered, Error> {
        let conversation = self.clone();
        blocking::run(move || conversation.text(&template))
            .await?
            .map_err(|source| Error::Template { whose, source })
    }

    /// The prompt, with the byte ranges that come from messages and tools.
    ///
    /// The template is rendered a second time, with a mark before and after each of those texts. If the second prompt differs in
    /// more than the marks, for example because the template compares texts, no range is literal.
    fn text(&self, template: &Template) -> Result<protocol::Rendered, template::Error> {
        let today = Zoned::now().date();
        let texts = self.texts();
        let text = self.rendered(template, &texts, today)?;
        let marked = literal::Marks::unused_in(&texts)
            .and_then(|marks| {
                let marked = self.rendered(template, &texts.marked(marks), today).ok()?;
                marks.take_out(&marked)
            })
            .filter(|marked| marked.text == text);
        Ok(marked.unwrap_or_else(|| text.into()))
    }

    fn texts(&self) -> Texts {
        Texts {
            messages: self.messages(),
            suffix: self.suffix.clone().unwrap_or_default(),
            tools: self.tools.clone(),
        }
    }

    fn rendered(
        &self,
        template: &Template,
        texts: &Texts,
        today: Date,
    ) -> Result<String, template::Error> {
        let last = texts.messages.last();
        template.render(&template::Input {
            messages: &texts.messages,
            prompt: last.map_or("", |message| &message.content),
            suffix: &texts.suffix,
            think: self.think.on,
            level: self.think.level.unwrap_or_default(),
            tools: &texts.tools,
            today,
        })
    }

    /// The conversation for a Jinja template: up to a turn that the answer continues, and then without thinking, which would come
    /// before the text of that turn.
    fn to_template(&self) -> protocol::Template {
        let is_continued = self.to_continue().is_some();
        let mut messages = self.messages();
        messages.truncate(messages.len() - usize::from(is_continued));
        let level = self.think.level.map(|level| {
            let level = Variable::Text(level.to_owned());
            ("reasoning_effort".to_owned(), level)
        });
        protocol::Template {
            messages,
            add_generation_prompt: true,
            // With some templates the model thinks unless this is false.
            thinking: Some(self.think.on == Some(true) && !is_continued),
            tools: self.tools.clone(),
            tool_choice: self.tool_choice.clone(),
            parallel_tool_calls: self.parallel_tool_calls,
            variables: self.variables.clone().into_iter().chain(level).collect(),
        }
    }

    fn messages(&self) -> Vec<Message> {
        let message = |turn| message(turn, &self.images);
        self.turns.iter().map(message).collect()
    }
}

/// A rendered conversation with the begun text of the answer behind it.
fn continued(mut rendered: protocol::Rendered, begun: &str) -> protocol::Rendered {
    let place = |text: &str| u32::try_from(text.len()).unwrap_or(u32::MAX);
    let start = place(&rendered.text);
    rendered.text.push_str(begun);
    rendered.literal.push((start, place(&rendered.text)));
    rendered
}

/// A turn as a message for templates: the text with markers of images in order, and thinking and calls in separate fields.
fn message(turn: &Turn, images: &Images) -> Message {
    let mut message = Message {
        role: turn.role.name().to_owned(),
        ..Message::default()
    };
    if let Role::Tool { name, call } = &turn.role {
        message.tool_name.clone_from(name);
        message.tool_call_id.clone_from(call);
    }
    for block in &turn.blocks {
        match block {
            Block::Text(text) => message.content.push_str(text),
            Block::Image(number) => message.content.push_str(&images.marker(*number)),
            Block::Thinking(text) => message.reasoning.push_str(text),
            Block::Call(call) => message.tool_calls.push(call.clone()),
        }
    }
    message
}

/// The tokens of a prompt.
///
/// # Errors
/// The error of the runner, with the name of `model`.
pub async fn tokens(
    runner: &Runner,
    model: &impl ToString,
    prompt: Prompt,
    is_start: bool,
) -> Result<Vec<i32>, Error> {
    let failed = |source| Error::runner(model, source);
    let (rendered, special) = match prompt {
        Prompt::Tokens(tokens) => return Ok(tokens),
        Prompt::Text { text, special } => (text.into(), special),
        Prompt::Rendered(rendered) => (rendered, true),
        Prompt::Chat(template) => (runner.template(template).await.map_err(failed)?, true),
    };
    let tokenize = Tokenize {
        text: rendered.text,
        add_special: is_start,
        parse_special: special,
        literal: rendered.literal,
    };
    runner.tokenize(tokenize).await.map_err(failed)
}

/// A conversation without its oldest turns.
#[derive(Debug)]
pub struct Shortened {
    /// The rest of the conversation.
    pub conversation: Conversation,
    /// The number of dropped turns.
    pub dropped: usize,
}

/// Drops the oldest turns until the prompt leaves room for an answer. System turns and the last turn always stay.
///
/// The rest begins with a turn of the user, because many templates require that. If even the shortest conversation is too long,
/// it is returned, and the runner cuts tokens from its prompt.
///
/// # Errors
/// As [`Conversation::to_prompt`] and [`tokens`].
pub async fn shorten(
    conversation: &Conversation,
    source: &PromptSource,
    runner: &Runner,
    model: &impl ToString,
    context: u32,
) -> Result<Shortened, Error> {
    // An eighth of the context stays free for the answer.
    let room = (context - context / 8) as usize;
    let starts = starts(&conversation.turns);
    // Binary search for the first start that fits: a later start gives a shorter prompt.
    let (mut low, mut high) = (0, starts.len().saturating_sub(1));
    while low < high {
        let middle = usize::midpoint(low, high);
        let shorter = from(conversation, starts[middle]).conversation;
        let images: usize = shorter.turns.iter().map(|turn| turn.images().count()).sum();
        let image_tokens = images * images::TYPICAL_TOKENS;
        let prompt = shorter.to_whole_prompt(source, runner, model).await?;
        if fits(runner, model, prompt, room.saturating_sub(image_tokens)).await? {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    let start = starts.get(low).copied().unwrap_or(0);
    Ok(from(conversation, start))
}

/// Whether a prompt has at most `room` tokens. The runner refuses to tokenize a text that is far longer than the context.
async fn fits(
    runner: &Runner,
    model: &impl ToString,
    prompt: Prompt,
    room: usize,
) -> Result<bool, Error> {
    match tokens(runner, model, prompt, true).await {
        Ok(tokens) => Ok(tokens.len() <= room),
        Err(Error::ContextOverflow { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The indices at which a shorter conversation can begin: each turn of the user after the first turn, and the last turn.
fn starts(turns: &[Turn]) -> Vec<usize> {
    let Some(last) = turns.len().checked_sub(1) else {
        return Vec::new();
    };
    let first = turns
        .iter()
        .position(|turn| turn.role != Role::System)
        .unwrap_or(last);
    let mut starts: Vec<usize> = (first + 1..last)
        .filter(|index| turns[*index].role == Role::User)
        .collect();
    starts.push(last);
    starts
}

/// The conversation from `start` on, with all system turns.
fn from(conversation: &Conversation, start: usize) -> Shortened {
    let kept: Vec<Turn> = conversation
        .turns
        .iter()
        .enumerate()
        .filter(|(index, turn)| *index >= start || turn.role == Role::System)
        .map(|(_, turn)| turn.clone())
        .collect();
    Shortened {
        dropped: conversation.turns.len() - kept.len(),
        conversation: Conversation {
            turns: kept,
            suffix: conversation.suffix.clone(),
            think: conversation.think.clone(),
            tools: conversation.tools.clone(),
            tool_choice: conversation.tool_choice.clone(),
            parallel_tool_calls: conversation.parallel_tool_calls,
            variables: conversation.variables.clone(),
            images: conversation.images.clone(),
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
            .map(|(index, role)| {
                let role = match role {
                    's' => Role::System,
                    'u' => Role::User,
                    _ => Role::Assistant,
                };
                Turn::text(role, index.to_string())
            })
            .collect()
    }

    fn choose(
        given: Option<&str>,
        model: Option<&str>,
        has_jinja: bool,
        needs: Needs,
    ) -> Result<PromptSource, Error> {
        PromptSource::choose(given, model, has_jinja, needs, &template::Cache::default())
    }

    #[test]
    fn blocks_become_the_message_that_templates_know() {
        let mut images = Images::default();
        let number = images.add("aGk=").unwrap();
        let call = protocol::ToolCall {
            name: "f".into(),
            ..protocol::ToolCall::default()
        };
        let turn = Turn {
            role: Role::Tool {
                name: "f".into(),
                call: "1".into(),
            },
            blocks: vec![
                Block::Text("a".into()),
                Block::Image(number),
                Block::Thinking("b".into()),
                Block::Text("c".into()),
                Block::Call(call.clone()),
            ],
        };
        let expected = Message {
            role: "tool".into(),
            content: format!("a{}c", images.marker(1)),
            reasoning: "b".into(),
            tool_calls: vec![call],
            tool_call_id: "1".into(),
            tool_name: "f".into(),
        };
        assert_eq!(message(&turn, &images), expected);
    }

    #[test]
    fn a_shorter_conversation_begins_with_a_turn_of_the_user() {
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
        let left: Vec<String> = shortened
            .conversation
            .messages()
            .into_iter()
            .map(|message| message.content)
            .collect();
        assert_eq!(left, ["0", "3", "6"]);
    }

    #[tokio::test]
    async fn the_template_of_the_request_comes_first_then_the_models_go_template_then_jinja() {
        let conversation = Conversation {
            turns: turns("u"),
            ..Conversation::default()
        };
        let text = async |request, model, own| {
            let source = choose(request, model, own, Needs::default()).unwrap();
            conversation.to_prompt(&source).await.unwrap()
        };
        let written = |text: &str, literal| {
            let (text, literal) = (text.into(), vec![literal]);
            Prompt::Rendered(protocol::Rendered { text, literal })
        };
        assert_eq!(
            text(Some("r{{.Prompt}}"), Some("m"), true).await,
            written("r0", (1, 2))
        );
        assert_eq!(
            text(None, Some("m{{.Prompt}}"), true).await,
            written("m0", (1, 2))
        );
        assert_eq!(text(Some(""), None, false).await, written("0", (0, 1)));
        assert!(matches!(text(None, None, true).await, Prompt::Chat(_)));
    }

    #[tokio::test]
    async fn a_model_thinks_only_when_asked_to() {
        for (on, expected) in [(None, false), (Some(false), false), (Some(true), true)] {
            let think = Think {
                on,
                level: on.and(Some("low")),
                is_asked: true,
            };
            let conversation = Conversation {
                turns: turns("u"),
                think,
                ..Conversation::default()
            };
            match conversation.to_prompt(&PromptSource::Jinja).await.unwrap() {
                Prompt::Chat(template) => {
                    assert_eq!(template.thinking, Some(expected));
                    assert_eq!(template.variables.len(), usize::from(on.is_some()));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_go_template_without_tools_gives_way_to_jinja() {
        let tools = Needs {
            tools: true,
            ..Needs::default()
        };
        let thinking = Needs {
            thinking: true,
            ..Needs::default()
        };
        let is_own = |request, model, own, needs| {
            let source = choose(request, Some(model), own, needs).unwrap();
            matches!(source, PromptSource::Jinja)
        };
        let plain = "{{ .Prompt }}";
        assert!(!is_own(None, plain, true, Needs::default()));
        assert!(is_own(None, plain, true, tools));
        assert!(is_own(None, plain, true, thinking));
        assert!(!is_own(None, plain, false, tools));
        assert!(!is_own(Some(plain), plain, true, tools));
        assert!(!is_own(None, "{{ .Tools }}{{ .Prompt }}", true, tools));
        assert!(!is_own(None, "{{ .Think }}{{ .Prompt }}", true, thinking));
    }

    #[test]
    fn answers_are_parsed_by_the_jinja_template_or_not_at_all() {
        let go = |has_own| {
            let needs = Needs::default();
            choose(Some("{{ .Tools }}{{ .Prompt }}"), None, has_own, needs).unwrap()
        };
        let plain = Conversation {
            turns: turns("u"),
            ..Conversation::default()
        };
        assert!(plain.read_as(&PromptSource::Jinja).unwrap().is_some());
        assert_eq!(plain.read_as(&go(true)).unwrap(), None);
        let with_tools = Conversation {
            tools: vec![protocol::Tool::default()],
            ..plain.clone()
        };
        assert!(with_tools.read_as(&go(true)).unwrap().is_some());
        let error = with_tools.read_as(&go(false)).unwrap_err().to_string();
        assert!(error.starts_with("tools with a template in Go"), "{error}");
        let thinking = |is_asked| Conversation {
            think: Think {
                on: Some(true),
                level: None,
                is_asked,
            },
            ..plain.clone()
        };
        assert!(thinking(true).read_as(&go(true)).unwrap().is_some());
        assert!(thinking(false).read_as(&go(true)).unwrap().is_some());
        assert!(thinking(true).read_as(&go(false)).is_err());
        assert_eq!(thinking(false).read_as(&go(false)).unwrap(), None);
    }

    #[tokio::test]
    async fn a_last_turn_of_the_assistant_is_continued() {
        let conversation = Conversation {
            turns: turns("ua"),
            ..Conversation::default()
        };
        let own = conversation.to_prompt(&PromptSource::Jinja).await;
        let Ok(Prompt::Chat(asked)) = own else {
            panic!("{own:?}");
        };
        assert_eq!((asked.messages.len(), asked.thinking), (1, Some(false)));
        let rendered = protocol::Rendered {
            text: "Q:0 A:".into(),
            literal: vec![(2, 3)],
        };
        let begun = conversation.to_continue().unwrap();
        assert_eq!(
            continued(rendered, &begun),
            protocol::Rendered {
                text: "Q:0 A:1".into(),
                literal: vec![(2, 3), (6, 7)],
            }
        );
        let template = Some("Q:{{.Prompt}} A:{{.Response}}#");
        let source = choose(None, template, true, Needs::default()).unwrap();
        let prompt = conversation.to_prompt(&source).await.unwrap();
        assert_eq!(
            prompt,
            Prompt::Rendered(protocol::Rendered {
                text: "Q:0 A:1".into(),
                literal: vec![(2, 3), (6, 7)],
            })
        );
    }
}
