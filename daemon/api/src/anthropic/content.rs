//! Messages of a request, and their blocks.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use utoipa::openapi::schema::{ArrayBuilder, OneOfBuilder};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A message of a conversation.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct InputMessage {
    /// `user`, `assistant` or `system`.
    pub role: String,
    /// Its text or blocks.
    #[serde(default, deserialize_with = "crate::null_as_default")]
    pub content: Blocks,
}

/// Blocks of a message; a string stands for one block of text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Blocks(
    /// The blocks in order.
    pub Vec<Block>,
);

impl PartialSchema for Blocks {
    fn schema() -> RefOr<Schema> {
        let block = Ref::from_schema_name(Block::name());
        OneOfBuilder::new()
            .description(Some("A text, or blocks."))
            .item(String::schema())
            .item(ArrayBuilder::new().items(block.clone()))
            .item(block)
            .into()
    }
}

impl ToSchema for Blocks {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Block::name().into(), Block::schema()));
        Block::schemas(schemas);
    }
}

impl<'de> Deserialize<'de> for Blocks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrBlocks)
    }
}

/// Reads a string or a list. An untagged enum would lose the path of a wrong value.
struct TextOrBlocks;

impl<'de> Visitor<'de> for TextOrBlocks {
    type Value = Blocks;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text or a list of blocks")
    }

    fn visit_str<E>(self, text: &str) -> Result<Blocks, E> {
        Ok(Blocks(vec![Block {
            kind: "text".to_owned(),
            text: Some(text.to_owned()),
            ..Block::default()
        }]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, blocks: A) -> Result<Blocks, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(blocks)).map(Blocks)
    }

    /// Results of some server tools are one object.
    fn visit_map<A: MapAccess<'de>>(self, block: A) -> Result<Blocks, A::Error> {
        let block = Block::deserialize(MapAccessDeserializer::new(block))?;
        Ok(Blocks(vec![block]))
    }
}

/// A block of a message; `type` decides which other fields count.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, ToSchema)]
pub struct Block {
    /// `text`, `image`, `document`, `search_result`, `thinking`, `redacted_thinking`, `tool_use` or `tool_result`.
    /// `server_tool_use`, its results and `tool_reference` are left out; other types are refused.
    #[serde(rename = "type")]
    pub kind: String,
    /// Text of a `text` block.
    pub text: Option<String>,
    /// The file of an `image` or `document`. The address of a `search_result` is a string here.
    pub source: Option<Source>,
    /// Title of a `document` or `search_result`, which the model reads.
    pub title: Option<String>,
    /// What a `document` is about, which the model reads.
    pub context: Option<String>,
    /// Text of a `thinking` block.
    pub thinking: Option<String>,
    /// No meaning: any signature of a `thinking` block is accepted.
    pub signature: Option<String>,
    /// No meaning: the content of `redacted_thinking` cannot be read.
    pub data: Option<String>,
    /// Id of a `tool_use`.
    pub id: Option<String>,
    /// Tool of a `tool_use`.
    pub name: Option<String>,
    /// Arguments of a `tool_use`.
    pub input: Option<Value>,
    /// The `tool_use` that a `tool_result` answers.
    pub tool_use_id: Option<String>,
    /// The result of a `tool_result`, or the text of a `search_result`.
    #[schema(no_recursion)]
    pub content: Option<Blocks>,
    /// Whether a `tool_result` is an error; the model then reads `Error:` before it.
    pub is_error: Option<bool>,
    /// No meaning: every prompt is cached.
    pub cache_control: Option<Value>,
    /// No meaning: answers have no citations.
    pub citations: Option<Value>,
    /// No meaning.
    pub caller: Option<Value>,
    /// No meaning.
    pub toolset_name: Option<Value>,
    /// No meaning: images reach the model as they are.
    pub transformations: Option<Value>,
    /// No meaning, as `tool_reference` is left out.
    pub tool_name: Option<Value>,
}

/// Where the content of an `image` or `document` is.
#[derive(Debug, Clone, Default, PartialEq, ToSchema)]
pub struct Source {
    /// `base64` for an image; `text` or `content` for a document. `url` and `file` are refused.
    #[schema(rename = "type")]
    pub kind: String,
    /// Media type of `data`. Images are recognised by their content.
    pub media_type: Option<String>,
    /// The image in base64, or the text of a document.
    pub data: Option<String>,
    /// An address, which is refused, except as the source of a `search_result`.
    pub url: Option<String>,
    /// Text or blocks of a document.
    #[schema(no_recursion)]
    pub content: Option<Blocks>,
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AddressOrSource)
    }
}

/// Reads the string of a `search_result`, or an object.
struct AddressOrSource;

impl<'de> Visitor<'de> for AddressOrSource {
    type Value = Source;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_str<E>(self, address: &str) -> Result<Source, E> {
        Ok(Source {
            kind: "url".to_owned(),
            url: Some(address.to_owned()),
            ..Source::default()
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, source: A) -> Result<Source, A::Error> {
        let object = SourceObject::deserialize(MapAccessDeserializer::new(source))?;
        Ok(Source {
            kind: object.kind,
            media_type: object.media_type,
            data: object.data,
            url: object.url,
            content: object.content,
        })
    }
}

#[derive(Deserialize)]
struct SourceObject {
    #[serde(rename = "type")]
    kind: String,
    media_type: Option<String>,
    data: Option<String>,
    url: Option<String>,
    content: Option<Blocks>,
    #[serde(rename = "file_id")]
    _file: Option<Value>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn content_is_a_text_a_list_or_one_block() {
        let read = |content: Value| {
            let message = json!({"role": "user", "content": content});
            InputMessage::deserialize(message).map(|message| message.content.0)
        };
        let block = json!({"type": "text", "text": "a"});
        let text = read(json!("a")).unwrap();
        assert_eq!(text[0].text.as_deref(), Some("a"));
        assert_eq!(read(json!([block])).unwrap(), text);
        assert_eq!(read(block).unwrap(), text);
        assert_eq!(read(Value::Null).unwrap(), []);
        let error = read(json!(1)).unwrap_err().to_string();
        assert!(error.contains("a text or a list of blocks"), "{error}");
    }

    #[test]
    fn a_source_is_an_object_or_an_address() {
        let source = Source::deserialize(json!("https://example.com")).unwrap();
        assert_eq!(source.url.as_deref(), Some("https://example.com"));
        let source = Source::deserialize(json!({"type": "text", "data": "a"})).unwrap();
        assert_eq!(
            (source.kind.as_str(), source.data.as_deref()),
            ("text", Some("a"))
        );
    }
}
