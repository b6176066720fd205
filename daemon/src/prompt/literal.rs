//! Finds the literal ranges of a rendered prompt: bytes from messages and tools, in which control tokens are plain text.
//!
//! Before the template is rendered, each text of a message or tool gets a mark before and after it. The marks are Unicode
//! noncharacters. Afterwards they are removed, and their positions are the ranges.

use runner_protocol::{Message, Rendered, Tool, ToolCall};
use serde_json::Value;

use super::Texts;

/// Unicode noncharacters.
const MARKS: std::ops::RangeInclusive<char> = '\u{fdd0}'..='\u{fdef}';

/// The two marks around a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marks {
    begin: char,
    end: char,
}

impl Marks {
    /// Two marks that no text of the conversation contains; `None` if the texts contain too many noncharacters.
    pub(super) fn unused_in(texts: &Texts) -> Option<Self> {
        let is_free = |mark: &char| !texts.all().any(|text| text.contains(*mark));
        let mut free = MARKS.filter(is_free);
        Some(Self {
            begin: free.next()?,
            end: free.next()?,
        })
    }

    /// A text between the marks. An empty text stays empty, because templates test for it.
    fn around(self, text: &str) -> String {
        if text.is_empty() {
            return String::new();
        }
        format!("{}{text}{}", self.begin, self.end)
    }

    /// A JSON value with marks around its texts, but not around names. A text that cannot begin a control token gets none.
    fn within(self, json: &str) -> String {
        if !may_be_control(json) {
            return json.to_owned();
        }
        match serde_json::from_str(json) {
            Ok(mut value) => {
                self.each_text(&mut value);
                value.to_string()
            }
            Err(_) => json.to_owned(),
        }
    }

    fn each_text(self, value: &mut Value) {
        match value {
            Value::String(text) if may_be_control(text) => *text = self.around(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.each_text(item)),
            Value::Object(members) => members.values_mut().for_each(|item| self.each_text(item)),
            _ => {}
        }
    }

    /// The prompt without marks, and its literal ranges; `None` for marks that are not in pairs.
    pub(super) fn take_out(self, marked: &str) -> Option<Rendered> {
        let mut rendered = Rendered::default();
        let mut begun = None;
        for part in marked.split_inclusive([self.begin, self.end]) {
            let text = part.trim_end_matches([self.begin, self.end]);
            rendered.text.push_str(text);
            let at = u32::try_from(rendered.text.len()).ok()?;
            match (part.chars().next_back(), begun) {
                (Some(mark), None) if mark == self.begin => begun = Some(at),
                (Some(mark), Some(from)) if mark == self.end => {
                    rendered.literal.push((from, at));
                    begun = None;
                }
                (Some(mark), _) if mark == self.begin || mark == self.end => return None,
                _ => {}
            }
        }
        begun.is_none().then_some(rendered)
    }
}

/// Whether a control token of a known vocabulary can begin in a text.
fn may_be_control(text: &str) -> bool {
    text.contains(['<', '[', '|', '｜', '{'])
}

impl Texts {
    /// The texts, each between marks.
    pub(super) fn marked(&self, marks: Marks) -> Self {
        let call = |call: &ToolCall| ToolCall {
            arguments: marks.within(&call.arguments),
            ..call.clone()
        };
        let message = |message: &Message| Message {
            content: marks.around(&message.content),
            reasoning: marks.around(&message.reasoning),
            tool_calls: message.tool_calls.iter().map(call).collect(),
            ..message.clone()
        };
        let tool = |tool: &Tool| Tool {
            description: marks.around(&tool.description),
            parameters: marks.within(&tool.parameters),
            ..tool.clone()
        };
        Self {
            messages: self.messages.iter().map(message).collect(),
            suffix: marks.around(&self.suffix),
            tools: self.tools.iter().map(tool).collect(),
        }
    }

    /// All texts of clients and tools.
    fn all(&self) -> impl Iterator<Item = &String> {
        let messages = self.messages.iter().flat_map(|message| {
            let calls = message.tool_calls.iter().map(|call| &call.arguments);
            [&message.content, &message.reasoning]
                .into_iter()
                .chain(calls)
        });
        let tools = self.tools.iter();
        let tools = tools.flat_map(|tool| [&tool.description, &tool.parameters]);
        messages.chain([&self.suffix]).chain(tools)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::Conversation;
    use crate::template::Template;
    use crate::turn::{Role, Turn};

    fn conversation(text: &str) -> Conversation {
        Conversation {
            turns: vec![Turn::text(Role::User, text)],
            ..Conversation::default()
        }
    }

    fn literal(template: &str, text: &str) -> Vec<String> {
        let template = Template::parse(template).unwrap();
        let Rendered { text, literal } = conversation(text).text(&template).unwrap();
        let places = literal.into_iter();
        places
            .map(|(from, to)| text[from as usize..to as usize].to_owned())
            .collect()
    }

    #[test]
    fn texts_of_messages_are_literal_and_those_of_the_template_are_not() {
        let template = "<s>{{ .Prompt }}</s>{{ .Prompt }}";
        assert_eq!(literal(template, "é<s>x"), ["é<s>x", "é<s>x"]);
        let messages = "{{ range .Messages }}<{{ .Role }}>{{ .Content }}</s>{{ end }}";
        assert_eq!(literal(messages, "a</s>"), ["a</s>"]);
        let rendered = conversation("hi")
            .text(&Template::parse(messages).unwrap())
            .unwrap();
        assert_eq!(
            (rendered.text.as_str(), rendered.literal),
            ("<user>hi</s>", vec![(6, 8)])
        );
    }

    #[test]
    fn a_template_that_compares_texts_renders_the_same_without_ranges() {
        let first = r#"{{ if eq .Prompt "a" }}yes{{ else }}{{ .Prompt }}{{ end }}"#;
        let rendered = conversation("a")
            .text(&Template::parse(first).unwrap())
            .unwrap();
        assert_eq!(rendered, "yes".to_owned().into());
        let cut = "{{ slice .Prompt 1 }}";
        let rendered = conversation("<s>")
            .text(&Template::parse(cut).unwrap())
            .unwrap();
        assert_eq!(rendered, "s>".to_owned().into());
    }

    #[test]
    fn marks_occur_in_no_text() {
        let marks = Marks::unused_in(&conversation("\u{fdd0}x").texts()).unwrap();
        assert_eq!((marks.begin, marks.end), ('\u{fdd1}', '\u{fdd2}'));
        let all: String = MARKS.skip(1).collect();
        assert_eq!(Marks::unused_in(&conversation(&all).texts()), None);
        let rendered = conversation(&all)
            .text(&Template::parse("{{ .Prompt }}").unwrap())
            .unwrap();
        assert_eq!(rendered, all.into());
    }
}
