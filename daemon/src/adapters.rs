//! Which adapters a load takes: the adapters of its model and of other models on the same base, so that a request for such a model needs
//! no load of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use registry::{AdaptedModel, Digest, Model, ModelKey, ModelName, Registry};
use runner_protocol::MAX_ADAPTERS;

use crate::scheduler::LoadAdapter;

/// Adapters that no request has used yet have at most this part of the bytes of the weights together: one eighth.
const UNUSED_PART: u64 = 8;

/// Most bases for which it is known which adapters were used last.
const MOST_BASES: usize = 256;

/// The adapters in the store, and which were used last. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Adapters(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The models with adapters, and the revision of the store that has them. Locked while they are read, so that they are read once.
    models: tokio::sync::Mutex<Option<(u64, Arc<[AdaptedModel]>)>>,
    /// The adapters that requests used, the last one first. Never locked across an await.
    used: Mutex<BTreeMap<ModelKey, Vec<Digest>>>,
}

impl Adapters {
    /// The adapters that a load for a request of this model takes; its own are marked as needed, and count as used now.
    pub async fn of(&self, registry: &Registry, model: &Model) -> Vec<LoadAdapter> {
        let key = model.key();
        let own: Vec<LoadAdapter> = model
            .adapters()
            .map(|layer| LoadAdapter {
                digest: layer.digest,
                model: model.name.clone(),
                bytes: layer.size,
                is_needed: true,
            })
            .collect();
        let used = self.note(&key, &own);
        let models = self.models(registry, &model.name).await;
        let others = models.iter().filter(|other| other.key == key);
        let others = others.flat_map(|other| {
            other.adapters.iter().map(|layer| LoadAdapter {
                digest: layer.digest,
                model: other.name.clone(),
                bytes: layer.size,
                is_needed: false,
            })
        });
        let weights = model.weights().map(|layer| layer.size);
        let weights = weights.fold(0, u64::saturating_add);
        chosen(own, others.collect(), &used, weights / UNUSED_PART)
    }

    /// Notes that these adapters are used, and returns all that were, the last ones first.
    fn note(&self, key: &ModelKey, own: &[LoadAdapter]) -> Vec<Digest> {
        let mut bases = self.used();
        if own.is_empty() {
            return bases.get(key).cloned().unwrap_or_default();
        }
        if bases.len() >= MOST_BASES && !bases.contains_key(key) {
            bases.clear();
        }
        let used = bases.entry(key.clone()).or_default();
        used.retain(|digest| own.iter().all(|adapter| adapter.digest != *digest));
        used.splice(0..0, own.iter().map(|adapter| adapter.digest));
        used.truncate(MAX_ADAPTERS);
        used.clone()
    }

    /// The models with adapters. They are read anew when a name of the store has changed.
    async fn models(&self, registry: &Registry, asked: &ModelName) -> Arc<[AdaptedModel]> {
        let mut known = self.0.models.lock().await;
        let revision = registry.revision();
        if let Some((of, models)) = &*known
            && *of == revision
        {
            return models.clone();
        }
        match registry.adapted_models().await {
            Ok(models) => {
                let models: Arc<[AdaptedModel]> = models.into();
                *known = Some((revision, models.clone()));
                models
            }
            Err(error) => {
                tracing::warn!(model = %asked, "loads without the adapters of other models: {}", crate::error::chain(&error));
                Arc::default()
            }
        }
    }

    fn used(&self) -> MutexGuard<'_, BTreeMap<ModelKey, Vec<Digest>>> {
        self.0.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The own adapters, then others while there is room: the last used ones first, then unused ones, which have at most `most_unused` bytes
/// together.
fn chosen(
    own: Vec<LoadAdapter>,
    mut others: Vec<LoadAdapter>,
    used: &[Digest],
    most_unused: u64,
) -> Vec<LoadAdapter> {
    let place = |adapter: &LoadAdapter| used.iter().position(|digest| *digest == adapter.digest);
    others.sort_by_key(|adapter| place(adapter).unwrap_or(usize::MAX));
    let mut chosen: Vec<LoadAdapter> = Vec::new();
    let mut left = most_unused;
    for adapter in own.into_iter().chain(others) {
        if chosen.iter().any(|known| known.digest == adapter.digest) {
            continue;
        }
        if !adapter.is_needed {
            if chosen.len() >= MAX_ADAPTERS {
                break;
            }
            if place(&adapter).is_none() {
                match left.checked_sub(adapter.bytes) {
                    Some(rest) => left = rest,
                    None => continue,
                }
            }
        }
        chosen.push(adapter);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(name: &str, bytes: u64, is_needed: bool) -> LoadAdapter {
        LoadAdapter {
            digest: Digest::of(name.as_bytes()),
            model: ModelName::parse(name).unwrap(),
            bytes,
            is_needed,
        }
    }

    fn check(own: &[(&str, u64)], others: &[(&str, u64)], used: &[&str], expected: &[&str]) {
        let all = |list: &[(&str, u64)], is_needed| {
            list.iter()
                .map(|(name, bytes)| adapter(name, *bytes, is_needed))
                .collect()
        };
        let used: Vec<Digest> = used
            .iter()
            .map(|name| Digest::of(name.as_bytes()))
            .collect();
        let chosen = chosen(all(own, true), all(others, false), &used, 100);
        let names: Vec<&str> = chosen.iter().map(|it| it.model.model()).collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn adapters_that_were_used_last_come_first_and_unused_ones_are_small() {
        check(&[], &[], &[], &[]);
        check(&[("a", 500)], &[], &[], &["a"]);
        check(
            &[("a", 1)],
            &[("b", 60), ("a", 1), ("c", 60), ("d", 40)],
            &[],
            &["a", "b", "d"],
        );
        check(
            &[],
            &[("b", 60), ("c", 500), ("d", 500)],
            &["d", "c"],
            &["d", "c", "b"],
        );
    }

    #[test]
    fn there_are_at_most_as_many_as_a_runner_takes() {
        let names: Vec<String> = (0..20).map(|number| format!("m{number}")).collect();
        let others: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
        let mut expected = vec!["own", "m19"];
        expected.extend(names[..14].iter().map(String::as_str));
        check(&[("own", 1)], &others, &["m19"], &expected);
    }

    #[test]
    fn what_was_used_is_remembered_in_order_and_within_bounds() {
        let adapters = Adapters::default();
        let key: ModelKey = [Digest::of(b"base")].into_iter().collect();
        for name in ["a", "b", "a"] {
            adapters.note(&key, &[adapter(name, 1, true)]);
        }
        let digests = |names: &[&str]| -> Vec<Digest> {
            names
                .iter()
                .map(|name| Digest::of(name.as_bytes()))
                .collect()
        };
        assert_eq!(adapters.note(&key, &[]), digests(&["a", "b"]));
        for number in 0..20 {
            adapters.note(&key, &[adapter(&format!("m{number}"), 1, true)]);
        }
        assert_eq!(adapters.note(&key, &[]).len(), MAX_ADAPTERS);
    }
}
