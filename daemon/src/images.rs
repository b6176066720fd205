//! Images of a request: from base64 to files, and their places in the conversation.
//!
//! Nothing of a file is looked at here: that is hostile input for a decoder, and decoders run in the runner, which is confined.
//! What is checked is how many there are and how large they are. Addresses are not fetched: a request would make this service
//! talk to whatever its client names.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use runner_protocol::images::{self, MAX_IMAGE_BYTES, MAX_IMAGES, MAX_IMAGES_BYTES};
use runner_protocol::{Bytes, Image, Tool};

use crate::error::Error;
use crate::template::Turn;

// Clients check an image against the same limit before they send it.
const _: () = assert!(MAX_IMAGE_BYTES == api::layout::MAX_IMAGE_BYTES);

/// About how many tokens an image has, for whoever needs to know before it was looked at.
pub const USUAL_TOKENS: usize = 768;

/// What clients write in a text where an image belongs.
const PLACE: &str = "[img]";

/// Base64 with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// All images of one request. They are numbered from 1.
#[derive(Debug, Clone, Default)]
pub struct Album {
    files: Vec<Arc<[u8]>>,
    bytes: usize,
    mark: String,
}

impl Album {
    /// Takes the images of a message in. Says their numbers.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the first that is not good.
    pub fn take(&mut self, texts: Option<Vec<String>>) -> Result<Vec<u32>, Error> {
        texts
            .unwrap_or_default()
            .into_iter()
            .map(|text| {
                if self.files.len() >= MAX_IMAGES {
                    return Err(Error::Invalid(format!(
                        "a request may have {MAX_IMAGES} images"
                    )));
                }
                let number = u32::try_from(self.files.len() + 1).expect("there are few");
                let file = read(&text)
                    .map_err(|reason| Error::Invalid(format!("image {number} {reason}")))?;
                self.bytes += file.len();
                if self.bytes > MAX_IMAGES_BYTES {
                    return Err(Error::Invalid(format!(
                        "the images of a request may have {} MiB together",
                        MAX_IMAGES_BYTES >> 20
                    )));
                }
                self.files.push(file.into());
                Ok(number)
            })
            .collect()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Puts the places of images into the texts of their messages: where these say `[img]`, in order, and the others at the start.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a text holds the mark of the places, which is drawn at random for each request.
    pub fn place(&mut self, turns: &mut [Turn], tools: &[Tool]) -> Result<(), Error> {
        self.place_by(random_mark(), turns, tools)
    }

    /// The texts are looked through once, so the work does not grow with what a client writes in them.
    fn place_by(&mut self, mark: String, turns: &mut [Turn], tools: &[Tool]) -> Result<(), Error> {
        if self.is_empty() {
            return Ok(());
        }
        let is_in = |text: &str| text.contains(&mark);
        if turns.iter().flat_map(texts_of).any(is_in)
            || tools.iter().flat_map(texts_of_tool).any(is_in)
        {
            return Err(Error::Invalid(
                "a text of the request has the mark of its images; send the request again".into(),
            ));
        }
        self.mark = mark;
        for turn in turns {
            let mut first = String::new();
            for number in &turn.images {
                let place = images::place(&self.mark, *number);
                match turn.content.contains(PLACE) {
                    true => turn.content = turn.content.replacen(PLACE, &place, 1),
                    false => first.push_str(&place),
                }
            }
            turn.content.insert_str(0, &first);
        }
        Ok(())
    }

    /// The images that these messages show, for a runner; `None` when there are none.
    pub fn shown(&self, turns: &[Turn]) -> Option<images::Images> {
        let numbers = turns.iter().flat_map(|turn| &turn.images);
        let images: Vec<Image> = numbers
            .map(|number| Image {
                number: *number,
                file: Bytes(self.files[*number as usize - 1].to_vec()),
            })
            .collect();
        (!images.is_empty()).then(|| images::Images {
            mark: self.mark.clone(),
            images,
        })
    }
}

/// Begins the places of the images of one request: 128 random bits, so that no text can speak of an image by its place.
fn random_mark() -> String {
    // Each state has keys of its own.
    let bits = || RandomState::new().hash_one(0);
    format!("image-{:016x}{:016x}-", bits(), bits())
}

/// Every text of a message that can come into a prompt.
fn texts_of(turn: &Turn) -> impl Iterator<Item = &str> {
    let calls = turn
        .calls
        .iter()
        .flat_map(|call| [&call.id, &call.name, &call.arguments]);
    [
        &turn.role,
        &turn.content,
        &turn.thinking,
        &turn.tool_name,
        &turn.tool_call_id,
    ]
    .into_iter()
    .chain(calls)
    .map(String::as_str)
}

/// Every text of a tool.
fn texts_of_tool(tool: &Tool) -> [&str; 3] {
    [&tool.name, &tool.description, &tool.parameters]
}

/// The bytes of an image.
fn read(text: &str) -> Result<Vec<u8>, String> {
    let is_address = |scheme: &str| {
        text.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    if is_address("http://") || is_address("https://") || is_address("file:") {
        return Err(
            "is an address, and images are not fetched; send the file itself in base64".into(),
        );
    }
    let base64 = match text.strip_prefix("data:").map(|rest| rest.split_once(',')) {
        None => text,
        Some(Some((kind, data))) if kind.ends_with(";base64") => data,
        Some(_) => return Err("is a data URL that is not in base64".into()),
    };
    // Four letters stand for three bytes.
    if base64.len() / 4 * 3 > MAX_IMAGE_BYTES + 3 {
        return Err(too_large());
    }
    let file = BASE64
        .decode(base64.trim_ascii())
        .map_err(|error| format!("is not in base64: {error}"))?;
    match file.len() {
        0 => Err("is empty".into()),
        1..=MAX_IMAGE_BYTES => Ok(file),
        _ => Err(too_large()),
    }
}

fn too_large() -> String {
    format!(
        "has more than {} MiB; make it smaller",
        MAX_IMAGE_BYTES >> 20
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(content: &str, images: &[u32]) -> Turn {
        Turn {
            role: "user".into(),
            content: content.into(),
            images: images.to_vec(),
            ..Turn::default()
        }
    }

    fn taken(texts: &[&str]) -> Result<Album, String> {
        let mut album = Album::default();
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        match album.take(Some(texts)) {
            Ok(_) => Ok(album),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn base64_is_read_in_all_its_dresses() {
        for text in [
            "aGk=",
            "aGk",
            " aGk=\n",
            "data:image/png;base64,aGk=",
            "data:;base64,aGk",
        ] {
            assert_eq!(read(text).as_deref(), Ok(b"hi".as_slice()), "{text}");
        }
    }

    #[test]
    fn what_is_no_image_is_said_by_its_number() {
        for (text, fault) in [
            ("", "image 2 is empty"),
            ("not base64!", "image 2 is not in base64"),
            ("https://example.org/cat.png", "image 2 is an address"),
            ("HTTP://169.254.169.254/", "image 2 is an address"),
            ("file:///etc/passwd", "image 2 is an address"),
            ("data:image/svg+xml,<svg/>", "image 2 is a data URL"),
            ("data:image/png", "image 2 is a data URL"),
            ("日本", "image 2 is not in base64"),
        ] {
            let error = taken(&["aGk=", text]).unwrap_err();
            assert!(error.starts_with(fault), "{text}: {error}");
        }
    }

    #[test]
    fn number_and_size_are_bounded() {
        let error = taken(&["aGk="; MAX_IMAGES + 1]).unwrap_err();
        assert!(error.contains("16 images"), "{error}");
        let large = "A".repeat(MAX_IMAGE_BYTES / 3 * 4 + 8);
        let error = taken(&[&large]).unwrap_err();
        assert!(error.contains("20 MiB"), "{error}");
        let half = "A".repeat(MAX_IMAGES_BYTES / 3 * 4 / 2 + 8);
        let error = taken(&[&half, &half]).unwrap_err();
        assert!(error.contains("24 MiB together"), "{error}");
    }

    #[test]
    fn images_stand_where_their_message_says_or_before_it() {
        let mut album = taken(&["aGk=", "aGk=", "aGk="]).unwrap();
        let mut turns = [turn("look", &[1]), turn("is [img] in it?", &[2, 3])];
        album.place_by("image-0-".into(), &mut turns, &[]).unwrap();
        assert_eq!(turns[0].content, "<image-0-1>look");
        assert_eq!(turns[1].content, "<image-0-3>is <image-0-2> in it?");
        let shown = album.shown(&turns[1..]).unwrap();
        let numbers: Vec<u32> = shown.images.iter().map(|image| image.number).collect();
        assert_eq!((shown.mark.as_str(), numbers), ("image-0-", vec![2, 3]));
        assert_eq!(album.shown(&[]), None);
    }

    #[test]
    fn no_text_can_speak_of_an_image_by_its_place() {
        let tool = |text: &str| Tool {
            description: text.into(),
            ..Tool::default()
        };
        let mut thoughts = turn("", &[]);
        thoughts.thinking = "<image-7-1>".into();
        let mut called = turn("", &[]);
        called.calls.push(runner_protocol::ToolCall {
            arguments: r#"{"a":"<image-7-1>"}"#.into(),
            ..runner_protocol::ToolCall::default()
        });
        for (other, tools) in [
            (turn("<image-7-1>", &[]), vec![]),
            (thoughts, vec![]),
            (called, vec![]),
            (turn("", &[]), vec![tool("<image-7-1>")]),
        ] {
            let mut turns = [other.clone(), turn("look", &[1])];
            let mut album = taken(&["aGk="]).unwrap();
            let placed = album.place_by("image-7-".into(), &mut turns, &tools);
            assert!(placed.is_err(), "{other:?}");
            // With a mark that is drawn, it is a text like any other.
            album.place(&mut turns, &tools).unwrap();
            assert!(turns[1].content.ends_with("-1>look"), "{turns:?}");
        }
    }

    #[test]
    fn each_request_has_a_mark_of_its_own() {
        let (one, other) = (random_mark(), random_mark());
        assert_ne!(one, other);
        assert!(one.len() <= images::MAX_MARK_BYTES);
    }

    #[test]
    fn without_images_texts_stay_as_they_are() {
        let mut turns = [turn("[img]", &[])];
        Album::default().place(&mut turns, &[]).unwrap();
        assert_eq!(turns[0].content, "[img]");
    }
}
