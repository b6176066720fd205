//! The program without a daemon.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

fn run(program: &Path, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn built() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_slm-runner"))
}

#[test]
fn without_a_socket_it_says_what_it_is_for() {
    for arguments in [&[][..], &["--nonsense"]] {
        let output = run(built(), arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        assert!(String::from_utf8_lossy(&output.stderr).contains("slm run"));
    }
}

#[test]
fn it_tells_its_version() {
    let output = run(built(), &["--version"]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("llama.cpp "));
}

fn probe(program: &Path) -> serde_json::Value {
    let output = run(program, &["probe"]);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_probe_finds_the_processor() {
    let found = probe(built());
    assert!(
        found["processor"].as_str().unwrap().starts_with("CPU ("),
        "{found}"
    );
    assert!(found["threads"].as_u64().unwrap() > 0);
    let devices = found["devices"].as_array().unwrap();
    assert!(
        devices
            .iter()
            .any(|device| device["kind"] == "cpu" && device["memory_total"].as_u64() > Some(0)),
        "{found}"
    );
}

/// A module that ends its process, that hangs or that is damaged does not hide the processor; see `model/accelerators.rs` for more.
#[test]
fn a_probe_says_what_the_system_shows_beside_a_damaged_module() {
    let prefix = tempfile::tempdir().unwrap();
    let program = installed(prefix.path());
    let module = prefix.path().join("lib/slm/vulkan");
    std::fs::create_dir(&module).unwrap();
    std::fs::write(module.join("backend.json"), "{").unwrap();
    let found = probe(&program);
    assert!(
        found["processor"].as_str().unwrap().starts_with("CPU ("),
        "{found}"
    );
    assert_eq!(found["backends"][0]["backend"], "vulkan");
    let fault = found["backends"][0]["fault"].as_str().unwrap();
    assert!(fault.contains("is damaged"), "{fault}");
    let machine = &found["machine"];
    assert!(machine["memory"]["total"].as_u64() > Some(0), "{machine}");
    assert!(machine["processor"]["threads"].as_u64() > Some(0));
}

#[test]
fn a_library_that_is_not_there_is_a_fault_of_the_report() {
    let output = run(built(), &["probe", "nvml"]);
    assert!(output.status.success(), "{output:?}");
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        found["fault"].is_string() || found["driver"].is_string(),
        "{found}"
    );
}

/// The program where an installer puts it.
fn installed(prefix: &Path) -> std::path::PathBuf {
    let (bin, lib) = (prefix.join("bin"), prefix.join("lib/slm"));
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::create_dir_all(&lib).unwrap();
    let program = bin.join("slm-runner");
    std::fs::copy(built(), &program).unwrap();
    for library in std::fs::read_dir(built().with_file_name("slm-lib")).unwrap() {
        let library = library.unwrap();
        if library.path().is_file() {
            std::fs::copy(library.path(), lib.join(library.file_name())).unwrap();
        }
    }
    program
}

#[test]
fn it_runs_from_where_an_installer_puts_it() {
    let prefix = tempfile::tempdir().unwrap();
    let program = installed(prefix.path());
    assert_eq!(probe(&program)["processor"], probe(built())["processor"]);
}

fn cpu_modules() -> Vec<String> {
    let files = std::fs::read_dir(built().with_file_name("slm-lib")).unwrap();
    let names = files.filter_map(|file| file.unwrap().file_name().into_string().ok());
    names
        .filter_map(|name| {
            let name = name.strip_prefix("libggml-cpu-")?.strip_suffix(".so")?;
            Some(name.to_owned())
        })
        .collect()
}

#[test]
fn the_best_cpu_module_that_computes_right_is_chosen() {
    let choose = |without: &[&str]| -> serde_json::Value {
        let output = run(built(), &[&["probe", "cpu"], without].concat());
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let first = choose(&[]);
    let best = first["module"].as_str().unwrap();
    assert!(
        first["tried"][0]["operations"].as_u64() > Some(40),
        "{first}"
    );
    // The first one is the one that llama.cpp itself would load, or another one is faulty here.
    assert_eq!(first["tried"].as_array().unwrap().len(), 1, "{first}");
    if best != "x64" {
        assert_ne!(choose(&[best])["module"], best);
    }
    let all = cpu_modules();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let output = run(built(), &[&["probe", "cpu"][..], &all].concat());
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("no CPU module works"), "{words}");
}

#[test]
fn a_cpu_module_that_is_not_there_fails_its_check() {
    let output = run(built(), &["check", "no-such"]);
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(words.contains("no CPU module no-such"), "{words}");
}

/// GCC 12 drops the stores of rows and columns, see `native/amx.h`. Seen in the module itself, so also where no processor has AMX.
#[test]
fn tiles_are_described_before_they_are_configured() {
    let module = built().with_file_name("slm-lib/libggml-cpu-sapphirerapids.so");
    if !module.is_file() {
        println!("left out: no module with AMX was built for this machine");
        return;
    }
    let output = Command::new("objdump")
        .args(["--disassemble", "--no-show-raw-insn"])
        .arg(&module)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let code = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = code.lines().collect();
    let mut found = 0;
    for (at, line) in lines.iter().enumerate() {
        let Some((_, operand)) = line.split_once("ldtilecfg") else {
            continue;
        };
        found += 1;
        let (begin, base) = offset(operand.trim());
        // Rows lie at 48 of its 64 bytes, columns at 16, see `tile_config_t` in amx/mmq.cpp.
        let stored: Vec<i64> = lines[at.saturating_sub(24)..at]
            .iter()
            .filter(|line| line.contains("mov"))
            .filter_map(|line| line.rsplit_once(',').map(|(_, to)| to.trim()))
            .filter(|to| to.ends_with(&base))
            .map(|to| offset(to).0 - begin)
            .collect();
        for place in [16, 48] {
            assert!(
                stored.contains(&place),
                "stores before `{line}`: {stored:?}\n{}",
                lines[at.saturating_sub(24)..=at].join("\n")
            );
        }
    }
    assert!(found > 0, "the module has no AMX code");
}

/// `0xc0(%rsp)` as number and base.
fn offset(operand: &str) -> (i64, String) {
    let (number, base) = operand.split_once('(').unwrap_or(("0", operand));
    let number = number.trim_start_matches("0x");
    let number = i64::from_str_radix(number, 16).unwrap_or(0);
    (number, format!("({base}"))
}
