//! How much memory there is, and how much a context takes.

use llama_cpp_2::model::LlamaModel;
use runner_protocol::KvType;

use crate::{error::Error, system::fs};

const MIB: u64 = 1024 * 1024;

/// Resident bytes of this process; 0 where the system does not tell.
pub(crate) fn resident() -> u64 {
    fs::kernel_file("/proc/self/status")
        .and_then(|status| kib_after(&status, "VmRSS:"))
        .unwrap_or(0)
}

/// What a process may take beside what a model took when it was loaded: requests, answers, templates, grammars, images.
const MARGIN: u64 = 2048 * MIB;

/// The same for each thread: its stack and its part of the heap.
const MARGIN_PER_THREAD: u64 = 16 * MIB;

/// Holds this process to what it has by now, what is planned besides, and a margin.
pub(crate) fn hold(planned: u64, threads: u64) {
    let status = fs::kernel_file("/proc/self/status").unwrap_or_default();
    let Some(taken) = kib_after(&status, "VmData:") else {
        return;
    };
    let most = [planned, MARGIN, threads.saturating_mul(MARGIN_PER_THREAD)]
        .into_iter()
        .fold(taken, u64::saturating_add);
    match confine::hold_data(most) {
        Ok(()) => tracing::debug!(most, "the limit of data"),
        Err(error) => tracing::warn!(%error, "data cannot be limited"),
    }
}

/// Checks that so much memory is free, as far as the system tells.
///
/// # Errors
/// [`Error::OutOfMemory`] names both numbers.
pub(crate) fn check(what: &'static str, needed: u64) -> Result<(), Error> {
    match available() {
        Some(available) if needed > available => Err(Error::OutOfMemory {
            what,
            needed: needed.div_ceil(MIB),
            available: available / MIB,
        }),
        _ => Ok(()),
    }
}

/// Bytes of the KV cache for so many cells. An upper bound: layers that keep less, such as sliding windows, are counted in full.
pub(crate) fn kv_bytes(model: &LlamaModel, cells: u32, kv_type: KvType) -> u64 {
    if model.is_recurrent() {
        return 0;
    }
    let heads = u64::from(model.n_head()).max(1);
    let embedding = u64::try_from(model.n_embd()).unwrap_or(0);
    // Most models split the embedding evenly into heads; others state the length.
    let architecture = model
        .meta_val_str("general.architecture")
        .unwrap_or_default();
    let length = |key: &str| {
        let said = model
            .meta_val_str(&format!("{architecture}.attention.{key}"))
            .ok();
        said.and_then(|value| value.parse().ok())
            .unwrap_or(embedding / heads)
    };
    let per_head: u64 = length("key_length").saturating_add(length("value_length"));
    let row = per_head.saturating_mul(model.n_head_kv().into());
    [
        u64::from(model.n_layer()),
        // llama.cpp refuses a row that is not whole blocks.
        kv_type.row_bytes(row).unwrap_or(0),
        u64::from(cells),
    ]
    .into_iter()
    .fold(1, u64::saturating_mul)
}

/// What can be had without swapping: the smaller of what the machine and what the control group has left.
pub(crate) fn available() -> Option<u64> {
    let machine = kib_after(&fs::kernel_file("/proc/meminfo")?, "MemAvailable:")?;
    Some(group_available().map_or(machine, |group| machine.min(group)))
}

/// Left in this process's control group (version 2), if that has a limit. Its page cache can be had back.
fn group_available() -> Option<u64> {
    let group = fs::kernel_file("/proc/self/cgroup")?;
    let path = group.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let file = |name: &str| fs::kernel_file(format!("/sys/fs/cgroup/{path}/{name}"));
    let limit: u64 = file("memory.max")?.trim().parse().ok()?;
    let used: u64 = file("memory.current")?.trim().parse().ok()?;
    let cache = file("memory.stat")
        .and_then(|stat| number_after(&stat, "inactive_file"))
        .unwrap_or(0);
    Some(limit.saturating_sub(used.saturating_sub(cache)))
}

/// The number of a line such as `MemAvailable:   123 kB`, in bytes.
fn kib_after(text: &str, key: &str) -> Option<u64> {
    number_after(text, key)?.checked_mul(1024)
}

fn number_after(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_kernel_are_read() {
        let text = "MemTotal:       16 kB\nMemAvailable:        8 kB\nBroken: x\n";
        assert_eq!(kib_after(text, "MemAvailable:"), Some(8192));
        assert_eq!(kib_after(text, "Broken:"), None);
        assert_eq!(kib_after(text, "Missing:"), None);
        assert_eq!(
            number_after("anon 5\ninactive_file 7\n", "inactive_file"),
            Some(7)
        );
    }

    #[test]
    fn more_than_there_is_is_refused() {
        assert!(check("a test", 0).is_ok());
        let error = check("a test", u64::MAX).unwrap_err();
        assert!(
            matches!(error, Error::OutOfMemory { what: "a test", needed, available } if needed > available),
            "{error}"
        );
    }

    #[test]
    fn this_process_has_some_memory() {
        assert!(resident() > 0);
    }
}
