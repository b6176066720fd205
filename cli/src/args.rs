//! The command line. The texts of `--help` stand here; `docs/cli.md` is generated from them.

mod config;

use std::ffi::OsString;
use std::path::PathBuf;

use api::{Priority, PushFormat, Think};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use clap_complete::engine::ArgValueCompleter;

pub(crate) use self::config::{Config, ConfigAction};
use crate::completion::models;
use crate::output::{Color, OutputMode};

/// Run language models on this machine.
#[derive(Debug, Parser)]
#[command(
    name = "slm",
    version,
    disable_version_flag = true,
    propagate_version = false,
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "Example:\n  slm run smollm2 \"Why is the sky blue?\""
)]
pub(crate) struct Cli {
    /// Print version.
    #[arg(short = 'V', visible_short_alias = 'v', long, action = ArgAction::Version)]
    version: Option<bool>,
    /// Options of every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// The command.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Options for every command")]
pub(crate) struct Global {
    /// Print JSON: one document, or one event per line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print only the result.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// When to use colours.
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t)]
    pub(crate) color: Color,
    /// Address of the daemon: `machine:port`, `http://…` or `unix:/path` (or SLM_HOST).
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) host: Option<String>,
    /// Folder of the daemon and its models (or SLM_HOME).
    #[arg(long, global = true, value_name = "FOLDER")]
    pub(crate) home: Option<PathBuf>,
    /// Do not start a daemon when none answers.
    #[arg(long, global = true)]
    pub(crate) no_start: bool,
}

impl Global {
    /// How much is printed, and in which format.
    pub(crate) fn output_mode(&self) -> OutputMode {
        OutputMode {
            json: self.json,
            quiet: self.quiet,
            color: self.color,
        }
    }
}

