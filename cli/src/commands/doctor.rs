//! `slm doctor`: advice about the whole installation.

use std::time::Duration;

use api::layout::DEFAULT_PORT;
use api::{DoctorResponse, Finding, FindingLevel, VersionResponse, routes};
use serde_json::json;
use tokio::time::timeout;

use crate::client::{Address, Addresses, Client, program_beside_us};
use crate::context::Context;
use crate::exit::Exit;
use crate::fs;
use crate::home::Home;
use crate::output::Output;
use crate::text;

/// The port of Ollama, where its clients look for it.
const OLLAMA_PORT: u16 = 11434;

/// Longest wait for what listens on that port.
const PATIENCE: Duration = Duration::from_millis(500);

/// Looks at the installation. It starts no daemon, and works without one.
pub(crate) async fn run(mut context: Context) -> anyhow::Result<Exit> {
    context.client = context.client.without_start();
    let mut findings = Vec::new();
    let answered = daemon(&context, &mut findings).await;
    findings.extend(programs());
    findings.extend(home(&context.home));
    if answered {
        match context.client.get::<DoctorResponse>(routes::DOCTOR).await {
            Ok(response) => findings.extend(response.findings),
            Err(error) => findings.push(
                Finding::note("daemon", format!("the daemon gives no advice: {error}"))
                    .with_remedy("a daemon of an older version: slm serve --stop, then slm serve"),
            ),
        }
    }
    findings.extend(ollama().await);
    show(&context.out, &findings)?;
    let has_problem = findings.iter().any(|it| it.level == FindingLevel::Problem);
    Ok(if has_problem { Exit::Failed } else { Exit::Ok })
}

/// Whether the daemon answers, and with which version.
async fn daemon(context: &Context, findings: &mut Vec<Finding>) -> bool {
    let location = context.client.location();
    match context.client.version().await {
        Ok(version) => {
            let version = version.daemon();
            let text = format!("slmd {version} answers on {location}");
            findings.push(match version == env!("CARGO_PKG_VERSION") {
                true => Finding::ok("daemon", text),
                false => Finding::note(
                    "daemon",
                    format!("{text}, and this slm is {}", env!("CARGO_PKG_VERSION")),
                )
                .with_remedy("slm serve --stop; the next command starts the new one"),
            });
            true
        }
        Err(error) => {
            findings.push(
                Finding::note(
                    "daemon",
                    format!(
                        "no daemon answers on {location}, so its store, devices and settings are not looked at: {error}"
                    ),
                )
                .with_remedy("slm serve, or any command that needs a daemon starts one"),
            );
            false
        }
    }
}

/// The daemon and the runner are installed beside this program.
fn programs() -> Vec<Finding> {
    let daemon = program_beside_us();
    let runner = daemon.with_file_name("slm-runner");
    let missing = [daemon, runner]
        .into_iter()
        .filter(|path| !fs::is_executable(path));
    missing
        .map(|path| {
            Finding::problem(
                "daemon",
                format!("the program {} is missing", path.display()),
            )
            .with_remedy("install slm again: installer/install.sh")
        })
        .collect()
}

/// The home belongs to this user.
fn home(home: &Home) -> Option<Finding> {
    let root = home.root();
    let shown = root.display();
    if fs::kind(root).ok()?.is_none() {
        let text = format!("{shown} does not exist yet; the first daemon creates it");
        return Some(Finding::ok("home", text));
    }
    let writable = rustix::fs::access(root, rustix::fs::Access::WRITE_OK).is_ok();
    (!writable).then(|| {
        Finding::problem("home", format!("this user may not write into {shown}")).with_remedy(
            format!("sudo chown -R $USER {shown}, or choose another home with SLM_HOME"),
        )
    })
}

/// A program that answers as Ollama on its port, which clients of Ollama then reach instead of slm.
async fn ollama() -> Option<Finding> {
    let address = Address::Tcp {
        host: "127.0.0.1".to_owned(),
        port: OLLAMA_PORT,
        prefix: String::new(),
    };
    let client = Client::new(Addresses::Named(address), None);
    let version: VersionResponse = timeout(PATIENCE, client.version()).await.ok()?.ok()?;
    Some(match version.slm {
        Some(_) => Finding::ok("ports", "slm answers on Ollama's port 11434 too"),
        None => Finding::note(
            "ports",
            format!(
                "an Ollama {} answers on port {OLLAMA_PORT}; its clients do not reach slm there",
                version.version
            ),
        )
        .with_remedy(format!(
            "point clients to http://127.0.0.1:{DEFAULT_PORT}, or stop Ollama and set also_listen: {OLLAMA_PORT}"
        )),
    })
}

fn show(out: &Output, findings: &[Finding]) -> anyhow::Result<()> {
    let count = |level| findings.iter().filter(|it| it.level == level).count() as u64;
    let (problems, notes) = (count(FindingLevel::Problem), count(FindingLevel::Note));
    if out.json() {
        return out.json_document(&json!({"findings": findings}));
    }
    let lines: Vec<String> = findings.iter().map(|finding| line(out, finding)).collect();
    out.print(&lines.concat())?;
    out.note(&match (problems, notes) {
        (0, 0) => "all is as it should be".to_owned(),
        (0, notes) => format!(
            "nothing keeps models from running; {}",
            text::count(notes, "note")
        ),
        (problems, notes) => format!(
            "{} and {}",
            text::count(problems, "problem"),
            text::count(notes, "note")
        ),
    });
    Ok(())
}

/// Columns before the text of a finding.
const INDENT: &str = "                    ";

fn line(out: &Output, finding: &Finding) -> String {
    let level = match finding.level {
        FindingLevel::Ok => "ok",
        FindingLevel::Note => "note",
        FindingLevel::Problem => "PROBLEM",
    };
    let text = format!("{level:<7}  {:<9}  {}", finding.area, finding.text);
    let mut text = out.paragraph(&text, INDENT) + "\n";
    if let Some(remedy) = &finding.remedy {
        let remedy = format!("{INDENT}remedy: {remedy}");
        text.push_str(&(out.paragraph(&remedy, INDENT) + "\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::OutputMode;

    #[test]
    fn a_finding_has_its_level_its_area_and_what_helps() {
        let out = Output::new(OutputMode::default(), &[("NO_COLOR", "1")]);
        let finding = Finding::note(
            "devices",
            "0000:00:02.0 cannot be used: no driver is loaded for it",
        )
        .with_remedy("sudo modprobe xe");
        assert_eq!(
            line(&out, &finding),
            "note     devices    0000:00:02.0 cannot be used: no driver is loaded for it\n                    remedy: sudo modprobe xe\n"
        );
        assert_eq!(
            line(&out, &Finding::ok("home", "/x")),
            "ok       home       /x\n"
        );
    }

    #[test]
    fn a_home_that_does_not_exist_is_no_problem() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("absent");
        let missing = Home::resolve(Some(&at), &[("X", "")]).unwrap();
        assert_eq!(home(&missing).unwrap().level, FindingLevel::Ok);
        let there = Home::resolve(Some(folder.path()), &[("X", "")]).unwrap();
        assert_eq!(home(&there), None);
    }
}
