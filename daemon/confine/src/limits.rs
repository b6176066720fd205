//! Resource limits, and the privileges that a runner never needs.

use rustix::{
    io,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

use super::Needs;
#[cfg(target_os = "linux")]
use super::fs::{self, Inherited};

/// Most open files. Drivers of accelerators open hundreds.
const MOST_FILES: u64 = 1024;

/// Makes this process leave no core file when it crashes.
///
/// # Errors
/// The system's error, although this needs no privilege.
pub fn no_core() -> io::Result<()> {
    most(Resource::Core, 0)
}

/// Lowers the limits of files and memory.
///
/// - No file grows, unless the runner inherited one for writing.
/// - Its data is at most the machine's memory and swap, and less once a model is loaded (see [`super::hold_data`]).
///
/// With an accelerator neither holds, because drivers reserve more memory than there is and share some of it as files.
///
/// # Errors
/// The system's error at the first limit that it refuses.
#[cfg(target_os = "linux")]
pub(super) fn lower(needs: &Needs, inherited: &[Inherited]) -> Result<(), String> {
    most(Resource::Nofile, MOST_FILES).map_err(|error| error.to_string())?;
    if needs.drivers() {
        return Ok(());
    }
    if !inherited.iter().any(Inherited::grows) {
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
/// The system's error.
#[cfg(not(target_os = "linux"))]
pub(super) fn lower(_: &Needs) -> Result<(), String> {
    most(Resource::Nofile, MOST_FILES).map_err(|error| error.to_string())
}

/// Lowers the limit of data to this many bytes, if [`lower`] set one. A lower limit stays.
///
/// # Errors
/// The system's error.
pub(super) fn hold_data(bytes: u64) -> io::Result<()> {
    match getrlimit(Resource::Data).maximum {
        Some(_) => most(Resource::Data, bytes),
        None => Ok(()),
    }
}

/// Lowers a limit for good. A lower limit stays.
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

/// Drops the capabilities of the process except `CAP_DAC_READ_SEARCH`, and keeps an executed program from gaining any.
///
/// With `CAP_DAC_READ_SEARCH`, root opens inherited files of other users again; Landlock decides which files these are.
///
/// # Errors
/// The system's error.
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
