use super::*;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;

use crate::devices::tests::devices;
use crate::probe::script;

const GOOD: &str =
    r#"{"backend": "vulkan", "devices": [{"name": "Vulkan0", "description": "Card"}]}"#;
const TWO: &str = r#"{"backend": "cuda", "devices": [{"name": "CUDA0", "memory_total": 100, "memory_free": 80},
    {"name": "CUDA1", "memory_total": 50, "memory_free": 60}]}"#;
const BAD: &str = r#"{"backend": "cuda", "fault": "it finds no device that it can use"}"#;

/// A program that answers a probe with these modules, and keeps the arguments of each.
fn program(folder: &Path, report: &str) -> Program {
    let asked = folder.join("asked").display().to_string();
    let module = folder.join("slm-lib/vulkan");
    std::fs::create_dir_all(&module).unwrap();
    std::fs::write(module.join("backend.json"), "{}").unwrap();
    script::program(
        folder,
        &format!("echo \"$*\" >> {asked}\ncat <<'END'\n{{\"backends\": {report}}}\nEND"),
    )
}

fn accelerators(folder: &Path, report: &str) -> Accelerators {
    let variables = vec![("GGML_VK_VISIBLE_DEVICES".into(), "0".into())];
    let devices = devices(folder, &program(folder, report));
    Accelerators::new(devices, variables, TaskTracker::new())
}

/// A load of the model `m`.
fn layers(gpu_layers: i32) -> Wish<'static> {
    Wish {
        key: "m",
        gpu_layers,
        states_layers: gpu_layers >= 0,
        device: None,
    }
}

#[tokio::test]
async fn the_best_usable_backend_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let report = format!("[{BAD}, {GOOD}]");
    let accelerators = accelerators(folder.path(), &report);
    for _ in 0..2 {
        let placement = accelerators
            .place(&Backend::Auto, layers(-1))
            .await
            .unwrap();
        assert_eq!(placement.backend.as_deref(), Some("vulkan"));
        assert_eq!(
            placement.reason,
            "best usable backend is vulkan, Vulkan0 (Card)"
        );
        assert!(placement.falls_back);
        let program = accelerators.program(&placement, Program::new("/runner"));
        assert_eq!(program.args, ["--backend=vulkan"]);
        assert_eq!(program.env.len(), 1);
    }
    let asked = std::fs::read_to_string(folder.path().join("asked")).unwrap();
    assert_eq!(asked, "probe\n", "one probe for all loads");
    // A stated number of layers asks for an accelerator.
    assert!(
        !accelerators
            .place(&Backend::Auto, layers(7))
            .await
            .unwrap()
            .falls_back
    );
    let none = accelerators.place(&Backend::Auto, layers(0)).await.unwrap();
    assert_eq!(none, Placement::cpu(""));
    let program = accelerators.program(&none, Program::new("/runner"));
    assert!(program.args.is_empty() && program.env.is_empty());
}

#[tokio::test]
async fn the_cpu_is_taken_with_the_faults_of_the_backends() {
    let folder = tempfile::tempdir().unwrap();
    let faulty = accelerators(folder.path(), &format!("[{BAD}]"));
    assert_eq!(
        faulty.place(&Backend::Auto, layers(-1)).await.unwrap(),
        Placement::cpu("cuda cannot be used: it finds no device that it can use")
    );
    for nonsense in ["", "[{}]", "no JSON"] {
        let folder = tempfile::tempdir().unwrap();
        let broken = accelerators(folder.path(), nonsense);
        assert_eq!(
            broken.place(&Backend::Auto, layers(-1)).await.unwrap(),
            Placement::cpu("")
        );
    }
    let cpu = accelerators(folder.path(), &format!("[{GOOD}]"));
    assert_eq!(
        cpu.place(&Backend::Cpu, layers(-1)).await.unwrap(),
        Placement::cpu("")
    );
}

#[tokio::test]
async fn a_named_backend_is_used_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let report = format!("[{BAD}, {GOOD}]");
    let accelerators = accelerators(folder.path(), &report);
    let vulkan = Backend::Named("vulkan");
    let placement = accelerators.place(&vulkan, layers(-1)).await.unwrap();
    assert_eq!(placement.reason, "backend: vulkan is set, Vulkan0 (Card)");
    assert!(!placement.falls_back);
    for (name, reason) in [
        (
            "cuda",
            "the backend cuda cannot be used: it finds no device that it can use",
        ),
        (
            "rocm",
            "the backend rocm cannot be used: it is not installed; `installer/install.sh --backend rocm` builds and installs it",
        ),
    ] {
        let setting = Backend::Named(name);
        let placed = accelerators.place(&setting, layers(-1)).await;
        let error = placed.unwrap_err();
        assert_eq!(error.to_string(), reason);
    }
}

