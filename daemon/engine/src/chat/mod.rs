//! The model's own chat template, rendered by llama.cpp's Jinja interpreter, and the form of answers that follows from it.
//!
//! llama.cpp finds the form in two ways. For some families of models it has special code. For all others it renders small
//! conversations that differ in one thing, looks at what changes in the text, and makes a parser and a grammar of that.
//! That takes tens of milliseconds, and depends on the tools and settings alone, so the last [`MAX_FORMS`] forms are kept.

pub(crate) mod conversation;
#[cfg(test)]
mod families;
pub(crate) mod renderer;

use std::{
    borrow::Cow,
    cell::{OnceCell, RefCell},
    sync::Arc,
    time::Instant,
};

use runner_protocol::{Message, Template, Tool};

use crate::{
    answer::format::{AnswerFormat, Applied, AppliedJson},
    error::Error,
    ffi,
    prompt::marks::{self, Controls},
};

/// The template that llama.cpp falls back to for a model that brings none: it knows the source by this name.
const CHATML: &str = "chatml";

/// Longest source of a template in bytes; those of today's models have up to some ten thousand.
const MAX_SOURCE: usize = 256 * 1024;

/// Most brackets in one another, those in texts counted too.
const MAX_BRACKETS: usize = 1024;

/// Formats that are cached: one for each set of tools and settings in use.
const MAX_FORMS: usize = 16;

/// Most tools of one conversation that are offered without their parameters.
const MAX_ODD: usize = 8;

/// A parsed chat template.
#[derive(Debug)]
pub(crate) struct Chat {
    native: ffi::chat::Chat,
    /// Whether a conversation may be rewritten before it is rendered, so that form and prompt come together or not at all.
    is_special: bool,
    /// Spelled control tokens, which are text in messages.
    controls: Arc<Controls>,
    /// With what they follow from, the last used at the end.
    forms: RefCell<Vec<(String, Option<Arc<AnswerFormat>>)>>,
    /// Whether the template renders a system message behind others, once that was needed.
    renders_late_system: OnceCell<bool>,
}

impl Chat {
    /// Parses the template, or `ChatML` where there is none.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the parser's message, or for more than [`MAX_SOURCE`].
    pub(crate) fn parse(
        source: Option<&str>,
        bos: &str,
        eos: &str,
        controls: Arc<Controls>,
    ) -> Result<Self, Error> {
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
        let source = source.unwrap_or(CHATML);
        check(source)?;
        let native = ffi::chat::Chat::parse(source, bos, eos)
            .map_err(|why| failed("the chat template cannot be parsed", &why))?;
        tracing::debug!(took = ?began.elapsed(), "parsed the chat template");
        Ok(Self {
            is_special: native.is_special(),
            native,
            controls,
            forms: RefCell::default(),
            renders_late_system: OnceCell::new(),
        })
    }

    /// Whether llama.cpp has special code for the family.
    #[cfg(test)]
    pub(crate) fn is_special(&self) -> bool {
        self.is_special
    }

    /// Renders a conversation, without the form of its answer.
    ///
    /// # Errors
    /// [`Error::Invalid`] with what the template says.
    pub(crate) fn render(&self, conversation: &Template) -> Result<Applied, Error> {
        conversation::check(conversation)?;
        let conversation = &*self.with_fitting_systems(conversation);
        let prompt = self.prompt(conversation)?;
        let marked = marks::marked(conversation, &self.controls)?;
        let marked = marked.and_then(|(marked, mark)| Some((self.prompt(&marked).ok()?, mark)));
        let marked = marked.filter(|(marked, mark)| marks::without(marked, *mark) == prompt);
        let (prompt, mark) = marked.map_or((prompt, None), |(marked, mark)| (marked, Some(mark)));
        Ok(Applied {
            prompt,
            mark,
            form: None,
            generation_prompt: String::new(),
        })
    }

