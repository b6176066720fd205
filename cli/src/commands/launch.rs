//! `slm launch`: runs a coding agent with a model of the daemon.

mod agents;
mod model;

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use serde_json::{Map, Value, json};

use self::agents::{AGENTS, Agent, Settings, Target};
use self::model::Model;
use crate::args::Launch;
use crate::context::Context;
use crate::env::{self, Process};
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::{Output, Shrink, Table};

/// Runs the agent, prints its command, or lists all agents.
pub(crate) async fn run(context: &Context, args: &Launch) -> anyhow::Result<Exit> {
    let Some(name) = &args.agent else {
        return list(&context.out);
    };
    let agent = Agent::named(name).ok_or_else(|| unknown(name))?;
    if !args.print && !is_installed(agent) {
        return Err(missing(agent).into());
    }
    let model = Model::find(context, args.model.as_deref()).await?;
    model.warn(context, agent);
    let target = Target {
        base: base(context).await?,
        context: model.context,
        model: model.name,
    };
    let settings = agent.settings(&target);
    if args.print {
        return print(&context.out, agent, &settings, &args.arguments);
    }
    become_agent(agent, &settings, &args.arguments)
}

fn list(out: &Output) -> anyhow::Result<Exit> {
    if out.json() {
        let agents: Vec<Value> = AGENTS
            .iter()
            .map(|agent| {
                json!({
                    "name": agent.name,
                    "program": agent.program,
                    "installed": is_installed(agent),
                    "install": agent.install,
                })
            })
            .collect();
        out.json_document(&json!({ "agents": agents }))?;
        return Ok(Exit::Ok);
    }
    let head = ["NAME", "INSTALLED", "HOW TO INSTALL"];
    let mut table = Table::new(&head, &[Shrink::Drop("HOW TO INSTALL")]);
    for agent in AGENTS {
        let installed = if is_installed(agent) { "yes" } else { "no" };
        let cells = [agent.name, installed, agent.install];
        table.row(cells.map(|cell| cell.to_owned().into()));
    }
    out.print(&table.render(out))?;
    Ok(Exit::Ok)
}

fn unknown(name: &str) -> Failure {
    let names: Vec<&str> = AGENTS.iter().map(|agent| agent.name).collect();
    Failure::usage(format!("`{name}` is not a known agent"))
        .hint(format!("known agents: {}", names.join(", ")))
}

fn missing(agent: &Agent) -> Failure {
    Failure::new(format!("`{}` is not installed", agent.program))
        .hint(format!("to install it: {}", agent.install))
        .code("agent_missing")
}

fn is_installed(agent: &Agent) -> bool {
    env::program_on_path(&Process, agent.program).is_some()
}

/// The daemon's address over TCP, which every agent needs.
async fn base(context: &Context) -> anyhow::Result<String> {
    // Starts the daemon if none answers.
    context.client.version().await?;
    context.client.base_url().ok_or_else(|| {
        Failure::new("agents cannot use a Unix socket")
            .hint("name a TCP address of the daemon with --host or SLM_HOST")
            .into()
    })
}

/// Prints the command for a shell, or its parts as JSON.
fn print(
    out: &Output,
    agent: &Agent,
    settings: &Settings,
    user: &[OsString],
) -> anyhow::Result<Exit> {
    let user = user.iter().map(|word| word.to_string_lossy().into_owned());
    let arguments: Vec<String> = settings.arguments.iter().cloned().chain(user).collect();
    if out.json() {
        let environment: Map<String, Value> = settings
            .environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str())))
            .collect();
        out.json_document(&json!({
            "program": agent.program,
            "arguments": arguments,
            "environment": environment,
        }))?;
        return Ok(Exit::Ok);
    }
    out.line(&command_line(agent.program, settings, &arguments))?;
    Ok(Exit::Ok)
}

fn command_line(program: &str, settings: &Settings, arguments: &[String]) -> String {
    let variables = settings.environment.iter();
    variables
        .map(|(name, value)| format!("{name}={}", quoted(value)))
        .chain([program.to_owned()])
        .chain(arguments.iter().map(|word| quoted(word)))
        .collect::<Vec<_>>()
        .join(" ")
}

/// The word as a shell reads it.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:@%+,".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Replaces this process by the agent, so that the terminal and the exit code are the agent's.
///
/// Returns only on failure.
#[expect(
    clippy::disallowed_methods,
    reason = "this process becomes the agent, so there is no child"
)]
fn become_agent(agent: &Agent, settings: &Settings, user: &[OsString]) -> anyhow::Result<Exit> {
    let error = Command::new(agent.program)
        .envs(
            settings
                .environment
                .iter()
                .map(|(name, value)| (name, value)),
        )
        .args(&settings.arguments)
        .args(user)
        .exec();
    Err(Failure::new(format!("cannot run `{}`: {error}", agent.program)).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_command_is_quoted_for_a_shell() {
        let settings = Settings {
            environment: vec![("A", "http://[::1]:1".to_owned()), ("EMPTY", String::new())],
            arguments: Vec::new(),
        };
        let arguments = ["-c".to_owned(), r#"it's "m""#.to_owned()];
        assert_eq!(
            command_line("tool", &settings, &arguments),
            r#"A='http://[::1]:1' EMPTY='' tool -c 'it'\''s "m"'"#
        );
    }
}
