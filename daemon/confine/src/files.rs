//! The files that a runner can open: Landlock, see landlock(7).
//!
//! Everything that is not on the lists is closed for reading and writing, and no file can be executed.
//! A path that is missing on this machine is skipped alone, and the other rules hold.

use std::{path::Path, sync::Mutex};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, RestrictSelfAttr as _,
    Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetStatus, Scope,
    make_bitflags,
};

use super::{
    Needs,
    fs::{self, Inherited, Kind},
    nodes,
};

/// The requested version of Landlock; an older Linux kernel enforces the rights that it knows.
const KNOWN: ABI = ABI::V6;

/// Reads a file, lists a folder.
const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});

/// Reads and writes an existing file.
const WRITE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | WriteFile | Truncate});

/// Uses a device node.
const DEVICE: BitFlags<AccessFs> =
    make_bitflags!(AccessFs::{ReadFile | ReadDir | WriteFile | IoctlDev});

/// Makes, changes and removes files in a folder.
const KEEP: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    ReadFile | ReadDir | WriteFile | Truncate | MakeReg | RemoveFile | Refer
});

/// What the libraries of every runner read.
const READABLE: &[&str] = &[
    // Libraries, some of which are loaded late.
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/nix/store",
    "/gnu/store",
    "/etc/ld.so.cache",
    // The local time for chat templates.
    "/etc/localtime",
    "/usr/share/zoneinfo",
    // The machine: CPUs, NUMA nodes, control groups, page sizes.
    "/sys/devices/system",
    "/sys/fs/cgroup",
    "/sys/kernel/mm",
    "/dev/null",
    "/dev/zero",
    "/dev/random",
    "/dev/urandom",
];

/// Files in `/proc` about this process and the machine.
const OF_THE_KERNEL: &[&str] = &[
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys/kernel/numa_balancing",
    "/proc/sys/vm/overcommit_memory",
];

/// What drivers of accelerators read as well.
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

/// The same in `/proc`.
const OF_THE_KERNEL_FOR_DRIVERS: &[&str] =
    &["/proc/devices", "/proc/driver/nvidia", "/proc/modules"];

/// Thread names, which CUDA's driver writes.
const THREADS: &str = "/proc/self/task";

/// Open descriptors of files in `/proc`. The Linux kernel drops unused inodes of `/proc`, and a rule does not hold for the inode that it
/// makes later; an open descriptor keeps the inode.
static REMEMBERED: Mutex<Vec<PathFd>> = Mutex::new(Vec::new());

/// Closes all files to this thread and threads that it starts later, except for the lists and the inherited files.
///
/// # Errors
/// What this machine does not enforce.
pub(super) fn restrict(needs: &Needs, inherited: &[Inherited]) -> Result<(), String> {
    let threads = fs::threads();
    let mut rules = ruleset().map_err(|error| error.to_string())?;
    for inherited in inherited {
        let access = match inherited.kind {
            Kind::Folder => KEEP,
            Kind::File if inherited.writable => WRITE,
            Kind::File => READ,
        };
        allow(&mut rules, &inherited.path, access);
    }
    for path in READABLE {
        allow(&mut rules, path, READ);
    }
    let mut kernels = vec![(OF_THE_KERNEL, READ)];
    if needs.drivers() {
        for folder in &needs.folders {
            allow(&mut rules, folder, READ);
        }
        for path in READABLE_BY_DRIVERS {
            allow(&mut rules, path, READ);
        }
        for node in nodes::of(&needs.backends) {
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

/// A ruleset that closes files, TCP, and signals and abstract sockets to processes outside.
fn ruleset() -> Result<RulesetCreated, landlock::RulesetError> {
    Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::from_all(KNOWN))?
        .scope(Scope::from_all(KNOWN))?
        .create()?
        .all_threads(true)
}

/// Allows a file, or everything below a folder. A missing path needs no rule, nor does a file in memory alone.
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

    /// Runs in a new thread, because a thread cannot undo its restrictions.
    #[track_caller]
    fn confined(test: impl FnOnce() + Send + 'static) {
        thread::spawn(test).join().unwrap();
    }

    /// A test never runs in the only thread, which the error reports.
    fn restrict_thread(inherited: &[Inherited]) -> bool {
        match restrict(&Needs::default(), inherited) {
            Ok(()) => true,
            Err(error) => error.contains("threads of drivers"),
        }
    }

    #[test]
    fn a_missing_path_leaves_the_other_rules_in_force() {
        confined(|| {
            let missing = Inherited {
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
    fn a_descriptor_is_opened_again_as_it_was_inherited_and_no_other_way() {
        let mut named = tempfile::NamedTempFile::new().unwrap();
        named.write_all(b"weights").unwrap();
        let file = std::fs::File::open(named.path()).unwrap();
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        confined(move || {
            let inherited = Inherited {
                path: path.clone(),
                kind: Kind::File,
                writable: false,
            };
            if !restrict_thread(&[inherited]) {
                return;
            }
            assert_eq!(std::fs::read(&path).unwrap(), b"weights");
            let writing = std::fs::OpenOptions::new().write(true).open(&path);
            assert!(writing.is_err());
        });
    }

    #[test]
    fn files_of_an_inherited_folder_are_kept_and_no_others() {
        let (ours, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (kept, lost) = (ours.path().to_owned(), other.path().to_owned());
        confined(move || {
            let inherited = Inherited {
                path: kept.clone(),
                kind: Kind::Folder,
                writable: false,
            };
            if !restrict_thread(&[inherited]) {
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
