//! The parts of the page: what each measures, on which models, and how often.

mod bare_protocol;
mod eight_streams;
mod embeddings;
mod idle_connections;
mod long_prompt;
mod main_job;
mod memory;
mod one_stream;
mod open_streams;
mod overhead;
mod process_start;
mod pull;
mod push;
mod request_rate;
mod sandbox;
mod shared_prefix;
mod sixteen_streams;
mod speculation;
mod swap;
mod swaps;

use anyhow::Result;
use clap::ValueEnum;

use super::Bench;
use super::models::Model;
use super::row::Outcome;
use super::subject::Subject;

/// A part of the page that can be measured alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Part {
    /// From `slm run` to the first text, and an idle daemon.
    MainJob,
    /// What the daemon adds to a request.
    Overhead,
    /// Requests at a fixed rate, in each dialect.
    RequestRate,
    /// Memory of many open streams, in each dialect.
    OpenStreams,
    /// Memory of many idle connections.
    IdleConnections,
    /// Tokens per second with and without the daemon.
    BareProtocol,
    /// One user: tokens of an answer and of a prompt per second.
    OneStream,
    /// Eight users at once.
    EightStreams,
    /// Sixteen streams with default settings.
    SixteenStreams,
    /// The same through OpenAI's dialect.
    SixteenOpenai,
    /// From the start of the process to the first token.
    ProcessStart,
    /// Resident memory of the process that holds the model.
    Memory,
    /// A long prompt that arrives while four answers stream.
    LongPrompt,
    /// A second request with the prefix of the first.
    SharedPrefix,
    /// A conversation that continues after its model was unloaded.
    Swap,
    /// Two models that take turns where only one fits.
    Swaps,
    /// Embeddings of many short texts.
    Embeddings,
    /// What the sandbox of the runner costs.
    Sandbox,
    /// Speculation.
    Speculation,
    /// Fetching a model over HTTP.
    Pull,
    /// Sending a model to a registry.
    Push,
}

/// Only the real model.
const SMALL: &[Model] = &[Model::Smollm2];
/// All of them.
const EVERY: &[Model] = &[Model::Smollm2, Model::Qwen3Q4km, Model::Qwen3Q8];

