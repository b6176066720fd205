//! Routes of slm itself, beside those of the dialects. One file per route.
//!
//! Each states what happens when its client disconnects: *cancel* ends the work, *detach* continues it.

mod adopt;
mod config;
mod devices;
mod docs;
mod doctor;
mod events;
mod explain;
mod gc;
mod health;
mod jobs;
mod load;
mod login;
mod openapi;
mod plan;
mod rerank;
mod search;
mod tokens;
mod variants;
mod verify;

use axum::Extension;

use crate::described::{Routes, routes};
use crate::error::Error;
use crate::listen::Peer;

/// The routes.
pub(crate) fn routes() -> Routes {
    Routes::new()
        .routes(routes!(health::health))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(openapi::get))
        .routes(routes!(docs::page))
        .routes(routes!(docs::files))
        .routes(routes!(rerank::post))
        .routes(routes!(rerank::post_v1))
        .routes(routes!(explain::post))
        .routes(routes!(plan::post))
        .routes(routes!(variants::post))
        .routes(routes!(config::get))
        .routes(routes!(config::reload))
        .routes(routes!(login::login))
        .routes(routes!(login::logout))
        .routes(routes!(login::list))
        .routes(routes!(search::post))
        .routes(routes!(jobs::get))
        .routes(routes!(jobs::progress))
        .routes(routes!(jobs::pause))
        .routes(routes!(jobs::resume))
        .routes(routes!(jobs::cancel))
        .routes(routes!(jobs::priority))
        .routes(routes!(load::load))
        .routes(routes!(load::unload))
        .routes(routes!(load::pin))
        .routes(routes!(load::unpin))
        .routes(routes!(events::stream))
        .routes(routes!(events::why))
        .routes(routes!(devices::get))
        .routes(routes!(doctor::get))
        .routes(routes!(tokens::tokenize))
        .routes(routes!(tokens::detokenize))
        .routes(routes!(tokens::apply_template))
        .routes(routes!(verify::post))
        .routes(routes!(gc::post))
        .routes(routes!(adopt::post))
}

/// Refuses a request that did not come over the Unix socket.
fn on_socket(peer: Option<Extension<Peer>>, route: &'static str) -> Result<(), Error> {
    match peer {
        Some(Extension(Peer::Unix)) => Ok(()),
        _ => Err(Error::UnixOnly(route)),
    }
}
