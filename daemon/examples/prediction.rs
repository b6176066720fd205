//! Compares predicted with measured memory: loads models of several architectures, quantizations, contexts, types of the KV cache and
//! numbers of slots with the real runner.
//!
//! `prediction RUNNER FOLDER MODULE [ARCHITECTURE]` writes the models to `FOLDER`, which needs 2 GB, and prints a table in Markdown; `MODULE` is the CPU
//! module that the runner loads, as `slm ps --json` shows it. `FOLDER/prediction.svg` is a plot of the same numbers.
//!
//! What counts is what `docs/memory.md` says: the anonymous memory of the process after the load, the compute buffers, and the pages of
//! the weights that are used when prompts had tokens of the whole vocabulary. The runner is started with `--kernels=off`: it then takes
//! its caches at once, as llama.cpp does, and not page by page as they are used. Compute buffers have the size that llama.cpp reports,
//! because how much of them is used depends on the speed of the machine.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program for use by hand, which reads the memory of another process"
)]

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use daemon::planner::{Files as ModelFiles, LoadPlan, Machine, Offload, Packing, predict};
use futures::StreamExt as _;
use gguf_writer::shapes::{self, Architecture, Quantization};
use runner_protocol::{
    Embed, Generate, Input, KvType, Load, LoadSettings, MemoryKind, Prompt, Speculation,
};
use supervisor::{Files, Options, Program, Runner, Spawner};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Ids below this are control tokens.
const FIRST_TOKEN: i32 = 3;
/// One, because threads that wait for each other are slow on a busy machine. No part of the memory depends on their number.
const THREADS: u32 = 1;

/// One row of the table.
#[derive(Debug, Clone, Copy)]
struct Case {
    architecture: Architecture,
    quantization: Quantization,
    context: u32,
    kv_type: KvType,
    slots: u32,
}

/// What came of it, in bytes.
#[derive(Debug)]
struct Row {
    case: Case,
    predicted: u64,
    measured: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (runner, folder, module, only) = match &arguments[..] {
        [runner, folder, module] => (runner, folder, module, None),
        [runner, folder, module, only] => (runner, folder, module, Some(only)),
        _ => return Err("usage: prediction RUNNER FOLDER MODULE [ARCHITECTURE]".into()),
    };
    let folder = Path::new(folder);
    fs::create_dir_all(folder)?;
    let mut rows = Vec::new();
    for case in cases() {
        if only.is_some_and(|only| case.architecture.name() != only) {
            continue;
        }
        rows.push(measure(Path::new(runner), folder, module, case).await?);
    }
    print!("{}", table(&rows));
    fs::write(folder.join("prediction.svg"), plot(&rows))?;
    Ok(())
}

/// Every architecture in every quantization, with contexts, types and slots in turn, and each of these alone for one model.
fn cases() -> Vec<Case> {
    const CONTEXTS: [u32; 5] = [512, 2048, 4096, 8192, 16_384];
    const SLOTS: [u32; 4] = [1, 4, 8, 16];
    let mut cases = Vec::new();
    for architecture in Architecture::ALL {
        for quantization in Quantization::ALL {
            let number = cases.len();
            cases.push(Case {
                architecture,
                quantization,
                context: CONTEXTS[number % CONTEXTS.len()],
                kv_type: KvType::ALL[number % KvType::ALL.len()],
                slots: SLOTS[number % SLOTS.len()],
            });
        }
    }
    let base = Case {
        architecture: Architecture::Llama,
        quantization: Quantization::Q4_K_M,
        context: 4096,
        kv_type: KvType::F16,
        slots: 4,
    };
    cases.extend(CONTEXTS.map(|context| Case { context, ..base }));
    cases.extend(SLOTS.map(|slots| Case { slots, ..base }));
    cases.extend(KvType::ALL.map(|kv_type| Case { kv_type, ..base }));
    cases
}

