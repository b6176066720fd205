//! How a request becomes the prompt of a runner.
//!
//! There are four ways, and the first that applies is taken:
//! 1. `raw`: the text as it is;
//! 2. a template in Go's language, of the request or of the model, rendered here ([`crate::template`]);
//! 3. the model's own chat template in Jinja, rendered by the runner;
//! 4. no template at all: the plain text of the conversation, as for a base model that only continues.

mod literal;

use jiff::{Zoned, civil::Date};
use runner_protocol::{self as protocol, Prompt, Tokenize, Variable};
use supervisor::Runner;

use crate::error::Error;
use crate::images::{self, Album};
use crate::template::{self, Template, Turn};
use crate::think::Think;

/// Template of a model that has none: texts in order, a blank line between them.
const PLAIN: &str = "{{ if .System }}{{ .System }}\n\n{{ end }}{{ .Prompt }}{{ if .Response }}\n\n{{ .Response }}\n\n{{ end }}";

/// Which way a prompt is made.
#[derive(Debug, Clone)]
pub enum Way {
    /// By a template in Go's language.
    Go {
        /// The template.
        template: Box<Template>,
        /// Whose it is, for people.
        whose: &'static str,
        /// Whether the model has a template of its own too, which knows how its answers are written.
        has_own: bool,
    },
    /// By the model's own template, in the runner.
    Own,
}

/// What a conversation needs a place for in its template.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// Tools.
    pub tools: bool,
    /// Thoughts that somebody asked for.
    pub thoughts: bool,
}

impl Needs {
    /// Whether a template has all the places.
    fn are_met_by(self, template: &Template) -> bool {
        let mentions = |fields: &[&str]| fields.iter().any(|field| template.mentions(field));
        (!self.tools || mentions(&["Tools"]))
            && (!self.thoughts || mentions(&["Think", "Thinking", "IsThinkSet", "ThinkLevel"]))
    }
}

impl Way {
    /// Decides, and reads the template where there is one.
    ///
    /// A template of the model that has no place for what is needed gives way to its own one in Jinja.
    ///
    /// # Errors
    /// [`Error::Template`] when the template cannot be read.
    pub fn choose(
        request: Option<&str>,
        model: Option<&str>,
        has_own: bool,
        needs: Needs,
    ) -> Result<Self, Error> {
        let given = request.filter(|text| !text.is_empty());
        let (text, whose) = match (given, model.filter(|text| !text.is_empty())) {
            (Some(text), _) => (text, "the template of the request"),
            (None, Some(text)) => (text, "the template of the model"),
            (None, None) if has_own => return Ok(Self::Own),
            (None, None) => (PLAIN, "the plain template"),
        };
        let template = Template::parse(text).map_err(|source| Error::Template { whose, source })?;
        if given.is_none() && has_own && !needs.are_met_by(&template) {
            return Ok(Self::Own);
        }
        Ok(Self::Go {
            template: Box::new(template),
            whose,
            has_own,
        })
    }

    /// Whether a suffix can be placed.
    pub fn takes_suffix(&self) -> bool {
        matches!(self, Self::Go { template, .. } if template.mentions("Suffix"))
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
    pub think: Think,
    /// What the model may call.
    pub tools: Vec<protocol::Tool>,
    /// Whether it must.
    pub tool_choice: protocol::ToolChoice,
    /// The images of all messages, whose places stand in their texts.
    pub album: Album,
}

impl Conversation {
    /// Makes the prompt. Only a prompt of the [`Way::Go`] takes time here.
    ///
    /// # Errors
    /// [`Error::Template`] when the template fails or is unbounded; [`Error::Unsupported`] for a conversation that ends with
    /// the model's own words, where its own template would begin a new answer.
    pub async fn to_prompt(&self, way: &Way) -> Result<Prompt, Error> {
        match way {
            Way::Go {
                template, whose, ..
            } => {
                let rendered = self.render(template.clone(), whose).await?;
                Ok(Prompt::Rendered(rendered))
            }
            Way::Own if self.turns.last().is_some_and(|turn| turn.role == "assistant") => {
                Err(Error::Unsupported(
                    "going on with an unfinished assistant message by the model's own chat template".into(),
                ))
            }
            Way::Own => Ok(Prompt::Chat(self.to_template())),
        }
    }

    /// How the answer to a prompt that is no conversation any more is read: `None` takes it as plain text.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for tools, and for thoughts that somebody asked for, when the model has no template that says how
    /// it writes them.
    pub fn read_as(&self, way: &Way) -> Result<Option<protocol::Template>, Error> {
        let has_own = match way {
            Way::Own => return Ok(Some(self.to_template())),
            Way::Go { has_own, .. } => *has_own,
        };
        let wants_thoughts = self.think.on == Some(true) && self.think.is_asked;
        let field = match (self.tools.is_empty(), wants_thoughts) {
            (false, _) => "tools",
            (true, true) => "think",
            (true, false) if self.think.on.is_none() || !has_own => return Ok(None),
            (true, false) => "",
        };
        if has_own {
            return Ok(Some(self.to_template()));
        }
        Err(Error::Unsupported(format!(
            "{field} with a template in Go's language, for a model whose weights have no chat template that says how answers are written,"
        )))
    }

    /// The images that the prompt shows.
    pub fn images(&self) -> Option<protocol::Images> {
        self.album.shown(&self.turns)
    }