    /// The conversation with its system messages where the template renders them: those at the start are joined, and later ones
    /// are moved to the start if the template refuses or drops them there.
    fn with_fitting_systems<'c>(&self, conversation: &'c Template) -> Cow<'c, Template> {
        let messages = &conversation.messages;
        let is_system = |message: &&Message| message.role == "system";
        let leading = messages.iter().take_while(is_system).count();
        let is_late = messages[leading..]
            .iter()
            .any(|message| is_system(&message));
        if leading < 2 && !is_late {
            return Cow::Borrowed(conversation);
        }
        let first = match is_late && !self.renders_late_system() {
            true => messages.len(),
            false => leading,
        };
        Cow::Owned(conversation::with_joined_systems(conversation, first))
    }

    fn renders_late_system(&self) -> bool {
        *self.renders_late_system.get_or_init(|| {
            let (probe, mark) = conversation::late_system();
            self.ask(&probe, true)
                .is_ok_and(|(_, said)| said.prompt.contains(mark))
        })
    }

    fn prompt(&self, conversation: &Template) -> Result<String, Error> {
        // What it comes to then follows from the form.
        if conversation.thinking == Some(true)
            && let Ok(applied) = self.apply_within(conversation)
        {
            return Ok(applied.prompt);
        }
        let (_, said) = self.ask(conversation, !self.is_special)?;
        Ok(said.prompt)
    }

    /// Renders a conversation and finds the form of its answer.
    ///
    /// A template whose form llama.cpp does not understand is still good for conversations without tools: then the answer is text.
    ///
    /// There are templates for which wanted thoughts are not enough, because they ask for a depth: they begin thoughts and end
    /// them at once. They are told one. And for those that refuse the depth that is given, it says no more than that thoughts are
    /// wanted.
    ///
    /// # Errors
    /// [`Error::Invalid`] with what the template says, or when tools are on offer of which it knows nothing.
    pub(crate) fn apply(&self, conversation: &Template) -> Result<Applied, Error> {
        conversation::check(conversation)?;
        let conversation = &*self.with_fitting_systems(conversation);
        let applied = self.apply_within(conversation)?;
        let Some((marked, mark)) = marks::marked(conversation, &self.controls)? else {
            return Ok(applied);
        };
        // A template that looks at what is written may treat it otherwise with marks in it: then there are none.
        match self.apply_within(&marked) {
            Ok(marked) if marks::without(&marked.prompt, mark) == applied.prompt => Ok(Applied {
                prompt: marked.prompt,
                mark: Some(mark),
                ..applied
            }),
            _ => {
                tracing::warn!(
                    "the chat template changes what is written; control tokens in it count as such"
                );
                Ok(applied)
            }
        }
    }

    fn apply_within(&self, conversation: &Template) -> Result<Applied, Error> {
        let applied = match self.apply_literally(conversation) {
            Err(error) => {
                let without = conversation::without_depth(conversation);
                return without
                    .and_then(|without| self.apply_within(&without).ok())
                    .ok_or(error);
            }
            Ok(applied) => applied,
        };
        if applied.has_closed_thought()
            && let Some(deeper) = conversation::deeper(conversation)
            && let Ok(deeper) = self.apply_literally(&deeper)
            && deeper.open_thought().is_some()
        {
            return Ok(deeper);
        }
        Ok(applied)
    }

    fn apply_literally(&self, conversation: &Template) -> Result<Applied, Error> {
        if self.is_special {
            let (native, said) = self.ask(conversation, false)?;
            knows_tools(&said, conversation)?;
            let (prompt, generation_prompt) = (said.prompt.clone(), said.generation_prompt.clone());
            return Ok(Applied {
                prompt,
                mark: None,
                form: AnswerFormat::new(native, said, &conversation.tools)?.map(Arc::new),
                generation_prompt,
            });
        }
        let (_, plain) = self.ask(conversation, true)?;
        knows_tools(&plain, conversation)?;
        Ok(Applied {
            form: self.form(conversation, &plain.generation_prompt)?,
            prompt: plain.prompt,
            mark: None,
            generation_prompt: plain.generation_prompt,
        })
    }

    /// The form that follows from a conversation's tools and settings; kept, or found now.
    fn form(
        &self,
        conversation: &Template,
        generation_prompt: &str,
    ) -> Result<Option<Arc<AnswerFormat>>, Error> {
        let mut key = conversation::form_key(conversation);
        key.push_str(generation_prompt);
        let mut forms = self.forms.borrow_mut();
        if let Some(index) = forms.iter().position(|(other, _)| *other == key) {
            let known = forms.remove(index);
            let form = known.1.clone();
            forms.push(known);
            return Ok(form);
        }
        let began = Instant::now();
        let form = match self.ask(conversation, false) {
            Ok((native, said)) => {
                AnswerFormat::new(native, said, &conversation.tools)?.map(Arc::new)
            }
            Err(error) if conversation.tools.is_empty() => {
                tracing::warn!(%error, "the form of answers is not understood; they are taken as text");
                None
            }
            Err(error) => return Err(error),
        };
        tracing::debug!(took = ?began.elapsed(), "found the form of answers");
        if forms.len() >= MAX_FORMS {
            forms.remove(0);
        }
        forms.push((key, form.clone()));
        Ok(form)
    }

    /// Asks llama.cpp about a conversation.
    ///
    /// A tool whose parameters the template or llama.cpp cannot read does not keep the others from being called: it is offered
    /// without them.
    fn ask(
        &self,
        conversation: &Template,
        plain: bool,
    ) -> Result<(ffi::chat::Form, AppliedJson), Error> {
        let mut mended = None;
        for _ in 0..=MAX_ODD {
            let asked = mended.as_ref().unwrap_or(conversation);
            let error = match self.ask_literally(asked, plain) {
                Err(error) if !asked.tools.is_empty() => error,
                answered => return answered,
            };
            let Some(odd) = self.odd_tool(asked, plain) else {
                return Err(error);
            };
            let tool = &asked.tools[odd];
            let without_drafts = conversation::without_parameters(tool);
            if self.refuses(asked, std::slice::from_ref(&without_drafts), plain) {
                return Err(Error::Invalid(format!("the tool {}: {error}", tool.name)));
            }
            tracing::warn!(tool = tool.name, %error, "a tool is offered without its parameters");
            let mut other = asked.clone();
            other.tools[odd] = without_drafts;
            mended = Some(other);
        }
        Err(Error::Invalid(format!(
            "the parameters of more than {MAX_ODD} tools cannot be read"
        )))
    }

    /// The first tool that is refused by itself, while a conversation without tools is not.
    fn odd_tool(&self, conversation: &Template, plain: bool) -> Option<usize> {
        let tools = &conversation.tools;
        if self.refuses(conversation, &[], plain) {
            return None;
        }
        let (mut from, mut to) = (0, tools.len());
        while to - from > 1 {
            let middle = usize::midpoint(from, to);
            match self.refuses(conversation, &tools[from..middle], plain) {
                true => to = middle,
                false => from = middle,
            }
        }
        self.refuses(conversation, &tools[from..to], plain)
            .then_some(from)
    }

    fn refuses(&self, conversation: &Template, tools: &[Tool], plain: bool) -> bool {
        let some = conversation::with_tools(conversation, tools);
        self.ask_literally(&some, plain).is_err()
    }

    fn ask_literally(
        &self,
        conversation: &Template,
        plain: bool,
    ) -> Result<(ffi::chat::Form, AppliedJson), Error> {
        let request = conversation::request(conversation, plain);
        let (form, said) = self
            .native
            .apply(&request)
            .map_err(|why| failed("the chat template refuses this conversation", &why))?;
        let said = serde_json::from_str(&said)
            .map_err(|why| Error::Internal(format!("the shim cannot be understood: {why}")))?;
        Ok((form, said))
    }
}