/// What `slm` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Talk to a model, or let it answer one prompt.
    ///
    /// With a prompt, or with piped text, the model answers once; the piped text comes before the
    /// prompt. Without either, a conversation begins: `/?` shows its commands.
    /// A model that is not on disk is pulled first.
    ///
    /// A vision model gets the image files whose paths stand in the prompt, such as `./cat.png`, and a
    /// piped image.
    ///
    /// Standard input that is not a terminal is read to its end: in a loop of a shell script, redirect
    /// it from `/dev/null` if there is nothing to pipe.
    #[command(after_help = "Examples:
  slm run smollm2
  slm run smollm2 \"Why is the sky blue?\"
  cat report.txt | slm run smollm2 \"Summarize this in three sentences.\"
  slm run smollm2 --param temperature=0 --param seed=1 \"Write a haiku.\"
  slm run my-model --think=low \"How many days has a leap year?\"
  slm run my-model \"What is in ./cat.png?\"
  slm run smollm2 --format json \"Name three colours, as JSON.\"
  slm run smollm2 --format person.json \"Make up a person, as JSON.\"")]
    Run(Run),
    /// Run a coding agent with a model of the daemon.
    ///
    /// The agent gets the daemon's address and the model for this call, in its environment and arguments; its configuration stays as it is.
    /// Its exit code is that of `slm`. Without a name, the known agents are listed.
    #[command(after_help = "Examples:
  slm launch
  slm launch claude --model qwen3:4b
  slm launch codex --model qwen3:4b -- exec \"Explain main.rs.\"
  slm launch opencode --model qwen3:4b --print")]
    Launch(Launch),
    /// Fetch a model.
    ///
    /// A name is looked up in the catalogs, and then in the Ollama library. A name with a host states the source: a registry,
    /// `hf.co/OWNER/REPOSITORY` on the Hugging Face hub, or the URL of a GGUF file. A stopped pull keeps its bytes, and the
    /// next pull continues with them.
    ///
    /// Ctrl-C detaches from the pull, which continues in the background; `slm jobs` shows and cancels it. The same pull in a
    /// second terminal joins the first.
    #[command(after_help = "Examples:
  slm pull smollm2
  slm pull --background --priority low smollm2
  slm pull --explain phi4-mini
  slm pull hf.co/Qwen/Qwen3-4B-GGUF:Q8_0
  slm pull registry.example/team/model:v1
  slm pull https://host.example/path/model.gguf")]
    Pull(Pull),
    /// Predict the memory that a model takes.
    ///
    /// The table has the parts of a loaded model, and whether they fit the memory that is free now; if not, it says which settings
    /// would be chosen, and why. The tokens per second are predicted from the bandwidth of main memory, an upper bound. A model that
    /// is not on disk is looked up as by `slm pull`, and only headers are fetched.
    #[command(after_help = "Examples:
  slm plan smollm2
  slm plan phi4-mini --ctx 32768
  slm plan phi4-mini --device CUDA0
  slm plan hf.co/Qwen/Qwen3-4B-GGUF:Q8_0 --slots 1 --kv q8_0")]
    Plan(Plan),
    /// Send a model to a registry.
    ///
    /// Without a destination, the model's name is the destination. Blobs that the registry has are not sent, and its tag changes
    /// last. A push after a stopped one continues where the registry kept the bytes.
    #[command(after_help = "Examples:
  slm push registry.example/team/model:v1
  slm push my-model registry.example/team/model:v1
  slm push my-model localhost:5000/me/model --format modelpack")]
    Push(Push),
    /// Log in to a registry or to the Hugging Face hub.
    ///
    /// The login is checked with the host and then stored in a file that only you can read. The terminal asks for the password.
    /// Logins of Docker and Podman are used as well.
    #[command(after_help = "Examples:
  slm login registry.example -u me
  echo \"$TOKEN\" | slm login registry.example -u me --password-stdin
  slm login hf.co
  slm login --list
  slm login --show-key")]
    Login(Login),
    /// Delete a login.
    #[command(after_help = "Example:\n  slm logout registry.example")]
    Logout(Logout),
    /// List pulls and pushes, and pause, resume, cancel or reorder them.
    ///
    /// A pull or push is a job of the daemon: it continues when the terminal is closed, and after a restart of the daemon.
    #[command(after_help = "Examples:
  slm jobs
  slm jobs --all
  slm jobs pause smollm2
  slm jobs resume 3 --now
  slm jobs cancel 3 --remove
  slm jobs priority high 3
  slm jobs watch 3")]
    Jobs(Jobs),
    /// Find models in the catalogs and on the Hugging Face hub.
    ///
    /// `slm pull` and `slm run` take the column NAME. Models of the hub have weights in GGUF and are sorted by downloads.
    #[command(after_help = "Examples:
  slm search qwen3
  slm search --catalog embedding
  slm search --limit 50 smollm2 instruct
  slm search qwen3 --filter max-size=4B --filter capability=tools")]
    Search(Search),
    /// Create a model from a Modelfile.
    ///
    /// Local weights that the Modelfile names get into the store without copying, where the file system
    /// allows it.
    ///
    /// With `--watch`, a loaded model is replaced too: running answers end on the old one, and the next request gets the new one.
    /// A Modelfile with a mistake leaves the model as it was. Replace local weights by a new file of the same name; the store may
    /// share the bytes of the old one.
    #[command(after_help = "Examples:
  slm create pirate -f Modelfile
  slm create precise -f Modelfile --param temperature=0 --param num_ctx=8192
  slm create pirate -f Modelfile --watch
  echo 'FROM ./model.gguf' | slm create mine -f -")]
    Create(Create),
    /// List the models on disk.
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  slm list\n  slm ls smol\n  slm list --variants phi4-mini"
    )]
    List(List),
    /// List the loaded models.
    #[command(after_help = "Examples:\n  slm ps\n  slm ps --memory")]
    Ps(Ps),
    /// Show the details of a model.
    #[command(
        after_help = "Examples:\n  slm show smollm2\n  slm show smollm2 --modelfile > Modelfile"
    )]
    Show(Show),
    /// Give a model a second name.
    #[command(after_help = "Example:\n  slm cp smollm2 my-model")]
    Cp(Cp),
    /// Remove models.
    ///
    /// Blobs that other models share stay on disk.
    #[command(after_help = "Example:\n  slm rm my-model other-model")]
    Rm(Models),
    /// Load models into memory.
    ///
    /// The first request of a loaded model does not wait for it.
    #[command(after_help = "Examples:\n  slm load smollm2\n  slm load smollm2 --keepalive 2h")]
    Load(Load),
    /// Unload models from memory, also pinned ones.
    ///
    /// A model in use is unloaded after its last answer.
    #[command(after_help = "Example:\n  slm stop smollm2")]
    Stop(Models),
    /// Load models and keep them loaded.
    ///
    /// A pinned model stays until `slm unpin`, `slm stop` or the end of the daemon, whatever other requests need.
    #[command(after_help = "Example:\n  slm pin smollm2")]
    Pin(Models),
    /// Let pinned models leave again.
    #[command(after_help = "Example:\n  slm unpin smollm2")]
    Unpin(Models),
    /// Show why models were loaded, unloaded or refused.
    ///
    /// The daemon keeps the last decisions with their reasons while it runs.
    #[command(after_help = "Examples:\n  slm why\n  slm why smollm2")]
    Why(Why),
    /// Show and change the configuration of the daemon.
    ///
    /// A running daemon applies a change of config.yaml at once, or says what waits for a restart.
    #[command(after_help = "Examples:
  slm config get
  slm config set keep_alive 1h
  slm config set models.phi4-mini.pin true
  slm config edit")]
    Config(Config),
    /// Show what this machine can compute on: processor, memory, GPUs and NPUs.
    ///
    /// A device that models cannot use has its reason, and the command that helps.
    #[command(
        after_help = "Examples:\n  slm devices\n  slm devices --verbose\n  slm devices --refresh"
    )]
    Devices(Devices),
    /// Look at the whole installation, and say what could be better.
    ///
    /// It starts no daemon, and works without one. The exit status is 1 if something keeps models from running.
    #[command(after_help = "Examples:\n  slm doctor\n  slm doctor --json")]
    Doctor,
    /// Run the daemon in this terminal, or stop a running daemon.
    #[command(after_help = "Examples:
  slm serve
  slm serve -- --port 8080
  slm serve --stop
  slm serve --print-unit > ~/.config/systemd/user/slmd.service")]
    Serve(Serve),
    /// Show whether the daemon runs, where, and which models are loaded.
    ///
    /// The exit status is 0 if the daemon runs, else 3. It does not start a daemon.
    #[command(after_help = "Example:\n  slm status")]
    Status,
    /// Show the log of the daemon.
    ///
    /// It is the log of a daemon that `slm` started; a daemon in a terminal or under a service manager logs there.
    #[command(after_help = "Examples:\n  slm logs\n  slm logs -n 20 --follow")]
    Logs(Logs),
    /// Verify the store: hash every file of the models.
    #[command(after_help = "Examples:
  slm verify
  slm verify smollm2
  slm verify --quarantine")]
    Verify(Verify),
    /// Remove files of the store that no model needs.
    ///
    /// It removes blobs that no model names, which the daemon does by itself once a day, and unfinished downloads that no job continues.
    #[command(after_help = "Example:\n  slm gc")]
    Gc,
    /// Show the versions of this program and of the daemon.
    #[command(after_help = "Example:\n  slm version")]
    Version,
    /// Print a shell script that completes commands.
    #[command(
        after_help = "Example:\n  slm completions bash > ~/.local/share/bash-completion/completions/slm"
    )]
    Completions(Completions),
    /// Print the reference of the command line in Markdown.
    #[command(
        hide = true,
        after_help = "Examples:\n  slm reference > docs/cli.md\n  slm reference --man /usr/local/share/man/man1"
    )]
    Reference(Reference),
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Name of the model.
    #[arg(add = ArgValueCompleter::new(models))]
    pub(crate) model: String,
    /// The prompt; several words need no quotes.
    pub(crate) prompt: Vec<String>,
    /// System prompt, in place of the model's.
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// Set a parameter, as `PARAMETER` in a Modelfile does; can be repeated.
    #[arg(short, long = "param", value_name = "NAME=VALUE", long_help = crate::params::long_help())]
    pub(crate) params: Vec<String>,
    /// Answer in JSON: `json`, or a file with the JSON Schema that the answer must obey.
    ///
    /// A model writes better JSON if the prompt asks for it too. Answers in JSON are not wrapped.
    #[arg(long, value_name = "json|FILE", value_hint = ValueHint::FilePath)]
    pub(crate) format: Option<String>,
    /// How long the model stays loaded afterwards: `10m`, `1h30m`, seconds, 0, or -1 for ever.
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = duration)]
    pub(crate) keepalive: Option<String>,
    /// Think before the answer, at this level; a thinking model does so by default.
    #[arg(
        long,
        value_name = "HOW",
        value_enum,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub(crate) think: Option<Thinking>,
    /// Do not think before the answer.
    #[arg(long, conflicts_with = "think")]
    pub(crate) no_think: bool,
    /// Let the model think, and show only the answer.
    #[arg(long, alias = "hidethinking")]
    pub(crate) hide_thinking: bool,
    /// Show timings and token counts of the answer.
    #[arg(long)]
    pub(crate) verbose: bool,
    /// Do not wrap lines.
    #[arg(long)]
    pub(crate) nowordwrap: bool,
    /// Send the prompt verbatim, without the model's template.
    #[arg(long, conflicts_with_all = ["system", "think", "no_think"])]
    pub(crate) raw: bool,
    /// Fail if the model is not on disk, instead of pulling it.
    #[arg(long)]
    pub(crate) no_pull: bool,
    /// The variant, such as `Q4_K_M`, which is pulled unless the model on disk has it; without one, the best that fits this machine.
    #[arg(long, value_name = "VARIANT", conflicts_with = "no_pull")]
    pub(crate) variant: Option<String>,
}