    async fn render(
        &self,
        template: Box<Template>,
        whose: &'static str,
    ) -> Result<protocol::Rendered, Error> {
        let conversation = self.clone();
        let rendered = tokio::task::spawn_blocking(move || conversation.text(&template));
        rendered
            .await
            .map_err(|_| Error::Internal)?
            .map_err(|source| Error::Template { whose, source })
    }

    /// The prompt, and what of it somebody wrote.
    ///
    /// It is rendered a second time with what was written between marks. A template that looks at it may come to something
    /// else then, and so nothing is known of where it stands.
    fn text(&self, template: &Template) -> Result<protocol::Rendered, template::Error> {
        let today = Zoned::now().date();
        let text = self.rendered(template, today)?;
        let marked = literal::Marks::unused_in(self)
            .and_then(|marks| Some((self.marked(marks).rendered(template, today).ok()?, marks)))
            .and_then(|(marked, marks)| marks.take_out(&marked))
            .filter(|marked| marked.text == text);
        Ok(marked.unwrap_or_else(|| text.into()))
    }

    fn rendered(&self, template: &Template, today: Date) -> Result<String, template::Error> {
        let nothing = (String::new(), String::new());
        let (prompt, suffix) = self.insert.as_ref().unwrap_or(&nothing);
        template.render(&template::Input {
            turns: &self.turns,
            prompt,
            suffix,
            think: self.think.on,
            level: self.think.level.unwrap_or_default(),
            tools: &self.tools,
            today,
        })
    }

    fn to_template(&self) -> protocol::Template {
        let level = self.think.level.map(|level| {
            let level = Variable::Text(level.to_owned());
            ("reasoning_effort".to_owned(), level)
        });
        protocol::Template {
            messages: self.turns.iter().map(message).collect(),
            add_generation_prompt: true,
            // A template that is told nothing may let a model think of which nobody knows that it does.
            thinking: Some(self.think.on == Some(true)),
            tools: self.tools.clone(),
            tool_choice: self.tool_choice.clone(),
            variables: level.into_iter().collect(),
            ..protocol::Template::default()
        }
    }
}

fn message(turn: &Turn) -> protocol::Message {
    protocol::Message {
        role: turn.role.clone(),
        content: turn.content.clone(),
        reasoning: turn.thinking.clone(),
        tool_calls: turn.calls.clone(),
        tool_call_id: turn.tool_call_id.clone(),
        tool_name: turn.tool_name.clone(),
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
        let shorter = from(conversation, starts[middle]).conversation;
        let images = shorter.turns.iter().map(|turn| turn.images.len());
        let seen = images.sum::<usize>() * images::USUAL_TOKENS;
        let prompt = shorter.to_prompt(way).await?;
        if fits(runner, model, prompt, room.saturating_sub(seen)).await? {
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
            let way = Way::choose(request, model, own, Needs::default()).unwrap();
            conversation.to_prompt(&way).await.unwrap()
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
            match conversation.to_prompt(&Way::Own).await.unwrap() {
                Prompt::Chat(template) => {
                    assert_eq!(template.thinking, Some(expected));
                    assert_eq!(template.variables.len(), usize::from(on.is_some()));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_template_without_a_place_for_tools_gives_way_to_the_models_own() {
        let tools = Needs {
            tools: true,
            ..Needs::default()
        };
        let thoughts = Needs {
            thoughts: true,
            ..Needs::default()
        };
        let is_own = |request, model, own, needs| {
            let way = Way::choose(request, Some(model), own, needs).unwrap();
            matches!(way, Way::Own)
        };
        let plain = "{{ .Prompt }}";
        assert!(!is_own(None, plain, true, Needs::default()));
        assert!(is_own(None, plain, true, tools));
        assert!(is_own(None, plain, true, thoughts));
        assert!(!is_own(None, plain, false, tools));
        assert!(!is_own(Some(plain), plain, true, tools));
        assert!(!is_own(None, "{{ .Tools }}{{ .Prompt }}", true, tools));
        assert!(!is_own(None, "{{ .Think }}{{ .Prompt }}", true, thoughts));
    }

    #[test]
    fn answers_are_read_by_the_models_own_template_or_not_at_all() {
        let go = |has_own| {
            let needs = Needs::default();
            Way::choose(Some("{{ .Tools }}{{ .Prompt }}"), None, has_own, needs).unwrap()
        };
        let plain = Conversation {
            turns: turns("u"),
            ..Conversation::default()
        };
        assert!(plain.read_as(&Way::Own).unwrap().is_some());
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
    async fn an_unfinished_answer_goes_on_only_by_a_go_template() {
        let conversation = Conversation {
            turns: turns("ua"),
            ..Conversation::default()
        };
        let own = conversation.to_prompt(&Way::Own).await;
        assert!(matches!(own, Err(Error::Unsupported(_))));
        let template = Some("Q:{{.Prompt}} A:{{.Response}}#");
        let way = Way::choose(None, template, true, Needs::default()).unwrap();
        let prompt = conversation.to_prompt(&way).await.unwrap();
        assert_eq!(
            prompt,
            Prompt::Rendered(protocol::Rendered {
                text: "Q:0 A:1".into(),
                literal: vec![(2, 3), (6, 7)],
            })
        );
    }
}
