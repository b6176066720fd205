//! The caches of the processor, by level.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::count;
use crate::root::Root;

/// Most caches of one processor that are looked at.
const MAX_INDEX: u32 = 8;

/// Equal caches of one level.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cache {
    /// Its level: 1 is the nearest to the core.
    pub level: u32,
    /// `Data`, `Instruction` or `Unified`.
    pub kind: String,
    /// Bytes of each.
    pub size: u64,
    /// How many there are.
    pub count: u32,
}

/// Reads the caches of these processors.
pub(super) fn read(root: &Root, online: &[u32]) -> Vec<Cache> {
    let mut found: BTreeMap<(u32, String, u64), BTreeSet<String>> = BTreeMap::new();
    for cpu in online {
        for index in 0..MAX_INDEX {
            let folder = format!("/sys/devices/system/cpu/cpu{cpu}/cache/index{index}");
            let Some(level) = root.number(&format!("{folder}/level")) else {
                break;
            };
            let value = |name: &str| root.value(&format!("{folder}/{name}"));
            // The processors that share a cache tell it from its equals.
            let (Some(kind), Some(size), Some(shared)) = (
                value("type"),
                value("size").as_deref().and_then(bytes),
                value("shared_cpu_list"),
            ) else {
                continue;
            };
            let level = u32::try_from(level).unwrap_or(u32::MAX);
            found.entry((level, kind, size)).or_default().insert(shared);
        }
    }
    found
        .into_iter()
        .map(|((level, kind, size), shared)| Cache {
            level,
            kind,
            size,
            count: count(shared.len()),
        })
        .collect()
}

/// The bytes of a size such as `48K`.
fn bytes(text: &str) -> Option<u64> {
    let (digits, unit) = match text.as_bytes().last()? {
        b'K' => (text.strip_suffix('K')?, 1 << 10),
        b'M' => (text.strip_suffix('M')?, 1 << 20),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_have_units() {
        assert_eq!(super::bytes("48K"), Some(48 << 10));
        assert_eq!(super::bytes("2M"), Some(2 << 20));
        assert_eq!(super::bytes("64"), Some(64));
        assert_eq!(super::bytes("K"), None);
    }
}