#[tokio::test]
async fn the_device_of_a_model_overrides_the_backend() {
    let folder = tempfile::tempdir().unwrap();
    let accelerators = accelerators(folder.path(), &format!("[{BAD}, {GOOD}]"));
    let on = |device| Wish {
        device: Some(device),
        ..layers(-1)
    };
    let placement = accelerators
        .place(&Backend::Cpu, on("vulkan0"))
        .await
        .unwrap();
    assert_eq!(placement.reason, "device: Vulkan0 is set (Card)");
    let program = accelerators.program(&placement, Program::new("/runner"));
    assert_eq!(program.args, ["--backend=vulkan", "--device=Vulkan0"]);
    let cpu = accelerators.place(&Backend::Auto, on("CPU")).await.unwrap();
    assert_eq!(cpu, Placement::cpu(""));
    let error = accelerators
        .place(&Backend::Auto, on("CUDA0"))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no device CUDA0; the usable ones are CPU, Vulkan0"
    );
}

#[tokio::test]
async fn a_model_that_crashed_stays_on_the_cpu() {
    let folder = tempfile::tempdir().unwrap();
    let accelerators = accelerators(folder.path(), &format!("[{GOOD}]"));
    let placement = accelerators
        .place(&Backend::Auto, layers(-1))
        .await
        .unwrap();
    let exit = |cause, status| Exit {
        cause,
        status: Some(std::process::ExitStatus::from_raw(status)),
        stderr: Vec::new(),
    };
    let watch = |key: &str, exit| {
        accelerators.watch(key.to_owned(), &placement, std::future::ready(exit));
    };
    watch("m", exit(Cause::Itself, 11));
    watch("orderly", exit(Cause::Itself, 0));
    watch("killed", exit(Cause::Stalled { seconds: 1 }, 9));
    accelerators.0.tasks.close();
    accelerators.0.tasks.wait().await;
    assert_eq!(
        accelerators
            .place(&Backend::Auto, layers(-1))
            .await
            .unwrap(),
        Placement::cpu("signal 11 ended its runner with vulkan")
    );
    for key in ["orderly", "killed"] {
        assert_eq!(
            accelerators
                .place(&Backend::Auto, Wish { key, ..layers(-1) })
                .await
                .unwrap(),
            placement
        );
    }
}

#[tokio::test]
async fn devices_of_one_backend_are_found_by_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let accelerators = accelerators(folder.path(), &format!("[{TWO}, {GOOD}]"));
    let named = async |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let found = accelerators.devices_named(&names).await;
        let found = found.map_err(|error| error.to_string())?;
        Ok(found.into_iter().map(|it| (it.name, it.free)).collect())
    };
    let device = |name: &str, free: u64| (name.to_owned(), free);
    assert_eq!(named(&["cpu"]).await, Ok(vec![]));
    assert_eq!(
        named(&["cuda1", "CPU", "CUDA0", "CUDA1"]).await,
        Ok(vec![device("CUDA1", 50), device("CUDA0", 80)])
    );
    for (names, reason) in [
        (
            ["CUDA0", "Vulkan0"],
            "CUDA0 and Vulkan0 are devices of different backends, and a model uses one backend",
        ),
        (
            ["CUDA0", "CUDA2"],
            "there is no device CUDA2; the usable ones are CPU, CUDA0, CUDA1, Vulkan0",
        ),
    ] {
        let refused: Result<Vec<(String, u64)>, String> = named(&names).await;
        assert_eq!(refused.unwrap_err(), reason);
    }
}

#[tokio::test]
async fn a_refresh_is_seen_by_the_next_load() {
    let folder = tempfile::tempdir().unwrap();
    let accelerators = accelerators(folder.path(), &format!("[{TWO}]"));
    let place = async || {
        let placed = accelerators
            .place(&Backend::Auto, layers(-1))
            .await
            .unwrap();
        let devices = accelerators.devices(&placed).into_iter();
        let devices: Vec<(String, u64)> = devices.map(|it| (it.name, it.free)).collect();
        (placed.backend, devices)
    };
    let cuda = Some("cuda".to_owned());
    let first = (
        cuda.clone(),
        vec![("CUDA0".to_owned(), 80), ("CUDA1".to_owned(), 50)],
    );
    assert_eq!(place().await, first);
    // A device is gone, and a loaded model takes memory of the other one.
    let less = TWO.replace(": 80", ": 20").replace("CUDA1", "Other0");
    program(folder.path(), &format!("[{less}]"));
    assert_eq!(place().await, first, "nothing is probed without a refresh");
    accelerators.0.devices.refresh().await;
    assert_eq!(
        place().await,
        (
            cuda,
            vec![("CUDA0".to_owned(), 80), ("Other0".to_owned(), 50)]
        )
    );
    // The module cannot be used any more.
    program(folder.path(), &format!("[{BAD}]"));
    accelerators.0.devices.refresh().await;
    assert_eq!(place().await, (None, vec![]));
}