async fn measure(runner: &Path, folder: &Path, module: &str, case: Case) -> Result<Row> {
    let file = model(folder, case)?;
    let settings = LoadSettings {
        context: case.context,
        batch: 512,
        threads: THREADS,
        gpu_layers: 0,
        host_experts: 0,
        main_gpu: 0,
        mmap: true,
        kv_type: case.kv_type,
    };
    let predicted = prediction(&file, module, case, settings)?;
    let (loaded, compute) = start(runner, module, &file, case, settings).await?;
    let process = loaded.pid().ok_or("the runner has no process")?;
    let anonymous = pages(process, "Anonymous:", None)?;
    // Pages that are used from now on count as referenced.
    fs::write(format!("/proc/{process}/clear_refs"), "1")?;
    use_vocabulary(&loaded, case).await?;
    let mapped = pages(process, "Referenced:", Some(&file))?;
    Ok(Row {
        case,
        predicted,
        measured: anonymous + compute + mapped,
    })
}

/// Writes the model, unless it is there.
fn model(folder: &Path, case: Case) -> Result<PathBuf> {
    let (architecture, quantization) = (case.architecture, case.quantization);
    let name = format!("{}-{}.gguf", architecture.name(), quantization.name());
    let file = folder.join(name);
    if !file.exists() {
        let mut out = BufWriter::new(fs::File::create(&file)?);
        shapes::write(architecture, quantization, &mut out)?;
        out.flush()?;
    }
    Ok(file)
}

fn prediction(file: &Path, module: &str, case: Case, settings: LoadSettings) -> Result<u64> {
    let mut opened = fs::File::open(file)?;
    let size = opened.metadata()?.len();
    let facts = registry::gguf::read(&mut opened, size)?.facts().memory;
    let files = ModelFiles {
        weights: &[facts],
        ..ModelFiles::default()
    };
    let plan = LoadPlan {
        settings,
        sequences: case.slots,
        host_cache: 0,
        offload: Offload::default(),
        correction: None,
    };
    let machine = Machine {
        packing: Packing::of_module(module, false),
        ..Machine::default()
    };
    Ok(predict(&files, &plan, &machine).host())
}

/// A loaded model, and the bytes of its compute buffers.
async fn start(
    runner: &Path,
    module: &str,
    file: &Path,
    case: Case,
    settings: LoadSettings,
) -> Result<(Runner, u64)> {
    let mut files = Files::new();
    let weights_fd = files.push(fs::File::open(file)?);
    let mut program = Program::new(runner);
    program.args = vec!["--kernels=off".into(), format!("--cpu={module}").into()];
    let spawner = Spawner::start()?;
    let runner = spawner.spawn(&program, files, Options::default()).await?;
    let load = Load {
        weights_fd,
        shard_fds: Vec::new(),
        adapters: Vec::new(),
        sequences: case.slots,
        settings,
        chat_template: None,
        draft_fd: None,
        speculation: Speculation::Off,
        projector: None,
    };
    let loaded = runner.load(load, |_| {}).await?;
    let parts = loaded.memory.iter();
    let compute = parts.filter(|part| part.kind == MemoryKind::Compute);
    Ok((runner, compute.map(|part| part.bytes).sum()))
}

/// Has tokens of the whole vocabulary in prompts, at least one for each page of the token embeddings.
async fn use_vocabulary(runner: &Runner, case: Case) -> Result<()> {
    const PAGE: u64 = 4096;
    let vocabulary = i32::try_from(shapes::vocabulary(case.architecture))?;
    let row = shapes::embedding_bytes(case.quantization);
    let tokens = (FIRST_TOKEN..vocabulary).step_by(usize::try_from((PAGE / row).max(1))?);
    let tokens: Vec<i32> = tokens.collect();
    if case.architecture == Architecture::Bert {
        let longest = case.context.min(case.architecture.context()) as usize;
        let inputs = tokens
            .chunks(longest)
            .map(|part| Input::Tokens(part.to_vec()));
        let embed = Embed {
            inputs: inputs.collect(),
            dimensions: None,
            normalize: false,
            truncate: true,
            context: None,
            adapters: Vec::new(),
        };
        runner.embed(embed).await?;
        return Ok(());
    }
    // A little less than the context, for the token that is generated.
    for part in tokens.chunks(case.context.saturating_sub(8) as usize) {
        let mut generate = Generate::new(Prompt::Tokens(part.to_vec()));
        generate.max_tokens = Some(1);
        let mut steps = runner.generate(generate).await?;
        while let Some(step) = steps.next().await {
            step?;
        }
    }
    Ok(())
}

