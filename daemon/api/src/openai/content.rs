//! The content of a message: a text or a list of parts.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// The content of a message.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Content {
    /// A text.
    Text(String),
    /// Parts in order.
    Parts(Vec<Part>),
}

// An untagged enum would not say which part is wrong.
impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Content;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of parts")
            }
            fn visit_str<E>(self, text: &str) -> Result<Content, E> {
                Ok(Content::Text(text.to_owned()))
            }
            fn visit_string<E>(self, text: String) -> Result<Content, E> {
                Ok(Content::Text(text))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> Result<Content, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(parts)).map(Content::Parts)
            }
        }
        deserializer.deserialize_any(Read)
    }
}

/// One part of a content.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Part {
    /// `text`, `image_url` or `refusal`; also `input_text`, `output_text`, `input_image` and `thinking` under their own names. Parts
    /// of other types, such as `input_audio` and `file`, are refused.
    #[serde(rename = "type", default)]
    pub kind: Option<String>,
    /// The text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The image, as a data URL in base64. Other URLs are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<ImageUrl>,
    /// Resolution of the image; has no meaning here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The text of a refusal, which is a text like any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// The model's thinking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thinking: Option<String>,
    /// Refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_audio: Option<Value>,
    /// Refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<Value>,
    /// Has no meaning here, because every prompt is cached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<Value>,
    /// Has no meaning here, because every prompt is cached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_cache_breakpoint: Option<Value>,
    /// Has no meaning here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Value>,
}

/// An image of a part: a text, or an object with the member `url`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum ImageUrl {
    /// The URL.
    Text(String),
    /// The URL in an object.
    Object {
        /// The URL.
        url: String,
        /// Resolution of the image; has no meaning here.
        detail: Option<String>,
    },
}

#[derive(Deserialize)]
struct ImageObject {
    url: String,
    #[serde(default)]
    detail: Option<String>,
}

impl<'de> Deserialize<'de> for ImageUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = ImageUrl;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL or an object with the member `url`")
            }
            fn visit_str<E>(self, text: &str) -> Result<ImageUrl, E> {
                Ok(ImageUrl::Text(text.to_owned()))
            }
            fn visit_string<E>(self, text: String) -> Result<ImageUrl, E> {
                Ok(ImageUrl::Text(text))
            }
            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<ImageUrl, A::Error> {
                let object = ImageObject::deserialize(MapAccessDeserializer::new(members))?;
                Ok(ImageUrl::Object {
                    url: object.url,
                    detail: object.detail,
                })
            }
        }
        deserializer.deserialize_any(Read)
    }
}

impl From<ImageUrl> for String {
    fn from(image: ImageUrl) -> Self {
        match image {
            ImageUrl::Text(url) | ImageUrl::Object { url, .. } => url,
        }
    }
}
