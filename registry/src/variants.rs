//! The variants of a model: the quantizations and formats of its weights that the places of a reference have.
//!
//! An entry of a catalog names them; a repository of the hub lists files, a registry lists tags. Nothing here chooses: a reference with a
//! variant is pulled like any other.

use crate::catalog::{EntryVariant, Location};
use crate::error::{Error, Result, in_full};
use crate::reference::Reference;
use crate::remote::{RemoteVariant, quantization};
use crate::resolve::{self, Candidate, Plan};
use crate::source::Settings;
use crate::{Digest, ModelName, Registry};

/// What kind of files weights are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightFormat {
    /// GGUF, as llama.cpp reads it.
    Gguf,
    /// Safetensors, which a pull converts.
    Safetensors,
}

/// One quantization or format of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// What [`Reference::with_variant`] takes.
    pub name: String,
    /// Its quantization in capitals, such as `Q4_K_M`; empty where nothing tells.
    pub quantization: String,
    /// The kind of its files.
    pub format: WeightFormat,
    /// Its size in bytes, where that is known.
    pub size: Option<u64>,
    /// The digest of its weights, where that is known.
    pub digest: Option<Digest>,
    /// Whether a pull takes it when no variant is wanted.
    pub is_usual: bool,
    /// Whether its weights are in the store.
    pub here: bool,
}

/// The variants of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variants {
    /// The name of the model in the store.
    pub name: ModelName,
    /// Where they are.
    pub place: String,
    /// All of them; one is the usual one. Empty where the reference leaves nothing to choose.
    pub all: Vec<Variant>,
}

impl Registry {
    /// The variants of a model. No weights are fetched, and nothing is asked where a catalog or the reference decides.
    ///
    /// # Errors
    /// As [`Registry::explain`], when no place answers.
    pub async fn variants(
        &self,
        reference: &Reference,
        insecure: bool,
        settings: &Settings,
    ) -> Result<Variants> {
        let settings = &self.with_hub_token(settings).await;
        let (catalog, _) = self.catalog().await?;
        let plan = resolve::plan(reference, insecure, &catalog, settings)?;
        let (place, found) = match known(&plan) {
            Some(found) => ("a catalog".to_owned(), found),
            None => self.found(&plan, settings).await?,
        };
        let mut all = Vec::new();
        for variant in found {
            let here = match &variant.digest {
                Some(digest) => self.knows_blob(digest).await? == Some(true),
                None => false,
            };
            all.push(Variant { here, ..variant });
        }
        Ok(Variants {
            name: plan.name,
            place,
            all,
        })
    }

    /// The variants of the first place that answers.
    async fn found(&self, plan: &Plan, settings: &Settings) -> Result<(String, Vec<Variant>)> {
        resolve::reachable(&plan.named, &settings.network)?;
        let client = self.client(settings, &plan.named).await?;
        let mut reasons = Vec::new();
        for candidate in &plan.candidates {
            let place = candidate.place();
            let found = match candidate {
                // Packages have the file that the catalog names, and a digest in the catalog names one file of the hub.
                Candidate::Hub(hub) if hub.digest.is_some() => return Ok((place, Vec::new())),
                Candidate::Wheels(_) | Candidate::Folder(_) | Candidate::Web(_) => {
                    return Ok((place, Vec::new()));
                }
                Candidate::Hub(hub) => hub.variants(&client).await,
                Candidate::Distribution(registry) => registry.variants(&client).await,
            };
            match found {
                Ok(found) => return Ok((place, found.into_iter().map(Variant::from).collect())),
                Err(error) => reasons.push(format!("{place}: {}", in_full(&error))),
            }
        }
        Err(Error::Invalid {
            reason: format!(
                "no place tells the variants of {}: {}",
                plan.name,
                reasons.join("; ")
            ),
        })
    }
}

/// The variants that are known without asking a place: those of the catalog, or none.
fn known(plan: &Plan) -> Option<Vec<Variant>> {
    match &plan.entry {
        _ if !plan.is_open => Some(Vec::new()),
        Some(entry) if !entry.variants.is_empty() => {
            let named = entry.variants.iter().enumerate();
            Some(
                named
                    .map(|(number, it)| Variant::of_entry(it, number == 0))
                    .collect(),
            )
        }
        // Its bytes are known, so there is one variant.
        Some(entry) if entry.digest.is_some() => Some(Vec::new()),
        _ => None,
    }
}

impl Variant {
    fn of_entry(variant: &EntryVariant, is_usual: bool) -> Self {
        let converts = matches!(variant.sources.first(), Some(Location::Folder(_)));
        let size = match variant.sources.first() {
            Some(Location::Folder(folder)) => folder.size(),
            _ => variant.size,
        };
        Self {
            name: variant.name.to_string(),
            quantization: quantization(variant.name.as_str()),
            format: match converts {
                true => WeightFormat::Safetensors,
                false => WeightFormat::Gguf,
            },
            size,
            digest: variant.digest,
            is_usual,
            here: false,
        }
    }
}

impl From<RemoteVariant> for Variant {
    fn from(variant: RemoteVariant) -> Self {
        Self {
            name: variant.name,
            quantization: variant.quantization,
            format: WeightFormat::Gguf,
            size: variant.size,
            digest: variant.digest,
            is_usual: variant.is_usual,
            here: false,
        }
    }
}