impl Run {
    /// The `think` field of a request; `None` leaves it to the model.
    pub(crate) fn think(&self) -> Option<Think> {
        match self.think {
            _ if self.no_think => Some(Think::Switch(false)),
            Some(how) => Some(how.to_wire()),
            None => None,
        }
    }
}

/// A duration, checked, as it was typed.
fn duration(text: &str) -> Result<String, String> {
    api::duration::seconds(text).map(|_| text.to_owned())
}

/// A level of thinking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Thinking {
    /// The model's default level.
    True,
    /// No thinking.
    False,
    /// A little, for models with levels.
    Low,
    /// More.
    Medium,
    /// Much.
    High,
    /// As much as it can.
    Max,
}

impl Thinking {
    /// The value in the API.
    pub(crate) fn to_wire(self) -> Think {
        let level = match self {
            Self::True => return Think::Switch(true),
            Self::False => return Think::Switch(false),
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Max => "max",
        };
        Think::Level(level.to_owned())
    }
}

/// Arguments of `pull`.
#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// Name or URL of the model.
    pub(crate) model: String,
    /// The variant, such as `Q4_K_M`; without one, the best that fits this machine. `slm list --variants MODEL` shows them.
    #[arg(long, value_name = "VARIANT")]
    pub(crate) variant: Option<String>,
    /// Show the source and the reason for it, and fetch no weights.
    #[arg(long)]
    pub(crate) explain: bool,
    /// Show the files and the number of bytes to fetch, and fetch no weights.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Allow `http://` in the name to reach another machine.
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Return at once; `slm jobs` shows the progress.
    #[arg(long, conflicts_with_all = ["explain", "dry_run"])]
    pub(crate) background: bool,
    /// Priority in the queue: `high`, `normal` or `low`. A `high` job takes the transfer slot of a running `low` job.
    #[arg(long, value_name = "PRIORITY", value_parser = clap::builder::ValueParser::new(priority))]
    pub(crate) priority: Option<Priority>,
    /// Start outside of `pull_window` and on a metered network too.
    #[arg(long)]
    pub(crate) now: bool,
}

