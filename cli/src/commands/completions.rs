//! `slm completions`: a script with which a shell completes commands, by asking this program.

use std::ffi::OsStr;
use std::time::Duration;

use api::{TagsResponse, routes};
use clap::{CommandFactory as _, ValueEnum as _};
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::{CompleteEnv, Shells};

use crate::args::{Cli, Completions, Global};
use crate::context::Context;
use crate::env::Process;
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::Output;

/// The variable by which the script says that it asks, and in which shell.
const ASKED: &str = "COMPLETE";
/// How long a shell waits for the names of models.
const PATIENCE: Duration = Duration::from_millis(500);

/// Prints the script.
pub(crate) fn run(out: &Output, args: &Completions) -> anyhow::Result<Exit> {
    let shell = args.shell.to_possible_value();
    let shell = shell.as_ref().map(clap::builder::PossibleValue::get_name);
    let shells = Shells::builtins();
    let completer = shell
        .and_then(|name| shells.completer(name))
        .ok_or_else(|| Failure::usage("this shell is not known"))?;
    let mut script = Vec::new();
    completer
        .write_registration(ASKED, "slm", "slm", "slm", &mut script)
        .map_err(|error| Failure::new(format!("cannot make the script: {error}")))?;
    if shell == Some("zsh") {
        script.extend_from_slice(ZSH_FIRST_TIME);
    }
    out.print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}

/// In a folder of zsh's functions the script is run by the first completion, which it must answer too.
const ZSH_FIRST_TIME: &[u8] = b"
if [ \"$funcstack[1]\" = \"_slm\" ]; then
    _clap_dynamic_completer_slm \"$@\"
fi
";

/// Answers a shell that asks what can be typed next; false when none asks.
pub(crate) fn complete() -> bool {
    let here = std::env::current_dir().ok();
    // A shell shows what is wrong in the middle of what is typed, so nothing is said.
    CompleteEnv::with_factory(offered)
        .var(ASKED)
        .try_complete(std::env::args_os(), here.as_deref())
        .unwrap_or(true)
}

/// The command line without what is hidden, which would be offered where nothing else fits.
fn offered() -> clap::Command {
    let all = Cli::command();
    let shown = all
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    clap::Command::new("slm")
        .disable_version_flag(true)
        .args(all.get_arguments().cloned())
        .subcommands(shown.cloned())
}

/// Names of models that are here and begin as what was typed. No daemon is started to be asked.
pub(crate) fn models(typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy().to_lowercase();
    let names = names().unwrap_or_default();
    names
        .into_iter()
        .filter(|name| name.to_lowercase().starts_with(&typed))
        .map(CompletionCandidate::new)
        .collect()
}

fn names() -> Option<Vec<String>> {
    let global = Global {
        quiet: true,
        no_start: true,
        ..Global::default()
    };
    let out = Output::new(global.tone(), &Process);
    let context = Context::resolve(&global, out, &Process).ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .ok()?;
    let asked = async {
        let asking = context.client.get::<TagsResponse>(routes::TAGS);
        tokio::time::timeout(PATIENCE, asking).await
    };
    let tags = runtime.block_on(asked).ok()?.ok()?;
    Some(
        tags.models
            .into_iter()
            .map(|model| shortest(model.name))
            .collect(),
    )
}

/// The tag that holds where none is said need not be typed.
fn shortest(name: String) -> String {
    match name.strip_suffix(":latest") {
        Some(short) => short.to_owned(),
        None => name,
    }
}
