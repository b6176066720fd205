//! The format of answers in one conversation: where thoughts and calls are, and the grammar of calls.

use std::{collections::HashSet, sync::Arc};

use runner_protocol::Tool;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    constraint::{
        Calls,
        grammar::{Grammar, Thinking, Trigger},
    },
    error::Error,
    ffi,
};

/// What a chat template makes of a conversation.
#[derive(Debug)]
pub(crate) struct Applied {
    /// The conversation as text, with marks where text of a message looks like a control token; see [`crate::prompt::marks`].
    pub(crate) prompt: String,
    /// What marks them, where there are any.
    pub(crate) mark: Option<char>,
    /// The format of the answer. `None` for plain text.
    pub(crate) form: Option<Arc<AnswerFormat>>,
    /// The end of the prompt in which the assistant starts to speak; reading begins there.
    pub(crate) generation_prompt: String,
}

impl Applied {
    /// The text that ends the thought with which the answer begins; `None` when it begins with none.
    pub(crate) fn open_thought(&self) -> Option<String> {
        let is_open = self.thoughts()?.is_open;
        let ends = &self.form.as_ref()?.thinking.ends;
        ends.first().filter(|_| is_open).cloned()
    }

    /// Whether the prompt begins a thought and ends it, so that the answer has none.
    pub(crate) fn has_closed_thought(&self) -> bool {
        self.thoughts().is_some_and(|thoughts| !thoughts.is_open)
    }

    /// The end of the prompt behind which the answer is read. Some prompts say the first sentence of the thought that they
    /// begin: that is no part of the answer.
    pub(crate) fn beginning(&self) -> &str {
        match self.thoughts() {
            Some(Thoughts {
                at, is_open: true, ..
            }) => &self.generation_prompt[..at],
            _ => &self.generation_prompt,
        }
    }

    /// Where the prompt begins thoughts; `None` where it does not.
    fn thoughts(&self) -> Option<Thoughts> {
        let thinking = &self.form.as_ref()?.thinking;
        let start = thinking.start.trim();
        let begun = self.generation_prompt.rfind(start)? + start.len();
        let said = &self.generation_prompt[begun..];
        let ends = || thinking.ends.iter().map(|end| end.trim());
        let has_both = !start.is_empty() && ends().any(|end| !end.is_empty());
        has_both.then(|| Thoughts {
            at: begun + said.len() - said.trim_start().len(),
            is_open: !ends().any(|end| !end.is_empty() && said.contains(end)),
        })
    }

    /// The same for a prompt that was made in another way and ends like `tail`, which may have begun thoughts or not.
    pub(crate) fn behind(mut self, tail: &str) -> Self {
        let start = match &self.form {
            Some(form) => form.thinking.start.trim(),
            None => "",
        };
        if start.is_empty() {
            return self;
        }
        let tail = tail.trim_end();
        match self.generation_prompt.find(start) {
            Some(at) if !tail.ends_with(self.generation_prompt[at..].trim_end()) => {
                self.generation_prompt.truncate(at);
            }
            None if tail.ends_with(start) => self.generation_prompt.push_str(start),
            _ => {}
        }
        self
    }
}

/// Thoughts that the prompt begins.
struct Thoughts {
    /// Where they begin in the end of the prompt.
    at: usize,
    /// Whether the prompt does not end them as well.
    is_open: bool,
}

/// The format of answers.
#[derive(Debug)]
pub(crate) struct AnswerFormat {
    pub(crate) native: ffi::chat::Form,
    /// What the model must keep to, where tools are on offer.
    pub(crate) grammar: Option<Grammar>,
    /// Texts of control tokens that are part of the markup.
    pub(crate) preserved: Vec<String>,
    /// Texts that end the answer.
    pub(crate) stops: Vec<String>,
    /// Where thoughts begin and end; empty where the form has no place for them.
    pub(crate) thinking: Thinking,
    /// Bytes with which markup may begin; `None` where that cannot be told.
    pub(crate) marks: Option<Marks>,
}

