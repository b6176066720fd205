//! Control tokens in the text of a message, such as `<|im_end|>`, are text, and must not end the message.
//!
//! Where a text looks like one, a mark is put behind its first character before a template is rendered, and taken out again when the
//! prompt is turned into tokens. What has a mark in it is text; all other control tokens are those of the template.
//! A mark is a character that Unicode gives no meaning to, and that nothing in the conversation has.

use runner_protocol::{Rendered, Template};
use serde_json::Value;

use crate::{error::Error, prompt::seams::Seams};

/// Control tokens as they are written.
pub(crate) type Controls = Seams;

/// Characters without a meaning.
const MARKS: std::ops::RangeInclusive<char> = '\u{fdd0}'..='\u{fdef}';

/// The conversation with a mark in all that looks like a control token; `None` where nothing does.
///
/// # Errors
/// [`Error::Invalid`] when it has all characters that could be one.
pub(crate) fn marked(
    conversation: &Template,
    controls: &Controls,
) -> Result<Option<(Template, char)>, Error> {
    if !texts(conversation).any(|text| controls.first(text).is_some()) {
        return Ok(None);
    }
    let mark = unused(texts(conversation))?;
    let put = |text: &mut String| *text = put(text, 0..text.len(), controls, mark);
    let json = |text: &mut String| {
        // What cannot be read is refused elsewhere.
        if controls.first(text).is_some()
            && let Ok(mut value) = serde_json::from_str(text)
        {
            each_text(&mut value, &put);
            *text = value.to_string();
        }
    };
    let mut marked = conversation.clone();
    for message in &mut marked.messages {
        put(&mut message.content);
        put(&mut message.reasoning);
        put(&mut message.tool_call_id);
        put(&mut message.tool_name);
        for call in &mut message.tool_calls {
            put(&mut call.id);
            json(&mut call.arguments);
        }
    }
    for tool in &mut marked.tools {
        put(&mut tool.description);
        json(&mut tool.parameters);
    }
    Ok(Some((marked, mark)))
}

/// The same for a prompt that was rendered elsewhere, with the places in it that are text.
///
/// # Errors
/// [`Error::Invalid`] for places that are none, and as [`marked`].
pub(crate) fn marked_text(
    rendered: &Rendered,
    controls: &Controls,
) -> Result<(String, Option<char>), Error> {
    let Rendered { text, literal } = rendered;
    let places = literal
        .iter()
        .map(|&(from, to)| (from as usize, to as usize));
    let mut end = 0;
    for (from, to) in places.clone() {
        let is_place = end <= from && from <= to && text.get(from..to).is_some();
        if !is_place {
            return Err(Error::Invalid(format!(
                "{from} to {to} is no place in the prompt"
            )));
        }
        end = to;
    }
    if !places
        .clone()
        .any(|(from, to)| controls.first(&text[from..to]).is_some())
    {
        return Ok((text.clone(), None));
    }
    let mark = unused(std::iter::once(text.as_str()))?;
    let (mut marked, mut at) = (String::with_capacity(text.len()), 0);
    for (from, to) in places {
        marked.push_str(&text[at..from]);
        marked.push_str(&put(text, from..to, controls, mark));
        at = to;
    }
    marked.push_str(&text[at..]);
    Ok((marked, Some(mark)))
}

/// A prompt with marks, as it goes to others.
pub(crate) fn rendered(prompt: &str, mark: Option<char>, controls: &Controls) -> Rendered {
    let Some(mark) = mark else {
        return Rendered::from(prompt.to_owned());
    };
    let (text, marks) = taken_out(prompt, mark);
    let mut literal: Vec<(u32, u32)> = Vec::new();
    for at in marks {
        let begin = text.floor_char_boundary(at - 1);
        let length = controls
            .token(&text.as_bytes()[begin..])
            .unwrap_or(at - begin);
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let (from, to) = (place(begin), place(begin + length));
        match literal.last_mut() {
            Some(last) if from < last.1 => last.1 = last.1.max(to),
            _ => literal.push((from, to)),
        }
    }
    Rendered { text, literal }
}

/// A text without its marks.
pub(crate) fn without(text: &str, mark: char) -> String {
    text.replace(mark, "")
}

/// A text without its marks, and where in it they stood.
pub(crate) fn taken_out(text: &str, mark: char) -> (String, Vec<usize>) {
    let (mut plain, mut marks) = (String::with_capacity(text.len()), Vec::new());
    for (at, part) in text.split(mark).enumerate() {
        if at > 0 && !plain.is_empty() {
            marks.push(plain.len());
        }
        plain.push_str(part);
    }
    (plain, marks)
}

