//! Finding models: in the catalogs of this store and on the hub.

mod filter;

use serde::Deserialize;

use crate::catalog::{Catalog, Entry};
use crate::error::Result;
use crate::http::{self, Client, Request, shown};
use crate::remote::Auth;
use crate::resolve::{self, Hosts};
use crate::source::Settings;
use crate::{Capability, ModelName, Registry};

pub use self::filter::Filter;

/// Most models of the hub that are asked for.
pub const MOST: usize = 100;
/// Longest answer of the hub.
const ANSWER_MAX: u64 = 8 << 20;

/// A model that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// What `slm pull` is to be given.
    pub name: String,
    /// Its description, in one line, where there is one.
    pub description: String,
    /// How many parameters it has, such as `3.8B`.
    pub parameter_size: Option<String>,
    /// Its licence.
    pub license: Option<String>,
    /// How often it was fetched from the hub in the last 30 days.
    pub downloads: Option<u64>,
    /// When it was last changed there: a day, as `2026-01-31`.
    pub updated: Option<String>,
    /// Whether it is of a catalog.
    pub in_catalog: bool,
    /// What it can be used for, where a catalog says it.
    pub capabilities: Vec<Capability>,
}

/// The result of a search.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchResults {
    /// Models of the catalogs by name, then models of the hub by downloads.
    pub hits: Vec<Hit>,
    /// Why the hub was not asked in full, where it was not.
    pub problem: Option<String>,
}

/// A model in an answer of the hub (`GET /api/models`).
#[derive(Deserialize)]
struct Listed {
    id: String,
    #[serde(default)]
    downloads: Option<u64>,
    #[serde(default, rename = "lastModified")]
    last_modified: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    gguf: Option<Gguf>,
}

#[derive(Deserialize)]
struct Gguf {
    #[serde(default)]
    total: Option<u64>,
}

impl Registry {
    /// Finds models that have every word in their name or description, and meet every filter. `most` bounds those that the hub is asked
    /// for; 0 leaves it out.
    /// A hub that cannot be reached is not an error: the catalogs are searched without a network.
    ///
    /// # Errors
    /// When the catalogs cannot be read, or a setting is none.
    pub async fn search(
        &self,
        words: &str,
        filters: &[Filter],
        most: usize,
        settings: &Settings,
    ) -> Result<SearchResults> {
        let (catalog, _) = self.catalog().await?;
        let mut found = SearchResults {
            hits: in_catalog(&catalog, words),
            problem: None,
        };
        if most > 0 {
            let settings = &self.with_hub_token(settings).await;
            match on_hub(words, filters, most.min(MOST), settings).await {
                Ok(hits) => found.hits.extend(hits),
                Err(error) => found.problem = Some(error.to_string()),
            }
        }
        let fits = |hit: &Hit| filters.iter().all(|filter| filter.fits(hit));
        found.hits.retain(fits);
        Ok(found)
    }
}

/// The entries that have every word, one hit each.
fn in_catalog(catalog: &Catalog, words: &str) -> Vec<Hit> {
    let words: Vec<String> = words.split_whitespace().map(str::to_lowercase).collect();
    let fits = |name: &ModelName, entry: &Entry| {
        let family = entry.family.as_ref().map(ToString::to_string);
        let family = family.unwrap_or_default();
        let can: Vec<&str> = entry.capabilities.iter().map(|can| can.as_str()).collect();
        let text = format!("{name} {} {family} {}", entry.description, can.join(" "));
        let text = text.to_lowercase();
        words.iter().all(|word| text.contains(word))
    };
    let first = catalog.iter().filter(|(name, entry)| **name == entry.name);
    let hits = first.filter(|(name, entry)| fits(name, entry));
    hits.map(|(name, entry)| Hit {
        name: name.to_string(),
        description: entry.description.clone(),
        parameter_size: entry.parameter_size.as_ref().map(ToString::to_string),
        license: Some(entry.license.clone()).filter(|text| !text.is_empty()),
        downloads: None,
        updated: None,
        in_catalog: true,
        capabilities: entry.capabilities.clone(),
    })
    .collect()
}

