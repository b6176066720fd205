//! `slm devices`: what this machine can compute on.

use api::{
    DeviceFacts, DevicesResponse, DiskFacts, HostMemory, MeasuredFacts, ProcessorFacts,
    ProductFacts, routes,
};

use crate::args::Devices;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{Cell, Output, Shrink, Table, section};
use crate::text;

/// Shows the devices.
pub(crate) async fn run(context: &Context, args: &Devices) -> anyhow::Result<Exit> {
    let path = match args.refresh {
        true => format!("{}?refresh=true", routes::DEVICES),
        false => routes::DEVICES.to_owned(),
    };
    let found: DevicesResponse = context.client.get(&path).await?;
    let out = &context.out;
    if out.json() {
        out.json_document(&found)?;
        return Ok(Exit::Ok);
    }
    let mut parts = vec![table(out, &found.devices)];
    parts.extend(
        found
            .devices
            .iter()
            .filter_map(|device| reason(out, device)),
    );
    if args.verbose {
        parts.extend(details(out, &found));
    }
    out.print(&parts.join("\n"))?;
    if let Some(fault) = &found.fault {
        out.warn(&format!("the devices could not be probed: {fault}"));
    }
    if !args.verbose {
        out.note(
            "`slm devices --verbose` shows more, and `slm doctor` looks at the whole installation",
        );
    }
    Ok(Exit::Ok)
}

/// The columns that the table gives up on a narrow terminal, in order.
const SHRINK_ORDER: [Shrink; 4] = [
    Shrink::Shorten("NAME"),
    Shrink::Drop("KIND"),
    Shrink::Drop("FREE"),
    Shrink::Drop("NAME"),
];

/// Longest name of a device on a narrow terminal.
const SHORT_NAME: usize = 24;

fn table(out: &Output, devices: &[DeviceFacts]) -> String {
    let head = ["DEVICE", "KIND", "NAME", "MEMORY", "FREE", "BACKEND"];
    let mut table = Table::new(&head, &SHRINK_ORDER);
    for device in devices {
        let bytes = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), text::bytes);
        let backend = device.backend.clone().unwrap_or_else(|| "none".to_owned());
        table.row([
            device.id.clone().into(),
            kind(&device.kind).to_owned().into(),
            Cell::or_short(device.name.clone(), short(&device.name)),
            bytes(device.memory_total).into(),
            bytes(device.memory_free).into(),
            backend.into(),
        ]);
    }
    table.render(out)
}

fn short(name: &str) -> String {
    match name.char_indices().nth(SHORT_NAME) {
        Some((end, _)) => format!("{}…", name[..end].trim_end()),
        None => name.to_owned(),
    }
}

/// The kind in words; a kind of a newer daemon as it is.
fn kind(kind: &str) -> &str {
    match kind {
        "cpu" => "processor",
        "gpu" => "GPU",
        "integrated_gpu" => "integrated GPU",
        "npu" => "NPU",
        "screen" => "display only",
        other => other,
    }
}

/// Why a device is not usable, or what limits it, with what helps.
fn reason(out: &Output, device: &DeviceFacts) -> Option<String> {
    let reason = device.reason.as_ref()?;
    let state = match device.usable {
        true => "can be used, but",
        false => "cannot be used:",
    };
    let line = format!("{} {state} {reason}", device.id);
    let mut text = out.paragraph(&line, "  ") + "\n";
    if let Some(remedy) = &device.remedy {
        let line = format!("  to use it: {remedy}");
        text.push_str(&(out.paragraph(&line, "    ") + "\n"));
    }
    Some(text)
}

fn details(out: &Output, found: &DevicesResponse) -> Vec<String> {
    let mut sections = vec![section(out, "Processor", &processor(&found.processor))];
    sections.extend(
        found
            .memory
            .as_ref()
            .map(|it| section(out, "Memory", &memory(it))),
    );
    sections.extend(found.measured.as_ref().map(|it| measured(out, it)));
    sections.extend(
        found
            .disk
            .as_ref()
            .map(|it| section(out, "Disk of the store", &disk(it))),
    );
    let backends: Vec<_> = found
        .backends
        .iter()
        .map(|module| {
            let state = match &module.fault {
                Some(fault) => format!("cannot be used: {fault}"),
                None => module.about.clone(),
            };
            (module.name.clone(), state)
        })
        .collect();
    sections.push(match backends.is_empty() {
        true => section(out, "Backend modules", &[row("cpu", &found.engine)]),
        false => section(out, "Backend modules", &backends),
    });
    sections
}

