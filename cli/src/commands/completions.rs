//! `slm completions`: a shell script that completes commands by running this program.

use clap::{CommandFactory as _, ValueEnum as _};
use clap_complete::env::{CompleteEnv, Shells};

use crate::args::{Cli, Completions};
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::Output;

/// The variable in which the script names its shell.
const SHELL_VARIABLE: &str = "COMPLETE";

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
        .write_registration(SHELL_VARIABLE, "slm", "slm", "slm", &mut script)
        .map_err(|error| Failure::new(format!("cannot make the script: {error}")))?;
    if shell == Some("zsh") {
        script.extend_from_slice(ZSH_FIRST_TIME);
    }
    out.print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}

/// Appended for zsh, which loads the script at the first completion: the script must also answer that completion.
const ZSH_FIRST_TIME: &[u8] = b"
if [ \"$funcstack[1]\" = \"_slm\" ]; then
    _clap_dynamic_completer_slm \"$@\"
fi
";

/// Answers a completion request of a shell. Returns false if the process was not started for one.
pub(crate) fn complete() -> bool {
    let here = std::env::current_dir().ok();
    // The shell would show an error in the middle of the typed line, so errors are dropped.
    CompleteEnv::with_factory(offered)
        .var(SHELL_VARIABLE)
        .try_complete(std::env::args_os(), here.as_deref())
        .unwrap_or(true)
}

/// The command line without hidden commands, which would be offered where nothing else matches.
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
