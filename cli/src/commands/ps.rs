//! `slm ps`: the loaded models.

use api::{KeepAlive, LoadedModel, PsResponse, routes};
use jiff::Timestamp;

use crate::args::Ps;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{Cell, Output, Shrink, Table};
use crate::text;

/// Lists the loaded models. Without a daemon nothing is loaded, so none is started.
pub(crate) async fn run(context: Context, args: &Ps) -> anyhow::Result<Exit> {
    let loaded: PsResponse = context.client.without_start().get(routes::PS).await?;
    if context.out.json() {
        context.out.json_document(&loaded)?;
    } else if args.memory {
        let models = &loaded.models;
        context.out.print(&memory_table(&context.out, models))?;
    } else {
        context
            .out
            .print(&table(&context.out, &loaded.models, Timestamp::now()))?;
    }
    Ok(Exit::Ok)
}

/// The columns that the table of memory gives up on a narrow terminal, in order.
const MEMORY_SHRINK_ORDER: [Shrink; 4] = [
    Shrink::Drop("ADAPTERS"),
    Shrink::Drop("COMPUTE"),
    Shrink::Drop("KV CACHE"),
    Shrink::Drop("DEVICE"),
];

/// Where the bytes of each model are: a row for each device that has some. Adapters have a column where there are any.
fn memory_table(out: &Output, models: &[LoadedModel]) -> String {
    let mut kinds = vec![
        ("MAPPED", "mapped_weights"),
        ("WEIGHTS", "weights"),
        ("KV CACHE", "kv_cache"),
        ("COMPUTE", "compute"),
    ];
    let mut parts = models.iter().flat_map(|model| &model.memory);
    if parts.any(|part| part.kind == "adapters") {
        kinds.push(("ADAPTERS", "adapters"));
    }
    let mut head = vec!["NAME", "DEVICE"];
    head.extend(kinds.iter().map(|(title, _)| *title));
    head.push("COUNTED");
    let mut table = Table::new(&head, &MEMORY_SHRINK_ORDER);
    for model in models {
        let reported = model.memory.iter().map(|part| part.device.as_str());
        let mut devices: Vec<&str> = model.counted.keys().map(String::as_str).collect();
        devices.extend(reported);
        devices.sort_unstable();
        devices.dedup();
        for device in devices {
            let of = |kind: &str| {
                let parts = model.memory.iter();
                let parts = parts.filter(|part| part.device == device && part.kind == kind);
                text::bytes_or_none(parts.map(|part| part.bytes).sum())
            };
            let counted = model.counted.get(device).copied().unwrap_or(0);
            let mut row: Vec<Cell> = vec![name(model).into(), device.to_owned().into()];
            row.extend(kinds.iter().map(|(_, kind)| of(kind).into()));
            row.push(text::bytes_or_none(counted).into());
            table.row(row);
        }
    }
    table.render(out)
}

/// The columns that the table gives up on a narrow terminal, in order.
const SHRINK_ORDER: [Shrink; 8] = [
    Shrink::Shorten("PROCESSOR"),
    Shrink::Drop("SANDBOX"),
    Shrink::Drop("ID"),
    Shrink::Drop("CONTEXT"),
    Shrink::Drop("SIZE"),
    Shrink::Drop("PROCESSOR"),
    Shrink::Drop("STATE"),
    Shrink::Drop("UNTIL"),
];

fn table(out: &Output, models: &[LoadedModel], now: Timestamp) -> String {
    let head = [
        "NAME",
        "ID",
        "SIZE",
        "PROCESSOR",
        "SANDBOX",
        "CONTEXT",
        "STATE",
        "UNTIL",
    ];
    let mut table = Table::new(&head, &SHRINK_ORDER);
    for model in models {
        let processor = |device: &str| processor(model, device);
        table.row([
            name(model).into(),
            text::short_digest(&model.digest).to_owned().into(),
            size(model).into(),
            Cell::or_short(processor(&model.device), processor("")),
            sandbox(model).to_owned().into(),
            model.context_length.to_string().into(),
            state(model).into(),
            until(model, now).into(),
        ]);
    }
    table.render(out)
}

/// The name that loaded it, marked if it was removed since.
fn name(model: &LoadedModel) -> String {
    if model.removed {
        return format!("{} (removed)", model.name);
    }
    model.name.clone()
}

/// Its memory; `-` without a running runner.
fn size(model: &LoadedModel) -> String {
    text::bytes_or_none(model.size)
}

/// Its devices: `100% CPU (zen4)`, `48%/52% CPU/GPU`; without the name of a device, its kind.
fn processor(model: &LoadedModel, device: &str) -> String {
    let device = |kind: &'static str| match device {
        "" => kind,
        device => device,
    };
    match (model.size_vram, model.size) {
        (_, 0) => "-".to_owned(),
        (0, _) => format!("100% {}", device("CPU")),
        (on_device, size) if on_device >= size => format!("100% {}", device("GPU")),
        (on_device, size) => {
            let share = (u128::from(on_device) * 100 / u128::from(size)).clamp(1, 99);
            format!("{}%/{share}% CPU/GPU", 100 - share)
        }
    }
}

/// The sandbox level of its runner; `-` if there is none.
fn sandbox(model: &LoadedModel) -> &str {
    match model.sandbox.as_str() {
        "" => "-",
        level => level,
    }
}

