//! Image files named in a prompt, which go to the model with it.
//!
//! Only typed text is searched: piped text comes from elsewhere, and could name any file of the user.
//! A path starts with `/`, `./`, `../` or `~/`, has the extension of an image, and leads to a file; it may contain spaces in quotes or
//! as `\ `. Any other path stays text.

use std::ops::Range;
use std::path::{Path, PathBuf};

use api::layout::MAX_IMAGE_BYTES;
use api::{Message, ShowRequest, ShowResponse, routes};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::client::Client;
use crate::error::Failure;
use crate::fs::{self, Kind};
use crate::output::Output;
use crate::{answer, env, text};

/// Extensions of images.
const ENDINGS: [&str; 6] = ["png", "jpg", "jpeg", "webp", "gif", "bmp"];

/// Prefixes of paths.
const BEGINNINGS: [&str; 4] = ["./", "../", "/", "~/"];

/// A prompt with its images.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Question {
    /// The text, without the paths of the images.
    pub(crate) text: String,
    /// In base64.
    pub(crate) images: Vec<String>,
}

impl Question {
    /// A text without images.
    pub(crate) fn of_text(text: String) -> Self {
        Self {
            text,
            images: Vec::new(),
        }
    }

    /// The question as a message of the user.
    pub(crate) fn to_message(&self) -> Message {
        Message {
            images: (!self.images.is_empty()).then(|| self.images.clone()),
            ..answer::message("user", &self.text)
        }
    }

    /// Whether there is neither text nor image.
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty() && self.images.is_empty()
    }
}

/// A file in base64.
pub(crate) fn encode(file: &[u8]) -> String {
    STANDARD.encode(file)
}

/// Whether bytes start with the magic of an image. Text is none, whatever it starts with.
pub(crate) fn is_image(bytes: &[u8]) -> bool {
    let webp = bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP");
    let begins = webp
        || [b"\x89PNG\r\n".as_slice(), b"\xff\xd8\xff", b"GIF8", b"BM"]
            .iter()
            .any(|magic| bytes.starts_with(magic));
    begins && bytes.contains(&0)
}

/// Replaces the paths of image files in a prompt by their images, if the model has vision.
///
/// # Errors
/// A file cannot be read or is too long, or the daemon cannot list the model's capabilities.
pub(crate) async fn attach(
    client: &Client,
    out: &Output,
    model: &str,
    typed: String,
) -> anyhow::Result<Question> {
    let home = env::home_folder(&env::Process);
    let found = find(&typed, home.as_deref())?;
    if found.is_empty() {
        return Ok(Question::of_text(typed));
    }
    let request = ShowRequest {
        model: model.to_owned(),
        ..ShowRequest::default()
    };
    let shown: ShowResponse = client.post(routes::SHOW, &request).await?;
    if !shown.capabilities.iter().any(|word| word == "vision") {
        out.note(&format!(
            "`{model}` cannot see images, so paths are sent as text"
        ));
        return Ok(Question::of_text(typed));
    }
    let mut question = Question::default();
    let mut from = 0;
    for Named { range, path } in found {
        let file = fs::read(&path, MAX_IMAGE_BYTES)?;
        if !is_image(&file) {
            return Err(
                Failure::new(format!("`{}` is not an image file", path.display()))
                    .hint("images are PNG, JPEG, WebP, GIF or BMP")
                    .into(),
            );
        }
        let size = text::bytes(file.len() as u64);
        out.note(&format!("added the image `{}` ({size})", path.display()));
        question.images.push(encode(&file));
        question.text.push_str(&typed[from..range.start]);
        from = range.end;
    }
    question.text.push_str(&typed[from..]);
    question.text = question.text.trim().to_owned();
    Ok(question)
}

/// An image file named in a text.
#[derive(Debug, PartialEq, Eq)]
struct Named {
    /// Its range in the text, with quotes.
    range: Range<usize>,
    path: PathBuf,
}

/// All image files named in a text.
fn find(text: &str, home: Option<&Path>) -> Result<Vec<Named>, fs::Error> {
    let mut found: Vec<Named> = Vec::new();
    let mut at = 0;
    while let Some(start) = next_start(text, at) {
        at = start + 1;
        let Some((range, path)) = word(text, start) else {
            continue;
        };
        let path = env::typed_path(&path, home);
        if matches!(fs::kind(&path)?, Some(Kind::File(_))) {
            at = range.end;
            found.push(Named { range, path });
        }
    }
    Ok(found)
}

