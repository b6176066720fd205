//! Which devices are usable, and why not.

use devices::{
    Access, BackendDevice, Code, Inventory, Machine, ModuleReport, NvmlCard, NvmlReport, Report,
};

use crate::layout::Layout;

const GIB: u64 = 1 << 30;

/// What a probe of this machine says without any module.
fn report(name: &str) -> Report {
    Report {
        processor: "CPU (x64)".to_owned(),
        machine: Machine::read(&Layout::of(name).root()),
        ..Report::default()
    }
}

fn module(backend: &str, devices: &[(&str, &str, Option<&str>)]) -> ModuleReport {
    let devices = devices
        .iter()
        .map(|(name, description, bus)| BackendDevice {
            name: (*name).to_owned(),
            description: (*description).to_owned(),
            kind: "gpu".to_owned(),
            bus: bus.map(str::to_owned),
            memory_total: 8 * GIB,
            memory_free: 9 * GIB,
        });
    ModuleReport {
        backend: backend.to_owned(),
        devices: devices.collect(),
        ..ModuleReport::default()
    }
}

fn faulty(backend: &str, fault: &str) -> ModuleReport {
    ModuleReport {
        fault: Some(fault.to_owned()),
        ..module(backend, &[])
    }
}

/// Compares all devices but the processor: id, then the backend or the obstacle with its remedy.
#[track_caller]
fn check(report: &Report, expected: &[&str]) {
    let inventory = Inventory::of(report);
    assert_eq!(inventory.devices[0].id, "CPU");
    let lines: Vec<String> = inventory.devices[1..]
        .iter()
        .map(|device| match (&device.backend, &device.obstacle) {
            (Some(backend), None) => format!("{} through {backend}", device.id),
            (Some(backend), Some(obstacle)) => {
                format!("{} through {backend}, {}", device.id, obstacle.code.name())
            }
            (None, Some(obstacle)) => format!(
                "{}: {} | {}",
                device.id,
                obstacle.reason,
                obstacle.remedy.as_deref().unwrap_or("-")
            ),
            (None, None) => panic!("{device:?} has neither a backend nor an obstacle"),
        })
        .collect();
    assert_eq!(lines, expected);
}

#[test]
fn a_laptop_is_told_each_step_to_its_gpu_and_npu() {
    let mut laptop = report("hybrid-laptop");
    laptop.machine.gpus[0].nodes[0].access = Access::Denied;
    check(
        &laptop,
        &[
            "0000:00:02.0: this user may not open /dev/dri/renderD128 | \
             sudo usermod -aG render $USER, then log in again",
            "0000:00:0b.0: the backend module openvino is not installed | \
             installer/install.sh --backend openvino",
        ],
    );
    laptop.machine.gpus[0].nodes[0].access = Access::Granted;
    laptop.backends = vec![faulty(
        "vulkan",
        "libvulkan.so.1: cannot open shared object file: No such file or directory",
    )];
    laptop.machine.npus[0].driver = None;
    check(
        &laptop,
        &[
            "0000:00:02.0: the backend module vulkan cannot be used: libvulkan.so.1: cannot open \
             shared object file: No such file or directory | sudo apt install mesa-vulkan-drivers",
            "0000:00:0b.0: its driver intel_vpu is not loaded | sudo modprobe intel_vpu",
        ],
    );
    laptop.machine = report("hybrid-laptop").machine;
    laptop.backends = vec![
        module(
            "vulkan",
            &[("Vulkan0", "Intel(R) Arc(tm) Graphics (MTL)", None)],
        ),
        module("openvino", &[("OPENVINO0", "OpenVINO NPU", None)]),
    ];
    check(
        &laptop,
        &["Vulkan0 through vulkan", "OPENVINO0 through openvino"],
    );
}

