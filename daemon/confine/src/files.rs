//! Which files a confined runner can open: Landlock, see landlock(7).
//!
//! Everything that is not on the lists is closed, for reading and for writing; no program can be started from any file.
//! A list names what may be there: what is missing on this machine is passed over, one by one, because one missing path
//! must not take all other rules with it.

use std::{path::Path, sync::Mutex};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, RestrictSelfAttr as _,
    Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetStatus, Scope,
    make_bitflags,
};

use super::{
    Needs,
    fs::{self, Handed, Kind},
};

/// The rights that are asked for; a kernel that knows fewer gives fewer.
const KNOWN: ABI = ABI::V6;

/// Reads a file, lists a folder.
const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});

/// Reads and writes a file that is there.
const WRITE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | WriteFile | Truncate});

/// Speaks to a driver.
const DEVICE: BitFlags<AccessFs> =
    make_bitflags!(AccessFs::{ReadFile | ReadDir | WriteFile | IoctlDev});

/// Keeps files in a folder.
const KEEP: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    ReadFile | ReadDir | WriteFile | Truncate | MakeReg | RemoveFile | Refer
});

/// What the libraries of a runner read, wherever they compute.
const READABLE: &[&str] = &[
    // Libraries that are loaded when they are first needed.
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/nix/store",
    "/gnu/store",
    "/etc/ld.so.cache",
    // The local time, which chat templates may ask for.
    "/etc/localtime",
    "/usr/share/zoneinfo",
    // The machine: processors and their nodes, control groups, page sizes.
    "/sys/devices/system",
    "/sys/fs/cgroup",
    "/sys/kernel/mm",
    "/dev/null",
    "/dev/zero",
    "/dev/random",
    "/dev/urandom",
];

/// Files of the kernel about this process and the machine.
const OF_THE_KERNEL: &[&str] = &[
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys/kernel/numa_balancing",
    "/proc/sys/vm/overcommit_memory",
];

/// What drivers of accelerators read besides.
const READABLE_BY_DRIVERS: &[&str] = &[
    "/sys",
    "/etc/OpenCL",
    "/etc/nvidia",
    "/etc/vulkan",
    "/opt/rocm",
    "/run/opengl-driver",
    "/usr/local/cuda",
    "/usr/local/nvidia",
    "/usr/share/drirc.d",
    "/usr/share/libdrm",
    "/usr/share/nvidia",
    "/usr/share/vulkan",
];

/// The same of the kernel's.
const OF_THE_KERNEL_FOR_DRIVERS: &[&str] =
    &["/proc/devices", "/proc/driver/nvidia", "/proc/modules"];

/// Names of threads lie here, which CUDA's driver writes.
const THREADS: &str = "/proc/self/task";

/// Descriptors of what lies in `/proc`.
/// The kernel makes such files anew when it has forgotten them, and a new one is none that a rule was made for; an open one is not forgotten.
static REMEMBERED: Mutex<Vec<PathFd>> = Mutex::new(Vec::new());

/// Closes all files to this thread and those that it starts, but for what the lists and the descriptors open.
///
/// # Errors
/// What is missing on this machine.
pub(super) fn restrict(needs: &Needs, handed: &[Handed]) -> Result<(), String> {
    let threads = fs::threads();
    let mut rules = ruleset().map_err(|error| error.to_string())?;
    for handed in handed {
        let access = match handed.kind {
            Kind::Folder => KEEP,
            Kind::File if handed.writable => WRITE,
            Kind::File => READ,
        };
        allow(&mut rules, &handed.path, access);
    }
    for path in READABLE {
        allow(&mut rules, path, READ);
    }
    let mut kernels = vec![(OF_THE_KERNEL, READ)];
    if needs.devices {
        for folder in &needs.folders {
            allow(&mut rules, folder, READ);
        }
        for path in READABLE_BY_DRIVERS {
            allow(&mut rules, path, READ);
        }
        for node in fs::device_nodes() {
            allow(&mut rules, node, DEVICE);
        }
        kernels.extend([
            (OF_THE_KERNEL_FOR_DRIVERS, READ),
            (&[THREADS], WRITE | READ),
        ]);
    }
    let mut remembered = REMEMBERED
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    for (paths, access) in kernels {
        remembered.extend(
            paths
                .iter()
                .filter_map(|path| allow(&mut rules, path, access)),
        );
    }

    let status = rules.restrict_self().map_err(|error| error.to_string())?;
    if status.ruleset == RulesetStatus::NotEnforced {
        return Err("this kernel has no Landlock, or it is switched off".to_owned());
    }
    if threads > 1 && !status.all_threads {
        return Err(format!(
            "{} threads of drivers ran already, and are not held back",
            threads - 1
        ));
    }
    Ok(())
}

