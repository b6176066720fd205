//! `slm-runner probe`: what this machine can compute on, as a [`devices::Report`].
//!
//! This process reads the system's files and loads nothing. Whatever loads code of a driver runs in a further process, so that a
//! driver that crashes or hangs costs only its own part of the report, which then has the reason.

mod measure;
mod nvml;

use std::thread;

use devices::{Gpu, Machine, Root, Vendor};
use serde_json::{Map, Value, json};

use crate::{
    model::{accelerators, backend, kernels::Switch},
    system::child,
};

pub(crate) use measure::report as measure;
pub(crate) use nvml::report as nvml;

/// Everything.
pub(crate) fn all(switch: Switch) -> Value {
    let mut report = Map::new();
    thread::scope(|scope| {
        let processor = scope.spawn(move || processor_apart(switch));
        let backends = scope.spawn(move || accelerators::probe_apart(switch));
        let sandbox = scope.spawn(move || child::json(&["probe", "sandbox"], switch.argument()));
        let machine = Machine::read(&Root::system());
        // Without such a GPU there is no library either.
        if machine.gpus.iter().any(is_nvidia) {
            report.insert("nvml".to_owned(), nvml_apart(switch));
        }
        report.insert("machine".to_owned(), json!(machine));
        // Without an answer the level is not known.
        if let Ok(Ok(sandbox)) = sandbox.join() {
            report.insert("sandbox".to_owned(), sandbox);
        }
        let told = backends.join().unwrap_or_default();
        report.insert("backends".to_owned(), told.into());
        report.extend(processor.join().unwrap_or_default());
    });
    report.into()
}

/// Windows' subsystem for Linux shows an NVIDIA GPU as one of Microsoft.
fn is_nvidia(gpu: &Gpu) -> bool {
    matches!(gpu.vendor, Vendor::Nvidia | Vendor::Microsoft)
}

/// What the CPU module says, in a process that its instructions may end.
fn processor_apart(switch: Switch) -> Map<String, Value> {
    match child::json(&["probe", "processor"], switch.argument()) {
        Ok(Value::Object(told)) => told,
        Ok(_) => fault("its probe answered something else than an object"),
        Err(reason) => fault(&reason),
    }
}

/// What NVIDIA's management library says, in a process that it may end or stop for ever.
fn nvml_apart(switch: Switch) -> Value {
    child::json(&["probe", "nvml"], switch.argument())
        .unwrap_or_else(|reason| fault(&reason).into())
}

/// Confines this process as a runner without accelerators confines itself, and says how far that went.
pub(crate) fn sandbox() -> Value {
    let sandbox = confine::restrict(&backend::needs(&[]));
    json!({"level": sandbox.level.name(), "lacks": sandbox.lacks})
}

fn fault(reason: &str) -> Map<String, Value> {
    Map::from_iter([("fault".to_owned(), reason.into())])
}