fn priority(text: &str) -> Result<Priority, String> {
    text.parse()
}

/// Arguments of `jobs`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub(crate) struct Jobs {
    /// List jobs that ended in the last day too.
    #[arg(long)]
    pub(crate) all: bool,
    /// The action; without one, the list.
    #[command(subcommand)]
    pub(crate) action: Option<JobAction>,
}

/// Actions on jobs.
#[derive(Debug, Subcommand)]
pub(crate) enum JobAction {
    /// Pause jobs and keep their bytes.
    #[command(after_help = "Example:\n  slm jobs pause 3")]
    Pause(JobNames),
    /// Resume jobs that are paused, wait, or have failed.
    #[command(after_help = "Examples:\n  slm jobs resume 3\n  slm jobs resume --now smollm2")]
    Resume {
        /// The jobs.
        #[command(flatten)]
        names: JobNames,
        /// Start outside of `pull_window` and on a metered network too.
        #[arg(long)]
        now: bool,
    },
    /// Cancel jobs. Fetched bytes are kept for the next pull of the same model.
    #[command(after_help = "Examples:\n  slm jobs cancel 3\n  slm jobs cancel --remove smollm2")]
    Cancel {
        /// The jobs.
        #[command(flatten)]
        names: JobNames,
        /// Remove the fetched bytes, unless another job needs them.
        #[arg(long)]
        remove: bool,
    },
    /// Change the priority of jobs.
    #[command(after_help = "Example:\n  slm jobs priority high 3")]
    Priority {
        /// `high`, `normal` or `low`.
        #[arg(value_parser = clap::builder::ValueParser::new(priority))]
        priority: Priority,
        /// The jobs.
        #[command(flatten)]
        names: JobNames,
    },
    /// Show the progress of a job until it ends.
    #[command(after_help = "Example:\n  slm jobs watch 3")]
    Watch {
        /// Id of the job, or name of its model.
        job: String,
    },
}

