//! Creating models from Modelfiles and local weights.

use serde_json::{Value, json};

use crate::fake::{Asked, Fake, Reply};
use crate::program::Home;

const WEIGHTS: &[u8] = b"GGUF and what follows";
/// SHA-256 of [`WEIGHTS`], by `sha256sum`.
const DIGEST: &str = "sha256:a0cf78afc3d45a5d9710213d10eaa8915aaff143d37c1c33fae3477a081bacd8";

fn daemon(asked: &Asked) -> Reply {
    match asked.what.as_str() {
        "POST /slm/v1/store/adopt" => Reply::Lines(vec![
            json!({ "status": "hashing", "total": 21, "completed": 21 }),
            json!({
                "status": "success",
                "adopted": { "digest": DIGEST, "size": 21, "method": "reflink" },
            }),
        ]),
        "POST /api/create" => Reply::Lines(vec![
            json!({ "status": "writing manifest" }),
            json!({ "status": "success" }),
        ]),
        what if what.starts_with("HEAD ") => Reply::Json(404, Value::Null),
        what if what.starts_with("POST /api/blobs/") => Reply::Json(201, Value::Null),
        _ => Reply::Json(500, json!({ "error": "not in the script" })),
    }
}

#[test]
fn a_recipe_on_another_model_is_sent_as_values() {
    let home = Home::new();
    let fake = Fake::start(home.path(), daemon);
    home.write(
        "Modelfile",
        "FROM smollm2\nSYSTEM \"\"\"Be\nbrief.\"\"\"\nPARAMETER temperature 0.5\nPARAMETER stop A\n\
         TEMPLATE {{ .Prompt }}\nMESSAGE user hi\nMESSAGE assistant hello\nLICENSE one\nLICENSE two\n\
         RENDERER r\nPARSER p\n",
    );
    let ran = home.slm(&[
        "create",
        "mine",
        "--param",
        "temperature=0",
        "-p",
        "num_ctx=8192",
    ]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{ran:?}");
    assert_eq!(ran.stderr, "writing manifest\ncreated `mine`\n");
    assert_eq!(
        fake.last("POST /api/create"),
        json!({
            "model": "mine", "from": "smollm2", "template": "{{ .Prompt }}",
            "license": ["one", "two"], "system": "Be\nbrief.",
            "parameters": { "num_ctx": 8192, "stop": ["A"], "temperature": 0.0 },
            "messages": [
                { "role": "user", "content": "hi" }, { "role": "assistant", "content": "hello" },
            ],
            "renderer": "r", "parser": "p",
        })
    );
}

#[test]
fn on_this_machine_the_daemon_opens_the_file_itself() {
    let home = Home::new();
    let fake = Fake::start(home.path(), daemon);
    let weights = home.write("m.gguf", WEIGHTS);
    let ran = home.slm_with(&["create", "mine", "-f", "-"], "FROM ./m.gguf\n");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    insta::assert_snapshot!(ran.stderr, @r"
    m.gguf: hashing: 100% (21 B of 21 B)
    m.gguf: taken in without copying (reflink), 21 B
    writing manifest
    created `mine`
    ");
    let path = weights.canonicalize().unwrap();
    assert_eq!(
        fake.last("POST /slm/v1/store/adopt"),
        json!({ "path": path })
    );
    let sent = fake.last("POST /api/create");
    assert_eq!(
        sent,
        json!({ "model": "mine", "files": { "m.gguf": DIGEST } })
    );
}

#[test]
fn elsewhere_the_file_is_sent_once() {
    let home = Home::new();
    let fake = Fake::start(home.path(), daemon);
    home.write("m.gguf", WEIGHTS);
    home.write("Modelfile", "FROM m.gguf\nADAPTER m.gguf\n");
    let ran = home.slm(&["create", "mine", "--host", &fake.address()]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    insta::assert_snapshot!(ran.stderr, @r"
    hashing m.gguf: 100% (21 B of 21 B)
    sending m.gguf: 100% (21 B of 21 B)
    m.gguf: sent, 21 B
    hashing m.gguf: 100% (21 B of 21 B)
    sending m.gguf: 100% (21 B of 21 B)
    m.gguf: sent, 21 B
    writing manifest
    created `mine`
    ");
    let asked = fake.asked();
    let upload = format!("POST /api/blobs/{DIGEST}");
    let upload = asked
        .iter()
        .find(|asked| asked.what == upload)
        .expect("it was sent");
    assert_eq!(upload.body, WEIGHTS);
    let sent = fake.last("POST /api/create");
    assert_eq!(
        sent,
        json!({ "model": "mine", "files": { "m.gguf": DIGEST }, "adapters": { "m.gguf": DIGEST } })
    );
}

#[test]
fn a_present_blob_is_not_sent() {
    let home = Home::new();
    let fake = Fake::start(home.path(), |asked| match asked.what.as_str() {
        what if what.starts_with("HEAD ") => Reply::Json(200, Value::Null),
        _ => daemon(asked),
    });
    home.write("m.gguf", WEIGHTS);
    let ran = home.slm_with(
        &["create", "mine", "-f", "-", "--host", &fake.address()],
        "FROM m.gguf",
    );
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let what: Vec<String> = fake.asked().into_iter().map(|asked| asked.what).collect();
    assert!(
        !what.iter().any(|what| what.starts_with("POST /api/blobs")),
        "{what:?}"
    );
}

#[test]
fn json_output_has_one_success() {
    let home = Home::new();
    let _fake = Fake::start(home.path(), daemon);
    home.write("m.gguf", WEIGHTS);
    let ran = home.slm_with(&["create", "mine", "-f", "-", "--json"], "FROM m.gguf");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let events: Vec<Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let successes: Vec<_> = events
        .iter()
        .filter(|event| event["status"] == "success")
        .collect();
    assert_eq!(successes.len(), 1, "{events:?}");
    assert_eq!(
        *successes[0],
        json!({ "status": "success", "replaced": null })
    );
    assert_eq!(events[1]["adopted"]["method"], "reflink");
}

#[test]
fn mistakes_are_shown_at_their_position() {
    let home = Home::new();
    home.write("Modelfile", "FORM smollm2\nPARAMETER temprature 1\n");
    let ran = home.slm(&["create", "mine"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    insta::assert_snapshot!(ran.stderr, @r"
    error: there are 2 errors in `Modelfile`

    error: unknown instruction `FORM`
     --> Modelfile:1:1
      |
    1 | FORM smollm2
      | ^^^^
      = help: did you mean `FROM`?

    error: unknown parameter `temprature`
     --> Modelfile:2:11
      |
    2 | PARAMETER temprature 1
      |           ^^^^^^^^^^
      = help: did you mean `temperature`?
    ");
}

#[test]
fn a_newer_required_version_is_an_error() {
    let home = Home::new();
    home.write("Modelfile", "FROM smollm2\nREQUIRES 99.0.0\n");
    let ran = home.slm(&["create", "mine"]);
    assert_eq!(ran.code, Some(1));
    let expected = format!(
        "error: the Modelfile requires Ollama 99.0.0, and this version of slm corresponds to Ollama {}\n",
        api::OLLAMA
    );
    assert!(ran.stderr.starts_with(&expected), "{}", ran.stderr);
}

#[test]
fn a_missing_modelfile_gets_an_example() {
    let home = Home::new();
    let ran = home.slm(&["create", "mine"]);
    assert_eq!(ran.code, Some(1));
    insta::assert_snapshot!(ran.stderr, @r"
    error: there is no Modelfile at `Modelfile`
    hint: write one, for example `FROM smollm2` and a line `SYSTEM …`, and name it with -f
    ");
}

#[test]
fn a_file_without_weights_is_neither_opened_nor_sent() {
    let home = Home::new();
    let fake = Fake::start(home.path(), daemon);
    home.write("secret", "root:x:0:0");
    for host in [
        format!("unix:{}/run/slmd.sock", home.path().display()),
        fake.address(),
    ] {
        let ran = home.slm_with(
            &["create", "mine", "-f", "-", "--host", &host],
            "FROM ./secret",
        );
        assert_eq!(ran.code, Some(1));
        assert!(
            ran.stderr.contains("secret` is not a GGUF file"),
            "{}",
            ran.stderr
        );
    }
    assert_eq!(fake.asked().len(), 0);
}
