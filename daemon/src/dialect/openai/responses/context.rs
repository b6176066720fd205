//! What a response continues: the items of earlier responses, or of a conversation.

use std::collections::{HashMap, HashSet};

use api::openai::responses::OutputItem;
use serde_json::Value;

use super::ids;
use crate::error::Error;
use crate::extract::LARGE;
use crate::responses::{Kept, Responses};

/// Most responses in one chain.
const MAX_CHAIN: usize = 1024;

/// The items before those of the request, oldest first.
///
/// # Errors
/// [`Error::PreviousResponse`] when a response of the chain is gone, [`Error::ConversationNotFound`], and [`Error::Field`] when there
/// are too many items.
pub(super) async fn before(
    responses: &Responses,
    previous: Option<&str>,
    conversation: Option<&str>,
) -> Result<Vec<Value>, Error> {
    match (previous, conversation) {
        (Some(_), Some(_)) => Err(Error::field(
            "conversation",
            "goes without previous_response_id",
        )),
        (Some(previous), None) => chain(responses, previous).await,
        (None, Some(id)) => responses.items(id, LARGE).await,
        (None, None) => Ok(Vec::new()),
    }
}

/// The items of a response and of all responses that it continues.
async fn chain(responses: &Responses, last: &str) -> Result<Vec<Value>, Error> {
    let mut links = Vec::new();
    let mut next = Some(last.to_owned());
    let mut bytes = 0;
    while let Some(id) = next {
        let kept = responses.get(&id).await.map_err(|error| match error {
            Error::ResponseNotFound(id) => Error::PreviousResponse(id),
            other => other,
        })?;
        if kept.response.status.is_open() {
            let reason = "names a response that is still generated";
            return Err(Error::field("previous_response_id", reason));
        }
        next = kept.response.previous_response_id.clone();
        let (items, more) = kept.items().await?;
        bytes += more;
        if links.len() >= MAX_CHAIN || bytes > LARGE {
            let reason = format!(
                "continues more than {MAX_CHAIN} responses or {} MiB; begin a new chain",
                LARGE >> 20
            );
            return Err(Error::field("previous_response_id", reason));
        }
        links.push(items);
    }
    Ok(links.into_iter().rev().flatten().collect())
}

/// Replaces each `item_reference` by its item. A reference to an item of `before` is left out, because the item is there.
///
/// # Errors
/// [`Error::Field`] for an id without an item.
pub(super) async fn with_referenced(
    responses: &Responses,
    items: Vec<Value>,
    before: &[Value],
) -> Result<Vec<Value>, Error> {
    let mut read: HashMap<String, Kept> = HashMap::new();
    let known: HashSet<&str> = before
        .iter()
        .filter_map(|item| item["id"].as_str())
        .collect();
    let mut all = Vec::new();
    let mut bytes = 0;
    for (index, item) in items.into_iter().enumerate() {
        // Clients may leave out the type of a reference.
        let is_reference = item["type"] == "item_reference"
            || (item["type"].is_null() && item.as_object().is_some_and(|item| item.len() == 1));
        if !is_reference {
            all.push(item);
            continue;
        }
        let id = item["id"].as_str().unwrap_or_default();
        if known.contains(id) {
            continue;
        }
        let missing = || Error::field(format!("input[{index}].id"), "names no saved item");
        let response = ids::response_of(id).ok_or_else(missing)?;
        if !read.contains_key(&response) {
            let kept = responses
                .get(&response)
                .await
                .map_err(|error| match error {
                    Error::ResponseNotFound(_) => missing(),
                    other => other,
                })?;
            read.insert(response.clone(), kept);
        }
        let output = read
            .get(&response)
            .map_or(&[][..], |kept| &kept.response.output);
        let found = output
            .iter()
            .find(|item| id_of(item) == id)
            .ok_or_else(missing)?;
        let found = serde_json::to_value(found).map_err(|_| Error::Internal)?;
        // A reference is short, and what it stands for may be long.
        bytes += found.to_string().len();
        if bytes > LARGE {
            let reason = format!("its references stand for more than {LARGE} bytes");
            return Err(Error::field("input", reason));
        }
        all.push(found);
    }
    Ok(all)
}

fn id_of(item: &OutputItem) -> &str {
    match item {
        OutputItem::Reasoning(item) => &item.id,
        OutputItem::Message(item) => &item.id,
        OutputItem::FunctionCall(item) => &item.id,
    }
}