/// A part of a text with a mark behind the first character of each control token that begins in it.
fn put(text: &str, part: std::ops::Range<usize>, controls: &Controls, mark: char) -> String {
    let mut marked = String::with_capacity(part.len());
    for (at, letter) in text[part.clone()].char_indices() {
        marked.push(letter);
        if controls
            .token(&text.as_bytes()[part.start + at..])
            .is_some()
        {
            marked.push(mark);
        }
    }
    marked
}

/// A mark that none of the texts has.
fn unused<'t>(texts: impl Iterator<Item = &'t str> + Clone) -> Result<char, Error> {
    let is_free = |mark: &char| !texts.clone().any(|text| text.contains(*mark));
    MARKS.into_iter().find(is_free).ok_or_else(|| {
        Error::Invalid(
            "the prompt has all of the characters U+FDD0 to U+FDEF, of which one must be free"
                .into(),
        )
    })
}

/// All texts of a conversation that a user or a tool wrote.
fn texts(conversation: &Template) -> impl Iterator<Item = &str> + Clone {
    let messages = conversation.messages.iter().flat_map(|message| {
        let calls = message.tool_calls.iter();
        [
            &message.content,
            &message.reasoning,
            &message.tool_call_id,
            &message.tool_name,
        ]
        .into_iter()
        .chain(calls.flat_map(|call| [&call.id, &call.arguments]))
    });
    let tools = conversation.tools.iter();
    let tools = tools.flat_map(|tool| [&tool.description, &tool.parameters]);
    messages.chain(tools).map(String::as_str)
}

/// Changes all texts of a value, and no names of members.
fn each_text(value: &mut Value, change: &impl Fn(&mut String)) {
    match value {
        Value::String(text) => change(text),
        Value::Array(items) => items.iter_mut().for_each(|item| each_text(item, change)),
        Value::Object(members) => members
            .values_mut()
            .for_each(|item| each_text(item, change)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use runner_protocol::{Message, Tool};

    use super::*;

    fn controls() -> Controls {
        Seams::new(["<s>", "<|end|>"].map(|text| text.as_bytes().into()))
    }

    fn user(text: &str) -> Template {
        Template {
            messages: vec![Message {
                role: "user".into(),
                content: text.into(),
                ..Message::default()
            }],
            ..Template::default()
        }
    }

    #[test]
    fn ordinary_texts_have_no_marks() {
        let ordinary = user("a < b, <b>bold</b> and </s>");
        assert!(marked(&ordinary, &controls()).unwrap().is_none());
    }

    #[test]
    fn a_mark_lies_within_each_control_token_and_nothing_else_changes() {
        let (marked, mark) = marked(&user("a<s>é<|end|><|end"), &controls())
            .unwrap()
            .unwrap();
        let content = &marked.messages[0].content;
        assert_eq!(*content, format!("a<{mark}s>é<{mark}|end|><|end"));
        assert!(controls().first(content).is_none());
        assert_eq!(without(content, mark), "a<s>é<|end|><|end");
        let rendered = rendered(content, Some(mark), &controls());
        assert_eq!(rendered.text, "a<s>é<|end|><|end");
        assert_eq!(rendered.literal, [(1, 4), (6, 13)]);
        let again = marked_text(&rendered, &controls()).unwrap();
        assert_eq!(again, (content.clone(), Some(mark)));
    }

    #[test]
    fn what_tools_say_is_text_and_stays_json() {
        let mut asked = user("x");
        asked.tools.push(Tool {
            name: "f".into(),
            description: "ends <s>".into(),
            parameters: r#"{"properties":{"a":{"description":"<|end|>"}}}"#.into(),
        });
        let (marked, mark) = marked(&asked, &controls()).unwrap().unwrap();
        assert!(controls().first(&marked.tools[0].description).is_none());
        let parameters: Value = serde_json::from_str(&marked.tools[0].parameters).unwrap();
        assert_eq!(
            parameters["properties"]["a"]["description"],
            format!("<{mark}|end|>")
        );
    }

    #[test]
    fn a_mark_is_none_of_the_characters_that_are_there() {
        let (_, mark) = marked(&user("<s>\u{fdd0}\u{fdd1}"), &controls())
            .unwrap()
            .unwrap();
        assert_eq!(mark, '\u{fdd2}');
        let all: String = MARKS.collect();
        assert!(matches!(
            marked(&user(&format!("<s>{all}")), &controls()),
            Err(Error::Invalid(_))
        ));
    }

    #[test]
    fn places_that_are_none_are_refused() {
        for literal in [
            vec![(0, 9)],
            vec![(2, 1)],
            vec![(0, 2), (1, 3)],
            vec![(0, 1)],
        ] {
            let rendered = Rendered {
                text: "é<s>".into(),
                literal,
            };
            assert!(marked_text(&rendered, &controls()).is_err());
        }
    }
}
