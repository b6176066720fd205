//! The command line of `slmd`: `--home`, and an option for each key of the configuration.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, value_parser};

use crate::config::{ConfigCommand, Flags, KEYS};
use crate::env;

const EXAMPLES: &str = "Examples:
  slmd                                  serve on 127.0.0.1:11435 and on run/slmd.sock in the home
  slmd --home /srv/slm --port 8080      another store, another port
  slmd --keep-alive 1h --log debug      keep models longer, log more
  slmd openapi > docs/openapi.json      write the description of the API
  slmd config check < new.yaml          check a configuration file

Every option can also be set in config.yaml in the home, or in the environment; options override the environment, and the environment overrides the file.";

/// The subcommand that prints the OpenAPI document.
pub const OPENAPI: &str = "openapi";

/// The subcommand that shows, checks and changes the configuration.
const CONFIG: &str = "config";

/// The command line as clap sees it.
pub fn command() -> Command {
    let home = Arg::new("home")
        .long("home")
        .value_name("DIR")
        .help(format!(
            "Folder of models, index, sockets and configuration [env: {}]",
            env::HOME
        ))
        .value_parser(value_parser!(PathBuf));
    let keys = KEYS.iter().map(|key| {
        let default = match key.default {
            "" => String::new(),
            default => format!(" [default: {default}]"),
        };
        Arg::new(key.name)
            .long(key.flag)
            .value_name("VALUE")
            .allow_hyphen_values(true)
            .help(format!("{}{default} [env: {}]", key.about, key.env))
    });
    Command::new("slmd")
        .about("Serves local models: keeps them on disk, loads them on request, unloads them when idle.")
        .version(crate::VERSION)
        .after_help(EXAMPLES)
        .subcommand(
            Command::new(OPENAPI)
                .about("Prints the OpenAPI document of the API, which GET /slm/v1/openapi.json serves"),
        )
        .subcommand(config())
        .arg(home)
        .args(keys)
}

/// `slmd config`, which `slm config` calls.
fn config() -> Command {
    let key = || Arg::new("key").value_name("KEY").required(true);
    let value = Arg::new("value")
        .value_name("VALUE")
        .required(true)
        .allow_hyphen_values(true);
    Command::new(CONFIG)
        .about("Shows, checks and changes config.yaml; `slm config` is more comfortable")
        .subcommand_required(true)
        .subcommand(Command::new("show").about("Prints all settings as JSON"))
        .subcommand(Command::new("check").about("Checks the text on standard input"))
        .subcommand(
            Command::new("replace").about("Replaces config.yaml by the text on standard input"),
        )
        .subcommand(
            Command::new("set")
                .about("Sets a key in config.yaml")
                .arg(key())
                .arg(value),
        )
        .subcommand(
            Command::new("unset")
                .about("Removes a key from config.yaml")
                .arg(key()),
        )
}

/// The command of `slmd config`; `None` without that subcommand.
pub fn config_command(matches: &ArgMatches) -> Option<ConfigCommand> {
    let (name, matches) = matches.subcommand_matches(CONFIG)?.subcommand()?;
    let text = |name| matches.get_one::<String>(name).cloned().unwrap_or_default();
    match name {
        "show" => Some(ConfigCommand::Show),
        "check" => Some(ConfigCommand::Check),
        "replace" => Some(ConfigCommand::Replace),
        "set" => Some(ConfigCommand::Set {
            key: text("key"),
            value: text("value"),
        }),
        "unset" => Some(ConfigCommand::Unset { key: text("key") }),
        _ => None,
    }
}

/// The options that the command line sets.
pub fn read(matches: &ArgMatches) -> Flags {
    Flags {
        home: matches.get_one::<PathBuf>("home").cloned(),
        values: KEYS
            .iter()
            .filter_map(|key| Some((key.name, matches.get_one::<String>(key.name)?.clone())))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn options_are_keys() {
        let matches = command()
            .try_get_matches_from([
                "slmd",
                "--home",
                "/x",
                "--keep-alive",
                "-1",
                "--max-queue=3",
            ])
            .unwrap();
        let flags = read(&matches);
        assert_eq!(flags.home, Some("/x".into()));
        assert_eq!(
            flags.values,
            [
                ("keep_alive", "-1".to_owned()),
                ("max_queue", "3".to_owned())
            ]
        );
    }

    #[test]
    fn the_commands_of_the_configuration_are_read() {
        let command_of = |arguments: &[&str]| {
            let arguments = ["slmd", "--home", "/x", "config"].iter().chain(arguments);
            let matches = command().try_get_matches_from(arguments).unwrap();
            assert_eq!(read(&matches).home, Some("/x".into()));
            config_command(&matches)
        };
        let set = ConfigCommand::Set {
            key: "keep_alive".into(),
            value: "-1".into(),
        };
        assert_eq!(command_of(&["set", "keep_alive", "-1"]), Some(set));
        assert_eq!(command_of(&["show"]), Some(ConfigCommand::Show));
        let matches = command().try_get_matches_from(["slmd"]).unwrap();
        assert_eq!(config_command(&matches), None);
    }

    #[test]
    fn help_shows_an_example_and_every_variable() {
        let help = command().render_long_help().to_string();
        assert!(help.contains("slmd --home"), "{help}");
        for key in KEYS {
            assert!(help.contains(key.env), "{}", key.env);
        }
    }
}
