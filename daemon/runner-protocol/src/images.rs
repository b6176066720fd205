//! Images of a prompt, as the protocol carries them.

use serde::{Deserialize, Serialize};

use crate::bytes::Bytes;

/// Most images of one request.
pub const MAX_IMAGES: usize = 16;

/// Most bytes of one image, as it was sent.
pub const MAX_IMAGE_BYTES: usize = 20 * 1024 * 1024;

/// Most bytes of all images of one request, so that they and the prompt fit a frame.
pub const MAX_IMAGES_BYTES: usize = 24 * 1024 * 1024;

/// Longest [`Images::mark`] in bytes.
pub const MAX_MARK_BYTES: usize = 64;

/// The images of a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Images {
    /// Start of the placeholder of an image, see [`placeholder`]; 1 to [`MAX_MARK_BYTES`] bytes. Occurs in no text of a client.
    pub mark: String,
    /// At most [`MAX_IMAGES`], of [`MAX_IMAGES_BYTES`] together. The prompt has the placeholder of each exactly once.
    pub images: Vec<Image>,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its number within the request, in its placeholder and in messages.
    pub number: u32,
    /// An undecoded file in PNG, JPEG, WebP, GIF or BMP, 1 to [`MAX_IMAGE_BYTES`] bytes.
    pub file: Bytes,
}

/// An image in a prompt, with the text before it.
pub type Shown<'a> = (&'a str, &'a Image);

/// The placeholder of the image with this number.
pub fn placeholder(mark: &str, number: u32) -> String {
    format!("<{mark}{number}>")
}

impl Images {
    /// Splits a prompt at its images: the text before each image and the image, and the text after the last.
    ///
    /// # Errors
    /// A message when a placeholder is there twice, is missing, or has an unknown number.
    pub fn split<'a>(&'a self, prompt: &'a str) -> Result<(Vec<Shown<'a>>, &'a str), String> {
        let opening = format!("<{}", self.mark);
        let mut shown: Vec<Shown<'_>> = Vec::new();
        let mut rest = prompt;
        while let Some((before, after)) = rest.split_once(&opening) {
            let found = after.split_once('>').and_then(|(number, after)| {
                let number: u32 = number.parse().ok()?;
                let image = self.images.iter().find(|it| it.number == number)?;
                Some((image, after))
            });
            let Some((image, after)) = found else {
                return Err("the prompt has a place for an image that is not there".to_owned());
            };
            if shown.iter().any(|(_, other)| other.number == image.number) {
                return Err(format!("the prompt shows image {} twice", image.number));
            }
            shown.push((before, image));
            rest = after;
        }
        let is_shown = |image: &&Image| shown.iter().any(|(_, it)| it.number == image.number);
        match self.images.iter().find(|image| !is_shown(image)) {
            Some(left_out) => Err(format!(
                "the model's chat template leaves image {} out",
                left_out.number
            )),
            None => Ok((shown, rest)),
        }
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> usize {
        self.images.iter().map(|image| image.file.0.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(numbers: &[u32]) -> Images {
        let image = |number: &u32| Image {
            number: *number,
            file: Bytes(vec![7; 3]),
        };
        Images {
            mark: "image-0-".into(),
            images: numbers.iter().map(image).collect(),
        }
    }

    #[test]
    fn a_prompt_is_split_at_its_images_in_any_order() {
        let images = images(&[0, 1]);
        let prompt = "a<image-0-1>b<image-0-0>";
        let (shown, rest) = images.split(prompt).unwrap();
        let shown: Vec<_> = shown.iter().map(|(text, it)| (*text, it.number)).collect();
        assert_eq!((shown, rest), (vec![("a", 1), ("b", 0)], ""));
        assert_eq!(placeholder(&images.mark, 1), "<image-0-1>");
    }

    #[test]
    fn each_image_stands_there_once() {
        for (prompt, fault) in [
            ("<image-0-0>", "leaves image 1 out"),
            ("<image-0-0><image-0-1><image-0-0>", "twice"),
            ("<image-0-0><image-0-1><image-0-2>", "not there"),
            ("<image-0-0><image-0-1><image-0-", "not there"),
            ("<image-0-0><image-0-1><image-0-x>", "not there"),
        ] {
            let error = images(&[0, 1]).split(prompt).unwrap_err();
            assert!(error.contains(fault), "{prompt}: {error}");
        }
    }
}
