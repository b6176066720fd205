//! `GET /slm/v1/devices`: what this machine can compute on.

use ::devices::{Device, Disk, Measurement, Processor, Root};
use api::{
    BackendFacts, CacheFacts, DeviceFacts, DevicesResponse, DiskFacts, ErrorBody, HostMemory,
    MeasuredFacts, NumaNodeFacts, ProcessorFacts, ProductFacts,
};
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::app::App;
use crate::blocking;
use crate::devices::{Devices, Probed};
use crate::error::Error;
use crate::extract::Query;

/// Whether the devices are probed anew.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DevicesQuery {
    /// Probes them anew, which takes about 0.2 s, or longer with slow drivers.
    refresh: bool,
}

/// The devices with their memory and backends, or why none can use them.
///
/// *Detach*: a probe that was started completes.
#[utoipa::path(
    get,
    path = api::routes::DEVICES,
    params(DevicesQuery),
    responses(
        (status = 200, description = "The devices", body = DevicesResponse),
        (status = "4XX", description = "A parameter is wrong", body = ErrorBody),
        (status = "5XX", description = "The daemon stops", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn get(
    State(app): State<App>,
    Query(DevicesQuery { refresh }): Query<DevicesQuery>,
) -> Result<Json<DevicesResponse>, Error> {
    let devices = app.devices.clone();
    let probed = match refresh {
        true => devices.refresh().await,
        false => devices.get().await,
    };
    let store = app.registry.home().to_owned();
    // A network file system may not answer.
    let disk = blocking::run(move || Disk::of(&Root::system(), &store)).await?;
    Ok(Json(response(&devices, &probed, disk)))
}

fn response(devices: &Devices, probed: &Probed, disk: Option<Disk>) -> DevicesResponse {
    let report = &probed.report;
    let pressure = devices.pressure();
    DevicesResponse {
        probed_at: probed.at,
        fault: probed.fault.clone(),
        engine: report.engine.clone(),
        devices: probed.inventory.devices.iter().map(device).collect(),
        backends: report
            .backends
            .iter()
            .map(|module| BackendFacts {
                name: module.backend.clone(),
                about: module.about.clone(),
                fault: module.fault.clone(),
            })
            .collect(),
        memory: devices.memory().map(|memory| HostMemory {
            total: memory.total,
            free: memory.free(),
            limit: memory.cgroup_limit,
            swap: memory.swap,
            pressure: pressure
                .cgroup
                .or(pressure.machine)
                .map(|stall| stall.some_avg10),
        }),
        processor: ProcessorFacts {
            default_threads: report.threads,
            module: report.processor.clone(),
            kernels: report.kernels.clone(),
            ..processor(&report.machine.processor)
        },
        measured: devices.measured().map(measured),
        disk: disk.map(disk_facts),
    }
}

fn device(device: &Device) -> DeviceFacts {
    let kind = serde_json::to_value(device.kind);
    let obstacle = device.obstacle.as_ref();
    DeviceFacts {
        id: device.id.clone(),
        kind: kind
            .ok()
            .and_then(|kind| kind.as_str().map(str::to_owned))
            .unwrap_or_default(),
        name: device.name.clone(),
        usable: device.is_usable(),
        backend: device.backend.clone(),
        driver: device.driver.clone(),
        memory_total: device.memory.map(|memory| memory.total),
        memory_free: device.memory.map(|memory| memory.free),
        memory_shared: device.memory.is_some_and(|memory| memory.shared),
        code: obstacle.map(|obstacle| obstacle.code.name().to_owned()),
        reason: obstacle.map(|obstacle| obstacle.reason.clone()),
        remedy: obstacle.and_then(|obstacle| obstacle.remedy.clone()),
    }
}

fn processor(found: &Processor) -> ProcessorFacts {
    ProcessorFacts {
        model: found.model.clone(),
        architecture: found.architecture.clone(),
        packages: found.packages,
        cores: found.cores,
        performance_cores: found.performance_cores(),
        threads: found.threads,
        usable_threads: found.usable_threads(),
        quota: found.quota,
        instructions: found.instructions.clone(),
        caches: found
            .caches
            .iter()
            .map(|cache| CacheFacts {
                level: cache.level,
                kind: cache.kind.clone(),
                size: cache.size,
                count: cache.count,
            })
            .collect(),
        numa_nodes: found
            .nodes
            .iter()
            .map(|node| NumaNodeFacts {
                id: node.id,
                threads: node.threads,
                memory: node.memory,
            })
            .collect(),
        ..ProcessorFacts::default()
    }
}

fn measured(found: Measurement) -> MeasuredFacts {
    MeasuredFacts {
        bandwidth_one: found.bandwidth_one,
        bandwidth_all: found.bandwidth_all,
        choices: found.choices,
        products: found
            .products
            .into_iter()
            .map(|product| ProductFacts {
                weights: product.weights,
                columns: product.columns,
                way: product.way,
                nanoseconds: product.nanoseconds,
            })
            .collect(),
    }
}

fn disk_facts(disk: Disk) -> DiskFacts {
    DiskFacts {
        remote: disk.is_remote(),
        in_memory: disk.is_in_memory(),
        mount: disk.mount,
        file_system: disk.file_system,
        device: disk.device,
        rotational: disk.rotational,
        total: disk.total,
        free: disk.free,
    }
}