/// A ruleset that closes everything: files, TCP, and signals and abstract sockets to the outside.
fn ruleset() -> Result<RulesetCreated, landlock::RulesetError> {
    Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::from_all(KNOWN))?
        .scope(Scope::from_all(KNOWN))?
        .create()?
        .all_threads(true)
}

/// Opens a file, or all below a folder. What is not there needs no rule; neither does what lies in memory alone.
fn allow(
    rules: &mut RulesetCreated,
    path: impl AsRef<Path>,
    access: BitFlags<AccessFs>,
) -> Option<PathFd> {
    let path = PathFd::new(path).ok()?;
    rules.add_rule(PathBeneath::new(&path, access)).ok()?;
    Some(path)
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, os::fd::AsRawFd as _, path::PathBuf, thread};

    use super::*;

    /// Runs in a thread of its own, because what is given up is not had back.
    #[track_caller]
    fn confined(test: impl FnOnce() + Send + 'static) {
        thread::spawn(test).join().unwrap();
    }

    /// A thread of a test is never the only one, which is what the error says.
    fn restrict_thread(handed: &[Handed]) -> bool {
        match restrict(&Needs::default(), handed) {
            Ok(()) => true,
            Err(error) => error.contains("threads of drivers"),
        }
    }

    #[test]
    fn a_missing_path_leaves_the_other_rules_in_force() {
        confined(|| {
            let missing = Handed {
                path: PathBuf::from("/nonexistent/weights"),
                kind: Kind::File,
                writable: false,
            };
            if !restrict_thread(&[missing]) {
                return assert!(std::env::var_os("CI").is_none(), "no Landlock here");
            }
            assert!(!fs::can_read("/etc/passwd"));
            assert!(fs::can_read("/proc/meminfo"));
        });
    }

    #[test]
    fn a_descriptor_is_opened_again_as_it_was_handed_and_no_other_way() {
        let mut named = tempfile::NamedTempFile::new().unwrap();
        named.write_all(b"weights").unwrap();
        let file = std::fs::File::open(named.path()).unwrap();
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        confined(move || {
            let handed = Handed {
                path: path.clone(),
                kind: Kind::File,
                writable: false,
            };
            if !restrict_thread(&[handed]) {
                return;
            }
            assert_eq!(std::fs::read(&path).unwrap(), b"weights");
            let writing = std::fs::OpenOptions::new().write(true).open(&path);
            assert!(writing.is_err());
        });
    }

    #[test]
    fn files_of_a_handed_folder_are_kept_and_no_others() {
        let (ours, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (kept, lost) = (ours.path().to_owned(), other.path().to_owned());
        confined(move || {
            let handed = Handed {
                path: kept.clone(),
                kind: Kind::Folder,
                writable: false,
            };
            if !restrict_thread(&[handed]) {
                return;
            }
            std::fs::write(kept.join("state"), "kept").unwrap();
            std::fs::rename(kept.join("state"), kept.join("moved")).unwrap();
            std::fs::remove_file(kept.join("moved")).unwrap();
            assert!(std::fs::create_dir(kept.join("folder")).is_err());
            assert!(std::fs::write(lost.join("state"), "lost").is_err());
        });
    }
}
