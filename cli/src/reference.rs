//! `docs/cli.md`, made from the definition of the command line so that it is always true.

use std::fmt::Write as _;

use clap::{Args as _, CommandFactory as _};

use crate::args::{Cli, Global};
use crate::exit::Exit;
use crate::repl::COMMANDS;
use crate::{env, text};

const START: &str = "\
<!-- Made by `slm reference`; a test compares. Change the text in `cli/src`. -->

# The command line of slm

Every command below is shown as its `--help` shows it; the options that every command takes are shown once, under `slm`.

## Where the daemon is

The first of these that is given counts: `--host`, the variable `SLM_HOST`, the daemon of the home folder.
The daemon of a home says in `run/slmd.json` there where its Unix socket is; without that file it is looked for at `SLM_SOCKET`, or at `run/slmd.sock` in the home.
File and process must belong to this user or to root, so nothing is sent to a program of somebody else that was not named; a port is never tried unasked.
An address is written `machine:port`, `machine`, `:port`, `http://machine:port/prefix`, `unix:/path` or `/path`.

When no daemon answers and none was named with `--host` or `SLM_HOST`, `slm` starts one and says so.
It runs in the background, its log is `logs/slmd.log` in the home folder, and `--no-start` refuses it.
`ps`, `stop`, `status` and `version` never start one: without a daemon nothing is loaded.
`slm status` shows it, `slm logs` its log, and `slm serve --stop` ends it.

## Output

Standard output holds what was asked for; progress, notes, warnings and errors go to standard error.
On a terminal, control characters are removed from everything that models or others wrote, and answers are wrapped at its width; into a file or a pipe goes exactly what the model said.
Tables, notes and errors fit its width: lines break between words, and a table leaves columns out until its rows fit; elsewhere, and with `--json`, all are there.
Progress is bars on a terminal and lines elsewhere; `--quiet` leaves progress and notes out.

With `--json`, standard output is one JSON document (`list`, `jobs`, `ps`, `show`, `cp`, `rm`, `stop`, `status`, `version`) or one JSON event per line (`run`, `pull`, `jobs watch`, `create`, `verify`, `logs`), in the shapes of the daemon's API.
The last event of `create` has besides `replaced`: the short digest of the model that had the name, or null.
With `--json`, an error is one object `{\"error\", \"code\", \"hint\"}` on standard error; `code` is stable, `hint` is left out where there is no remedy.
Without it, an error is a line `error: …` and, where there is a remedy, a line `hint: …`.
";

/// The whole reference in Markdown.
pub fn reference() -> String {
    let mut page = START.to_owned();
    exit_codes(&mut page);
    variables(&mut page);
    commands(&mut page);
    conversation(&mut page);
    page
}

fn exit_codes(page: &mut String) {
    page.push_str("\n## Exit codes\n\n| code | meaning |\n|---|---|\n");
    for exit in Exit::ALL {
        row(page, &exit.code().to_string(), exit.meaning());
    }
}

fn variables(page: &mut String) {
    page.push_str("\n## Environment\n\n| variable | meaning |\n|---|---|\n");
    for (name, meaning) in env::DOCUMENTED {
        row(page, &format!("`{name}`"), meaning);
    }
}

fn commands(page: &mut String) {
    let mut root = Cli::command().term_width(100);
    root.build();
    page.push_str("\n## Commands\n");
    help(page, "slm", &mut root);
    let everywhere: Vec<String> = Global::augment_args(clap::Command::new("slm"))
        .get_arguments()
        .map(|option| option.get_id().to_string())
        .collect();
    let shown = |command: &&clap::Command| !command.is_hide_set() && command.get_name() != "help";
    for command in root.get_subcommands().filter(shown) {
        entry(page, "slm", command, &everywhere);
    }
}

/// A command and the commands under it.
fn entry(page: &mut String, above: &str, command: &clap::Command, everywhere: &[String]) {
    let name = format!("{above} {}", command.get_name());
    // The usage line is that of `--help`, with `[OPTIONS]` in place of the options left out here.
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").to_owned();
    let shown = command.clone().override_usage(usage);
    let mut shown = everywhere.iter().fold(shown, |shown, option| {
        shown.mut_arg(option, |option| option.hide(true))
    });
    help(page, &name, &mut shown);
    for command in command.get_subcommands() {
        entry(page, &name, command, everywhere);
    }
}

fn help(page: &mut String, name: &str, command: &mut clap::Command) {
    let help = command.render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    let help = text::join_lines(&help);
    write!(page, "\n### `{name}`\n\n```text\n{help}```\n").expect("a string takes everything");
}

fn conversation(page: &mut String) {
    page.push_str("\n## At the prompt of `slm run`\n\n| typed | meaning |\n|---|---|\n");
    for (form, meaning) in COMMANDS {
        row(page, &format!("`{form}`"), meaning);
    }
    page.push_str(
        "
A line is a command when its first word is a slash and letters; `/etc/hosts` is for the model.
Paths to image files, such as `./cat.png`, show them to a model that sees.
Ctrl-C stops the answer and keeps what came so far; at the prompt it throws away what was typed.
Ctrl-D leaves.
What is typed while an answer comes waits for the next prompt.
`/load` keeps what was set here: the system prompt, the parameters and the form of answers.
`/save` under the name of the model that is talked to makes the conversation that model's own beginning, so `/clear` does not forget it.
What is typed is kept in `history` in the home folder, readable by its owner alone; where that file cannot be written, nothing is kept, and a warning says so.
",
    );
}

fn row(page: &mut String, left: &str, right: &str) {
    writeln!(page, "| {left} | {right} |").expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_docs_is_this_one() {
        let written = include_str!("../../docs/cli.md");
        assert!(
            written == reference(),
            "docs/cli.md is not up to date: `cargo run -p cli --bin slm -- reference > docs/cli.md`"
        );
    }
}
