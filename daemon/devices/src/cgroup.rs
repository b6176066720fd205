//! The control groups of this process, of version 2 and of version 1.
//!
//! A limit of any group on the way to the root counts, because each of them applies.
//! Sources: `Documentation/admin-guide/cgroup-v2.rst` and `cgroup-v1/memory.rst` of the Linux kernel.

use crate::root::Root;

/// Most groups on the way to the root.
const MAX_DEPTH: usize = 64;

/// A version 1 limit from here on means that there is none; the kernel writes the largest multiple of a page.
const NO_LIMIT: u64 = 1 << 62;

/// Folders of the control groups that this process is in, from its own to the root. They change only when it is moved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cgroups {
    memory: Option<Hierarchy>,
    cpu: Option<Hierarchy>,
}

/// The groups of one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    version: Version,
    /// The innermost first.
    folders: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A limit on memory and what counts against it, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemoryLimit {
    pub(crate) limit: u64,
    /// Without the page cache, which the kernel gives back.
    pub(crate) used: u64,
}

impl Cgroups {
    /// Finds the groups of this process.
    pub fn find(root: &Root) -> Self {
        let mounts = root.text("/proc/self/mountinfo").unwrap_or_default();
        let groups = root.text("/proc/self/cgroup").unwrap_or_default();
        let find = |controller| {
            Hierarchy::one(&mounts, &groups, controller)
                .or_else(|| Hierarchy::two(&mounts, &groups))
        };
        Self {
            memory: find("memory"),
            cpu: find("cpu"),
        }
    }

    /// The limits on memory, the innermost first.
    pub(crate) fn memory_limits(&self, root: &Root) -> Vec<MemoryLimit> {
        let groups = self.memory.iter().flat_map(Hierarchy::groups);
        groups
            .filter_map(|(version, folder)| memory_limit(root, version, folder))
            .collect()
    }

    /// The number of processors that the smallest quota permits to use all the time.
    pub(crate) fn cpu_quota(&self, root: &Root) -> Option<f64> {
        let groups = self.cpu.iter().flat_map(Hierarchy::groups);
        groups
            .filter_map(|(version, folder)| cpu_quota(root, version, folder))
            .min_by(f64::total_cmp)
    }

    /// The file that says how much programs of the innermost group wait for memory; only version 2 has it.
    pub(crate) fn pressure_file(&self) -> Option<String> {
        let memory = self.memory.as_ref()?;
        let own = memory.folders.first()?;
        (memory.version == Version::Two).then(|| format!("{own}/memory.pressure"))
    }
}

impl Hierarchy {
    fn groups(&self) -> impl Iterator<Item = (Version, &str)> {
        self.folders
            .iter()
            .map(|folder| (self.version, folder.as_str()))
    }

    /// The hierarchy of version 1 with this controller.
    fn one(mounts: &str, groups: &str, controller: &str) -> Option<Self> {
        let has = |names: &str| names.split(',').any(|name| name == controller);
        let group = groups.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, group) = rest.split_once(':')?;
            has(controllers).then_some(group)
        })?;
        let mount =
            Mount::all(mounts).find(|mount| mount.kind == "cgroup" && has(mount.options))?;
        Some(Self {
            version: Version::One,
            folders: mount.folders(group),
        })
    }

    fn two(mounts: &str, groups: &str) -> Option<Self> {
        let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
        let mount = Mount::all(mounts).find(|mount| mount.kind == "cgroup2")?;
        Some(Self {
            version: Version::Two,
            folders: mount.folders(group),
        })
    }
}

/// A line of `/proc/self/mountinfo`.
struct Mount<'text> {
    /// The part of the file system that is mounted: in a container often its own group.
    root: &'text str,
    point: &'text str,
    kind: &'text str,
    /// Options of the file system, among them the controllers of version 1.
    options: &'text str,
}

impl<'text> Mount<'text> {
    fn all(mounts: &'text str) -> impl Iterator<Item = Self> {
        mounts.lines().filter_map(|line| {
            let (mount, system) = line.split_once(" - ")?;
            let mut mount = mount.split(' ').skip(3);
            let mut system = system.split(' ');
            Some(Self {
                root: mount.next()?,
                point: mount.next()?,
                kind: system.next()?,
                options: system.nth(1)?,
            })
        })
    }

    /// The folders of a group and of its parents.
    fn folders(&self, group: &str) -> Vec<String> {
        // A group outside what is mounted is not visible; the mounted one then is the outermost that counts.
        let below = match self.root {
            "/" => group,
            root => group.strip_prefix(root).unwrap_or(""),
        };
        let mut below = if below.contains("..") { "" } else { below }.trim_end_matches('/');
        let mut folders = vec![format!("{}{below}", self.point)];
        while let Some((parent, _)) = below.rsplit_once('/') {
            below = parent;
            folders.push(format!("{}{below}", self.point));
            if folders.len() == MAX_DEPTH {
                break;
            }
        }
        folders
    }
}

fn memory_limit(root: &Root, version: Version, folder: &str) -> Option<MemoryLimit> {
    let number = |name: &str| root.number(&format!("{folder}/{name}"));
    let (limit, current, prefix) = match version {
        // Above `memory.high` programs are slowed down until they are useless.
        Version::Two => (
            [number("memory.max"), number("memory.high")]
                .into_iter()
                .flatten()
                .min()?,
            number("memory.current")?,
            "",
        ),
        Version::One => (
            number("memory.limit_in_bytes").filter(|limit| *limit < NO_LIMIT)?,
            number("memory.usage_in_bytes")?,
            "total_",
        ),
    };
    let stat = root
        .text(&format!("{folder}/memory.stat"))
        .unwrap_or_default();
    let cache: u64 = ["inactive_file", "active_file"]
        .iter()
        .filter_map(|name| field(&stat, &format!("{prefix}{name}")))
        .fold(0, u64::saturating_add);
    Some(MemoryLimit {
        limit,
        used: current.saturating_sub(cache),
    })
}

/// The number after a name in a file of names and numbers.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        line.strip_prefix(name)?
            .strip_prefix(' ')?
            .trim()
            .parse()
            .ok()
    })
}

fn cpu_quota(root: &Root, version: Version, folder: &str) -> Option<f64> {
    let (quota, period) = match version {
        Version::Two => {
            let text = root.value(&format!("{folder}/cpu.max"))?;
            let (quota, period) = text.split_once(' ')?;
            (quota.parse().ok()?, period.parse().ok()?)
        }
        Version::One => (
            root.number(&format!("{folder}/cpu.cfs_quota_us"))?,
            root.number(&format!("{folder}/cpu.cfs_period_us"))?,
        ),
    };
    (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
}
