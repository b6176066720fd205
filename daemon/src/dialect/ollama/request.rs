//! Fields that several requests of Ollama's API have.

use api::Think;
use runner_protocol::Shape;
use serde_json::Value;

use crate::dialect::fields;
use crate::error::Error;
use crate::images::Images;
use crate::think::Effort;
use crate::turn::Block;

/// The text that clients write where an image belongs.
const PLACEHOLDER: &str = "[img]";

/// The constraint of `format`; null and an empty text, which clients send, count as absent.
pub(super) fn shape(format: Option<&Value>) -> Result<Option<Shape>, Error> {
    match format {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) if text == "json" => Ok(Some(Shape::Json)),
        Some(schema @ Value::Object(_)) => fields::schema(schema).map(Some),
        Some(_) => Err(Error::Invalid(
            "format must be \"json\" or an object that is a JSON Schema".to_owned(),
        )),
    }
}

pub(super) fn think(think: Option<&Think>) -> Result<Option<Effort>, Error> {
    Ok(match think {
        None => None,
        Some(Think::Switch(true)) => Some(Effort::On),
        Some(Think::Switch(false)) => Some(Effort::Off),
        Some(Think::Level(level)) => Some(Effort::level("think", level)?),
    })
}

/// The blocks of a text with images: an image in place of each `[img]`, in order, and further images before the text.
pub(super) fn blocks(
    text: String,
    given: Option<Vec<String>>,
    images: &mut Images,
) -> Result<Vec<Block>, Error> {
    let mut numbers = Vec::new();
    for image in given.unwrap_or_default() {
        numbers.push(images.add(&image)?);
    }
    if numbers.is_empty() {
        return Ok(vec![Block::Text(text)]);
    }
    let places = text.matches(PLACEHOLDER).count();
    let mut placed = numbers.iter().take(places);
    let before = numbers.iter().skip(places);
    let mut blocks: Vec<Block> = before.map(|number| Block::Image(*number)).collect();
    let mut rest = text.as_str();
    while let (Some((piece, after)), Some(number)) = (rest.split_once(PLACEHOLDER), placed.next()) {
        blocks.push(Block::Text(piece.to_owned()));
        blocks.push(Block::Image(*number));
        rest = after;
    }
    blocks.push(Block::Text(rest.to_owned()));
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_format_is_a_word_or_a_schema() {
        let read = |format: Value| shape(Some(&format));
        assert_eq!(read(json!(null)).unwrap(), None);
        assert_eq!(read(json!("")).unwrap(), None);
        assert_eq!(read(json!("json")).unwrap(), Some(Shape::Json));
        assert_eq!(read(json!({})).unwrap(), Some(Shape::Schema("{}".into())));
        assert_eq!(shape(None).unwrap(), None);
        for format in [json!("xml"), json!(1), json!(true), json!([])] {
            let error = read(format).unwrap_err().to_string();
            assert!(error.contains("JSON Schema"), "{error}");
        }
    }

    #[test]
    fn an_image_replaces_its_placeholder_or_comes_first() {
        let check = |text: &str, count: usize, expected: &[Block]| {
            let given = vec!["aGk=".to_owned(); count];
            let blocks = blocks(text.into(), Some(given), &mut Images::default()).unwrap();
            assert_eq!(blocks, expected, "{text}");
        };
        let text = |text: &str| Block::Text(text.into());
        check("look", 1, &[Block::Image(1), text("look")]);
        check(
            "is [img] in it?",
            2,
            &[
                Block::Image(2),
                text("is "),
                Block::Image(1),
                text(" in it?"),
            ],
        );
        check(
            "[img] [img]",
            1,
            &[text(""), Block::Image(1), text(" [img]")],
        );
        check("[img]", 0, &[text("[img]")]);
    }
}
