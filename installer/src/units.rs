//! A test: every task that builds llama.cpp uses the same build of it.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::check::Stage;
use crate::{install, parity, templates};
use installer::workspace::{MEASURED, Workspace};
use installer::{native, process};

#[test]
fn llama_cpp_is_built_once_for_all_commands() -> Result<()> {
    let workspace = Workspace::find()?;
    let mut commands = vec![
        workspace.build(&install::EXECUTABLES),
        workspace.build(&MEASURED),
        parity::programs(&workspace),
        templates::trial(&workspace),
    ];
    // The stage of the backend module builds llama.cpp with CMake, as a module beside cargo's build.
    let by_cargo = |stage: &Stage| stage.is_native() && *stage != Stage::Backend;
    for stage in Stage::ALL.into_iter().filter(by_cargo) {
        commands.push(stage.command(&workspace)?);
    }
    let mut builds = BTreeMap::<String, Vec<String>>::new();
    for command in &commands {
        let named = process::shown(command);
        let build = native_build(&workspace, command).with_context(|| named.clone())?;
        builds.entry(build.to_string()).or_default().push(named);
    }
    let groups: Vec<_> = builds.values().collect();
    assert_eq!(groups.len(), 1, "these do not share a build: {groups:#?}");
    Ok(())
}

/// The cargo unit that runs the build script of llama.cpp's package, with all its dependencies.
fn native_build(workspace: &Workspace, command: &Command) -> Result<Value> {
    let graph: Value = serde_json::from_str(&process::output(&mut plan(workspace, command))?)?;
    let units = graph["units"].as_array().context("cargo names no units")?;
    let mut runs = (0..units.len()).filter(|unit| {
        let package = units[*unit]["pkg_id"].as_str().unwrap_or_default();
        units[*unit]["mode"] == "run-custom-build" && package.contains(native::PACKAGE)
    });
    let run = runs.next().context("it does not build llama.cpp")?;
    Ok(whole(units, run))
}

/// The same command as a unit graph. The option is unstable, so it needs `RUSTC_BOOTSTRAP`.
fn plan(workspace: &Workspace, command: &Command) -> Command {
    let mut words = command.get_args().map(|word| word.to_string_lossy());
    // Clippy asks cargo for the units of a check.
    let verb = words.next().unwrap_or_default().replace("clippy", "check");
    let mut plan = workspace.cargo(&[&verb, "--unit-graph", "-Zunstable-options", "--offline"]);
    plan.args(words.take_while(|word| word != "--").map(String::from));
    plan.env("RUSTC_BOOTSTRAP", "1");
    plan
}

/// A unit with everything that its identity depends on.
fn whole(units: &[Value], unit: usize) -> Value {
    let here = &units[unit];
    let below: Vec<Value> = here["dependencies"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|below| below["index"].as_u64())
        .filter_map(|index| usize::try_from(index).ok())
        .map(|index| whole(units, index))
        .collect();
    json!([
        here["pkg_id"],
        here["target"]["name"],
        here["features"],
        here["profile"],
        here["platform"],
        below
    ])
}