/// JSON of the shim about an applied template, besides the native format.
#[derive(Debug, Deserialize)]
pub(crate) struct AppliedJson {
    pub(crate) prompt: String,
    pub(crate) generation_prompt: String,
    pub(crate) tools: bool,
    grammar: String,
    grammar_lazy: bool,
    grammar_triggers: Vec<TriggerJson>,
    preserved_tokens: Vec<String>,
    stops: Vec<String>,
    thinking_start: String,
    thinking_ends: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct TriggerJson {
    kind: u8,
    value: String,
}

impl AnswerFormat {
    /// The format with what the shim reports about it, for these tools. `None` for plain text.
    ///
    /// # Errors
    /// [`Error::Internal`] for an unknown kind of parser or trigger.
    pub(crate) fn new(
        native: ffi::chat::Form,
        said: AppliedJson,
        tools: &[Tool],
    ) -> Result<Option<Self>, Error> {
        let parser = native.parser();
        let parser = if parser.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&parser)
                .map_err(|why| Error::Internal(format!("the parser cannot be read: {why}")))?
        };
        let nodes = Nodes::of(&parser);
        if said.grammar.is_empty() && said.stops.is_empty() && nodes.are_plain() {
            return Ok(None);
        }
        let triggers = said
            .grammar_triggers
            .into_iter()
            .filter(|_| said.grammar_lazy)
            .map(|TriggerJson { kind, value }| match kind {
                0 | 1 => Ok(Trigger::Word(value)),
                2 => Ok(Trigger::Pattern(mended(value))),
                3 => Ok(Trigger::WholePattern(value)),
                other => Err(Error::Internal(format!(
                    "nobody knows a trigger of kind {other}"
                ))),
            })
            .collect::<Result<Vec<_>, _>>()?;
        // A lazy grammar that nothing triggers never holds.
        let holds = !said.grammar.is_empty() && (!said.grammar_lazy || !triggers.is_empty());
        Ok(Some(Self {
            native,
            grammar: holds.then_some(Grammar {
                calls: Calls::of(&parser, tools, said.grammar_lazy),
                gbnf: said.grammar,
                triggers,
            }),
            preserved: said.preserved_tokens,
            stops: said.stops,
            thinking: Thinking {
                start: said.thinking_start,
                ends: said.thinking_ends,
            },
            marks: nodes.marks(),
        }))
    }
}

/// A pattern, or what it should be.
///
/// Functionary names who is spoken to behind `>>>`, the first time at the end of the prompt, which is no part of the answer.
/// llama.cpp looks for `>>>` in the answer and lets its grammar begin there, though that begins with the name.
fn mended(pattern: String) -> String {
    match pattern.as_str() {
        ">>>(?!all)" => "(?:^|>>>)(?!all)([^>])".into(),
        _ => pattern,
    }
}

/// Bytes with which markup may begin where a text is open. A text without any of them only adds to what was being said.
#[derive(Debug)]
pub(crate) struct Marks([bool; 256]);

impl Marks {
    /// Whether the text holds none of them.
    pub(crate) fn none_in(&self, text: &str) -> bool {
        !text.bytes().any(|byte| self.0[usize::from(byte)])
    }
}

/// The nodes of a parser, as llama.cpp writes them: an array of objects with a `type`, that name their children by index.
struct Nodes<'p> {
    nodes: &'p [Value],
    rules: Option<&'p Value>,
}

impl<'p> Nodes<'p> {
    fn of(parser: &'p Value) -> Self {
        Self {
            nodes: parser["parsers"].as_array().map_or(&[], Vec::as_slice),
            rules: parser.get("rules"),
        }
    }

    /// The nodes that are tagged as thoughts, text or calls, with their tags.
    fn tagged(&self) -> impl Iterator<Item = (&'p str, &'p Value)> {
        self.nodes
            .iter()
            .filter(|node| node["type"] == "tag")
            .map(|node| (node["tag"].as_str().unwrap_or_default(), node))
    }

    /// Whether the answer is text from its start to its end: one tag, of text that nothing ends, behind literal beginnings.
    fn are_plain(&self) -> bool {
        let mut tagged = self.tagged();
        let plain = match (tagged.next(), tagged.next()) {
            (None, None) => self.nodes.is_empty(),
            (Some(("content", node)), None) => self
                .child(node)
                .is_some_and(|child| child["type"] == "until" && is_empty(&child["delimiters"])),
            _ => false,
        };
        let ordinary = [
            "tag", "until", "literal", "sequence", "epsilon", "end", "space",
        ];
        plain
            && self.nodes.iter().all(|node| {
                node["type"]
                    .as_str()
                    .is_some_and(|kind| ordinary.contains(&kind))
            })
    }

