//! The name of the processor and its instruction sets.

use std::collections::BTreeSet;

use crate::root::Root;

/// The instruction sets that kernels of llama.cpp or of slm use, by the names of `/proc/cpuinfo`.
const INSTRUCTIONS: [&str; 28] = [
    // x86
    "sse4_2",
    "ssse3",
    "avx",
    "f16c",
    "fma",
    "bmi2",
    "avx2",
    "avx_vnni",
    "avx512f",
    "avx512cd",
    "avx512bw",
    "avx512dq",
    "avx512vl",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_int8",
    "amx_bf16",
    // ARM
    "asimd",
    "fphp",
    "asimddp",
    "i8mm",
    "bf16",
    "sve",
    "sve2",
    "sme",
    "sme2",
];

/// Processors of ARM's architecture have numbers, not names: implementer and part (`Documentation/arch/arm64/cpu-feature-registers.rst`).
const ARM: [(u32, u32, &str); 22] = [
    (0x41, 0xd03, "Cortex-A53"),
    (0x41, 0xd05, "Cortex-A55"),
    (0x41, 0xd07, "Cortex-A57"),
    (0x41, 0xd08, "Cortex-A72"),
    (0x41, 0xd0a, "Cortex-A75"),
    (0x41, 0xd0b, "Cortex-A76"),
    (0x41, 0xd0c, "Neoverse N1"),
    (0x41, 0xd40, "Neoverse V1"),
    (0x41, 0xd42, "Cortex-A78AE"),
    (0x41, 0xd41, "Cortex-A78"),
    (0x41, 0xd44, "Cortex-X1"),
    (0x41, 0xd49, "Neoverse N2"),
    (0x41, 0xd4f, "Neoverse V2"),
    (0x41, 0xd80, "Cortex-A520"),
    (0x41, 0xd81, "Cortex-A720"),
    (0x51, 0x001, "Oryon"),
    (0x61, 0x022, "Apple M1 Icestorm"),
    (0x61, 0x023, "Apple M1 Firestorm"),
    (0x61, 0x032, "Apple M2 Blizzard"),
    (0x61, 0x033, "Apple M2 Avalanche"),
    (0xc0, 0xac3, "Ampere Altra"),
    (0xc0, 0xac4, "AmpereOne"),
];

/// Lines of a processor in `/proc/cpuinfo`: name and value.
fn fields(cpuinfo: &str) -> impl Iterator<Item = (&str, &str)> {
    cpuinfo
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim(), value.trim()))
}

/// The name of the processor; with the board's, where only that has one.
pub(super) fn name(root: &Root, cpuinfo: &str) -> String {
    let field = |wanted: &str| {
        fields(cpuinfo).find_map(|(name, value)| {
            (name == wanted && !value.is_empty()).then(|| value.to_owned())
        })
    };
    field("model name")
        .map(|name| tidy(&name))
        .or_else(|| {
            let board = root
                .value("/proc/device-tree/model")
                .or_else(|| field("Model"));
            let cores = arm_names(cpuinfo);
            match (board, cores.is_empty()) {
                (Some(board), true) => Some(board),
                (Some(board), false) => Some(format!("{board} ({cores})")),
                (None, false) => Some(cores),
                (None, true) => None,
            }
        })
        // RISC-V.
        .or_else(|| field("uarch"))
        .or_else(|| field("isa"))
        .unwrap_or_default()
}

/// `Intel(R) Core(TM) Ultra 7 155H` without the marks and repeated spaces.
fn tidy(name: &str) -> String {
    let plain = name
        .replace("(R)", "")
        .replace("(TM)", "")
        .replace("(tm)", "");
    let words: Vec<&str> = plain.split_whitespace().collect();
    words.join(" ")
}

/// The names of all kinds of ARM cores.
fn arm_names(cpuinfo: &str) -> String {
    let hex = |value: &str| u32::from_str_radix(value.trim_start_matches("0x"), 16).ok();
    let mut implementer = None;
    let mut names = BTreeSet::new();
    for (field, value) in fields(cpuinfo) {
        match field {
            "CPU implementer" => implementer = hex(value),
            "CPU part" => {
                let known = ARM.iter().find(|(maker, part, _)| {
                    (Some(*maker), Some(*part)) == (implementer, hex(value))
                });
                names.extend(known.map(|(_, _, name)| *name));
            }
            _ => {}
        }
    }
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// The instruction sets of the machine, from the first processor in `/proc/cpuinfo` with a list: the Linux kernel lists an instruction set
/// only if every kind of core has it.
pub(super) fn instructions(cpuinfo: &str) -> Vec<String> {
    let flags = fields(cpuinfo)
        .find_map(|(name, value)| matches!(name, "flags" | "Features").then_some(value))
        .unwrap_or_default();
    let flags: BTreeSet<&str> = flags.split_whitespace().collect();
    INSTRUCTIONS
        .iter()
        .filter(|name| flags.contains(**name))
        .map(|name| (*name).to_owned())
        .collect()
}

/// The architecture that the kernel names (since Linux 6.1), or that this program is built for.
pub(super) fn architecture(root: &Root) -> String {
    root.value("/proc/sys/kernel/arch")
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}
