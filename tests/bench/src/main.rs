//! `cargo xtask bench`: measures the built executables from outside, and writes the tables and plots of `docs/benchmarks.md`.
//!
//! Everything is measured several times; two compared programs take turns on one machine in one run,
//! so that other load affects both alike.
//! Each part of the page has a file in `parts`, and can be measured again alone.
//!
//! The benches know nothing of the product's inside: they use HTTP and the command line, as any client.

mod answer;
mod crowd;
mod daemon;
mod dialect;
mod duel;
mod machine;
mod models;
mod open_loop;
mod page;
mod parts;
mod plot;
mod report;
mod row;
mod ruler;
mod server;
mod sides;
mod site;
mod statistics;
mod stream;
mod subject;
mod tools;

use std::cell::{Cell, OnceCell};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use installer::native::{self, Processors};
use installer::peer::Peer;
use installer::workspace::{MEASURED, Workspace};
use installer::{files, process, say};

use machine::Machine;
use models::{Kept, Model};
use parts::Part;
use report::Section;
use row::Outcome;
use sides::Sides;
use site::Site;
use subject::Subject;

/// The least number of runs for a published median.
const FEWEST_RUNS: usize = 3;

/// Measure, and write the tables of `docs/benchmarks.md`.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
struct Options {
    /// Only this part; can be repeated.
    #[arg(long = "part", value_name = "PART", value_enum)]
    parts: Vec<Part>,
    /// List the parts and measure nothing.
    #[arg(long)]
    list: bool,
    /// Only on this model, also in parts that exclude it by default; can be repeated.
    #[arg(long = "model", value_name = "MODEL", value_enum)]
    models: Vec<Model>,
    /// Number of runs, in place of each part's default.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: Option<u32>,
    /// A GGUF file, or a folder that `slm create` understands, to compute embeddings with.
    #[arg(long, value_name = "PATH")]
    embed_model: Option<PathBuf>,
    /// Print the tables and do not change the page.
    #[arg(long)]
    print: bool,
    /// Measure the executables in this folder without building; implies --print.
    #[arg(long, value_name = "FOLDER")]
    executables: Option<PathBuf>,
}

/// The context of every part.
#[derive(Debug)]
struct Bench {
    site: Site,
    peer: Peer,
    machine: Machine,
    kept: Kept,
    /// CPU threads of each side.
    threads: usize,
    /// The instructions of both sides, determined once with the first model.
    sides: OnceCell<Sides>,
    /// Number of the next prompt, so that all prompts differ.
    next_text: Cell<u64>,
    embed_model: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match Workspace::find().and_then(|workspace| run(&workspace, &options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::failure(&error);
            ExitCode::FAILURE
        }
    }
}

/// Builds, measures part by part, and writes each result at once.
///
/// # Errors
/// Something could not be built, or a part could not be measured; the others are measured all the same.
fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    if options.list {
        Part::all().for_each(|part| say::line(&part.listed()));
        return Ok(());
    }
    let print = options.print || options.executables.is_some();
    ensure!(
        print || options.runs.is_none_or(|runs| runs as usize >= FEWEST_RUNS),
        "fewer than {FEWEST_RUNS} runs give no median worth writing down; --print shows them"
    );
    let executables = executables(workspace, options)?;
    let bench = Bench {
        site: Site::make(&executables, &workspace.target().join("bench"))?,
        peer: Peer::find()?,
        // Once, because the first written part changes a file of the project.
        machine: Machine::look(workspace)?,
        kept: Kept::new(workspace, &executables),
        threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        sides: OnceCell::new(),
        next_text: Cell::new(1),
        embed_model: options.embed_model.clone(),
    };

    let began = Instant::now();
    let mut subjects = BTreeMap::new();
    let mut failed = Vec::new();
    for part in Part::all().filter(|part| options.wants(*part)) {
        let done = measure(&bench, options, part, &mut subjects)
            .and_then(|section| publish(workspace, &section, print));
        if let Err(error) = done {
            say::failure(&error.context(format!("the part `{}` failed", part.name())));
            failed.push(part.name());
        }
    }
    say::title(&format!("{} in all", say::duration(began.elapsed())));
    if !failed.is_empty() {
        bail!("not measured: {}", failed.join(", "));
    }
    Ok(())
}

impl Options {
    fn wants(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }

    fn models(&self, part: Part) -> &[Model] {
        if self.models.is_empty() || !part.takes_any_model() {
            part.models()
        } else {
            &self.models
        }
    }

    /// How often `part` is measured on `model`.
    fn runs(&self, part: Part, model: Model) -> usize {
        self.runs
            .map_or_else(|| part.runs(model), |runs| runs as usize)
    }
}

fn executables(workspace: &Workspace, options: &Options) -> Result<PathBuf> {
    match &options.executables {
        Some(folder) => Ok(std::path::absolute(folder)?),
        None => {
            native::prepare(workspace, Processors::Ours)?;
            process::run(&mut workspace.build(&MEASURED))?;
            Ok(workspace.release())
        }
    }
}

/// Measures one part on all of its models, which are added to the store when first needed.
fn measure(
    bench: &Bench,
    options: &Options,
    part: Part,
    subjects: &mut BTreeMap<Model, Subject>,
) -> Result<Section> {
    for &model in options.models(part) {
        if let Entry::Vacant(subject) = subjects.entry(model) {
            say::title(&format!("model {}", model.name()));
            subject.insert(model.provide(&bench.site, &bench.kept, &bench.peer)?);
        }
    }
    let sides = sides(bench, subjects)?;
    let machine = bench.machine.now()?;
    let began = Instant::now();
    let mut findings = Vec::new();
    for model in options.models(part) {
        say::title(&format!("{} on {}", part.name(), model.name()));
        let runs = options.runs(part, *model);
        let outcome = part.measure(bench, &subjects[model], runs)?;
        if let Outcome::NotThere(why) = &outcome {
            say::line(&format!("not there yet: {why}"));
        }
        findings.push((part.subject(*model), runs, outcome));
    }
    Ok(Section {
        part,
        machine,
        sides,
        took: began.elapsed(),
        findings,
    })
}

/// The instructions of each side, determined with any model in the store.
fn sides(bench: &Bench, subjects: &BTreeMap<Model, Subject>) -> Result<Sides> {
    if let Some(known) = bench.sides.get() {
        return Ok(known.clone());
    }
    let subject = subjects.values().next();
    let sides = Sides::ask(bench, subject.context("there is no model to measure with")?)?;
    say::line(&format!("slm computes with {}", sides.slm));
    match &sides.llama {
        Some(llama) => say::line(&format!("llama.cpp computes with {llama}")),
        None => say::line("llama.cpp's programs are not built"),
    }
    Ok(bench.sides.get_or_init(|| sides).clone())
}

/// Prints the table, and writes table and plot unless `print` is set.
fn publish(workspace: &Workspace, section: &Section, print: bool) -> Result<()> {
    let text = section.text();
    say::line(&text);
    if print {
        return Ok(());
    }
    let docs = workspace.root().join("docs");
    let plot_path = docs.join(section.plot_name());
    match section.plot() {
        Some(plot) => {
            files::make_folder(&docs.join("benchmarks"))?;
            files::replace(&plot_path, &plot)?;
        }
        // An old plot would not match the page.
        None => drop(files::remove(&plot_path)?),
    }
    let page = docs.join("benchmarks.md");
    let filled = page::fill(&files::read(&page)?, section.part.name(), &text)?;
    files::replace(&page, &filled)?;
    say::line(&format!("written to {}", page.display()));
    Ok(())
}
