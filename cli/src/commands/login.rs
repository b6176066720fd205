//! `slm login` and `slm logout`: the logins that pulls and pushes use.

use std::io::{IsTerminal as _, Read as _};

use anyhow::Context as _;
use api::{
    LoginRequest, LoginResponse, LoginsRequest, LoginsResponse, LogoutRequest, LogoutResponse,
    routes,
};

use crate::args::{Login, Logout};
use crate::context::Context;
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::Table;

/// Hosts of the hub, whose logins are a token without a user name.
const HUB: [&str; 3] = ["hf.co", "huggingface.co", "www.huggingface.co"];
/// The longest password in bytes.
const LONGEST: u64 = 64 << 10;

/// Logs in, or shows the logins.
pub(crate) async fn run(context: &Context, args: &Login) -> anyhow::Result<Exit> {
    let Some(host) = args
        .registry
        .as_deref()
        .filter(|_| !args.list && !args.show_key)
    else {
        return show(context, args).await;
    };
    let is_hub = HUB.iter().any(|hub| host.eq_ignore_ascii_case(hub));
    let user = match &args.user {
        Some(user) => Some(user.clone()),
        None if is_hub => None,
        None => Some(ask_user(args.password_stdin)?),
    };
    let request = LoginRequest {
        host: host.to_owned(),
        user,
        password: password(args.password_stdin, is_hub)?,
        realm_hosts: args.realm_host.clone(),
    };
    let kept: LoginResponse = context.client.post(routes::LOGIN, &request).await?;
    if context.out.json() {
        context.out.json_document(&kept)?;
        return Ok(Exit::Ok);
    }
    context.out.note(&match kept.confirmed {
        true => format!("logged in to `{}`", kept.host),
        false => format!(
            "the login for `{}` is stored unchecked, because the host requires no login now",
            kept.host
        ),
    });
    Ok(Exit::Ok)
}

/// Deletes a login.
pub(crate) async fn logout(context: &Context, args: &Logout) -> anyhow::Result<Exit> {
    let request = LogoutRequest {
        host: args.registry.clone(),
    };
    let answer: LogoutResponse = context.client.post(routes::LOGOUT, &request).await?;
    if context.out.json() {
        context.out.json_document(&answer)?;
        return Ok(Exit::Ok);
    }
    context.out.note(&match answer.removed {
        true => format!("the login for `{}` is deleted", args.registry),
        false => format!(
            "slm has stored no login for `{}`; `slm login --list` shows those of other programs",
            args.registry
        ),
    });
    Ok(Exit::Ok)
}

async fn show(context: &Context, args: &Login) -> anyhow::Result<Exit> {
    let request = LoginsRequest { key: args.show_key };
    let found: LoginsResponse = context.client.post(routes::LOGINS, &request).await?;
    let out = &context.out;
    if out.json() {
        out.json_document(&found)?;
        return Ok(Exit::Ok);
    }
    if let Some(key) = &found.key {
        out.line(key)?;
        return Ok(Exit::Ok);
    }
    if found.logins.is_empty() {
        out.note("there are no logins");
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&["HOST", "USER", "FROM"], &[]);
    for login in &found.logins {
        let user = login.user.clone().unwrap_or_else(|| "-".to_owned());
        table.row([
            login.host.clone().into(),
            user.into(),
            login.source.clone().into(),
        ]);
    }
    out.print(&table.render(out))?;
    Ok(Exit::Ok)
}

fn ask_user(is_piped: bool) -> anyhow::Result<String> {
    if is_piped || !std::io::stdin().is_terminal() {
        return Err(Failure::usage("a registry requires a user name: -u NAME").into());
    }
    let mut editor = rustyline::DefaultEditor::new().context("cannot ask for the name")?;
    let name = editor
        .readline("User: ")
        .context("cannot ask for the name")?;
    Ok(name.trim().to_owned())
}

/// The password, from standard input or from the terminal, where it is not shown.
fn password(is_piped: bool, is_hub: bool) -> anyhow::Result<String> {
    if is_piped {
        let mut text = String::new();
        std::io::stdin()
            .take(LONGEST)
            .read_to_string(&mut text)
            .context("cannot read the password from standard input")?;
        return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(
            "there is no terminal to ask for the password; --password-stdin reads it from standard input",
        )
        .into());
    }
    let what = if is_hub { "Token: " } else { "Password: " };
    rpassword::prompt_password(what).context("cannot ask for the password")
}
