//! `POST /slm/v1/search`: searches the catalogs and the hub for models.

use api::{ErrorBody, FoundModel, SearchRequest, SearchResponse};
use axum::extract::State;
use registry::search::Filter;

use crate::app::App;
use crate::error::Error;
use crate::extract::{Json, SMALL};

/// Default number of models of the hub.
const DEFAULT_LIMIT: usize = 20;
/// Most bytes of a query.
const MAX_QUERY: usize = 256;

/// Searches the catalogs and the hub for models.
///
/// *Cancel*.
#[utoipa::path(
    post,
    path = api::routes::SEARCH,
    request_body = SearchRequest,
    responses(
        (status = 200, description = "The models", body = SearchResponse),
        (status = "4XX", description = "A field is wrong", body = ErrorBody),
        (status = "5XX", description = "A catalog cannot be read", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn post(
    State(app): State<App>,
    Json(request): Json<SearchRequest, SMALL>,
) -> Result<axum::Json<SearchResponse>, Error> {
    if request.query.len() > MAX_QUERY {
        return Err(Error::Invalid(format!(
            "query has {} bytes, at most {MAX_QUERY} are allowed",
            request.query.len()
        )));
    }
    let filters = request.filters.iter().map(|text| text.parse());
    let filters: Vec<Filter> = filters.collect::<Result<_, _>>().map_err(Error::Invalid)?;
    let most = request.limit.unwrap_or(DEFAULT_LIMIT);
    let found = app
        .registry
        .search(&request.query, &filters, most, &app.sources.now())
        .await?;
    let models = found.hits.into_iter().map(|hit| FoundModel {
        name: hit.name,
        description: hit.description,
        parameter_size: hit.parameter_size,
        license: hit.license,
        downloads: hit.downloads,
        updated: hit.updated,
        source: if hit.in_catalog { "catalog" } else { "hub" }.to_owned(),
    });
    Ok(axum::Json(SearchResponse {
        models: models.collect(),
        problem: found.problem,
    }))
}
