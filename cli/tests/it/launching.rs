//! `slm launch`, with a shell script as the agent.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::fake::{Asked, Fake, Reply};
use crate::program::{Home, Ran, slm};

/// A daemon with the model `m:latest`.
fn daemon(home: &Home) -> Fake {
    Fake::start(home.path(), |asked: &Asked| match asked.what.as_str() {
        "GET /api/version" => Reply::Json(200, json!({ "version": "0.1.0" })),
        "GET /api/tags" => Reply::Json(
            200,
            json!({ "models": [{
                "name": "m:latest", "model": "m:latest", "modified_at": "2020-01-01T00:00:00Z",
                "size": 1, "digest": "b179", "details": { "family": "llama" },
            }] }),
        ),
        "POST /api/show"
            if ["m", "m:latest"].contains(&asked.json()["model"].as_str().unwrap()) =>
        {
            Reply::Json(200, json!({ "capabilities": ["completion", "tools"] }))
        }
        "POST /api/show" if asked.json()["model"] == "plain" => {
            Reply::Json(200, json!({ "capabilities": ["completion"] }))
        }
        "GET /v1/models/m" => Reply::Json(200, json!({ "context_length": 32768 })),
        "GET /v1/models/plain" => Reply::Json(200, json!({ "context_length": 4096 })),
        _ => Reply::Json(
            404,
            json!({ "error": "model `x` not found", "code": "model_not_found" }),
        ),
    })
}

/// Runs `slm` with only the home in PATH.
fn launch(home: &Home, arguments: &[&str]) -> Ran {
    let mut command = home.command(slm(), arguments);
    command.env("PATH", home.path());
    home.run(&mut command, "")
}

fn install(home: &Home, program: &str, script: &str) {
    let path = home.write(program, script);
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o700)).unwrap();
}

#[test]
fn the_agent_gets_address_model_and_arguments_and_its_exit_code_is_ours() {
    let home = Home::new();
    let fake = daemon(&home);
    install(
        &home,
        "claude",
        "#!/bin/sh\necho \"$ANTHROPIC_BASE_URL $ANTHROPIC_MODEL $*\"\nexit 7\n",
    );
    let base = format!("http://{}", fake.address());
    let host = ["--host", base.as_str()];
    let ran = launch(
        &home,
        &[
            &["launch", "claude", "--model", "m"],
            &host[..],
            &["--", "-p", "hi"],
        ]
        .concat(),
    );
    assert_eq!(
        (ran.code, ran.stdout),
        (Some(7), format!("{base} m -p hi\n"))
    );
    let ran = launch(&home, &[&["launch", "claude"], &host[..]].concat());
    assert_eq!(ran.stdout, format!("{base} m:latest \n"));
}

#[test]
fn a_missing_program_has_a_hint_and_no_daemon_is_asked() {
    let home = Home::new();
    let ran = launch(&home, &["launch", "codex", "--model", "m"]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(
        ran.stderr,
        "error: `codex` is not installed\nhint: to install it: npm install -g @openai/codex\n"
    );
    let ran = launch(&home, &["launch", "nothing"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("known agents: aider, claude, codex"));
}

#[test]
fn a_missing_model_is_an_error_before_the_agent_runs() {
    let home = Home::new();
    let _fake = daemon(&home);
    install(&home, "codex", "#!/bin/sh\necho ran\n");
    let ran = launch(&home, &["launch", "codex", "--model", "x"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(ran.stderr.starts_with("error: model `x` not found"));
}

#[test]
fn a_model_without_tools_or_with_a_small_context_gets_a_warning() {
    let home = Home::new();
    let fake = daemon(&home);
    let base = format!("http://{}", fake.address());
    let print = |agent: &str, model: &str| {
        let arguments = [
            "launch", agent, "--model", model, "--print", "--host", &base,
        ];
        let ran = launch(&home, &arguments);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        ran
    };
    for (agent, model) in [("opencode", "m"), ("aider", "plain")] {
        assert_eq!(print(agent, model).stderr, "", "{agent} {model}");
    }
    let warned = print("opencode", "plain").stderr;
    assert_eq!(warned.matches("warning: ").count(), 2, "{warned}");
    assert!(warned.contains("`plain` cannot call tools"), "{warned}");
    assert!(warned.contains("a context of 4096 tokens"), "{warned}");
    assert!(
        print("opencode", "m")
            .stdout
            .contains(r#""limit":{"context":32768,"output":8192}"#)
    );
    // The daemon does not state the context of the only model on disk.
    let ran = launch(&home, &["launch", "codex", "--print", "--host", &base]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert!(
        !ran.stdout.contains("model_context_window"),
        "{}",
        ran.stdout
    );
}

#[test]
fn print_shows_the_command_of_a_program_that_need_not_exist() {
    let home = Home::new();
    let fake = daemon(&home);
    let base = format!("http://{}", fake.address());
    let goose = [
        "launch", "goose", "--model", "m", "--print", "--host", &base,
    ];
    let ran = launch(&home, &[&goose[..], &["--", "it's"]].concat());
    assert_eq!(
        ran.stdout,
        format!("GOOSE_PROVIDER=ollama OLLAMA_HOST={base} GOOSE_MODEL=m goose 'it'\\''s'\n")
    );
    let ran = launch(&home, &[&goose[..], &["--json"]].concat());
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["program"], "goose");
    assert_eq!(document["environment"]["OLLAMA_HOST"], base);
    assert_eq!(document["arguments"], json!([]));
}

#[test]
fn without_a_name_the_agents_are_listed_with_their_installation() {
    let home = Home::new();
    install(&home, "opencode", "#!/bin/sh\n");
    let ran = launch(&home, &["launch", "--json"]);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    let agents = document["agents"].as_array().unwrap();
    let installed: Vec<&Value> = agents
        .iter()
        .filter_map(|agent| (agent["installed"] == true).then_some(&agent["name"]))
        .collect();
    assert_eq!(installed, ["opencode"]);
    let ran = launch(&home, &["launch"]);
    assert!(ran.stdout.lines().next().unwrap().starts_with("NAME"));
    assert_eq!(ran.stdout.lines().count(), agents.len() + 1);
}
