//! Limits that every system has, and privileges that a runner never needs.

use rustix::{
    io,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

use super::Needs;
#[cfg(target_os = "linux")]
use super::fs::{self, Handed};

/// Most open files. Drivers of accelerators open some hundreds.
const MOST_FILES: u64 = 1024;

/// This process leaves no core file when it crashes.
///
/// # Errors
/// What the kernel says when it refuses, which needs no privilege.
pub fn no_core() -> io::Result<()> {
    most(Resource::Core, 0)
}

/// Lowers the limits of files and memory.
///
/// - No file grows, unless the runner was handed one to write to.
/// - Its data is never larger than the machine's memory and swap, and once a model is loaded, than what that needs (see [`super::hold_data`]).
///
/// Drivers of accelerators reserve far more memory than there is, and share some of it as files, so with them neither holds.
///
/// # Errors
/// What the kernel said to the first that it refused.
#[cfg(target_os = "linux")]
pub(super) fn lower(needs: &Needs, handed: &[Handed]) -> Result<(), String> {
    most(Resource::Nofile, MOST_FILES).map_err(|error| error.to_string())?;
    if needs.devices {
        return Ok(());
    }
    if !handed.iter().any(Handed::grows) {
        most(Resource::Fsize, 0).map_err(|error| error.to_string())?;
    }
    if let Some(memory) = fs::memory_and_swap() {
        most(Resource::Data, memory).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Lowers the limit of open files.
///
/// # Errors
/// What the kernel said.
#[cfg(not(target_os = "linux"))]
pub(super) fn lower(_: &Needs) -> Result<(), String> {
    most(Resource::Nofile, MOST_FILES).map_err(|error| error.to_string())
}

/// Lowers the limit of data to so many bytes, where [`lower`] set one. One that is lower already stays.
///
/// # Errors
/// What the kernel said.
pub(super) fn hold_data(bytes: u64) -> io::Result<()> {
    match getrlimit(Resource::Data).maximum {
        Some(_) => most(Resource::Data, bytes),
        None => Ok(()),
    }
}

/// Lowers a limit for good; one that is lower already stays.
fn most(resource: Resource, wanted: u64) -> io::Result<()> {
    let now = getrlimit(resource);
    let lower = |limit: Option<u64>| Some(limit.map_or(wanted, |limit| limit.min(wanted)));
    setrlimit(
        resource,
        Rlimit {
            current: lower(now.current),
            maximum: lower(now.maximum),
        },
    )
}

/// Gives up what root may do, and what programs can bring with them.
///
/// One right of root stays: to open a file of somebody else that it was handed; which files those are is another guard's work.
///
/// # Errors
/// What the kernel said.
#[cfg(target_os = "linux")]
pub(super) fn drop_privileges() -> Result<(), String> {
    use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

    let give_up = || -> io::Result<()> {
        rustix::thread::set_no_new_privs(true)?;
        let now = capabilities(None)?;
        let kept = CapabilitySet::DAC_READ_SEARCH;
        set_capabilities(
            None,
            CapabilitySets {
                effective: now.effective & kept,
                permitted: now.permitted & kept,
                inheritable: CapabilitySet::empty(),
            },
        )
    };
    give_up().map_err(|error| error.to_string())
}
