//! What the daemon finds when it looks at its installation. Pure: facts in, findings out.

use ::devices::{Code, Device, DeviceKind, Disk, Memory};
use api::Finding;
use registry::http::Network;

use crate::config::{FileState, Sandbox};
use crate::devices::Probed;
use crate::memory::Bytes;

const GIB: u64 = 1 << 30;

/// Less free space than this holds hardly any model.
const LITTLE_SPACE: u64 = 2 * GIB;

/// Less memory than this is too little for any model that is of use.
const LEAST_MEMORY: u64 = GIB;

/// What is looked at.
pub(crate) struct Facts<'facts> {
    /// Mode bits of the home; `None` if it cannot be read.
    pub(crate) home_mode: Option<u32>,
    /// The path of the home.
    pub(crate) home: &'facts str,
    /// The file system of the store.
    pub(crate) disk: Option<&'facts Disk>,
    /// What is left over in the store, or why that is not known.
    pub(crate) leftovers: Result<Leftovers, String>,
    /// Main memory now.
    pub(crate) memory: Option<&'facts Memory>,
    /// The devices.
    pub(crate) probed: &'facts Probed,
    /// Why the runner program cannot be started, if it is missing.
    pub(crate) missing_runner: Option<&'facts str>,
    /// The sandbox that is asked for.
    pub(crate) sandbox: Sandbox,
    /// Proxies and certificates.
    pub(crate) network: &'facts Network,
    /// Warnings about the configuration.
    pub(crate) warnings: &'facts [String],
    /// The state of the configuration file.
    pub(crate) file: &'facts FileState,
}

/// All findings.
pub(crate) fn findings(facts: &Facts<'_>) -> Vec<Finding> {
    let mut all = vec![home(facts)];
    all.extend(disk(facts.disk));
    all.push(store(facts));
    all.extend(memory(facts.memory));
    all.extend(facts.missing_runner.map(|path| {
        Finding::problem(
            "daemon",
            format!("the program of runners is missing: {path}"),
        )
        .with_remedy("install slm again: installer/install.sh")
    }));
    all.extend(devices(facts.probed));
    all.extend(kernels(facts.probed));
    all.push(sandbox(facts));
    all.extend(network(facts.network));
    all.extend(config(facts.warnings, facts.file));
    all
}

fn home(facts: &Facts<'_>) -> Finding {
    let home = facts.home;
    match facts.home_mode {
        // Others could replace the socket, or read prompts in saved states.
        Some(mode) if mode & 0o022 != 0 => {
            Finding::note("home", format!("other users may write into {home}"))
                .with_remedy(format!("chmod 700 {home}"))
        }
        Some(mode) if mode & 0o055 != 0 => {
            Finding::note("home", format!("other users may read {home}"))
                .with_remedy(format!("chmod 700 {home}"))
        }
        Some(_) => Finding::ok("home", home),
        None => Finding::problem("home", format!("{home} cannot be read")),
    }
}

fn disk(disk: Option<&Disk>) -> Vec<Finding> {
    let Some(disk) = disk else {
        return Vec::new();
    };
    let of = format!(
        "{} of {} free on {} ({})",
        Bytes(disk.free),
        Bytes(disk.total),
        disk.mount,
        disk.file_system
    );
    let mut found = vec![match disk.free {
        0..LITTLE_SPACE => Finding::problem("disk", format!("little space for models: {of}"))
            .with_remedy(
                "slm list shows the sizes, slm rm removes a model, slm gc what nothing needs",
            ),
        _ => Finding::ok("disk", of),
    }];
    let slow = if disk.is_remote() {
        Some("the store is on another machine, and models load as fast as the network")
    } else if disk.is_in_memory() {
        Some("the store is in main memory: it is lost at a restart, and takes memory from models")
    } else if disk.rotational == Some(true) {
        Some("the store is on a rotating disk, so the first load of a model is slow")
    } else {
        None
    };
    found.extend(slow.map(|text| {
        Finding::note("disk", text)
            .with_remedy("move the home to a local solid state disk: SLM_HOME")
    }));
    found
}

/// Bytes that nothing needs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Leftovers {
    /// Of blobs that no model needs; `None` where a damaged manifest may need them.
    pub(crate) unnamed_blobs: Option<u64>,
    /// Of unfinished downloads that no job continues.
    pub(crate) left_downloads: u64,
}

/// What `slm gc` would remove.
fn store(facts: &Facts<'_>) -> Finding {
    let Leftovers {
        unnamed_blobs,
        left_downloads,
    } = match &facts.leftovers {
        Ok(leftovers) => *leftovers,
        Err(reason) => {
            return Finding::problem("store", format!("it cannot be read: {reason}"))
                .with_remedy("slm verify checks every file of the store");
        }
    };
    let Some(unnamed_blobs) = unnamed_blobs else {
        return Finding::problem("store", "a manifest is damaged, so slm gc removes nothing")
            .with_remedy("slm verify names it; pull or remove its model");
    };
    let parts = [
        (unnamed_blobs, "blobs that no model needs"),
        (left_downloads, "unfinished downloads that no job continues"),
    ];
    let parts = parts.iter().filter(|(bytes, _)| *bytes > 0);
    let parts: Vec<String> = parts
        .map(|(bytes, what)| format!("{} of {what}", Bytes(*bytes)))
        .collect();
    match left_downloads {
        _ if parts.is_empty() => Finding::ok("store", "nothing is left over in the store"),
        0 => Finding::note("store", parts.join(", ")).with_remedy("slm gc removes them"),
        _ => Finding::note("store", parts.join(", "))
            .with_remedy("slm gc removes them; slm pull MODEL continues a download instead"),
    }
}

