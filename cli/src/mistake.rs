//! Mistakes in the command line: the message, and what was probably meant.

use std::ffi::OsString;

use clap::CommandFactory as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use modelfile::parameter;

use crate::args::Cli;
use crate::env::Process;
use crate::error::{Failure, Report};
use crate::exit::Exit;
use crate::output::{Output, OutputMode};

/// Commands of other programs, with their counterparts in slm.
const FOREIGN_COMMANDS: [(&str, &str); 31] = [
    ("add", "pull"),
    ("ask", "run"),
    ("build", "create"),
    ("chat", "run"),
    ("check", "verify"),
    ("copy", "cp"),
    ("daemon", "serve"),
    ("delete", "rm"),
    ("download", "pull"),
    ("downloads", "jobs"),
    ("fetch", "pull"),
    ("generate", "run"),
    ("get", "pull"),
    ("import", "create"),
    ("info", "show"),
    ("inspect", "show"),
    ("kill", "stop"),
    ("log", "logs"),
    ("make", "create"),
    ("models", "list"),
    ("mv", "cp"),
    ("queue", "jobs"),
    ("remove", "rm"),
    ("rename", "cp"),
    ("server", "serve"),
    ("start", "serve"),
    ("tags", "list"),
    ("transfers", "jobs"),
    ("uninstall", "rm"),
    ("unload", "stop"),
    ("up", "serve"),
];

/// Commands of other programs without a counterpart, with the reason.
const UNSUPPORTED_COMMANDS: [(&str, &str); 2] = [
    (
        "signin",
        "slm needs no account; `slm login` stores a login for a registry",
    ),
    ("signout", "slm needs no account"),
];

/// Prints clap's result for `arguments`, as text or as JSON.
pub(crate) fn tell(error: &clap::Error, arguments: &[OsString]) -> Exit {
    if !error.use_stderr() {
        // Requested help. A closed output is no failure.
        let _ = error.print();
        return Exit::Ok;
    }
    let json = asks_for_json(arguments);
    let own = explain(error, arguments);
    let mode = OutputMode {
        json,
        ..OutputMode::default()
    };
    let out = Output::new(mode, &Process);
    if own.is_none() && !json {
        out.usage(error);
        return Exit::Usage;
    }
    let failure = own.unwrap_or_else(|| plain(&error.to_string()));
    let report = Report::of(&failure.into());
    out.report(&report);
    report.exit
}

/// Whether `--json` is among the options of a command line that cannot be parsed.
fn asks_for_json(arguments: &[OsString]) -> bool {
    arguments
        .iter()
        .take_while(|argument| *argument != "--")
        .any(|argument| argument == "--json")
}

/// A better message than clap's, if there is one.
fn explain(error: &clap::Error, arguments: &[OsString]) -> Option<Failure> {
    let named = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand => unknown_command(named(ContextKind::InvalidSubcommand)?),
        ErrorKind::UnknownArgument => {
            let option = named(ContextKind::InvalidArg)?;
            parameter_option(option, arguments).or_else(|| unknown_option(option, arguments))
        }
        _ => None,
    }
}

fn unknown_command(word: &str) -> Option<Failure> {
    let lower = word.to_lowercase();
    let find = |table: &[(&str, &'static str)]| {
        let found = table.iter().find(|(name, _)| *name == lower);
        found.map(|(_, text)| *text)
    };
    let failure = Failure::usage(format!("there is no command `{word}`"));
    if let Some(reason) = find(&UNSUPPORTED_COMMANDS) {
        return Some(failure.hint(reason));
    }
    Some(
        match find(&FOREIGN_COMMANDS)
            .map(str::to_owned)
            .or_else(|| nearest(&lower))
        {
            Some(command) => failure.hint(format!("did you mean `slm {command}`?")),
            None => failure.hint("`slm --help` shows all commands"),
        },
    )
}

/// The command within two edits.
fn nearest(word: &str) -> Option<String> {
    let cli = Cli::command();
    let names = cli
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .flat_map(clap::Command::get_name_and_visible_aliases);
    within_two_edits(word, names).map(str::to_owned)
}

/// The name within two edits of `word`; a swap of neighbours is one edit.
fn within_two_edits<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|name| (strsim::damerau_levenshtein(word, name), name))
        .filter(|(distance, name)| *distance <= (name.len() / 3).clamp(1, 2))
        .min()
        .map(|(_, name)| name)
}

/// The error for an unknown option, with a known option within two edits.
fn unknown_option(option: &str, arguments: &[OsString]) -> Option<Failure> {
    let name = option.strip_prefix('-')?;
    let failure = Failure::usage(format!("there is no option `{option}`"));
    let mut cli = Cli::command();
    cli.build();
    let words = arguments.iter().filter_map(|word| word.to_str());
    let command = words
        .filter_map(|word| cli.find_subcommand(word))
        .next()
        .unwrap_or(&cli);
    let nearest = name.strip_prefix('-').and_then(|name| {
        let options = command
            .get_arguments()
            .filter(|option| !option.is_hide_set());
        within_two_edits(name, options.filter_map(clap::Arg::get_long))
    });
    Some(match nearest {
        Some(option) => failure.hint(format!("did you mean `--{option}`?")),
        None => {
            let path = command.get_bin_name().unwrap_or("slm");
            failure.hint(format!("`{path} --help` shows all options"))
        }
    })
}

