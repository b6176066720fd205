//! `GET /v1/models` and `GET /v1/models/{name}`: the models in the store.

use api::openai::{Model, ModelList};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use modelfile::Parameters;

use crate::app::App;
use crate::dialect::anthropic;
use crate::error::Error;
use crate::extract::model_name;
use crate::options;

/// Lists the models, the latest first. A client with the header `anthropic-version` gets Anthropic's list. *Cancel*.
#[utoipa::path(
    get,
    path = "/v1/models",
    tag = "OpenAI",
    responses((status = 200, description = "The models", body = ModelList))
)]
pub(super) async fn list(
    State(app): State<App>,
    page: Result<Query<anthropic::models::Page>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    if anthropic::is_meant("", &headers) {
        let Query(page) = page.map_err(|error| Error::field("limit", error.body_text()))?;
        return Ok(Json(anthropic::models::list(&app, &page).await?).into_response());
    }
    let mut data = Vec::new();
    for entry in app.registry.list().await? {
        if entry.damage.is_some() {
            continue;
        }
        // A model may be removed meanwhile.
        if let Ok(found) = app.registry.model(&entry.name).await {
            data.push(model(&app, entry.name.to_string(), &found).await);
        }
    }
    let list = ModelList {
        object: "list",
        data,
        models: [],
    };
    Ok(Json(list).into_response())
}

/// One model, by a name that may have slashes. *Cancel*.
#[utoipa::path(
    get,
    path = "/v1/models/{*name}",
    tag = "OpenAI",
    params(("name" = String, Path, description = "Name of the model")),
    responses(
        (status = 200, description = "The model", body = Model),
        (status = 400, description = "The name is invalid"),
        (status = 404, description = "No model has this name"),
    )
)]
pub(super) async fn one(
    State(app): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    if anthropic::is_meant("", &headers) {
        return Ok(Json(anthropic::models::one(&app, &name).await?).into_response());
    }
    let found = app.registry.model(&model_name(&name)?).await?;
    Ok(Json(model(&app, name, &found).await).into_response())
}

async fn model(app: &App, id: String, found: &registry::Model) -> Model {
    let loaded = app.scheduler.list().await;
    let loaded = loaded.iter().find(|summary| summary.key == found.key());
    let context = loaded.map(|summary| summary.context).filter(|it| *it > 0);
    let trained = found.details.context_length;
    let context_length = context.unwrap_or_else(|| {
        let none = Parameters::default();
        let options = options::resolve(&none, &found.parameters, trained, app.defaults);
        options.load.context
    });
    let [_, namespace, ..] = found.name.folders();
    Model {
        owned_by: namespace,
        id,
        object: "model",
        created: found.modified.as_second(),
        context_length,
        max_model_len: context_length,
        trained_context_length: trained,
    }
}