/// Jobs by id or by model.
#[derive(Debug, Args)]
pub(crate) struct JobNames {
    /// Ids of the jobs, or names of their models.
    #[arg(required = true, value_name = "JOB")]
    pub(crate) jobs: Vec<String>,
}

/// Arguments of `push`.
#[derive(Debug, Args)]
pub(crate) struct Push {
    /// Name of the model.
    #[arg(add = ArgValueCompleter::new(models))]
    pub(crate) model: String,
    /// Name at the destination, with the registry's host; the default is the model's name.
    pub(crate) destination: Option<String>,
    /// Format: `ollama` is the manifest as stored, `modelpack` a manifest of CNCF's ModelPack.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<ManifestFormat>,
    /// Allow `http://` in the destination to reach another machine.
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Return at once; `slm jobs` shows the progress.
    #[arg(long)]
    pub(crate) background: bool,
    /// Priority in the queue: `high`, `normal` or `low`. A `high` job takes the transfer slot of a running `low` job.
    #[arg(long, value_name = "PRIORITY", value_parser = clap::builder::ValueParser::new(priority))]
    pub(crate) priority: Option<Priority>,
    /// Start outside of `pull_window` and on a metered network too.
    #[arg(long)]
    pub(crate) now: bool,
}

/// Format of a pushed manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ManifestFormat {
    /// The manifest as stored.
    Ollama,
    /// A manifest of CNCF's ModelPack.
    Modelpack,
}

impl ManifestFormat {
    /// The value in the API.
    pub(crate) fn to_wire(self) -> PushFormat {
        match self {
            Self::Ollama => PushFormat::Ollama,
            Self::Modelpack => PushFormat::ModelPack,
        }
    }
}

/// Arguments of `login`.
#[derive(Debug, Args)]
pub(crate) struct Login {
    /// Host of the registry, or `hf.co`.
    #[arg(value_name = "HOST", required_unless_present_any = ["list", "show_key"])]
    pub(crate) registry: Option<String>,
    /// User name; the hub needs none.
    #[arg(short, long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Read the password or token from standard input.
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// Another host that may receive the login, if the registry issues its tokens there; can be repeated.
    #[arg(long, value_name = "HOST")]
    pub(crate) realm_host: Vec<String>,
    /// Show the hosts with a login, and where each login was found.
    #[arg(long, conflicts_with_all = ["registry", "show_key"])]
    pub(crate) list: bool,
    /// Show the public key to add to your account in the Ollama library.
    #[arg(long, conflicts_with = "registry")]
    pub(crate) show_key: bool,
}