/// Tools that the template never shows to the model would be offered in vain.
fn knows_tools(said: &AppliedJson, conversation: &Template) -> Result<(), Error> {
    if said.tools || conversation.tools.is_empty() {
        return Ok(());
    }
    Err(Error::Invalid(
        "the model's chat template knows no tools; use a model that calls tools".into(),
    ))
}

/// Refuses a source that would be followed deeper than the stack reaches, before anything is followed.
///
/// Its parser goes down by some levels for each bracket, and asks for no memory on the way, which is where its bounds lie.
fn check(source: &str) -> Result<(), Error> {
    let depths = source.bytes().scan(0usize, |depth, byte| {
        match byte {
            b'(' | b'[' | b'{' => *depth += 1,
            b')' | b']' | b'}' => *depth = depth.saturating_sub(1),
            _ => {}
        }
        Some(*depth)
    });
    if depths.max().is_some_and(|depth| depth > MAX_BRACKETS) {
        return Err(Error::Invalid(format!(
            "the chat template of the weights cannot be used: it has more than {MAX_BRACKETS} brackets in one another"
        )));
    }
    Ok(())
}

/// What the shim says of a template that fails, or of the bound that it passed.
fn failed(what: &str, why: &str) -> Error {
    Error::Invalid(match why.strip_prefix('\u{1}') {
        Some(bound) => format!("the chat template of the weights cannot be used: {bound}"),
        None => format!("{what}: {}", reason(why)),
    })
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
    use super::*;

    #[test]
    fn system_messages_are_joined_at_the_start_where_the_template_wants_them() {
        let roles = [
            ("system", "a"),
            ("system", "b"),
            ("user", "c"),
            ("system", "d"),
            ("user", "e"),
        ];
        let render = |source: &str| {
            let chat = parsed(Some(source), "", "").unwrap();
            chat.render(&conversation(&roles)).unwrap().prompt
        };
        let anywhere = "{% for m in messages %}{{ m.role[0] }}:{{ m.content }};{% endfor %}";
        assert_eq!(render(anywhere), "s:a\n\nb;u:c;s:d;u:e;");
        let first = "{% for m in messages %}{% if m.role == 'system' and not loop.first %}{{ raise_exception('system must be first') }}{% endif %}{{ m.role[0] }}:{{ m.content }};{% endfor %}";
        assert_eq!(render(first), "s:a\n\nb\n\nd;u:c;u:e;");
        let dropped = "{% for m in messages %}{% if m.role != 'system' or loop.first %}{{ m.role[0] }}:{{ m.content }};{% endif %}{% endfor %}";
        assert_eq!(render(dropped), "s:a\n\nb\n\nd;u:c;u:e;");
    }

    fn parsed(source: Option<&str>, bos: &str, eos: &str) -> Result<Chat, Error> {
        Chat::parse(source, bos, eos, Arc::default())
    }

    fn conversation(roles: &[(&str, &str)]) -> Template {
        let messages = roles
            .iter()
            .map(|&(role, content)| Message {
                role: role.into(),
                content: content.into(),
                ..Message::default()
            })
            .collect();
        Template {
            messages,
            add_generation_prompt: true,
            ..Template::default()
        }
    }

    #[test]
    fn a_model_without_a_template_speaks_chatml() {
        let chat = parsed(None, "<s>", "</s>").unwrap();
        let prompt = chat
            .render(&conversation(&[("system", "Be brief."), ("user", "Hi")]))
            .unwrap()
            .prompt;
        assert_eq!(
            prompt,
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
        );
    }

    #[test]
    fn a_template_sees_tokens_messages_and_flags() {
        let source = "{{ bos_token }}{% for m in messages %}[{{ m.role }}:{{ m.content }}]{% endfor %}\
                      {% if add_generation_prompt %}>{% endif %}{% if not enable_thinking %}no-think{% endif %}{{ eos_token }}";
        let chat = parsed(Some(source), "<s>", "</s>").unwrap();
        let mut asked = conversation(&[("user", "a\0b <é🦀>")]);
        assert_eq!(
            chat.render(&asked).unwrap().prompt,
            "<s>[user:a\0b <é🦀>]></s>"
        );
        asked.thinking = Some(false);
        asked.add_generation_prompt = false;
        assert_eq!(
            chat.render(&asked).unwrap().prompt,
            "<s>[user:a\0b <é🦀>]no-think</s>"
        );
    }

    #[test]
    fn a_template_that_cannot_be_parsed_says_so() {
        let error = parsed(Some("{% for x in %}"), "", "").unwrap_err();
        assert!(
            matches!(&error, Error::Invalid(why) if why.starts_with("the chat template cannot be parsed: ")),
            "{error}"
        );
        assert!(!error.to_string().contains('\n'), "{error}");
    }

    #[test]
    fn a_template_that_is_too_long_says_so() {
        let error = parsed(Some(&"x".repeat(MAX_SOURCE + 1)), "", "").unwrap_err();
        assert!(error.to_string().contains("longer"), "{error}");
    }

    #[test]
    fn what_a_template_raises_comes_back() {
        let source = "{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}{{ m.content }}{% endfor %}";
        let chat = parsed(Some(source), "", "").unwrap();
        assert_eq!(
            chat.render(&conversation(&[("user", "fine")]))
                .unwrap()
                .prompt,
            "fine"
        );
        let error = chat.render(&conversation(&[("tool", "x")])).unwrap_err();
        assert!(error.to_string().ends_with("no tools here"), "{error}");
    }

    #[test]
    fn an_odd_tool_does_not_refuse_the_others() {
        let source = "{% for t in tools %}{{ t.function.name }}{% if t.function.name == 'never' %}{{ raise_exception('no') }}{% endif %}\
                      {% for n, p in t.function.parameters.properties.items() %}({{ n }}{{ p.type.upper() }}){% endfor %}{% endfor %}\
                      {% for m in messages %}{{ m.content }}{% if m.tool_calls %}{{ m.tool_calls[0].function.name }}{% endif %}{% endfor %}";
        let chat = parsed(Some(source), "", "").unwrap();
        let tool = |name: &str, parameters: &str| Tool {
            name: name.into(),
            description: String::new(),
            parameters: parameters.into(),
        };
        let good = r#"{"type": "object", "properties": {"a": {"type": "string"}}}"#;
        let mut asked = conversation(&[("user", "hi")]);
        asked.tools = vec![
            tool("one", good),
            tool(
                "odd",
                r#"{"type": "object", "properties": {"b": {"type": 5}}}"#,
            ),
            tool("two", good),
        ];
        let prompt = chat.render(&asked).unwrap().prompt;
        assert_eq!(prompt, "one(aSTRING)oddtwo(aSTRING)hi");
        asked.tools[1].name = "never".into();
        let error = chat.render(&asked).unwrap_err().to_string();
        assert!(error.contains("the tool never"), "{error}");
    }

    #[test]
    fn an_empty_conversation_is_refused() {
        let chat = parsed(None, "", "").unwrap();
        assert!(matches!(
            chat.render(&conversation(&[])),
            Err(Error::Invalid(_))
        ));
    }
}