/// What the hub has in GGUF, the most often fetched first.
async fn on_hub(
    words: &str,
    filters: &[Filter],
    most: usize,
    settings: &Settings,
) -> Result<Vec<Hit>> {
    let hub = Hosts::new(settings)?;
    resolve::reachable(&hub.named, &settings.network)?;
    let mut url = hub.hub;
    // An address of a server has a path.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(["api", "models"]);
    }
    url.query_pairs_mut()
        .append_pair("search", words)
        .append_pair("filter", "gguf")
        .append_pair("sort", "downloads")
        .append_pair("direction", "-1")
        .append_pair("limit", &most.to_string())
        .append_pair("full", "true");
    // What the hub narrows down itself, so that `most` counts models that fit.
    for filter in filters {
        if let Filter::Owner(owner) = filter {
            url.query_pairs_mut().append_pair("author", owner);
        }
    }
    let client = Client::new(&settings.network, hub.named)?;
    let token = Auth::token(hub.token.as_ref().map(|found| found.token.reveal()));
    let request = Request::get(url.clone()).authorized(token.header());
    let (body, _) = client.document(&request, ANSWER_MAX).await?;
    let listed: Vec<Listed> =
        serde_json::from_slice(&body).map_err(|error| http::Error::Document {
            host: shown(&url),
            wanted: "list of models",
            reason: error.to_string(),
        })?;
    let hits = listed.into_iter().take(most).filter_map(hit);
    Ok(hits.collect())
}

/// A model of the hub, if its name can be pulled.
fn hit(listed: Listed) -> Option<Hit> {
    let name = format!("hf.co/{}", listed.id);
    crate::Reference::parse(&name).ok()?;
    let license = listed
        .tags
        .iter()
        .find_map(|tag| tag.strip_prefix("license:"))
        .map(|text| text.chars().filter(|c| !c.is_control()).take(60).collect());
    let day = listed
        .last_modified
        .as_deref()
        .and_then(|text| text.get(..10));
    let is_day = |day: &&str| {
        day.bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'-')
    };
    let total = listed.gguf.and_then(|gguf| gguf.total);
    Some(Hit {
        name,
        description: String::new(),
        parameter_size: total.map(crate::facts::count_label),
        license,
        downloads: listed.downloads,
        updated: day.filter(is_day).map(str::to_owned),
        in_catalog: false,
        capabilities: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(words: &str) -> Vec<String> {
        let hits = in_catalog(&Catalog::builtin(), words);
        hits.into_iter().map(|hit| hit.name).collect()
    }

    #[test]
    fn every_word_must_be_there_and_case_does_not_matter() {
        assert!(names("SMOLLM2").contains(&"smollm2:latest".to_owned()));
        assert!(names("smollm2 very small").contains(&"smollm2:latest".to_owned()));
        assert_eq!(names("smollm2 no-such-word"), Vec::<String>::new());
        assert!(names("").len() > 40);
        assert!(names("embedding").contains(&"all-minilm:latest".to_owned()));
    }

    #[test]
    fn what_cannot_be_pulled_is_left_out() {
        let listed = |id: &str| Listed {
            id: id.to_owned(),
            downloads: Some(3),
            last_modified: Some("2026-01-31T00:00:00.000Z".to_owned()),
            tags: vec!["gguf".to_owned(), "license:mit".to_owned()],
            gguf: Some(Gguf {
                total: Some(3_800_000_000),
            }),
        };
        assert_eq!(hit(listed("gpt2")), None);
        let found = hit(listed("acme/notes")).expect("a name");
        assert_eq!(found.name, "hf.co/acme/notes");
        assert_eq!(found.license.as_deref(), Some("mit"));
        assert_eq!(found.updated.as_deref(), Some("2026-01-31"));
        assert_eq!(found.parameter_size.as_deref(), Some("3.8B"));
    }
}
