//! How many threads compute when nobody says.

use std::{collections::BTreeSet, num::NonZeroUsize, thread};

use runner_protocol::MAX_THREADS;

use crate::system::fs;

/// Up to so many, every processor counts: a small virtual machine is often shown threads of one core as its cores.
const SMALL: usize = 4;

/// The number of physical cores that this process may use; two threads of one core get into each other's way.
pub(crate) fn best() -> u32 {
    let allowed = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = if allowed <= SMALL {
        allowed
    } else {
        physical_cores().unwrap_or(allowed).min(allowed)
    };
    u32::try_from(threads)
        .unwrap_or(MAX_THREADS)
        .clamp(1, MAX_THREADS)
}

/// Cores as the kernel groups its processors, or nothing where it does not tell.
fn physical_cores() -> Option<usize> {
    let siblings = (0..).map_while(|cpu| {
        fs::kernel_file(format!(
            "/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        ))
    });
    let cores = siblings.collect::<BTreeSet<_>>().len();
    (cores > 0).then_some(cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_at_least_one_and_no_more_than_allowed() {
        let allowed = u32::try_from(thread::available_parallelism().unwrap().get()).unwrap();
        assert!((1..=allowed).contains(&best()));
    }
}