/// The next offset where a path may start: at the start of a word, or after a quote there.
fn next_start(text: &str, from: usize) -> Option<usize> {
    let begins = |at: usize| BEGINNINGS.iter().any(|it| text[at..].starts_with(it));
    let is_edge = |at: usize| {
        let before = text[..at].chars().next_back();
        before.is_none_or(|char| char.is_whitespace() || "'\"(".contains(char))
    };
    let mut places = text.char_indices().map(|(at, _)| at);
    places.find(|at| *at >= from && is_edge(*at) && begins(*at))
}

/// The path that starts here with its range, if it has the extension of an image.
fn word(text: &str, start: usize) -> Option<(Range<usize>, String)> {
    let quote = text[..start].chars().next_back();
    let quote = quote.filter(|char| "'\"".contains(*char));
    if let Some(quote) = quote
        && let Some(length) = text[start..].find(quote)
    {
        let end = start + length;
        let path = &text[start..end];
        return is_image_name(path).then(|| (start - 1..end + 1, path.to_owned()));
    }
    let mut path = String::new();
    let mut escaped = false;
    let mut end = text.len();
    for (at, char) in text[start..].char_indices() {
        if char.is_whitespace() && !escaped {
            end = start + at;
            break;
        }
        escaped = char == '\\' && !escaped;
        if !escaped {
            path.push(char);
        }
    }
    // Punctuation at the end of the sentence is not part of the name.
    let name = path.trim_end_matches(['.', ',', ';', ':', '?', '!', ')', '\'', '"']);
    let end = end - (path.len() - name.len());
    is_image_name(name).then(|| (start..end, name.to_owned()))
}

fn is_image_name(path: &str) -> bool {
    let ending = Path::new(path).extension();
    ending.is_some_and(|ending| ENDINGS.iter().any(|it| ending.eq_ignore_ascii_case(it)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests make files")]

    use super::*;

    fn names(text: &str, folder: &Path) -> Vec<(String, String)> {
        let text = text.replace('@', folder.to_str().unwrap());
        let found = find(&text, Some(folder)).unwrap();
        let shown = |named: Named| {
            let name = named.path.file_name().unwrap().to_str().unwrap();
            (
                name.to_owned(),
                text[named.range].replace(folder.to_str().unwrap(), "@"),
            )
        };
        found.into_iter().map(shown).collect()
    }

    #[test]
    fn files_are_found_by_their_paths() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["cat.png", "my cat.JPG", "notes.txt", "a.b.webp"] {
            std::fs::write(folder.path().join(name), b"x").unwrap();
        }
        let check = |text: &str, expected: &[(&str, &str)]| {
            let expected: Vec<_> = expected
                .iter()
                .map(|(name, place)| ((*name).to_owned(), (*place).to_owned()))
                .collect();
            assert_eq!(names(text, folder.path()), expected, "{text}");
        };
        check("what is in @/cat.png?", &[("cat.png", "@/cat.png")]);
        check(
            "@/cat.png, @/a.b.webp.",
            &[("cat.png", "@/cat.png"), ("a.b.webp", "@/a.b.webp")],
        );
        check(
            "see '@/my cat.JPG' and",
            &[("my cat.JPG", "'@/my cat.JPG'")],
        );
        check(
            "see @/my\\ cat.JPG and",
            &[("my cat.JPG", "@/my\\ cat.JPG")],
        );
        check("~/cat.png", &[("cat.png", "~/cat.png")]);
        check("(@/cat.png)", &[("cat.png", "@/cat.png")]);
        check("@/notes.txt @/dog.png cat.png x@/cat.png ./ / ~/ '", &[]);
        check("", &[]);
        check("日本 @/cat.png 日本", &[("cat.png", "@/cat.png")]);
    }

    #[test]
    fn images_are_recognised_by_their_magic() {
        assert!(is_image(b"\x89PNG\r\n\x1a\n\0") && is_image(b"\xff\xd8\xff\xe0\0"));
        assert!(is_image(b"RIFF\0\0\0\0WEBP") && is_image(b"GIF89a\x01\0"));
        assert!(!is_image(b"RIFF\0\0\0\0WAVE") && !is_image(b"hello") && !is_image(b""));
        assert!(!is_image(b"BMW makes cars") && !is_image(b"GIF89a is old"));
    }

    #[test]
    fn a_question_without_images_omits_the_field() {
        let question = Question::of_text("hi".into());
        assert_eq!(question.to_message(), answer::message("user", "hi"));
        assert!(!question.is_empty() && Question::default().is_empty());
    }
}
