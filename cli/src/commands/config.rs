//! `slm config`: shows, changes and checks the configuration of the daemon.
//!
//! The daemon's program reads and writes the file, whether a daemon runs or not (`slmd`). A running daemon then reads the
//! file again, and says what is in force.

mod edit;
mod slmd;
mod view;

use api::{ConfigMistake, ConfigResponse, routes};
use serde_json::json;

use crate::args::{Config, ConfigAction};
use crate::client::Error;
use crate::context::Context;
use crate::error::Failure;
use crate::exit::Exit;

/// Carries out the action.
pub(crate) async fn run(mut context: Context, args: &Config) -> anyhow::Result<Exit> {
    context.client = context.client.without_start();
    match &args.action {
        ConfigAction::Get { key } => get(&context, key.as_deref()).await,
        ConfigAction::Set { key, value } => {
            slmd::run(&context, &["set", "--", key, value], "")?;
            applied(&context, key, &format!("set `{key}` to `{value}`")).await
        }
        ConfigAction::Unset { key } => {
            slmd::run(&context, &["unset", "--", key], "")?;
            applied(&context, key, &format!("removed `{key}` from config.yaml")).await
        }
        ConfigAction::Edit => edit::run(&context).await,
        ConfigAction::Path => {
            let path = slmd::file(&context).display().to_string();
            match context.out.json() {
                true => context.out.json_document(&json!({ "path": path }))?,
                false => context.out.line(&path)?,
            }
            Ok(Exit::Ok)
        }
        ConfigAction::Check => check(&context).await,
    }
}

async fn get(context: &Context, key: Option<&str>) -> anyhow::Result<Exit> {
    let out = &context.out;
    let config = match running(context, false).await? {
        Some(config) => config,
        None => slmd::show(context)?,
    };
    match key {
        Some(key) => {
            let found = view::value(&config, key).ok_or_else(|| {
                Failure::new(format!("there is no setting `{key}`"))
                    .hint("`slm config get` lists all settings")
                    .code("not_found")
            })?;
            match out.json() {
                true => out.json_document(&found.document)?,
                false => out.line(&found.text)?,
            }
        }
        None if out.json() => out.json_document(&config)?,
        None => out.print(&view::table(&config).render(out))?,
    }
    warn(context, &config);
    Ok(Exit::Ok)
}

async fn check(context: &Context) -> anyhow::Result<Exit> {
    let text = slmd::text(context)?;
    slmd::run(context, &["check"], &text)?;
    let catalogs = match running(context, true).await? {
        Some(config) => config.catalogs,
        None => Vec::new(),
    };
    if context.out.json() {
        context
            .out
            .json_document(&json!({ "catalogs": catalogs }))?;
    } else if catalogs.is_empty() {
        let path = slmd::file(context);
        context
            .out
            .line(&format!("`{}` has no mistake", path.display()))?;
    }
    for mistake in &catalogs {
        context.out.warn(&catalog(mistake));
    }
    Ok(match catalogs.is_empty() {
        true => Exit::Ok,
        false => Exit::Failed,
    })
}

/// Lets a running daemon read the file, and says whether a changed key is in force.
async fn applied(context: &Context, key: &str, done: &str) -> anyhow::Result<Exit> {
    let out = &context.out;
    let Some(config) = running(context, true).await? else {
        if out.json() {
            let config = slmd::show(context)?;
            out.json_document(&view::value(&config, key).map(|found| found.document))?;
        }
        out.note(&format!("{done}; no daemon runs"));
        return Ok(Exit::Ok);
    };
    if out.json() {
        out.json_document(&view::value(&config, key).map(|found| found.document))?;
    }
    out.note(&format!("{done}; {}", view::effect(&config, key)));
    warn(context, &config);
    Ok(Exit::Ok)
}

/// Lets a running daemon read the file, and says what waits for a restart.
async fn applied_whole(context: &Context) -> anyhow::Result<Exit> {
    let Some(config) = running(context, true).await? else {
        context.out.note("config.yaml is written; no daemon runs");
        return Ok(Exit::Ok);
    };
    let waiting = config.settings.iter().filter(|one| one.waiting.is_some());
    let waiting: Vec<&str> = waiting.map(|setting| setting.key.as_str()).collect();
    context.out.note(&match waiting[..] {
        [] => "config.yaml is written and in force".to_owned(),
        _ => format!(
            "config.yaml is written and in force, but these keys wait for a restart of the daemon: {}",
            waiting.join(", ")
        ),
    });
    warn(context, &config);
    Ok(Exit::Ok)
}

/// The settings of the running daemon, which first reads its file again if asked to; `None` without a daemon.
async fn running(context: &Context, reload: bool) -> Result<Option<ConfigResponse>, Error> {
    let asked = match reload {
        true => context.client.post(routes::CONFIG_RELOAD, &json!({})).await,
        false => context.client.get(routes::CONFIG).await,
    };
    match asked {
        Ok(config) => Ok(Some(config)),
        Err(Error::NotRunning(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Warns about files with a mistake.
fn warn(context: &Context, config: &ConfigResponse) {
    if let Some(mistake) = &config.refused {
        let text = format!(
            "config.yaml is refused, and the settings before stay in force: {}",
            view::mistake(mistake)
        );
        context.out.warn(&text);
    }
    for mistake in &config.catalogs {
        context.out.warn(&catalog(mistake));
    }
}

fn catalog(mistake: &ConfigMistake) -> String {
    let instead = match mistake.earlier_in_force {
        true => "its last good version stays in force",
        false => "no version of it is in force",
    };
    format!(
        "a catalog is refused, and {instead}: {}",
        view::mistake(mistake)
    )
}
