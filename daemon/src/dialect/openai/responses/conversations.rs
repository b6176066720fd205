//! `/v1/conversations`: lists of items that grow with each response.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::openai::ErrorAnswer;
use api::openai::responses::{
    Conversation, ConversationRequest, DeletedConversation, ItemList, ItemsQuery, ItemsRequest,
};
use axum::extract::State;
use jiff::Timestamp;
use registry::ItemQuery;
use serde_json::Value;

use super::items::{self, Reader};
use super::{context, ids, page, request};
use crate::app::App;
use crate::blocking;
use crate::error::Error;
use crate::extract::{Json, LARGE, Path, Query};

/// Most items of one request.
const MAX_ITEMS: usize = 20;

/// Creates a conversation.
///
/// *Detach*: the conversation is made.
#[utoipa::path(
    post,
    path = "/v1/conversations",
    request_body = ConversationRequest,
    responses(
        (status = 200, description = "The conversation", body = Conversation),
        (status = 400, description = "A field is wrong, or nothing is saved", body = ErrorAnswer),
        (status = 413, description = "The body is too large", body = ErrorAnswer),
    ),
    tag = "OpenAI"
)]
pub(crate) async fn create(
    State(app): State<App>,
    Json(body): Json<ConversationRequest, LARGE>,
) -> Result<axum::Json<Conversation>, Error> {
    let metadata = metadata(body.metadata)?;
    let items = checked(&app, body.items.unwrap_or_default()).await?;
    let conversation = Conversation {
        id: ids::new("conv"),
        object: "conversation".to_owned(),
        created_at: Timestamp::now().as_second(),
        metadata,
    };
    app.responses.save_conversation(&conversation).await?;
    if !items.is_empty() {
        let items = Arc::new(items);
        let added = app
            .responses
            .add_items(&conversation.id, &items, Vec::new());
        if let Err(error) = added.await {
            app.responses.remove_conversation(&conversation.id).await?;
            return Err(error);
        }
    }
    Ok(axum::Json(conversation))
}

/// Describes a conversation.
///
/// *Detach*: there is no work to end.
#[utoipa::path(
    get,
    path = "/v1/conversations/{conversation_id}",
    params(("conversation_id" = String, Path, description = "Its id")),
    responses(
        (status = 200, description = "The conversation", body = Conversation),
        (status = 404, description = "No conversation has this id", body = ErrorAnswer),
    ),
    tag = "OpenAI"
)]
pub(crate) async fn get(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<axum::Json<Conversation>, Error> {
    app.responses.conversation(&id).await.map(axum::Json)
}

/// Replaces the metadata of a conversation.
///
/// *Detach*: the metadata is replaced.
#[utoipa::path(
    post,
    path = "/v1/conversations/{conversation_id}",
    params(("conversation_id" = String, Path, description = "Its id")),
    request_body = ConversationRequest,
    responses(
        (status = 200, description = "The conversation", body = Conversation),
        (status = 400, description = "A field is wrong", body = ErrorAnswer),
        (status = 404, description = "No conversation has this id", body = ErrorAnswer),
        (status = 413, description = "The body is too large", body = ErrorAnswer),
    ),
    tag = "OpenAI"
)]
pub(crate) async fn update(
    State(app): State<App>,
    Path(id): Path<String>,
    Json(body): Json<ConversationRequest, LARGE>,
) -> Result<axum::Json<Conversation>, Error> {
    if body.items.is_some() {
        let reason = "goes with a new conversation; the route /items adds to this one";
        return Err(Error::field("items", reason));
    }
    let metadata = metadata(body.metadata)?;
    let conversation = Conversation {
        metadata,
        ..app.responses.conversation(&id).await?
    };
    app.responses.update_conversation(&conversation).await?;
    Ok(axum::Json(conversation))
}

