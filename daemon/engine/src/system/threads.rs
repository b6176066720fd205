//! Threads beside the engine's, and the default number of threads that compute.

use std::{
    collections::BTreeSet,
    io,
    num::NonZeroUsize,
    panic::{self, AssertUnwindSafe},
    thread,
};

use runner_protocol::MAX_THREADS;

use crate::{error::Error, ffi, system::fs};

/// Up to so many, every processor counts: a small virtual machine is often shown threads of one core as its cores.
const SMALL: usize = 4;

/// The engine panicked.
pub(crate) const PANIC_CODE: u8 = 101;

/// The engine's stack. llama.cpp's tokenizers and templates recurse over what they are given.
pub(crate) const STACK_BYTES: usize = 64 * 1024 * 1024;

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

/// Cores as the system groups its processors, or nothing where it does not tell.
fn physical_cores() -> Option<usize> {
    let siblings = (0..).map_while(|cpu| {
        fs::kernel_file(format!(
            "/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        ))
    });
    let cores = siblings.collect::<BTreeSet<_>>().len();
    (cores > 0).then_some(cores)
}

/// Starts a thread beside the engine's. The process cannot go on without it, so it ends when that panics.
///
/// # Errors
/// [`Error::Internal`] when the system starts no thread, such as for want of memory.
pub(crate) fn spawn<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    name: &str,
    stack: usize,
    work: impl FnOnce() + Send + 'scope,
) -> Result<(), Error> {
    thread::Builder::new()
        .name(name.into())
        .stack_size(stack)
        .spawn_scoped(scope, or_leave(work))
        .map_err(|error| {
            Error::Internal(format!("the {name} thread cannot be started: {error}"))
        })?;
    Ok(())
}

/// The same for a thread that is not joined.
pub(crate) fn detach(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new()
        .name(name.into())
        .spawn(or_leave(work))?;
    Ok(())
}

fn or_leave(work: impl FnOnce()) -> impl FnOnce() {
    move || {
        if panic::catch_unwind(AssertUnwindSafe(work)).is_err() {
            ffi::leave(PANIC_CODE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_cannot_be_started_is_an_error() {
        let started = thread::scope(|scope| spawn(scope, "vast", 1 << 60, || ()));
        let error = started.unwrap_err().to_string();
        assert!(error.contains("the vast thread"), "{error}");
    }

    #[test]
    fn there_is_at_least_one_and_no_more_than_allowed() {
        let allowed = u32::try_from(thread::available_parallelism().unwrap().get()).unwrap();
        assert!((1..=allowed).contains(&best()));
    }
}