fn memory(memory: Option<&Memory>) -> Option<Finding> {
    let memory = memory?;
    let text = format!(
        "{} of {} free{}",
        Bytes(memory.free()),
        Bytes(memory.usable()),
        match memory.cgroup_limit {
            Some(_) => format!(
                ", limited by a control group; the machine has {}",
                Bytes(memory.total)
            ),
            None => String::new(),
        }
    );
    Some(match (memory.usable(), memory.cgroup_limit) {
        (0..LEAST_MEMORY, Some(_)) => Finding::problem("memory", text)
            .with_remedy("raise the limit: MemoryMax= of the service, --memory of the container"),
        (0..LEAST_MEMORY, None) => Finding::problem("memory", text),
        (_, Some(_)) => Finding::note("memory", text)
            .with_remedy("raise the limit: MemoryMax= of the service, --memory of the container"),
        (_, None) => Finding::ok("memory", text),
    })
}

fn devices(probed: &Probed) -> Vec<Finding> {
    let fault = probed.fault.as_ref().map(|fault| {
        Finding::problem("devices", format!("the devices cannot be probed: {fault}"))
            .with_remedy("slm-runner probe")
    });
    let devices = probed.inventory.devices.iter().map(device);
    let modules = probed.report.backends.iter().filter_map(|module| {
        let fault = module.fault.as_ref()?;
        let text = format!(
            "the backend module {} cannot be used: {fault}",
            module.backend
        );
        Some(Finding::note("devices", text))
    });
    fault.into_iter().chain(devices).chain(modules).collect()
}

fn device(device: &Device) -> Finding {
    let named = format!("{} ({})", device.id, device.name);
    let Some(obstacle) = &device.obstacle else {
        let backend = device.backend.as_deref().unwrap_or_default();
        return Finding::ok("devices", format!("{named} can be used through {backend}"));
    };
    let text = match device.is_usable() {
        true => format!("{named} can be used, but {}", obstacle.reason),
        false => format!("{named} cannot be used: {}", obstacle.reason),
    };
    let finding = match (device.kind, obstacle.code) {
        (DeviceKind::Cpu, Code::ModuleFault) => Finding::problem("devices", text),
        // Nothing is wrong with them, and nothing can be done.
        (_, Code::Screen | Code::NoBackend) => Finding::ok("devices", text),
        _ => Finding::note("devices", text),
    };
    match &obstacle.remedy {
        Some(remedy) => finding.with_remedy(remedy),
        None => finding,
    }
}

fn kernels(probed: &Probed) -> Option<Finding> {
    Some(match probed.report.kernels.as_str() {
        "" => return None,
        "on" => Finding::ok("kernels", "slm's kernels compute on the processor"),
        "off" => Finding::note("kernels", "slm's kernels are switched off")
            .with_remedy("remove kernels: off from the configuration, or SLM_KERNELS"),
        _ => Finding::note(
            "kernels",
            "slm has no kernels for this processor, and llama.cpp's compute",
        ),
    })
}

fn sandbox(facts: &Facts<'_>) -> Finding {
    let found = facts.probed.report.sandbox.as_ref();
    match (facts.sandbox, found) {
        (Sandbox::Off, _) => Finding::note("sandbox", "runners are not confined")
            .with_remedy("remove sandbox: off from the configuration, or SLM_SANDBOX"),
        (_, None) => Finding::ok("sandbox", "the level is shown by slm ps --json"),
        (wanted, Some(found)) => {
            let full = matches!(found.level.as_str(), "full" | "strict");
            let text = match found.lacks.is_empty() {
                true => format!("runners are confined at the level {}", found.level),
                false => format!(
                    "runners are confined at the level {}: {}",
                    found.level, found.lacks
                ),
            };
            match (full, wanted) {
                (true, _) => Finding::ok("sandbox", text),
                (false, Sandbox::Require) => Finding::problem("sandbox", text).with_remedy(
                    "docs/sandbox.md says what the system must have; or sandbox: auto",
                ),
                (false, _) => Finding::note("sandbox", text)
                    .with_remedy("docs/sandbox.md says what the system must have"),
            }
        }
    }
}

fn network(network: &Network) -> Vec<Finding> {
    let proxy = network.https_proxy.as_ref().or(network.http_proxy.as_ref());
    let proxy = proxy.map(|proxy| {
        Finding::note(
            "network",
            format!(
                "models are fetched through the proxy {}",
                without_login(proxy)
            ),
        )
    });
    let certificates = network.ca_file.as_ref().map(|file| {
        Finding::note(
            "network",
            format!("certificates of {} are trusted too", file.display()),
        )
    });
    proxy.into_iter().chain(certificates).collect()
}

/// A URL without user and password.
fn without_login(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    format!("{scheme}://{host}")
}

fn config(warnings: &[String], file: &FileState) -> Vec<Finding> {
    let refused = file.refused.as_ref().map(|refused| {
        Finding::problem(
            "config",
            format!("the file is refused, and the settings before stay in force: {refused}"),
        )
        .with_remedy("slm config edit")
    });
    let waiting = file.waiting.iter().map(|(key, value)| {
        Finding::note(
            "config",
            format!("{key}: {value} applies at the next start"),
        )
        .with_remedy("slm serve --stop, then slm serve")
    });
    let warnings = warnings
        .iter()
        .map(|warning| Finding::note("config", warning.clone()));
    let mut found: Vec<_> = refused.into_iter().chain(waiting).chain(warnings).collect();
    if found.is_empty() {
        found.push(Finding::ok("config", "no warnings"));
    }
    found
}

#[cfg(test)]
mod tests;
