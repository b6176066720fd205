//! Pages of a list of items.

use api::openai::responses::{ItemList, ItemsQuery};
use serde_json::Value;

use crate::error::Error;

/// Most items of a page, and the default.
const LIMITS: (u32, u32) = (100, 20);

/// The page of these items, which are in order, that the query asks for.
///
/// # Errors
/// [`Error::Field`] for an unknown order, a limit out of range, and an unknown item.
pub(super) fn page(mut items: Vec<Value>, query: &ItemsQuery) -> Result<ItemList, Error> {
    let limit = limit(query)? as usize;
    if is_newest_first(query)? {
        items.reverse();
    }
    if let Some(after) = query.after.as_deref() {
        let place = items.iter().position(|item| item["id"] == after);
        items.drain(..=place.ok_or_else(unknown_item)?);
    }
    let has_more = items.len() > limit;
    items.truncate(limit);
    Ok(list(items, has_more))
}

/// Most items of the page.
///
/// # Errors
/// [`Error::Field`] for a limit out of range.
pub(super) fn limit(query: &ItemsQuery) -> Result<u32, Error> {
    let (most, default) = LIMITS;
    let limit = query.limit.unwrap_or(default);
    match (1..=most).contains(&limit) {
        true => Ok(limit),
        false => Err(Error::field("limit", format!("must be from 1 to {most}"))),
    }
}

/// Whether the newest items come first.
///
/// # Errors
/// [`Error::Field`] for an unknown order.
pub(super) fn is_newest_first(query: &ItemsQuery) -> Result<bool, Error> {
    match query.order.as_deref() {
        None | Some("desc") => Ok(true),
        Some("asc") => Ok(false),
        Some(_) => Err(Error::field("order", "must be asc or desc")),
    }
}

/// The error of a page after an item that is not there.
pub(super) fn unknown_item() -> Error {
    Error::field("after", "names no item of this list")
}

/// A list of these items.
pub(super) fn list(items: Vec<Value>, has_more: bool) -> ItemList {
    let id = |item: Option<&Value>| item.and_then(|item| item["id"].as_str().map(str::to_owned));
    ItemList {
        object: "list".to_owned(),
        first_id: id(items.first()),
        last_id: id(items.last()),
        data: items,
        has_more,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ids(order: Option<&str>, after: Option<&str>, limit: u32) -> (Vec<String>, bool) {
        let items = ["a", "b", "c"].map(|id| json!({"id": id})).to_vec();
        let query = ItemsQuery {
            after: after.map(str::to_owned),
            limit: Some(limit),
            order: order.map(str::to_owned),
        };
        let list = page(items, &query).unwrap();
        let ids = list
            .data
            .iter()
            .map(|item| item["id"].as_str().unwrap().to_owned());
        (ids.collect(), list.has_more)
    }

    #[test]
    fn pages_follow_each_other_in_both_orders() {
        let expected = |ids: &[&str], more| (ids.iter().map(|&id| id.to_owned()).collect(), more);
        assert_eq!(ids(None, None, 2), expected(&["c", "b"], true));
        assert_eq!(ids(None, Some("b"), 2), expected(&["a"], false));
        assert_eq!(ids(Some("asc"), None, 3), expected(&["a", "b", "c"], false));
        assert_eq!(ids(Some("asc"), Some("c"), 3), expected(&[], false));
    }

    #[test]
    fn a_wrong_query_names_its_field() {
        let check = |query: ItemsQuery, field| {
            assert_eq!(page(Vec::new(), &query).unwrap_err().param(), Some(field));
        };
        check(
            ItemsQuery {
                limit: Some(0),
                ..ItemsQuery::default()
            },
            "limit",
        );
        check(
            ItemsQuery {
                order: Some("up".into()),
                ..ItemsQuery::default()
            },
            "order",
        );
        check(
            ItemsQuery {
                after: Some("z".into()),
                ..ItemsQuery::default()
            },
            "after",
        );
    }
}