/// Arguments of `logout`.
#[derive(Debug, Args)]
pub(crate) struct Logout {
    /// Host of the registry, or `hf.co`.
    #[arg(value_name = "HOST")]
    pub(crate) registry: String,
}

/// Arguments of `search`.
#[derive(Debug, Args)]
pub(crate) struct Search {
    /// Words that the name or description must contain.
    #[arg(required = true)]
    pub(crate) words: Vec<String>,
    /// Search only the catalogs, which needs no network.
    #[arg(long)]
    pub(crate) catalog: bool,
    /// Maximum number of models from the hub.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: usize,
    /// Only models that match: `license=mit`, `capability=tools`, `max-size=4B`, `min-size=1B` or `owner=acme`; can be repeated.
    #[arg(long = "filter", value_name = "KEY=VALUE")]
    pub(crate) filters: Vec<String>,
}

/// Arguments of `create`.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Name of the new model.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The Modelfile; `-` reads it from standard input.
    #[arg(short, long, value_name = "FILE", default_value = "Modelfile")]
    pub(crate) file: PathBuf,
    /// Override a parameter of the Modelfile; can be repeated.
    #[arg(short, long = "param", value_name = "NAME=VALUE")]
    pub(crate) params: Vec<String>,
    /// Number format for a folder of safetensors: `f16` (the default) or `f32`.
    #[arg(long, value_name = "TYPE")]
    pub(crate) quantize: Option<String>,
    /// Fail if the base is not on disk, instead of pulling it.
    #[arg(long)]
    pub(crate) no_pull: bool,
    /// Stay, and create the model anew whenever the Modelfile or a local file that it names changes.
    #[arg(long)]
    pub(crate) watch: bool,
}

/// Arguments of `slm ps`.
#[derive(Debug, Args)]
pub(crate) struct Ps {
    /// Show where the bytes of each model are.
    #[arg(long)]
    pub(crate) memory: bool,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// The beginning of the names to list; with `--variants`, the name of a model, which need not be on disk.
    pub(crate) prefix: Option<String>,
    /// Show the quantization of each model on disk; with a name, all quantizations that its source has, and the memory and speed of each here.
    #[arg(long)]
    pub(crate) variants: bool,
}

/// Arguments of `show`.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Name of the model.
    #[arg(add = ArgValueCompleter::new(models))]
    pub(crate) model: String,
    /// The part to show; without one, an overview.
    #[command(flatten)]
    pub(crate) part: ShowPart,
    /// Show all metadata and tensors.
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// One part of a model, as text.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct ShowPart {
    /// Print a Modelfile that creates this model again.
    #[arg(long)]
    pub(crate) modelfile: bool,
    /// Print the licence.
    #[arg(long)]
    pub(crate) license: bool,
    /// Print the parameters.
    #[arg(long)]
    pub(crate) parameters: bool,
    /// Print the chat template.
    #[arg(long)]
    pub(crate) template: bool,
    /// Print the system prompt.
    #[arg(long)]
    pub(crate) system: bool,
}

/// Arguments of `cp`.
#[derive(Debug, Args)]
pub(crate) struct Cp {
    /// Existing name.
    #[arg(add = ArgValueCompleter::new(models))]
    pub(crate) source: String,
    /// New name.
    pub(crate) destination: String,
}

/// Arguments of `load`.
#[derive(Debug, Args)]
pub(crate) struct Load {
    /// The models.
    #[command(flatten)]
    pub(crate) models: Models,
    /// How long they stay loaded without requests: `10m`, `1h30m`, seconds, or -1 for ever.
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = duration)]
    pub(crate) keepalive: Option<String>,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// Name of the model.
    #[arg(add = ArgValueCompleter::new(models))]
    pub(crate) model: String,
    /// Context in tokens.
    #[arg(long, value_name = "TOKENS")]
    pub(crate) ctx: Option<u32>,
    /// Number of parallel requests.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) slots: Option<u32>,
    /// Type of the KV cache: f16, q8_0 or q4_0.
    #[arg(long, value_name = "TYPE")]
    pub(crate) kv: Option<String>,
    /// Plan for this device and main memory only, or for `cpu`; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub(crate) device: Vec<String>,
    /// Allow a connection without TLS.
    #[arg(long)]
    pub(crate) insecure: bool,
}