/// An option that is a parameter of models: `--temperature 0` is `-p temperature=0`.
fn parameter_option(option: &str, arguments: &[OsString]) -> Option<Failure> {
    let name = option.strip_prefix("--")?.replace('-', "_");
    let spec = parameter::find(&name)?;
    let value = value_of(option, arguments).unwrap_or_else(|| "VALUE".to_owned());
    let failure = Failure::usage(format!("there is no option `{option}`"));
    Some(failure.hint(format!(
        "a parameter is set with `-p {}={value}`",
        spec.name
    )))
}

/// The value of `option` on the command line, after `=` or as the next word.
fn value_of(option: &str, arguments: &[OsString]) -> Option<String> {
    let mut texts = arguments.iter().map(|argument| argument.to_string_lossy());
    let rest = texts.find_map(|text| text.strip_prefix(option).map(str::to_owned))?;
    match rest.strip_prefix('=') {
        Some(value) => Some(value.to_owned()),
        None => texts.next().map(std::borrow::Cow::into_owned),
    }
}

/// Clap's message as message and hint.
fn plain(text: &str) -> Failure {
    let mut parts = text.split("\n\n");
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let message = one_line(parts.next().unwrap_or_default());
    let message = message.strip_prefix("error: ").unwrap_or(&message);
    let tips: Vec<String> = parts
        .map(one_line)
        .filter(|part| !part.starts_with("For more information"))
        .collect();
    let failure = Failure::usage(message);
    match tips.first() {
        Some(tip) => failure.hint(tip.strip_prefix("tip: ").unwrap_or(tip)),
        None => failure.hint("`slm --help` shows all commands and options"),
    }
}

#[cfg(test)]
mod tests {
    use api::ErrorBody;
    use clap::Parser as _;

    use super::*;

    /// Error and hint of a command line.
    fn check(line: &str, expected: &str) {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let error = Cli::try_parse_from(&arguments).unwrap_err();
        let failure = explain(&error, &arguments).unwrap_or_else(|| plain(&error.to_string()));
        let body = Report::of(&failure.into()).body.unwrap();
        let ErrorBody { error, hint, .. } = body;
        assert_eq!(format!("{error} | {}", hint.unwrap_or_default()), expected);
    }

    #[test]
    fn an_unknown_command_gets_a_suggestion() {
        check(
            "slm rnu",
            "there is no command `rnu` | did you mean `slm run`?",
        );
        check(
            "slm lst",
            "there is no command `lst` | did you mean `slm list`?",
        );
        check(
            "slm Models",
            "there is no command `Models` | did you mean `slm list`?",
        );
        check(
            "slm info",
            "there is no command `info` | did you mean `slm show`?",
        );
        check(
            "slm chat m",
            "there is no command `chat` | did you mean `slm run`?",
        );
        check(
            "slm signout",
            "there is no command `signout` | slm needs no account",
        );
        check(
            "slm frobnicate",
            "there is no command `frobnicate` | `slm --help` shows all commands",
        );
    }

    #[test]
    fn an_option_that_is_a_parameter_is_set_with_p() {
        check(
            "slm run m --temperature 0 hi",
            "there is no option `--temperature` | a parameter is set with `-p temperature=0`",
        );
        check(
            "slm run m --num-ctx=8 hi",
            "there is no option `--num-ctx` | a parameter is set with `-p num_ctx=8`",
        );
    }

    #[test]
    fn clap_errors_have_a_message_and_a_hint() {
        check(
            "slm rm",
            "the following required arguments were not provided: <MODEL>... | Usage: slm rm <MODEL>...",
        );
        check(
            "slm run m --keep-alive 1",
            "there is no option `--keep-alive` | did you mean `--keepalive`?",
        );
    }

    #[test]
    fn an_unknown_option_gets_only_near_suggestions() {
        check(
            "slm version --short",
            "there is no option `--short` | `slm version --help` shows all options",
        );
        check(
            "slm list --jsno",
            "there is no option `--jsno` | did you mean `--json`?",
        );
        check(
            "slm -x",
            "there is no option `-x` | `slm --help` shows all options",
        );
    }

    #[test]
    fn every_counterpart_is_a_command() {
        let command = Cli::command();
        for (name, counterpart) in FOREIGN_COMMANDS {
            assert!(
                command.find_subcommand(counterpart).is_some(),
                "{counterpart}"
            );
            assert!(command.find_subcommand(name).is_none(), "{name}");
        }
    }
}
