//! OpenAI's Responses API: `/v1/responses` and `/v1/conversations`.
//!
//! One file per route. Each states what happens when its client disconnects: *cancel* ends the work, *detach* continues it.
//! A request becomes an [`Ask`](crate::ask::Ask) in `request`, and the events of the answer become items in `builder`.

mod builder;
mod context;
mod conversations;
mod create;
mod ids;
mod input_tokens;
mod items;
mod page;
mod request;
mod running;
mod stored;

use crate::described::{Routes, routes};

/// The routes.
pub(crate) fn routes() -> Routes {
    Routes::new()
        .routes(routes!(create::post))
        .routes(routes!(input_tokens::post))
        .routes(routes!(stored::compact))
        .routes(routes!(stored::get, stored::delete))
        .routes(routes!(stored::cancel))
        .routes(routes!(stored::input_items))
        .routes(routes!(conversations::create))
        .routes(routes!(
            conversations::get,
            conversations::update,
            conversations::delete
        ))
        .routes(routes!(conversations::list_items, conversations::add_items))
        .routes(routes!(conversations::get_item, conversations::delete_item))
}
