//! `GET /v1/models` and `GET /v1/models/{name}`: the models in the store.

use api::openai::{ErrorAnswer, Model, ModelMeta, ModelsAnswer};
use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Uri};
use registry::ModelName;

use crate::app::App;
use crate::dialect::{anthropic, context};
use crate::error::Error;
use crate::extract::{Path, model_name};
use crate::scheduler::ModelSummary;

/// Lists the models. A request with the header `anthropic-version` gets Anthropic's list. *Cancel*.
#[utoipa::path(
    get,
    path = "/v1/models",
    responses(
        (status = 200, description = "The models", body = ModelsAnswer),
        (status = 500, description = "The store cannot be read", body = ErrorAnswer),
    ),
    tag = "OpenAI"
)]
pub(crate) async fn list(
    State(app): State<App>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    if anthropic::is_meant(uri.path(), &headers) {
        let page = Query::try_from_uri(&uri).map_err(|error| Error::Invalid(error.body_text()))?;
        return Ok(Json(anthropic::models::list(&app, &page.0).await?).into_response());
    }
    let loaded = app.scheduler.list().await;
    let mut data = Vec::new();
    for entry in app.registry.list().await? {
        if entry.damage.is_some() {
            continue;
        }
        // A model that was removed in between is left out.
        if let Ok(found) = app.registry.model(&entry.name).await {
            let mut model = model(&app, &loaded, entry.name.to_string(), &found);
            model.meta.size = Some(entry.size);
            data.push(model);
        }
    }
    Ok(Json(ModelsAnswer {
        object: "list",
        data,
        models: [],
    })
    .into_response())
}

/// Describes one model, whose name may have slashes. A request with the header `anthropic-version` gets Anthropic's description. *Cancel*.
#[utoipa::path(
    get,
    path = "/v1/models/{*name}",
    params(("name" = String, Path, description = "Name of the model")),
    responses(
        (status = 200, description = "The model", body = Model),
        (status = 400, description = "The name is not valid", body = ErrorAnswer),
        (status = 404, description = "No model has this name", body = ErrorAnswer),
        (status = 500, description = "The model is damaged", body = ErrorAnswer),
    ),
    tag = "OpenAI"
)]
pub(crate) async fn one(
    State(app): State<App>,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    if anthropic::is_meant(uri.path(), &headers) {
        return Ok(Json(anthropic::models::one(&app, &name).await?).into_response());
    }
    let found = app.registry.model(&model_name(&name)?).await?;
    let loaded = app.scheduler.list().await;
    Ok(Json(model(&app, &loaded, name, &found)).into_response())
}

fn model(app: &App, loaded: &[ModelSummary], id: String, found: &registry::Model) -> Model {
    let context = context::of(app, loaded, found);
    Model {
        id,
        object: "model",
        created: found.modified.as_second(),
        owned_by: owner(&found.name),
        context_length: context,
        max_model_len: context,
        capabilities: found.capabilities.iter().map(|it| it.as_str()).collect(),
        meta: ModelMeta {
            n_ctx_train: found.details.context_length,
            n_embd: found.details.embedding_length,
            size: None,
        },
    }
}

/// The namespace of a name: what stands before its last slash.
fn owner(name: &ModelName) -> String {
    let name = name.to_string();
    match name.rsplit_once('/') {
        Some((owner, _)) => owner.to_owned(),
        None => "library".to_owned(),
    }
}