impl Part {
    /// All, in the order of the page.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        Self::value_variants().iter().copied()
    }

    /// Its name on the command line, in the markers of the page, and of its plot.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::MainJob => "main-job",
            Self::Overhead => "overhead",
            Self::RequestRate => "request-rate",
            Self::OpenStreams => "open-streams",
            Self::IdleConnections => "idle-connections",
            Self::BareProtocol => "bare-protocol",
            Self::OneStream => "one-stream",
            Self::EightStreams => "eight-streams",
            Self::SixteenStreams => "sixteen-streams",
            Self::SixteenOpenai => "sixteen-openai",
            Self::ProcessStart => "process-start",
            Self::Memory => "memory",
            Self::LongPrompt => "long-prompt",
            Self::SharedPrefix => "shared-prefix",
            Self::Swap => "swap",
            Self::Swaps => "swaps",
            Self::Embeddings => "embeddings",
            Self::Sandbox => "sandbox",
            Self::Speculation => "speculation",
            Self::Pull => "pull",
            Self::Push => "push",
        }
    }

    /// Its title.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::MainJob => "The main job",
            Self::Overhead => "Overhead of the daemon",
            Self::RequestRate => "Two hundred requests per second",
            Self::OpenStreams => "A thousand open streams",
            Self::IdleConnections => "Ten thousand idle connections",
            Self::BareProtocol => "Streams with and without the daemon",
            Self::OneStream => "One stream",
            Self::EightStreams => "Eight streams",
            Self::SixteenStreams => "Sixteen streams, eight slots in llama-server",
            Self::SixteenOpenai => "Sixteen streams through OpenAI's dialect",
            Self::ProcessStart => "Start of the process to the first token",
            Self::Memory => "Memory",
            Self::LongPrompt => "A long prompt beside four streams",
            Self::SharedPrefix => "A shared prefix",
            Self::Swap => "Swapped out and back",
            Self::Swaps => "Fifty swaps",
            Self::Embeddings => "Embeddings",
            Self::Sandbox => "Cost of the sandbox",
            Self::Speculation => "Speculation",
            Self::Pull => "Fetching a model",
            Self::Push => "Sending a model",
        }
    }

    /// Its default models.
    pub(super) fn models(self) -> &'static [Model] {
        match self {
            Self::OneStream | Self::ProcessStart | Self::Memory => EVERY,
            Self::Swaps => &[Model::Qwen3Q4km],
            _ => SMALL,
        }
    }

    /// Whether the choice of the model matters.
    pub(super) fn takes_any_model(self) -> bool {
        !matches!(
            self,
            Self::Overhead
                | Self::RequestRate
                | Self::OpenStreams
                | Self::IdleConnections
                | Self::BareProtocol
                | Self::Embeddings
                | Self::Pull
                | Self::Push
        )
    }

    /// The model in the table: some parts have their own, or none.
    pub(super) fn subject(self, model: Model) -> &'static str {
        match self {
            Self::Overhead
            | Self::RequestRate
            | Self::OpenStreams
            | Self::IdleConnections
            | Self::BareProtocol
            | Self::Pull
            | Self::Push => "none",
            Self::Embeddings => "embedding",
            _ => model.name(),
        }
    }

    /// Its default number of runs, fewer for long runs.
    pub(super) fn runs(self, model: Model) -> usize {
        match (self, model) {
            (Self::OneStream, Model::Smollm2) => 7,
            (Self::MainJob | Self::Overhead | Self::ProcessStart, Model::Smollm2) => 5,
            (Self::Embeddings | Self::Sandbox | Self::Speculation, Model::Smollm2) => 5,
            _ => 3,
        }
    }

    /// One line for the list of parts.
    pub(super) fn listed(self) -> String {
        let runs: Vec<String> = self
            .models()
            .iter()
            .map(|model| format!("{} x {}", self.runs(*model), model.name()))
            .collect();
        format!(
            "{:<16} {:<40} {}",
            self.name(),
            self.title(),
            runs.join(", ")
        )
    }

    /// Measures it on one model.
    ///
    /// # Errors
    /// A program could not be run, or failed.
    pub(super) fn measure(self, bench: &Bench, subject: &Subject, runs: usize) -> Result<Outcome> {
        let measure = match self {
            Self::MainJob => main_job::measure,
            Self::Overhead => overhead::measure,
            Self::RequestRate => request_rate::measure,
            Self::OpenStreams => open_streams::measure,
            Self::IdleConnections => idle_connections::measure,
            Self::BareProtocol => bare_protocol::measure,
            Self::OneStream => one_stream::measure,
            Self::EightStreams => eight_streams::measure,
            Self::SixteenStreams => sixteen_streams::measure,
            Self::SixteenOpenai => sixteen_streams::measure_through_openai,
            Self::ProcessStart => process_start::measure,
            Self::Memory => memory::measure,
            Self::LongPrompt => long_prompt::measure,
            Self::SharedPrefix => shared_prefix::measure,
            Self::Swap => swap::measure,
            Self::Swaps => swaps::measure,
            Self::Embeddings => embeddings::measure,
            Self::Sandbox => sandbox::measure,
            Self::Speculation => speculation::measure,
            Self::Pull => pull::measure,
            Self::Push => push::measure,
        };
        measure(bench, subject, runs)
    }
}

/// A number of tokens, or the range that was measured.
fn range(fewest: u32, most: u32) -> String {
    if fewest == most {
        most.to_string()
    } else {
        format!("{fewest} to {most}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_its_name_of_the_command_line() {
        for part in Part::all() {
            let value = part.to_possible_value().expect("no part is hidden");
            assert_eq!(value.get_name(), part.name());
        }
    }

    #[test]
    fn every_model_has_its_name_of_the_command_line() {
        for model in Model::value_variants() {
            let value = model.to_possible_value().expect("no model is hidden");
            assert_eq!(value.get_name(), model.name());
        }
    }
}