fn state(model: &LoadedModel) -> String {
    match (model.state.as_str(), model.active) {
        ("", _) => "ready".to_owned(),
        ("busy", active) if active > 1 => format!("busy ({active})"),
        (state, _) => state.to_owned(),
    }
}

fn until(model: &LoadedModel, now: Timestamp) -> String {
    match model.state.as_str() {
        "stopping" => "stopping".to_owned(),
        "busy" if model.keep_alive == Some(KeepAlive::Seconds(0.0)) => "it is idle".to_owned(),
        _ if model.pinned => "unpinned".to_owned(),
        // The keep-alive starts after the last answer.
        "loading" | "busy" => "-".to_owned(),
        _ => text::relative(model.expires_at, now),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use api::{LoadedPart, ModelDetails};

    use super::*;
    use crate::output::OutputMode;

    #[test]
    fn where_the_bytes_of_a_model_are() {
        let part = |device: &str, kind: &str, bytes| LoadedPart {
            device: device.to_owned(),
            kind: kind.to_owned(),
            bytes,
        };
        let json = serde_json::json!({
            "name": "big:latest", "model": "big:latest", "size": 0, "digest": "", "details": {},
            "expires_at": "2026-11-20T12:04:30Z", "size_vram": 0, "context_length": 4096,
            "counted": {"CPU": 700_000_000, "CUDA0": 2_100_000_000_u64},
        });
        let mut model: LoadedModel = serde_json::from_value(json).unwrap();
        model.memory = vec![
            part("CPU", "mapped_weights", 300_000_000),
            part("CUDA0", "weights", 1_500_000_000),
            part("CUDA0", "kv_cache", 400_000_000),
            part("CUDA0", "compute", 200_000_000),
        ];
        let out = Output::new(OutputMode::default(), &[("NO_COLOR", "1")]);
        insta::assert_snapshot!(memory_table(&out, std::slice::from_ref(&model)), @r"
        NAME         DEVICE   MAPPED   WEIGHTS   KV CACHE   COMPUTE   COUNTED
        big:latest   CPU      300 MB   -         -          -         700 MB
        big:latest   CUDA0    -        1.5 GB    400 MB     200 MB    2.1 GB
        ");
        model.memory.push(part("CPU", "adapters", 50_000_000));
        insta::assert_snapshot!(memory_table(&out, &[model]), @r"
        NAME         DEVICE   MAPPED   WEIGHTS   KV CACHE   COMPUTE   ADAPTERS   COUNTED
        big:latest   CPU      300 MB   -         -          -         50.0 MB    700 MB
        big:latest   CUDA0    -        1.5 GB    400 MB     200 MB    -          2.1 GB
        ");
    }

    #[test]
    fn what_loaded_models_look_like() {
        let model = |name: &str, size_vram, device: &str, state: &str, active| LoadedModel {
            name: name.to_owned(),
            model: name.to_owned(),
            size: 200_000_000,
            digest: "b179c9523d0e6a0f98a330c7562b6827".to_owned(),
            details: ModelDetails::default(),
            expires_at: "2026-11-20T12:04:30Z".parse().unwrap(),
            size_vram,
            context_length: 4096,
            state: state.to_owned(),
            removed: false,
            pinned: false,
            active,
            pid: Some(1),
            device: device.to_owned(),
            device_reason: String::new(),
            sandbox: match state {
                "" | "stopping" => "",
                "busy" => "partial",
                _ => "full",
            }
            .to_owned(),
            sandbox_lacks: String::new(),
            kernels: String::new(),
            kernels_reason: String::new(),
            keep_alive: None,
            memory: Vec::new(),
            counted: BTreeMap::new(),
        };
        let models = [
            model("smollm2:latest", 0, "CPU (zen4)", "ready", 0),
            model("big:latest", 104_000_000, "", "busy", 3),
            model("from-an-older-daemon:latest", 200_000_000, "", "", 0),
            LoadedModel {
                size: 0,
                ..model("leaving:latest", 0, "CPU", "stopping", 0)
            },
            LoadedModel {
                pinned: true,
                ..model("kept:latest", 0, "CPU (zen4)", "ready", 0)
            },
            LoadedModel {
                removed: true,
                keep_alive: Some(KeepAlive::Seconds(0.0)),
                ..model("old:latest", 0, "CPU", "busy", 1)
            },
        ];
        let out = Output::new(OutputMode::default(), &[("NO_COLOR", "1")]);
        let table = table(&out, &models, "2026-11-20T12:00:00Z".parse().unwrap());
        insta::assert_snapshot!(table, @r"
        NAME                          ID             SIZE     PROCESSOR         SANDBOX   CONTEXT   STATE      UNTIL
        smollm2:latest                b179c9523d0e   200 MB   100% CPU (zen4)   full      4096      ready      in 4 minutes
        big:latest                    b179c9523d0e   200 MB   48%/52% CPU/GPU   partial   4096      busy (3)   -
        from-an-older-daemon:latest   b179c9523d0e   200 MB   100% GPU          -         4096      ready      in 4 minutes
        leaving:latest                b179c9523d0e   -        -                 -         4096      stopping   stopping
        kept:latest                   b179c9523d0e   200 MB   100% CPU (zen4)   full      4096      ready      unpinned
        old:latest (removed)          b179c9523d0e   200 MB   100% CPU          partial   4096      busy       it is idle
        ");
    }
}
