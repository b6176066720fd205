//! `POST /api/search`: finds models in the catalogs and on the hub.

use api::{FoundModel, SearchRequest, SearchResponse};
use axum::extract::State;
use registry::search::Filter;

use crate::app::App;
use crate::error::Error;
use crate::extract::{Json, SMALL};

/// Models of the hub that are asked for where the request does not say how many.
const USUAL: usize = 20;
/// Longest text to search for, in bytes.
const LONGEST: usize = 256;

/// What is found. *Cancel*: it ends with the request.
pub(crate) async fn post(
    State(app): State<App>,
    Json(request): Json<SearchRequest, SMALL>,
) -> Result<axum::Json<SearchResponse>, Error> {
    if request.query.len() > LONGEST {
        return Err(Error::Invalid(format!(
            "query has {} bytes, at most {LONGEST} are allowed",
            request.query.len()
        )));
    }
    let filters = request.filters.iter().map(|text| text.parse());
    let filters: Vec<Filter> = filters.collect::<Result<_, _>>().map_err(Error::Invalid)?;
    let most = request.limit.unwrap_or(USUAL);
    let found = app
        .registry
        .search(&request.query, &filters, most, &app.sources)
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
