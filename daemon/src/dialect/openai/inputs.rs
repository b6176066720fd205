//! Texts and tokens of a request.

use api::openai::Inputs;
use runner_protocol::Input;

use crate::error::Error;

/// The inputs of a field, at least one.
///
/// # Errors
/// [`Error::Field`] without an input, for an empty one, and for a number that is no token id.
pub(super) fn read(field: &str, inputs: Option<Inputs>) -> Result<Vec<Input>, Error> {
    let inputs: Vec<Input> = match inputs {
        None => return Err(Error::field(field, "is required")),
        Some(Inputs::Text(text)) => vec![Input::Text(text)],
        Some(Inputs::Texts(texts)) => texts.into_iter().map(Input::Text).collect(),
        Some(Inputs::Tokens(ids)) => vec![Input::Tokens(tokens(field, ids)?)],
        Some(Inputs::TokenLists(lists)) => {
            let lists = lists.into_iter().enumerate();
            let read = lists
                .map(|(index, ids)| tokens(&format!("{field}[{index}]"), ids).map(Input::Tokens));
            read.collect::<Result<_, Error>>()?
        }
    };
    if inputs.is_empty() {
        return Err(Error::field(field, "must not be empty"));
    }
    for (index, input) in inputs.iter().enumerate() {
        let is_empty = match input {
            Input::Text(text) => text.is_empty(),
            Input::Tokens(tokens) => tokens.is_empty(),
        };
        if is_empty {
            let field = match inputs.len() {
                1 => field.to_owned(),
                _ => format!("{field}[{index}]"),
            };
            return Err(Error::field(field, "must not be empty"));
        }
    }
    Ok(inputs)
}

fn tokens(field: &str, ids: Vec<i64>) -> Result<Vec<i32>, Error> {
    let id = |id: i64| i32::try_from(id).ok().filter(|id| *id >= 0);
    ids.into_iter()
        .map(|number| {
            id(number).ok_or_else(|| Error::field(field, format!("{number} is no token id")))
        })
        .collect()
}