/// Removes a conversation.
///
/// *Detach*: the conversation is removed.
#[utoipa::path(
    delete,
    path = "/v1/conversations/{conversation_id}",
    params(("conversation_id" = String, Path, description = "Its id")),
    responses(
        (status = 200, description = "It is removed", body = DeletedConversation),
        (status = 404, description = "No conversation has this id", body = ErrorAnswer),
    ),
    tag = "OpenAI"
)]
pub(crate) async fn delete(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<axum::Json<DeletedConversation>, Error> {
    app.responses.remove_conversation(&id).await?;
    Ok(axum::Json(DeletedConversation {
        id,
        object: "conversation.deleted".to_owned(),
        deleted: true,
    }))
}

/// Lists the items of a conversation.
///
/// *Detach*: there is no work to end.
#[utoipa::path(
    get,
    path = "/v1/conversations/{conversation_id}/items",
    params(("conversation_id" = String, Path, description = "Id of the conversation"), ItemsQuery),
    responses(
        (status = 200, description = "Its items", body = ItemList),
        (status = 400, description = "A parameter is wrong", body = ErrorAnswer),
        (status = 404, description = "No conversation has this id", body = ErrorAnswer),
    ),
    tag = "OpenAI"
)]
pub(crate) async fn list_items(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(query): Query<ItemsQuery>,
) -> Result<axum::Json<ItemList>, Error> {
    let query = ItemQuery {
        after: query.after.as_deref(),
        newest_first: page::is_newest_first(&query)?,
        count: page::limit(&query)?,
        bytes: LARGE as u32,
    };
    let (items, has_more) = app
        .responses
        .page(&id, query)
        .await?
        .ok_or_else(page::unknown_item)?;
    Ok(axum::Json(page::list(items, has_more)))
}

/// Adds items to a conversation.
///
/// *Detach*: the items are added.
#[utoipa::path(
    post,
    path = "/v1/conversations/{conversation_id}/items",
    params(("conversation_id" = String, Path, description = "Id of the conversation")),
    request_body = ItemsRequest,
    responses(
        (status = 200, description = "The added items", body = ItemList),
        (status = 400, description = "A field is wrong", body = ErrorAnswer),
        (status = 404, description = "No conversation has this id", body = ErrorAnswer),
        (status = 413, description = "The body is too large", body = ErrorAnswer),
    ),
    tag = "OpenAI"
)]
pub(crate) async fn add_items(
    State(app): State<App>,
    Path(id): Path<String>,
    Json(body): Json<ItemsRequest, LARGE>,
) -> Result<axum::Json<ItemList>, Error> {
    let items = Arc::new(checked(&app, body.items).await?);
    app.responses.add_items(&id, &items, Vec::new()).await?;
    let added = Arc::unwrap_or_clone(items);
    Ok(axum::Json(page::list(added, false)))
}

/// One item of a conversation.
///
/// *Detach*: there is no work to end.
#[utoipa::path(
    get,
    path = "/v1/conversations/{conversation_id}/items/{item_id}",
    params(
        ("conversation_id" = String, Path, description = "Id of the conversation"),
        ("item_id" = String, Path, description = "Id of the item"),
    ),
    responses(
        (status = 200, description = "The item", body = Value),
        (status = 404, description = "No conversation or item has this id", body = ErrorAnswer),
    ),
    tag = "OpenAI"
)]
pub(crate) async fn get_item(
    State(app): State<App>,
    Path((id, item)): Path<(String, String)>,
) -> Result<axum::Json<Value>, Error> {
    app.responses.item(&id, &item).await.map(axum::Json)
}

/// Removes an item from a conversation.
///
/// *Detach*: the item is removed.
#[utoipa::path(
    delete,
    path = "/v1/conversations/{conversation_id}/items/{item_id}",
    params(
        ("conversation_id" = String, Path, description = "Id of the conversation"),
        ("item_id" = String, Path, description = "Id of the item"),
    ),
    responses(
        (status = 200, description = "The conversation without it", body = Conversation),
        (status = 404, description = "No conversation or item has this id", body = ErrorAnswer),
    ),
    tag = "OpenAI"
)]
pub(crate) async fn delete_item(
    State(app): State<App>,
    Path((id, item)): Path<(String, String)>,
) -> Result<axum::Json<Conversation>, Error> {
    match app.responses.remove_item(&id, &item).await? {
        true => app.responses.conversation(&id).await.map(axum::Json),
        false => Err(Error::item_not_found(&item)),
    }
}

fn metadata(metadata: Option<BTreeMap<String, String>>) -> Result<BTreeMap<String, String>, Error> {
    request::check_metadata(metadata.as_ref())?;
    Ok(metadata.unwrap_or_default())
}

/// The items in their complete form, if a prompt can be made of them.
async fn checked(app: &App, items: Vec<Value>) -> Result<Vec<Value>, Error> {
    if items.len() > MAX_ITEMS {
        let reason = format!("may have {MAX_ITEMS} at a time");
        return Err(Error::field("items", reason));
    }
    let items = items::complete(Value::Array(items), "items")?;
    let items = context::with_referenced(&app.responses, items, &[]).await?;
    let check = move || Reader::new(false).read(&items, "items").map(|()| items);
    blocking::run(check).await?
}