#[test]
fn a_card_is_matched_by_its_address_and_has_its_best_backend() {
    let mut server = report("two-nvidia");
    server.nvml = Some(NvmlReport {
        cards: vec![NvmlCard {
            name: "NVIDIA L40S".to_owned(),
            bus: "00000000:21:00.0".to_owned(),
            memory_total: 48 * GIB,
            memory_free: 47 * GIB,
        }],
        ..NvmlReport::default()
    });
    let screen = "0000:c1:00.0: it only shows a picture | -";
    let missing = "the backend module cuda is not installed | installer/install.sh --backend cuda";
    check(
        &server,
        &[
            &format!("0000:21:00.0: {missing}"),
            &format!("0000:22:00.0: {missing}"),
            screen,
        ],
    );
    // The driver's library tells the memory without a module.
    let memory = Inventory::of(&server).devices[1].memory.unwrap();
    assert_eq!(
        (memory.total, memory.free, memory.shared),
        (48 * GIB, 47 * GIB, false)
    );

    server.backends = vec![
        module(
            "vulkan",
            &[
                ("Vulkan0", "NVIDIA L40S", Some("0000:22:00.0")),
                ("Vulkan1", "NVIDIA L40S", Some("0000:21:00.0")),
                ("Vulkan2", "llvmpipe (LLVM 15.0.6, 256 bits)", None),
            ],
        ),
        module("cuda", &[("CUDA0", "NVIDIA L40S", Some("0000:22:00.0"))]),
    ];
    check(
        &server,
        &[
            "Vulkan1 through vulkan",
            "CUDA0 through cuda",
            "Vulkan2 through vulkan, software",
            screen,
        ],
    );
    // Free memory that lies is no more than all memory.
    assert_eq!(
        Inventory::of(&server).devices[1].memory.unwrap().free,
        8 * GIB
    );
}

#[test]
fn a_faulty_module_does_not_hide_the_others() {
    let mut server = report("two-nvidia");
    server.backends = vec![
        faulty("cuda", "its probe ended by signal: 11 (SIGSEGV)"),
        module(
            "vulkan",
            &[("Vulkan0", "NVIDIA L40S", Some("0000:21:00.0"))],
        ),
    ];
    check(
        &server,
        &[
            "Vulkan0 through vulkan",
            "0000:22:00.0: the backend module cuda cannot be used: its probe ended by signal: 11 \
             (SIGSEGV) | installer/install.sh --backend cuda",
            "0000:c1:00.0: it only shows a picture | -",
        ],
    );
}

#[test]
fn a_device_without_memory_is_not_used() {
    let mut pi = report("raspberry-pi-5");
    let mut vulkan = module("vulkan", &[("Vulkan0", "V3D 7.1.7.0", None)]);
    vulkan.devices[0].memory_total = 0;
    pi.backends = vec![vulkan];
    check(
        &pi,
        &["Vulkan0: the backend module vulkan reports no memory for it | -"],
    );
}

#[test]
fn devices_without_a_backend_say_so() {
    check(
        &report("amd-apu"),
        &[
            "0000:c5:00.0: the backend module vulkan is not installed | \
             installer/install.sh --backend vulkan",
            "0000:c6:00.1: llama.cpp has no backend for this NPU | -",
        ],
    );
    check(
        &report("asahi"),
        &[
            "406400000.gpu: the backend module vulkan is not installed | \
             installer/install.sh --backend vulkan",
            "ane: only Apple's Core ML can use it, and llama.cpp does not | -",
        ],
    );
    let memory = Inventory::of(&report("amd-apu")).devices[1].memory.unwrap();
    assert!(memory.shared && memory.total > 29 * GIB);
}

#[test]
fn a_container_is_told_how_to_get_the_device() {
    let mut container = report("two-nvidia");
    container.machine.platform.container = true;
    container.machine.gpus.truncate(1);
    container.machine.gpus[0].nodes[0].access = Access::Absent;
    check(
        &container,
        &["0000:21:00.0: /dev/nvidiactl does not exist | start the container with --gpus all"],
    );
    container.machine.gpus[0].driver = None;
    check(
        &container,
        &["0000:21:00.0: no driver is loaded for it | \
           install NVIDIA's driver: sudo apt install nvidia-driver"],
    );
}

#[test]
fn windows_shows_its_card_through_cuda() {
    let mut wsl = report("wsl2");
    wsl.backends = vec![module(
        "cuda",
        &[("CUDA0", "NVIDIA GeForce RTX 4070", None)],
    )];
    check(&wsl, &["CUDA0 through cuda"]);
}

#[test]
fn a_processor_is_usable_unless_its_module_fails() {
    let vm = report("bare-vm");
    let cpu = &Inventory::of(&vm).devices[0];
    assert!(cpu.is_usable());
    assert_eq!(cpu.memory.unwrap().total, 2 * GIB, "the limit of its group");
    let broken = Report {
        fault: Some("ended by signal: 4 (SIGILL)".to_owned()),
        ..vm
    };
    let cpu = &Inventory::of(&broken).devices[0];
    assert!(!cpu.is_usable());
    assert_eq!(cpu.obstacle.as_ref().unwrap().code, Code::ModuleFault);
}

#[test]
fn codes_have_the_names_that_json_shows() {
    for code in Code::ALL {
        assert_eq!(serde_json::to_value(code).unwrap(), code.name());
    }
    assert_eq!(
        serde_json::from_str::<Code>("\"later\"").unwrap(),
        Code::Unknown
    );
}
