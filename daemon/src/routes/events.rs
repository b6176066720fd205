//! `GET /slm/v1/events` and `GET /slm/v1/why`: what the daemon loads, unloads and refuses, and why.

use std::convert::Infallible;

use api::{ErrorBody, Event, EventKind, WhyResponse};
use axum::Json;
use axum::extract::State;
use axum::response::{Response, sse};
use futures::StreamExt;
use http::HeaderMap;
use registry::ModelName;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::app::App;
use crate::error::Error;
use crate::extract::{Query, model_name};
use crate::loaded;
use crate::transport::sse::{comments, events};

/// The model whose events are asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ModelQuery {
    /// Only this model.
    model: Option<String>,
}

impl ModelQuery {
    fn name(&self) -> Result<Option<ModelName>, Error> {
        self.model.as_deref().map(model_name).transpose()
    }
}

/// Server-sent events from now on; with the header `Last-Event-ID` also the kept ones after that id.
///
/// The stream ends with the daemon. *Cancel*.
#[utoipa::path(
    get,
    path = api::routes::EVENTS,
    params(
        ModelQuery,
        ("Last-Event-ID" = Option<u64>, Header, description = "The id of the last event that the client has"),
    ),
    responses(
        (status = 200, description = "An event for each load, unload, refusal and state of a job", body = Event, content_type = "text/event-stream"),
        (status = "4XX", description = "A parameter is wrong", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn stream(
    State(app): State<App>,
    Query(query): Query<ModelQuery>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let model = query.name()?.map(|name| name.to_string());
    let after = headers
        .get("last-event-id")
        .map(|id| id.to_str().ok().and_then(|id| id.parse().ok()));
    let after = match after {
        Some(None) => {
            return Err(Error::field(
                "Last-Event-ID",
                "must be the number of an event",
            ));
        }
        after => after.flatten(),
    };
    let of_model = move |event: &Event| {
        let is_meant = model.as_ref().is_none_or(|model| *model == event.model);
        futures::future::ready(is_meant || event.kind == EventKind::Missed)
    };
    let frames = app.events.listen(after).filter(of_model).map(frame);
    Ok(events(frames.map(Ok::<_, Infallible>), comments()))
}

/// The frame of an event. `missed` has no id, so that it does not become the last id of the client.
fn frame(event: Event) -> sse::Event {
    let kind = serde_json::json!(event.kind);
    let frame = sse::Event::default().event(kind.as_str().unwrap_or_default());
    let frame = match event.kind {
        EventKind::Missed => frame,
        _ => frame.id(event.id.to_string()),
    };
    frame
        .json_data(&event)
        .expect("events are plain data with text keys")
}

/// The loaded models, and the last loads, unloads, refusals and crashes with their reasons.
///
/// *Cancel*.
#[utoipa::path(
    get,
    path = api::routes::WHY,
    params(ModelQuery),
    responses(
        (status = 200, description = "The last events", body = WhyResponse),
        (status = "4XX", description = "The name of the model is wrong", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn why(
    State(app): State<App>,
    Query(query): Query<ModelQuery>,
) -> Result<Json<WhyResponse>, Error> {
    let Some(model) = query.name()? else {
        return Ok(Json(WhyResponse {
            loaded: loaded::models(&app).await,
            events: app.events.decisions(|_| true),
        }));
    };
    let loaded = loaded::model(&app, &model).await;
    // Names of the same weights share a runner, and its events have the name that loaded it.
    let shared = loaded.as_ref().map(|loaded| loaded.name.clone());
    let name = model.to_string();
    let is_meant = |event: &str| event == name || Some(event) == shared.as_deref();
    Ok(Json(WhyResponse {
        events: app.events.decisions(is_meant),
        loaded: loaded.into_iter().collect(),
    }))
}
