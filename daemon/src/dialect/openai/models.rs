//! `GET /v1/models` and `GET /v1/models/{name}`: the models in the store.

use api::openai::{ErrorAnswer, Model, ModelMeta, ModelsAnswer};
use axum::Json;
use axum::extract::{Query, State};
use http::{HeaderMap, Uri};
use registry::ModelName;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::dialect::{anthropic, context};
use crate::error::Error;
use crate::extract::{Path, model_name};
use crate::scheduler::ModelSummary;

/// The list in the dialect of the client.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum ModelList {
    /// Without the header `anthropic-version`.
    OpenAi(ModelsAnswer),
    /// With it.
    Anthropic(api::anthropic::Models),
}

/// A model in the dialect of the client.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum OneModel {
    /// Without the header `anthropic-version`.
    OpenAi(Model),
    /// With it.
    Anthropic(api::anthropic::Model),
}

/// Lists the models.
///
/// A request with the header `anthropic-version` gets Anthropic's list. *Cancel*.
#[utoipa::path(
    get,
    path = "/v1/models",
    params(
        ("anthropic-version" = Option<String>, Header, description = "Selects Anthropic's form of the answer"),
        anthropic::models::Page,
    ),
    responses(
        (status = 200, description = "The models", body = ModelList),
        (status = 400, description = "A parameter is wrong", body = ErrorAnswer),
        (status = 500, description = "The store cannot be read", body = ErrorAnswer),
    ),
    tag = "OpenAI"
)]
pub(crate) async fn list(
    State(app): State<App>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<ModelList>, Error> {
    if anthropic::is_meant(uri.path(), &headers) {
        let page = Query::try_from_uri(&uri).map_err(|error| Error::Invalid(error.body_text()))?;
        let list = anthropic::models::list(&app, &page.0).await?;
        return Ok(Json(ModelList::Anthropic(list)));
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
    Ok(Json(ModelList::OpenAi(ModelsAnswer {
        object: "list",
        data,
        models: [],
    })))
}

/// Describes one model, whose name may have slashes.
///
/// A request with the header `anthropic-version` gets Anthropic's description. *Cancel*.
#[utoipa::path(
    get,
    path = "/v1/models/{*name}",
    params(
        ("name" = String, Path, description = "Name of the model"),
        ("anthropic-version" = Option<String>, Header, description = "Selects Anthropic's form of the answer"),
    ),
    responses(
        (status = 200, description = "The model", body = OneModel),
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
) -> Result<Json<OneModel>, Error> {
    if anthropic::is_meant(uri.path(), &headers) {
        let model = anthropic::models::one(&app, &name).await?;
        return Ok(Json(OneModel::Anthropic(model)));
    }
    let found = app.registry.model(&model_name(&name)?).await?;
    let loaded = app.scheduler.list().await;
    Ok(Json(OneModel::OpenAi(model(&app, &loaded, name, &found))))
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
