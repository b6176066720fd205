//! Images of a request: decodes base64, and makes the markers that stand for images in a prompt.
//!
//! Image files are hostile input, so only the confined runner decodes them; here only their number and size are checked.
//! Image URLs are not fetched, because a client could then make the daemon send requests to any server.

use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use runner_protocol::images::{self, MAX_IMAGE_BYTES, MAX_IMAGES, MAX_IMAGES_BYTES};
use runner_protocol::{self as protocol, Bytes, Image, Tool};

use crate::error::Error;
use crate::random;
use crate::turn::{Block, Role, Turn};

// Clients check an image against the same limit before they send it.
const _: () = assert!(MAX_IMAGE_BYTES == api::layout::MAX_IMAGE_BYTES);

/// Estimated tokens of an image before a runner encodes it.
pub const TYPICAL_TOKENS: usize = 768;

/// Base64 with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The images of one request, numbered from 1.
#[derive(Debug, Clone, Default)]
pub struct Images {
    files: Vec<Arc<[u8]>>,
    bytes: usize,
    mark: String,
}

impl Images {
    /// Adds an image in base64 or as a data URL, and returns its number.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the image by its number.
    pub fn add(&mut self, text: &str) -> Result<u32, Error> {
        if self.files.len() >= MAX_IMAGES {
            return Err(Error::Invalid(format!(
                "a request may have {MAX_IMAGES} images"
            )));
        }
        let number = u32::try_from(self.files.len() + 1).expect("there are few");
        let file =
            read(text).map_err(|reason| Error::Invalid(format!("image {number} {reason}")))?;
        self.bytes += file.len();
        if self.bytes > MAX_IMAGES_BYTES {
            return Err(Error::Invalid(format!(
                "the images of a request may have {} MiB together",
                MAX_IMAGES_BYTES >> 20
            )));
        }
        self.files.push(file.into());
        Ok(number)
    }

    /// Whether the request has no images.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Draws a random mark for the markers of these images, and checks that no text of the request contains it.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a text with the mark, which only chance can cause.
    pub fn draw_mark(&mut self, turns: &[Turn], tools: &[Tool]) -> Result<(), Error> {
        self.set_mark(random_mark(), turns, tools)
    }

    /// Each text is searched once, whatever a client writes in it, so the time is linear.
    fn set_mark(&mut self, mark: String, turns: &[Turn], tools: &[Tool]) -> Result<(), Error> {
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
        Ok(())
    }

    /// The marker that stands for an image in a prompt.
    pub fn marker(&self, number: u32) -> String {
        images::placeholder(&self.mark, number)
    }

    /// The images in these turns, for a runner; `None` without images.
    pub fn for_runner(&self, turns: &[Turn]) -> Option<protocol::Images> {
        let images: Vec<Image> = turns
            .iter()
            .flat_map(Turn::images)
            .map(|number| Image {
                number,
                file: Bytes(self.files[number as usize - 1].to_vec()),
            })
            .collect();
        (!images.is_empty()).then(|| protocol::Images {
            mark: self.mark.clone(),
            images,
        })
    }
}

/// A mark with 128 random bits, which no client can guess.
fn random_mark() -> String {
    format!("image-{:016x}{:016x}-", random::bits(), random::bits())
}

/// All texts of a turn that a prompt can contain.
fn texts_of(turn: &Turn) -> impl Iterator<Item = &str> {
    let of_role = match &turn.role {
        Role::Tool { name, call } => [name.as_str(), call],
        _ => ["", ""],
    };
    let of_blocks = turn.blocks.iter().flat_map(|block| match block {
        Block::Text(text) | Block::Thinking(text) => [text.as_str(), "", ""],
        Block::Call(call) => [call.id.as_str(), &call.name, &call.arguments],
        Block::Image(_) => ["", "", ""],
    });
    of_role.into_iter().chain(of_blocks)
}

/// All texts of a tool.
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
    // Four letters encode three bytes.
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

    fn turn(text: &str, images: &[u32]) -> Turn {
        let mut turn = Turn::text(Role::User, text);
        turn.blocks.extend(images.iter().copied().map(Block::Image));
        turn
    }

    fn taken(texts: &[&str]) -> Result<Images, String> {
        let mut images = Images::default();
        for text in texts {
            images.add(text).map_err(|error| error.to_string())?;
        }
        Ok(images)
    }

    #[test]
    fn base64_is_read_with_and_without_padding_white_space_and_data_url() {
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
    fn a_bad_image_is_named_by_its_number() {
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
    fn a_runner_gets_the_images_of_the_turns() {
        let mut images = taken(&["aGk=", "aGk=", "aGk="]).unwrap();
        let turns = [turn("look", &[1]), turn("is it in it?", &[2, 3])];
        images.set_mark("image-0-".into(), &turns, &[]).unwrap();
        assert_eq!(images.marker(2), "<image-0-2>");
        let shown = images.for_runner(&turns[1..]).unwrap();
        let numbers: Vec<u32> = shown.images.iter().map(|image| image.number).collect();
        assert_eq!((shown.mark.as_str(), numbers), ("image-0-", vec![2, 3]));
        assert_eq!(images.for_runner(&[]), None);
    }

    #[test]
    fn a_text_with_the_mark_is_refused() {
        let tool = |text: &str| Tool {
            description: text.into(),
            ..Tool::default()
        };
        let with = |block| Turn {
            role: Role::Assistant,
            blocks: vec![block],
        };
        let call = protocol::ToolCall {
            arguments: r#"{"a":"<image-7-1>"}"#.into(),
            ..protocol::ToolCall::default()
        };
        let result = Role::Tool {
            name: "<image-7-1>".into(),
            call: String::new(),
        };
        for (other, tools) in [
            (turn("<image-7-1>", &[]), vec![]),
            (with(Block::Thinking("<image-7-1>".into())), vec![]),
            (with(Block::Call(call)), vec![]),
            (Turn::text(result, ""), vec![]),
            (turn("", &[]), vec![tool("<image-7-1>")]),
        ] {
            let turns = [other.clone(), turn("look", &[1])];
            let mut images = taken(&["aGk="]).unwrap();
            let marked = images.set_mark("image-7-".into(), &turns, &tools);
            assert!(marked.is_err(), "{other:?}");
            // With a random mark the text is ordinary.
            images.draw_mark(&turns, &tools).unwrap();
        }
    }

    #[test]
    fn each_request_has_another_mark() {
        let (one, other) = (random_mark(), random_mark());
        assert_ne!(one, other);
        assert!(one.len() <= images::MAX_MARK_BYTES);
    }
}