fn row(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn processor(cpu: &ProcessorFacts) -> Vec<(String, String)> {
    let count = |count: u32, thing: &str| text::count(count.into(), thing);
    let mut cores = format!(
        "{}, {}, {}",
        count(cpu.packages, "package"),
        count(cpu.cores, "core"),
        count(cpu.threads, "thread")
    );
    if cpu.performance_cores < cpu.cores {
        cores.push_str(&format!("; {} of the fast kind", cpu.performance_cores));
    }
    let mut usable = format!(
        "{}; models compute with {} by default",
        count(cpu.usable_threads, "thread"),
        cpu.default_threads
    );
    if let Some(quota) = cpu.quota {
        usable.push_str(&format!("; limited to the time of {quota:.1} processors"));
    }
    let caches: Vec<String> = cpu
        .caches
        .iter()
        .filter(|cache| cache.kind != "Instruction")
        .map(|cache| format!("L{} {} × {}", cache.level, cache.count, kib(cache.size)))
        .collect();
    let nodes: Vec<String> = cpu
        .numa_nodes
        .iter()
        .map(|node| {
            format!(
                "{} with {}",
                count(node.threads, "thread"),
                text::bytes(node.memory)
            )
        })
        .collect();
    let mut rows = vec![
        row("model", &cpu.model),
        row("architecture", &cpu.architecture),
        row("cores", &cores),
        row("usable", &usable),
        row("instructions", &cpu.instructions.join(" ")),
        row("caches", &caches.join(", ")),
        row("CPU module", &cpu.module),
        row("slm's kernels", &cpu.kernels),
    ];
    if nodes.len() > 1 {
        rows.push(row("NUMA nodes", &nodes.join(", ")));
    }
    rows.retain(|(_, value)| !value.is_empty());
    rows
}

/// The size of a cache, which is a power of two or close to one.
fn kib(size: u64) -> String {
    match size >> 10 {
        kib @ ..1024 => format!("{kib} KiB"),
        kib => format!("{} MiB", kib / 1024),
    }
}

fn memory(memory: &HostMemory) -> Vec<(String, String)> {
    let mut rows = vec![
        row("total", &text::bytes(memory.total)),
        row("free", &text::bytes(memory.free)),
    ];
    if let Some(limit) = memory.limit {
        rows.push(row(
            "limit",
            &format!("{} by a control group", text::bytes(limit)),
        ));
    }
    rows.push(row("swap", &text::bytes(memory.swap)));
    if let Some(pressure) = memory.pressure {
        let words = format!("programs waited for memory {pressure:.0} % of the last 10 s");
        rows.push(row("pressure", &words));
    }
    rows
}

/// Bandwidth, and a table of products: the time of each way, by the type of weights and the number of inputs.
fn measured(out: &Output, found: &MeasuredFacts) -> String {
    let speed = |bytes: f64| format!("{}/s", text::bytes(bytes as u64));
    let bandwidth = format!(
        "{} with one thread, {} with all",
        speed(found.bandwidth_one),
        speed(found.bandwidth_all)
    );
    let chosen = match found.choices.is_empty() {
        true => "nothing: other programs disturbed the measurement, or kernels are off".to_owned(),
        false => found.choices.join(" "),
    };
    let rows = [row("memory", &bandwidth), row("chosen", &chosen)];
    let mut parts = section(out, "Measured", &rows);
    parts.push_str("\n  Products, in ns for each input and 1,000 weights\n");
    parts.push_str(&products(out, &found.products));
    parts
}

const WAYS: [&str; 4] = ["plain", "ours", "repack", "amx"];

fn products(out: &Output, products: &[ProductFacts]) -> String {
    let head = ["WEIGHTS", "INPUTS", "PLAIN", "OURS", "REPACK", "AMX"];
    let mut table = Table::new(&head, &[]);
    let mut shown: Vec<(&str, u32)> = Vec::new();
    for product in products {
        let key = (product.weights.as_str(), product.columns);
        if shown.contains(&key) {
            continue;
        }
        shown.push(key);
        let time = |way: &str| {
            let of_way =
                |it: &&ProductFacts| (it.weights.as_str(), it.columns) == key && it.way == way;
            let found = products.iter().find(of_way);
            found.map_or_else(|| "-".to_owned(), |it| format!("{:.1}", it.nanoseconds))
        };
        let times = WAYS.map(|way| time(way).into());
        let names: [Cell; 2] = [
            product.weights.clone().into(),
            product.columns.to_string().into(),
        ];
        table.row(names.into_iter().chain(times));
    }
    let table = table.render(out);
    table.lines().map(|line| format!("    {line}\n")).collect()
}

fn disk(disk: &DiskFacts) -> Vec<(String, String)> {
    let kind = match (disk.remote, disk.in_memory, disk.rotational) {
        (true, ..) => ", on another machine",
        (_, true, _) => ", in main memory",
        (.., Some(true)) => ", rotating",
        (.., Some(false)) => ", solid state",
        (.., None) => "",
    };
    vec![
        row("mounted at", &disk.mount),
        row(
            "kind",
            &format!("{} on {}{kind}", disk.file_system, disk.device),
        ),
        row("size", &text::bytes(disk.total)),
        row("free", &text::bytes(disk.free)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::OutputMode;

    fn device(id: &str, usable: bool) -> DeviceFacts {
        DeviceFacts {
            id: id.to_owned(),
            kind: "integrated_gpu".to_owned(),
            name: "Intel integrated GPU (7d55)".to_owned(),
            usable,
            backend: usable.then(|| "vulkan".to_owned()),
            driver: None,
            memory_total: Some(8_000_000_000),
            memory_free: None,
            memory_shared: true,
            code: None,
            reason: None,
            remedy: None,
        }
    }

    fn out() -> Output {
        Output::new(OutputMode::default(), &[("NO_COLOR", "1")])
    }

    #[test]
    fn the_table_names_the_backend_of_each_device() {
        let devices = [
            DeviceFacts {
                kind: "cpu".to_owned(),
                name: "Intel Core Ultra 7 155H".to_owned(),
                memory_free: Some(5_500_000_000),
                backend: Some("cpu".to_owned()),
                ..device("CPU", true)
            },
            device("0000:00:02.0", false),
        ];
        insta::assert_snapshot!(table(&out(), &devices), @r"
        DEVICE         KIND             NAME                          MEMORY   FREE     BACKEND
        CPU            processor        Intel Core Ultra 7 155H       8.0 GB   5.5 GB   cpu
        0000:00:02.0   integrated GPU   Intel integrated GPU (7d55)   8.0 GB   -        none
        ");
    }

    #[test]
    fn a_long_name_has_a_short_form() {
        assert_eq!(short("Intel Core Ultra 7 155H"), "Intel Core Ultra 7 155H");
        assert_eq!(
            short("AMD Ryzen AI 9 HX 370 w/ Radeon 890M"),
            "AMD Ryzen AI 9 HX 370 w/…"
        );
    }

    #[test]
    fn an_unusable_device_has_its_reason_and_what_helps() {
        let out = out();
        assert_eq!(reason(&out, &device("CPU", true)), None);
        let device = DeviceFacts {
            reason: Some("this user may not open /dev/dri/renderD128".to_owned()),
            remedy: Some("sudo usermod -aG render $USER, then log in again".to_owned()),
            ..device("0000:00:02.0", false)
        };
        assert_eq!(
            reason(&out, &device).unwrap(),
            "0000:00:02.0 cannot be used: this user may not open /dev/dri/renderD128\n  \
             to use it: sudo usermod -aG render $USER, then log in again\n"
        );
    }
}