/// The bytes of this kind in all mappings of a process, or in those of a file.
fn pages(process: u32, kind: &str, file: Option<&Path>) -> Result<u64> {
    let maps = fs::read_to_string(format!("/proc/{process}/smaps"))?;
    let name = file.and_then(|file| file.file_name()?.to_str());
    let (mut kib, mut counts) = (0, file.is_none());
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some(key), Some(value)) if key == kind && counts => kib += value.parse::<u64>()?,
            (Some(key), _) if !key.ends_with(':') => {
                counts = name.is_none_or(|name| line.ends_with(name));
            }
            _ => {}
        }
    }
    Ok(kib * 1024)
}

impl Row {
    /// How much more was predicted than measured, in percent.
    fn error(&self) -> f64 {
        100.0 * (self.predicted as f64 / self.measured as f64 - 1.0)
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn line(row: &Row) -> String {
    let Case {
        architecture,
        quantization,
        context,
        kv_type,
        slots,
    } = row.case;
    let (predicted, measured) = (mib(row.predicted), mib(row.measured));
    format!(
        "| {} | {} | {context} | {} | {slots} | {predicted:.1} | {measured:.1} | {:+.1} % |",
        architecture.name(),
        quantization.name(),
        kv_type.name(),
        row.error(),
    )
}

fn table(rows: &[Row]) -> String {
    let mut table = String::from(
        "| architecture | quantization | context | KV type | slots | predicted, MiB | measured, MiB | error |\n|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        table.push_str(&line(row));
        table.push('\n');
    }
    let largest = rows.iter().map(|row| row.error().abs()).fold(0.0, f64::max);
    let _ = writeln!(
        table,
        "\n{} combinations; the largest error is {largest:.1} %.",
        rows.len()
    );
    table
}

/// Predicted against measured, with the line of no error between those of 5 %.
fn plot(rows: &[Row]) -> String {
    const SIDE: f64 = 480.0;
    let most = rows.iter().map(|row| mib(row.measured)).fold(0.0, f64::max) * 1.05;
    let place = |value: f64| 40.0 + value / most * (SIDE - 60.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {SIDE} {SIDE}\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"{SIDE}\" height=\"{SIDE}\" fill=\"white\"/>\n"
    );
    for (factor, dash) in [(1.0, "none"), (0.95, "4"), (1.05, "4")] {
        let (right, top) = (place(most), SIDE - place(most * factor));
        let (left, bottom) = (place(0.0), SIDE - place(0.0));
        let _ = writeln!(
            svg,
            "<line x1=\"{left:.1}\" y1=\"{bottom:.1}\" x2=\"{right:.1}\" y2=\"{top:.1}\" stroke=\"gray\" stroke-dasharray=\"{dash}\"/>"
        );
    }
    for row in rows {
        let (x, y) = (place(mib(row.measured)), SIDE - place(mib(row.predicted)));
        let _ = writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"steelblue\"><title>{}</title></circle>",
            line(row).replace('|', " ")
        );
    }
    let step = (most / 5.0 / 50.0).ceil() * 50.0;
    let mut tick = step;
    while tick < most {
        let at = place(tick);
        let _ = writeln!(
            svg,
            "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{tick}</text>\n<text x=\"34\" y=\"{:.1}\" text-anchor=\"end\">{tick}</text>",
            SIDE - 24.0,
            SIDE - at + 4.0
        );
        tick += step;
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">measured, MiB</text>\n<text x=\"12\" y=\"24\">predicted, MiB; dashed: 5 %</text>\n</svg>",
        SIDE / 2.0,
        SIDE - 6.0
    );
    svg
}
