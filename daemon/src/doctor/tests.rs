//! Findings on machines that lack something.

use ::devices::{Inventory, ModuleReport, Report, SandboxReport};
use api::FindingLevel;

use super::*;

fn probed(report: Report) -> Probed {
    Probed {
        at: jiff::Timestamp::UNIX_EPOCH,
        fault: None,
        inventory: Inventory::of(&report),
        report,
    }
}

/// The findings that are not as they should be, as `level area: text | remedy`.
fn unusual(facts: &Facts<'_>) -> Vec<String> {
    let found = findings(facts).into_iter();
    found
        .filter(|finding| finding.level != FindingLevel::Ok)
        .map(|finding| {
            let remedy = finding.remedy.as_deref().unwrap_or("-");
            format!(
                "{:?} {}: {} | {remedy}",
                finding.level, finding.area, finding.text
            )
        })
        .collect()
}

/// Changes a machine on which nothing is unusual, and compares the findings.
#[track_caller]
fn check(
    change: impl FnOnce(&mut Report, &mut Disk, &mut Memory, &mut Network),
    expected: &[&str],
) {
    let mut report = Report {
        kernels: "on".to_owned(),
        sandbox: Some(SandboxReport {
            level: "strict".to_owned(),
            lacks: String::new(),
        }),
        ..Report::default()
    };
    let mut disk = Disk {
        mount: "/".to_owned(),
        file_system: "ext4".to_owned(),
        total: 500 * GIB,
        free: 100 * GIB,
        ..Disk::default()
    };
    let mut memory = Memory {
        total: 16 * GIB,
        available: 12 * GIB,
        ..Memory::default()
    };
    let mut network = Network::default();
    change(&mut report, &mut disk, &mut memory, &mut network);
    let facts = Facts {
        home_mode: Some(0o700),
        home: "/home/ann/slm",
        disk: Some(&disk),
        leftovers: Ok(Leftovers {
            unnamed_blobs: Some(0),
            left_downloads: 0,
        }),
        memory: Some(&memory),
        probed: &probed(report),
        missing_runner: None,
        sandbox: Sandbox::Auto,
        network: &network,
        warnings: &[],
        file: &FileState::default(),
    };
    assert_eq!(unusual(&facts), expected);
}

#[test]
fn a_good_machine_has_no_notes() {
    check(|_, _, _, _| {}, &[]);
}

#[test]
fn space_memory_and_file_systems_are_looked_at() {
    check(
        |_, disk, memory, _| {
            disk.free = GIB;
            disk.file_system = "nfs4".to_owned();
            memory.cgroup_limit = Some(GIB / 2);
            memory.cgroup_available = Some(GIB / 4);
        },
        &[
            "Problem disk: little space for models: 1.1 GB of 536.9 GB free on / (nfs4) | \
             slm list shows the sizes, slm rm removes a model, slm gc what nothing needs",
            "Note disk: the store is on another machine, and models load as fast as the network | \
             move the home to a local solid state disk: SLM_HOME",
            "Problem memory: 268 MB of 537 MB free, limited by a control group; the machine has 17.2 GB | \
             raise the limit: MemoryMax= of the service, --memory of the container",
        ],
    );
}

#[test]
fn devices_kernels_sandbox_and_proxies_are_looked_at() {
    check(
        |report, _, _, network| {
            report.fault = Some("ended by signal: 4 (SIGILL)".to_owned());
            report.kernels = "off".to_owned();
            report.sandbox = Some(SandboxReport {
                level: "partial".to_owned(),
                lacks: "Landlock".to_owned(),
            });
            report.backends = vec![ModuleReport {
                backend: "vulkan".to_owned(),
                fault: Some("it is damaged".to_owned()),
                ..ModuleReport::default()
            }];
            network.https_proxy = Some("http://ann:secret@proxy.example:3128".to_owned());
        },
        &[
            "Problem devices: CPU (processor) cannot be used: the CPU module cannot be used: ended by \
             signal: 4 (SIGILL) | slm-runner probe cpu",
            "Note devices: the backend module vulkan cannot be used: it is damaged | -",
            "Note kernels: slm's kernels are switched off | \
             remove kernels: off from the configuration, or SLM_KERNELS",
            "Note sandbox: runners are confined at the level partial: Landlock | \
             docs/sandbox.md says what the system must have",
            "Note network: models are fetched through the proxy http://proxy.example:3128 | -",
        ],
    );
}

#[test]
fn the_home_the_runner_and_the_configuration_are_looked_at() {
    let warnings = ["SLM_FOO is no setting".to_owned()];
    let facts = Facts {
        home_mode: Some(0o755),
        home: "/home/ann/slm",
        disk: None,
        leftovers: Ok(Leftovers {
            unnamed_blobs: Some(800_000_000),
            left_downloads: 1_200_000_000,
        }),
        memory: None,
        probed: &probed(Report::default()),
        missing_runner: Some("/opt/slm-runner"),
        sandbox: Sandbox::Off,
        network: &Network::default(),
        warnings: &warnings,
        file: &FileState::default(),
    };
    assert_eq!(
        unusual(&facts),
        [
            "Note home: other users may read /home/ann/slm | chmod 700 /home/ann/slm",
            "Note store: 800 MB of blobs that no model needs, 1.2 GB of unfinished downloads that no job continues | \
             slm gc removes them; slm pull MODEL continues a download instead",
            "Problem daemon: the program of runners is missing: /opt/slm-runner | \
             install slm again: installer/install.sh",
            "Note sandbox: runners are not confined | \
             remove sandbox: off from the configuration, or SLM_SANDBOX",
            "Note config: SLM_FOO is no setting | -",
        ]
    );
}

#[test]
fn a_store_that_cannot_be_read_is_a_finding_of_its_own() {
    let of = |leftovers| {
        let probed = probed(Report::default());
        let file = FileState::default();
        let facts = Facts {
            home_mode: None,
            home: "/home/ann/slm",
            disk: None,
            leftovers,
            memory: None,
            probed: &probed,
            missing_runner: None,
            sandbox: Sandbox::Auto,
            network: &Network::default(),
            warnings: &[],
            file: &file,
        };
        let finding = store(&facts);
        format!("{}; {}", finding.text, finding.remedy.unwrap_or_default())
    };
    assert_eq!(
        of(Err("no permission".to_owned())),
        "it cannot be read: no permission; slm verify checks every file of the store"
    );
    assert_eq!(
        of(Ok(Leftovers::default())),
        "a manifest is damaged, so slm gc removes nothing; slm verify names it; pull or remove its model"
    );
}