    /// First bytes of everything that ends a text, provided that all thoughts and all content go up to such an end.
    fn marks(&self) -> Option<Marks> {
        let open = ["content", "reasoning"];
        let goes_to_an_end =
            |(tag, node)| !open.contains(&tag) || self.goes_to_an_end(node, &mut HashSet::new());
        if !self.tagged().all(goes_to_an_end) {
            return None;
        }
        let mut marks = [false; 256];
        for node in self.nodes.iter().filter(|node| node["type"] == "until") {
            for end in node["delimiters"].as_array()? {
                marks[usize::from(*end.as_str()?.as_bytes().first()?)] = true;
            }
        }
        Some(Marks(marks))
    }

    /// Whether nothing but texts up to an end, and literals, lie below a node.
    fn goes_to_an_end(&self, node: &'p Value, seen: &mut HashSet<*const Value>) -> bool {
        if !seen.insert(node) {
            return true;
        }
        match node["type"].as_str() {
            Some("until" | "literal" | "epsilon") => true,
            Some("tag" | "rule" | "atomic" | "ref" | "ac") => self
                .child(node)
                .is_some_and(|child| self.goes_to_an_end(child, seen)),
            Some("sequence") => node["children"].as_array().is_some_and(|children| {
                children.iter().all(|child| {
                    self.node(child)
                        .is_some_and(|child| self.goes_to_an_end(child, seen))
                })
            }),
            _ => false,
        }
    }

    fn child(&self, node: &'p Value) -> Option<&'p Value> {
        match node["name"].as_str() {
            Some(name) if node["type"] == "ref" => self.node(self.rules?.get(name)?),
            _ => self.node(&node["child"]),
        }
    }

    fn node(&self, index: &Value) -> Option<&'p Value> {
        self.nodes.get(usize::try_from(index.as_u64()?).ok()?)
    }
}

fn is_empty(list: &Value) -> bool {
    list.as_array().is_some_and(Vec::is_empty)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A parser of llama.cpp's shape.
    fn parser(nodes: Value) -> Value {
        json!({"parsers": nodes, "rules": {"thought": 1}, "root": 0})
    }

    fn marks_of(nodes: Value) -> Option<String> {
        let parser = parser(nodes);
        let marks = Nodes::of(&parser).marks()?;
        let bytes = (0u8..=127).filter(|&byte| marks.0[usize::from(byte)]);
        Some(bytes.map(char::from).collect())
    }

    #[test]
    fn text_that_nothing_ends_is_plain() {
        let rest = parser(json!([
            {"type": "sequence", "children": [1, 2]},
            {"type": "literal", "literal": "assistant\n"},
            {"type": "tag", "tag": "content", "child": 3},
            {"type": "until", "delimiters": []},
        ]));
        assert!(Nodes::of(&rest).are_plain());
        assert!(Nodes::of(&Value::Null).are_plain());
        let ends = parser(json!([
            {"type": "tag", "tag": "content", "child": 1},
            {"type": "until", "delimiters": ["<end>"]},
        ]));
        assert!(!Nodes::of(&ends).are_plain());
        let thinks = parser(json!([
            {"type": "tag", "tag": "reasoning", "child": 2},
            {"type": "tag", "tag": "content", "child": 2},
            {"type": "until", "delimiters": []},
        ]));
        assert!(!Nodes::of(&thinks).are_plain());
        // Something optional may stand before the text and not be part of it.
        let optional = parser(json!([
            {"type": "sequence", "children": [1, 2]},
            {"type": "repetition", "child": 4},
            {"type": "tag", "tag": "content", "child": 3},
            {"type": "until", "delimiters": []},
            {"type": "literal", "literal": "<final>"},
        ]));
        assert!(!Nodes::of(&optional).are_plain());
    }

    #[test]
    fn marks_are_the_first_bytes_of_what_ends_texts() {
        let nodes = json!([
            {"type": "tag", "tag": "reasoning", "child": 2},
            {"type": "rule", "name": "thought", "child": 3},
            {"type": "ref", "name": "thought"},
            {"type": "until", "delimiters": ["</think>", "\n\n"]},
            {"type": "tag", "tag": "content", "child": 5},
            {"type": "until", "delimiters": ["[CALL]"]},
        ]);
        assert_eq!(marks_of(nodes).as_deref(), Some("\n<["));
    }

    #[test]
    fn text_that_ends_in_another_way_has_no_marks() {
        let nodes = json!([
            {"type": "tag", "tag": "content", "child": 1},
            {"type": "choice", "children": [2]},
            {"type": "until", "delimiters": ["x"]},
        ]);
        assert_eq!(marks_of(nodes), None);
    }
}
