//! The commands for models, jobs and logins.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::fake::{Asked, Fake, Reply};
use crate::program::{Home, slm};
use crate::terminal::Terminal;

fn tags() -> Value {
    let model = |name: &str, size: u64| {
        json!({
            "name": name, "model": name, "modified_at": "2020-01-01T00:00:00Z", "size": size,
            "digest": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            "details": { "family": "llama" },
        })
    };
    let mut broken = model("broken:latest", 1);
    broken["damaged"] = json!("blob sha256-b179 is missing");
    json!({ "models": [model("smollm2:latest", 98_362_432), model("qwen3:0.6b", 1_000_000_000), broken] })
}

#[test]
fn the_list_is_a_table_with_warnings_of_damage() {
    let home = Home::new();
    let _fake = Fake::start(home.path(), |_| Reply::Json(200, tags()));
    let ran = home.slm(&["list"]);
    assert_eq!(ran.code, Some(0));
    let first = ran.stdout.lines().next().unwrap();
    assert_eq!(first, "NAME             ID             SIZE      MODIFIED");
    assert_eq!(ran.stdout.lines().count(), 4);
    assert_eq!(
        ran.stderr,
        "warning: `broken:latest` cannot be used: blob sha256-b179 is missing\n"
    );
    let ran = home.slm(&["ls", "Smol"]);
    assert_eq!(ran.stdout.lines().count(), 2);
    let ran = home.slm(&["ls", "smol", "--json"]);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["models"].as_array().unwrap().len(), 1);
    assert_eq!(document["models"][0]["size"], 98_362_432);
}

#[test]
fn an_empty_list_has_a_first_step() {
    let home = Home::new();
    let _fake = Fake::start(home.path(), |_| Reply::Json(200, json!({ "models": [] })));
    let ran = home.slm(&["list"]);
    assert_eq!(ran.stdout, "NAME   ID   SIZE   MODIFIED\n");
    assert_eq!(
        ran.stderr,
        "no models yet; `slm pull smollm2` fetches a small chat model,\n\
         `slm pull gemma3:270m-base` a base model that continues text\n"
    );
    assert_eq!(home.slm(&["list", "--quiet"]).stderr, "");
}

fn pull_events() -> Reply {
    let blob = |completed: u64| json!({ "status": "pulling b179", "digest": "sha256:b179", "total": 1000, "completed": completed });
    Reply::Lines(vec![
        json!({ "status": "pulling manifest" }),
        blob(0),
        blob(10),
        blob(1000),
        json!({ "status": "writing manifest" }),
        json!({ "status": "success" }),
    ])
}

