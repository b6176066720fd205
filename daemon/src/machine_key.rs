//! Names the build of the runner and the machine, for what a probe found out: another build or machine is probed again.

use std::path::Path;

use runner_protocol::Kernels;
use supervisor::Program;

use crate::fs;

/// Most bytes that are read of a file of the system.
const MAX_FILE: u64 = 8 * 1024 * 1024;

/// Names the build and the processor; `None` if either is unknown.
pub(crate) fn of_processor(program: &Program) -> Option<String> {
    let build = fs::stamp(&program.path)?;
    let processor: Vec<String> = read("/proc/cpuinfo")?
        .lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| {
            ["model name", "microcode", "flags"]
                .iter()
                .any(|name| line.starts_with(name))
        })
        .map(str::to_owned)
        .collect();
    let kernel = read("/proc/sys/kernel/osrelease")?;
    // A probe uses the processor as runners do.
    let off = program.args.iter().any(|it| *it == Kernels::OFF);
    Some(format!(
        "{build}\n{}\n{}{}",
        kernel.trim(),
        processor.join("\n"),
        if off { "\nkernels: off" } else { "" }
    ))
}

/// The same with what decides about other devices: the start of the system, when drivers are loaded, and the installed modules.
pub(crate) fn of_devices(program: &Program) -> Option<String> {
    let processor = of_processor(program)?;
    let boot = read("/proc/sys/kernel/random/boot_id")?;
    let folder = program.path.parent()?;
    let modules: Vec<String> = fs::MODULE_FOLDERS
        .iter()
        .filter_map(|place| fs::stamp(&folder.join(place)))
        .collect();
    Some(format!(
        "{processor}\n{}\n{}",
        boot.trim(),
        modules.join("\n")
    ))
}

fn read(path: &str) -> Option<String> {
    fs::read_text(Path::new(path), MAX_FILE).ok().flatten()
}