/// Arguments of `why`.
#[derive(Debug, Args)]
pub(crate) struct Why {
    /// Name of the model; without one, all models.
    #[arg(add = ArgValueCompleter::new(models))]
    pub(crate) model: Option<String>,
}

/// Arguments of `rm`, `stop`, `pin` and `unpin`.
#[derive(Debug, Args)]
pub(crate) struct Models {
    /// Names of the models.
    #[arg(required = true, value_name = "MODEL", add = ArgValueCompleter::new(models))]
    pub(crate) models: Vec<String>,
}

/// Arguments of `devices`.
#[derive(Debug, Args)]
pub(crate) struct Devices {
    /// Probe the devices anew, for example after a driver was installed.
    #[arg(long)]
    pub(crate) refresh: bool,
    /// Show the processor, the memory, the disk of the store and the backend modules too.
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Stop the daemon of this home; running answers may finish within its grace period.
    #[arg(long, conflicts_with_all = ["print_unit", "options"])]
    pub(crate) stop: bool,
    /// Print a unit that runs the daemon as a systemd service of this user.
    #[arg(long, conflicts_with = "options")]
    pub(crate) print_unit: bool,
    /// Options for `slmd`; `slm serve -- --help` shows them.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "OPTION"
    )]
    pub(crate) options: Vec<OsString>,
}

/// Arguments of `launch`.
#[derive(Debug, Args)]
pub(crate) struct Launch {
    /// Name of the agent.
    #[arg(value_name = "NAME")]
    pub(crate) agent: Option<String>,
    /// Name of the model; can be left out if only one is on disk.
    #[arg(short, long, value_name = "MODEL", add = ArgValueCompleter::new(models))]
    pub(crate) model: Option<String>,
    /// Print the command with its environment, and do not run it.
    #[arg(long)]
    pub(crate) print: bool,
    /// Arguments for the agent.
    #[arg(last = true, value_name = "ARG")]
    pub(crate) arguments: Vec<OsString>,
}

/// Arguments of `logs`.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Follow the log until Ctrl-C.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Number of last lines to show.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 100)]
    pub(crate) lines: usize,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Names of the models; all of them without a name.
    #[arg(value_name = "MODEL", add = ArgValueCompleter::new(models))]
    pub(crate) models: Vec<String>,
    /// Move damaged files aside, so that the next pull fetches them again.
    #[arg(long)]
    pub(crate) quarantine: bool,
}

/// Arguments of `reference`.
#[derive(Debug, Args)]
pub(crate) struct Reference {
    /// Write manual pages into this folder instead.
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) man: Option<PathBuf>,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell.
    pub(crate) shell: Shell,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        for command in Cli::command().get_subcommands() {
            let example = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(
                example.contains(&format!("slm {}", command.get_name())),
                "{} shows no example of itself",
                command.get_name()
            );
        }
    }

    #[test]
    fn options_for_the_daemon_pass_through_serve() {
        let cli = Cli::parse_from(["slm", "serve", "--port", "8080"]);
        let Command::Serve(serve) = cli.command else {
            panic!("serve was asked for")
        };
        assert_eq!(serve.options, ["--port", "8080"]);
    }

    #[test]
    fn a_negative_keepalive_is_a_value() {
        let cli = Cli::parse_from(["slm", "run", "m", "--keepalive", "-1", "why", "not"]);
        let Command::Run(run) = cli.command else {
            panic!("run was asked for")
        };
        assert_eq!(run.keepalive.as_deref(), Some("-1"));
        assert_eq!(run.prompt, ["why", "not"]);
    }
}