#[test]
fn pull_prints_lines_to_a_log_and_events_as_json() {
    let home = Home::new();
    let _fake = Fake::start(home.path(), |_| pull_events());
    let ran = home.slm(&["pull", "smollm2"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""));
    insta::assert_snapshot!(ran.stderr, @r"
    pulling manifest
    pulling b179: 0% (0 B of 1.0 kB)
    pulling b179: 100% (1.0 kB of 1.0 kB)
    writing manifest
    pulled `smollm2`
    ");
    let ran = home.slm(&["pull", "smollm2", "--json"]);
    assert_eq!((ran.stdout.lines().count(), ran.stderr.as_str()), (6, ""));
    let ran = home.slm(&["pull", "smollm2", "--quiet"]);
    assert_eq!(
        (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
        (Some(0), "", "")
    );
}

#[test]
fn a_pull_that_fails_midway_exits_with_1() {
    let home = Home::new();
    let _fake = Fake::start(home.path(), |_| {
        Reply::Lines(vec![
            json!({ "status": "pulling manifest" }),
            json!({ "error": "the disk is full", "code": "no_space", "hint": "free 98 MB" }),
        ])
    });
    let ran = home.slm(&["pull", "m", "--quiet"]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.stderr, "error: the disk is full\nhint: free 98 MB\n");
}

#[test]
fn ctrl_c_detaches_from_a_pull_and_shows_how_to_cancel_it() {
    let home = Home::new();
    let fake = Fake::start(home.path(), |_| {
        Reply::Silence(vec![json!({ "status": "pulling manifest", "job": 3 })])
    });
    let mut terminal = Terminal::start(home.command(slm(), &["pull", "m"]));
    terminal.read_until("pulling manifest");
    terminal.interrupt();
    terminal.read_until("continues in the background as job 3");
    assert_eq!(terminal.wait().code(), Some(130));
    fake.wait_for_departures(1);
    assert_eq!(
        fake.last("POST /api/pull"),
        json!({ "model": "m", "background": true })
    );
}

#[test]
fn a_waiting_or_detached_pull_names_its_job() {
    let home = Home::new();
    let _fake = Fake::start(home.path(), |asked| {
        let asked = asked.json();
        let line = match asked["priority"].as_str() {
            Some("low") => json!({ "status": "reading catalogs", "job": 4 }),
            _ => {
                json!({ "status": "waits until 22:00 (`pull_window`)", "job": 3, "state": "waiting" })
            }
        };
        Reply::Silence(vec![line])
    });
    let ran = home.slm(&["pull", "m"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""));
    insta::assert_snapshot!(ran.stderr, @"the pull of `m` waits until 22:00 (`pull_window`); `slm jobs resume 3 --now` starts it");
    let ran = home.slm(&["pull", "m", "--background", "--priority", "low"]);
    assert_eq!(ran.code, Some(0));
    insta::assert_snapshot!(ran.stderr, @r"
    reading catalogs
    the pull of `m` continues in the background as job 4; `slm jobs` shows it, `slm jobs cancel 4` stops it
    ");
}

#[test]
fn jobs_are_found_by_id_and_by_model() {
    let home = Home::new();
    let job = |id: u64, model: &str, state: &str| json!({ "id": id, "kind": "pull", "model": model, "state": state, "priority": "normal", "background": true, "completed": 5, "total": 10, "rate": 0, "created_at": "2026-11-20T12:00:00Z", "changed_at": "2026-11-20T12:00:00Z" });
    let fake = Fake::start(home.path(), move |asked| {
        match asked.what.split('?').next().unwrap_or_default() {
            "GET /slm/v1/jobs" => Reply::Json(
                200,
                json!({ "jobs": [job(2, "m:latest", "done"), job(3, "m:latest", "running"), job(4, "n:latest", "paused")] }),
            ),
            "POST /slm/v1/jobs/3/pause" => Reply::Json(200, job(3, "m:latest", "paused")),
            "POST /slm/v1/jobs/4/resume" => Reply::Json(200, job(4, "n:latest", "queued")),
            "POST /slm/v1/jobs/2/cancel" => Reply::Json(
                409,
                json!({ "error": "job 2 is done and cannot be cancelled", "code": "job_state" }),
            ),
            other => panic!("{other}"),
        }
    });
    let ran = home.slm(&["jobs"]);
    assert_eq!(ran.code, Some(0));
    insta::assert_snapshot!(ran.stdout, @r"
    ID   MODEL      KIND   DONE   SIZE   RATE   LEFT   STATE
    2    m:latest   pull   50%    10 B   -      -      done
    3    m:latest   pull   50%    10 B   -      -      running
    4    n:latest   pull   50%    10 B   -      -      paused
    ");
    let ran = home.slm(&["jobs", "pause", "m"]);
    assert_eq!(ran.stderr, "job 3 (`m:latest`) is paused\n");
    let ran = home.slm(&["jobs", "resume", "--now", "4"]);
    assert_eq!(
        ran.stderr,
        "job 4 (`n:latest`) is queued with priority normal\n"
    );
    assert!(
        fake.asked()
            .iter()
            .any(|asked| asked.what == "POST /slm/v1/jobs/4/resume?now=true")
    );
    let ran = home.slm(&["jobs", "cancel", "2", "9"]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(
        ran.stderr,
        "error: job 2 is done and cannot be cancelled\nerror: there is no job 9\nhint: `slm jobs --all` shows the jobs\n"
    );
}

#[test]
fn push_reports_sent_blobs() {
    let home = Home::new();
    let fake = Fake::start(home.path(), |_| {
        let pushed = json!({ "place": "reg.example/me/m:v1", "digest": "sha256:b179", "present": 1, "mounted": 2, "sent": 3 });
        Reply::Lines(vec![
            json!({ "status": "retrieving manifest" }),
            json!({ "status": "pushing b179", "digest": "sha256:b179", "total": 1000, "completed": 1000 }),
            json!({ "status": "pushing manifest" }),
            json!({ "status": "success", "pushed": pushed }),
        ])
    });
    let ran = home.slm(&["push", "m", "reg.example/me/m:v1", "--format", "modelpack"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""));
    insta::assert_snapshot!(ran.stderr, @r"
    retrieving manifest
    pushing b179: 100% (1.0 kB of 1.0 kB)
    pushing manifest
    pushed `reg.example/me/m:v1` as sha256:b179: 3 blobs sent, 2 mounted from another repository, 1 already present
    ");
    assert_eq!(
        fake.last("POST /api/push"),
        json!({ "model": "m", "destination": "reg.example/me/m:v1", "format": "modelpack", "background": true })
    );
}

#[test]
fn a_login_is_read_from_standard_input_and_never_shown() {
    let home = Home::new();
    let fake = Fake::start(home.path(), |asked| match asked.what.as_str() {
        "POST /slm/v1/login" => {
            Reply::Json(200, json!({ "host": "reg.example", "confirmed": true }))
        }
        "POST /slm/v1/logout" => Reply::Json(200, json!({ "removed": true })),
        _ => Reply::Json(
            200,
            json!({ "logins": [{ "host": "reg.example", "user": "me", "source": "`slm login`" }] }),
        ),
    });
    let ran = home.slm_with(
        &[
            "login",
            "reg.example",
            "-u",
            "me",
            "--password-stdin",
            "--realm-host",
            "auth.example",
        ],
        "hush\n",
    );
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""));
    assert_eq!(ran.stderr, "logged in to `reg.example`\n");
    assert_eq!(
        fake.last("POST /slm/v1/login"),
        json!({ "host": "reg.example", "user": "me", "password": "hush", "realm_hosts": ["auth.example"] })
    );
    let ran = home.slm(&["login", "--list"]);
    assert_eq!(
        ran.stdout,
        "HOST          USER   FROM\nreg.example   me     `slm login`\n"
    );
    let ran = home.slm(&["logout", "reg.example"]);
    assert_eq!(ran.stderr, "the login for `reg.example` is deleted\n");
    let ran = home.slm(&["login", "reg.example"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
}

#[test]
fn rm_continues_after_a_failure_and_exits_with_1() {
    let home = Home::new();
    let fake = Fake::start(home.path(), |asked| match asked.json()["model"].as_str() {
        Some("no") => Reply::Json(404, json!({ "error": "model `no` not found" })),
        _ => Reply::Json(200, Value::Null),
    });
    let ran = home.slm(&["rm", "a", "no", "b"]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(
        ran.stderr,
        "removed `a`\nerror: model `no` not found\n\
         hint: `slm list` shows the models on disk\nremoved `b`\n"
    );
    assert_eq!(fake.last("DELETE /api/delete"), json!({ "model": "b" }));
    let ran = home.slm(&["rm", "no", "--json"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    let ran = home.slm(&["rm", "a", "b", "--json"]);
    assert_eq!(ran.code, Some(0));
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document, json!({ "removed": ["a", "b"] }));
}

fn unload_of(asked: &Asked) -> &'static str {
    match asked.json()["model"].as_str() {
        Some("busy") => "when_idle",
        Some("other") => "not_loaded",
        _ => "done",
    }
}

#[test]
fn cp_and_stop_send_their_requests() {
    let home = Home::new();
    let fake = Fake::start(home.path(), |asked| match asked.what.as_str() {
        "POST /slm/v1/unload" => {
            Reply::Json(200, json!({"model": "m", "unload": unload_of(asked)}))
        }
        _ => Reply::Json(200, Value::Null),
    });
    let ran = home.slm(&["cp", "a", "b"]);
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (Some(0), "copied `a` to `b`\n")
    );
    assert_eq!(
        fake.last("POST /api/copy"),
        json!({ "source": "a", "destination": "b" })
    );
    let ran = home.slm(&["stop", "m"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), "stopped `m`\n"));
    for (model, note) in [
        (
            "busy",
            "`busy` is in use and stops when its answers are over\n",
        ),
        ("other", "`other` was not loaded\n"),
    ] {
        let ran = home.slm(&["stop", model]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), note));
    }
    let ran = home.slm(&["--json", "stop", "m", "busy"]);
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(told, json!({ "stopped": ["m"], "when_idle": ["busy"] }));
    assert_eq!(fake.last("POST /slm/v1/unload"), json!({"model": "busy"}));
}

#[test]
fn load_pin_unpin_why_and_gc_send_their_requests() {
    let home = Home::new();
    let fake = Fake::start(home.path(), |asked| match asked.what.as_str() {
        "POST /slm/v1/load" | "POST /slm/v1/pin" => Reply::Json(
            200,
            json!({"model": "m:latest", "load_duration": 310_000_000}),
        ),
        "POST /slm/v1/unpin" => Reply::Json(
            200,
            json!({"model": "m:latest", "was_pinned": asked.json()["model"] == "m"}),
        ),
        "GET /slm/v1/why?model=a+b" => Reply::Json(200, json!({"loaded": [], "events": []})),
        "GET /slm/v1/why" => Reply::Json(
            200,
            json!({"loaded": [], "events": [{
                "id": 1, "at": "2026-11-20T12:00:00Z", "type": "unloaded", "model": "m:latest",
                "text": "unloaded",
            }]}),
        ),
        "POST /slm/v1/store/gc" => Reply::Json(
            200,
            json!({"removed": ["sha256:b1"], "bytes": 11, "blocked_by": [], "unknown_files": 0}),
        ),
        other => panic!("{other}"),
    });
    let check = |line: &[&str], expected: &str| {
        let ran = home.slm(line);
        let told = format!("{}{}", ran.stdout, ran.stderr);
        assert_eq!((ran.code, told.as_str()), (Some(0), expected), "{line:?}");
    };
    check(
        &["load", "m", "--keepalive", "2h"],
        "loaded `m` in 310.0ms\n",
    );
    assert_eq!(
        fake.last("POST /slm/v1/load"),
        json!({"model": "m", "keep_alive": "2h"})
    );
    check(&["pin", "m"], "pinned `m` in 310.0ms\n");
    check(&["unpin", "m", "b"], "unpinned `m`\n`b` was not pinned\n");
    check(
        &["why", "a b"],
        "the daemon keeps no decision about `a b`\n",
    );
    let ran = home.slm(&["why"]);
    assert!(
        ran.stdout.ends_with(": `m:latest` unloaded\n"),
        "{}",
        ran.stdout
    );
    check(&["gc"], "removed 1 blob, 11 B\n");
    let ran = home.slm(&["--json", "pin", "m"]);
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(told, json!({"pinned": ["m"]}));
}

#[test]
fn verify_exits_with_1_for_damage() {
    let home = Home::new();
    let fake = Fake::start(home.path(), |asked| {
        let damage = match asked.json()["models"].as_array().map(Vec::len) {
            Some(0) => json!([{
                "model": "m:latest", "path": "blobs/sha256-b179",
                "problem": "the bytes do not match the name", "remedy": "pull it again",
            }]),
            _ => json!([]),
        };
        let report = json!({ "models": 1, "blobs": 1, "bytes": 1000, "damage": damage });
        Reply::Lines(vec![
            json!({ "status": "hashing b179", "digest": "sha256:b179", "total": 1000, "completed": 1000 }),
            json!({ "status": "success", "report": report }),
        ])
    });
    let ran = home.slm(&["verify", "--quarantine", "--quiet"]);
    assert_eq!(ran.code, Some(1));
    insta::assert_snapshot!(ran.stdout, @r"
    checked 1 model, 1 blob, 1.0 kB: 1 file is damaged

    blobs/sha256-b179 (m:latest)
      problem: the bytes do not match the name
      remedy:  pull it again
    ");
    assert_eq!(
        fake.last("POST /slm/v1/store/verify"),
        json!({ "models": [], "quarantine": true })
    );
    let ran = home.slm(&["verify", "m", "--quiet"]);
    assert_eq!(ran.code, Some(0));
    assert_eq!(ran.stdout, "checked 1 model, 1 blob, 1.0 kB: no damage\n");
    let ran = home.slm(&["verify", "--json"]);
    assert_eq!((ran.code, ran.stdout.lines().count()), (Some(1), 2));
}

#[test]
fn verify_prints_one_line_for_each_blob_to_a_pipe() {
    let home = Home::new();
    let _fake = Fake::start(home.path(), |_| {
        let mut lines = Vec::new();
        for name in ["b179", "c0de"] {
            lines.extend([0, 350, 1000, 1000].map(|done| {
                json!({
                    "status": format!("verifying {name}"), "digest": format!("sha256:{name}"),
                    "total": 1000, "completed": done,
                })
            }));
        }
        let damage = json!([{
            "model": "m:latest", "path": "models/manifests/h/n/m/latest",
            "problem": "layer 2 is of an unknown kind", "remedy": "none; the known manifest is back",
            "mended": true,
        }]);
        let report = json!({ "models": 1, "blobs": 2, "bytes": 2000, "damage": damage });
        lines.push(json!({ "status": "success", "report": report }));
        Reply::Lines(lines)
    });
    let ran = home.slm(&["verify"]);
    // Repaired damage was damage: a script gets to know of it once.
    assert_eq!(ran.code, Some(1));
    insta::assert_snapshot!(ran.stderr, @r"
    verifying b179: 100% (1.0 kB of 1.0 kB)
    verifying c0de: 100% (1.0 kB of 1.0 kB)
    ");
    insta::assert_snapshot!(ran.stdout, @r"
    checked 1 model, 2 blobs, 2.0 kB: 1 damaged manifest was repaired

    models/manifests/h/n/m/latest (m:latest)
      problem: layer 2 is of an unknown kind
      remedy:  none; the known manifest is back
    ");
}

#[test]
fn show_prints_one_part_verbatim() {
    let home = Home::new();
    let _fake = Fake::start(home.path(), |_| {
        Reply::Json(
            200,
            json!({
                "license": "Apache", "modelfile": "FROM smollm2\nSYSTEM be brief\n", "template": "{{ .Prompt }}",
                "details": { "family": "llama" }, "model_info": {}, "capabilities": ["completion"],
                "modified_at": "2020-01-01T00:00:00Z",
            }),
        )
    });
    assert_eq!(
        home.slm(&["show", "m", "--modelfile"]).stdout,
        "FROM smollm2\nSYSTEM be brief\n"
    );
    assert_eq!(
        home.slm(&["show", "m", "--template"]).stdout,
        "{{ .Prompt }}\n"
    );
    let ran = home.slm(&["show", "m"]);
    insta::assert_snapshot!(ran.stdout, @r"
    Model
      architecture   llama

    Capabilities
      completion

    License
      Apache
    ");
}

#[test]
fn version_shows_slm_and_slmd() {
    let home = Home::new();
    let ours = env!("CARGO_PKG_VERSION");
    let ran = home.slm(&["version"]);
    assert_eq!(
        (ran.code, ran.stdout),
        (Some(0), format!("slm {ours}\nno daemon is running\n"))
    );
    let _fake = Fake::start(home.path(), |_| {
        Reply::Json(200, json!({ "version": "99.0.0" }))
    });
    let ran = home.slm(&["version"]);
    assert_eq!(ran.stdout, format!("slm {ours}\nslmd 99.0.0\n"));
    assert!(
        ran.stderr
            .starts_with("warning: the daemon's version differs"),
        "{}",
        ran.stderr
    );
    let ran = home.slm(&["version", "--json"]);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document, json!({ "client": ours, "daemon": "99.0.0" }));
}

#[test]
fn a_reassigned_name_is_reported() {
    let home = Home::new();
    let model = |name: &str, digest: &str| {
        json!({
            "name": name, "model": name, "modified_at": "2020-01-01T00:00:00Z", "size": 1,
            "digest": digest.repeat(32), "details": { "family": "llama" },
        })
    };
    let before = json!({ "models": [model("a:latest", "aa"), model("b:latest", "bb")] });
    let after = json!({ "models": [model("a:latest", "aa"), model("b:latest", "aa")] });
    let copied = AtomicBool::new(false);
    let fake = Fake::start(home.path(), move |asked| match asked.what.as_str() {
        "GET /api/tags" if copied.load(Ordering::Relaxed) => Reply::Json(200, after.clone()),
        "GET /api/tags" => Reply::Json(200, before.clone()),
        _ => {
            copied.store(true, Ordering::Relaxed);
            Reply::Json(200, Value::Null)
        }
    });
    let ran = home.slm(&["cp", "a", "B"]);
    assert_eq!(ran.stderr, "copied `a` to `B`; it replaced bbbbbbbbbbbb\n");
    assert_eq!(fake.last("POST /api/copy")["destination"], "B");
    // The same model is not replaced.
    assert_eq!(home.slm(&["cp", "a", "b"]).stderr, "copied `a` to `b`\n");
}

#[test]
fn completion_offers_commands_and_models_and_nothing_hidden() {
    let home = Home::new();
    let _fake = Fake::start(home.path(), |_| Reply::Json(200, tags()));
    let complete = |words: &[&str]| {
        let mut command = home.command(slm(), &["--", "slm"]);
        command.args(words).env("COMPLETE", "fish");
        home.run(&mut command, "").stdout
    };
    let commands = complete(&[""]);
    assert!(commands.contains("verify"), "{commands}");
    assert!(!commands.contains("reference"), "{commands}");
    assert_eq!(complete(&["refer"]), "");
    assert_eq!(complete(&["show", "smol"]), "smollm2\n");
    assert_eq!(complete(&["rm", "smollm2", "qw"]), "qwen3:0.6b\n");
}

#[test]
fn completions_are_a_script_that_runs_this_program() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let ran = home.slm(&["completions", shell]);
        assert_eq!(ran.code, Some(0));
        assert!(ran.stdout.contains("COMPLETE"), "{shell}: {}", ran.stdout);
    }
}

#[test]
fn the_table_of_ps_fits_the_terminal_and_a_file_gets_all_columns() {
    let home = Home::new();
    let _fake = Fake::start(home.path(), |_| {
        Reply::Json(
            200,
            json!({ "models": [{
                "name": "smollm2:latest", "model": "smollm2:latest", "size": 200_000_000,
                "digest": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                "details": { "family": "llama" }, "expires_at": "2318-01-01T00:00:00Z", "size_vram": 0,
                "context_length": 4096, "state": "ready", "active": 0,
                "device": "CPU (sapphirerapids)", "sandbox": "full",
            }] }),
        )
    });
    let all = home.slm(&["ps"]).stdout;
    assert!(all.contains("100% CPU (sapphirerapids)   full"), "{all}");
    let mut terminal = Terminal::start(home.command(slm(), &["ps"]));
    let shown = terminal.read_until("forever");
    let widths = shown.lines().map(str::len);
    assert!(widths.max() <= Some(80 - "forever".len()), "{shown}");
    assert!(shown.contains("100% CPU   4096"), "{shown}");
}

#[test]
fn manual_pages_are_written_for_every_command() {
    let home = Home::new();
    assert_eq!(home.slm(&["reference", "--man", "man"]).code, Some(0));
    let page = std::fs::read_to_string(home.path().join("man/slm-run.1")).unwrap();
    assert!(
        page.contains("--keepalive") || page.contains("\\-\\-keepalive"),
        "{page}"
    );
    assert!(home.path().join("man/slm.1").exists());
    assert!(!home.path().join("man/slm-reference.1").exists());
}
