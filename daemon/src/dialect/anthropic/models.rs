//! `GET /v1/models` and `GET /v1/models/{id}` for clients with the header `anthropic-version`.

use api::anthropic::{Model, Models};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::app::App;
use crate::dialect::context;
use crate::error::Error;
use crate::extract::model_name;

/// Entries of a page without `limit`.
const PAGE: usize = 20;
/// Most entries of a page.
const LONGEST_PAGE: usize = 1000;

/// Which part of the list a client wants.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Page {
    /// Most entries, 20 if it is absent.
    pub limit: Option<usize>,
    /// Begin after the entry with this id.
    pub after_id: Option<String>,
    /// End before the entry with this id.
    pub before_id: Option<String>,
}

/// A page of the models that can generate text, the latest first.
///
/// # Errors
/// When the store cannot be read.
pub async fn list(app: &App, page: &Page) -> Result<Models, Error> {
    let loaded = app.scheduler.list().await;
    let mut models = Vec::new();
    for entry in app.registry.list().await? {
        if entry.damage.is_some() || !may_generate(&entry.capabilities) {
            continue;
        }
        // A model that was removed in between is left out.
        if let Ok(found) = app.registry.model(&entry.name).await {
            let context = context::of(app, &loaded, &found);
            models.push(model(entry.name.to_string(), entry.modified, context));
        }
    }
    Ok(paged(models, page))
}

/// One model.
///
/// # Errors
/// When no model has this name.
pub async fn one(app: &App, id: &str) -> Result<Model, Error> {
    let found = app.registry.model(&model_name(id)?).await?;
    let loaded = app.scheduler.list().await;
    let context = context::of(app, &loaded, &found);
    Ok(model(id.to_owned(), found.modified, context))
}

fn may_generate(capabilities: &[registry::Capability]) -> bool {
    capabilities.is_empty() || capabilities.contains(&registry::Capability::Completion)
}

fn model(id: String, modified: jiff::Timestamp, context: u64) -> Model {
    Model {
        kind: "model",
        display_name: id.clone(),
        id,
        created_at: modified,
        lifecycle: "active",
        max_input_tokens: context,
        max_tokens: context,
    }
}

fn paged(mut models: Vec<Model>, page: &Page) -> Models {
    let at = |models: &[Model], id: &str| models.iter().position(|model| model.id == id);
    if let Some(place) = page.after_id.as_deref().and_then(|id| at(&models, id)) {
        models.drain(..=place);
    }
    let limit = page.limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE);
    let has_more = match page.before_id.as_deref().and_then(|id| at(&models, id)) {
        Some(place) => {
            models.truncate(place);
            let start = models.len().saturating_sub(limit);
            models.drain(..start);
            start > 0
        }
        None => {
            let has_more = models.len() > limit;
            models.truncate(limit);
            has_more
        }
    };
    Models {
        has_more,
        first_id: models.first().map(|model| model.id.clone()),
        last_id: models.last().map(|model| model.id.clone()),
        data: models,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(page: &Page) -> (String, bool) {
        let models =
            ["a", "b", "c", "d"].map(|id| model(id.into(), jiff::Timestamp::UNIX_EPOCH, 64));
        let paged = paged(models.into(), page);
        (
            paged.data.into_iter().map(|model| model.id).collect(),
            paged.has_more,
        )
    }

    #[test]
    fn pages_follow_each_other_in_both_directions() {
        let page = |limit: usize, after: Option<&str>, before: Option<&str>| {
            ids(&Page {
                limit: Some(limit),
                after_id: after.map(Into::into),
                before_id: before.map(Into::into),
            })
        };
        assert_eq!(ids(&Page::default()), ("abcd".into(), false));
        assert_eq!(page(3, None, None), ("abc".into(), true));
        assert_eq!(page(3, Some("c"), None), ("d".into(), false));
        assert_eq!(page(2, None, Some("d")), ("bc".into(), true));
        assert_eq!(page(2, None, Some("b")), ("a".into(), false));
        assert_eq!(page(0, None, None), ("a".into(), true));
    }
}
