//! Pulling over HTTP, from a server that speaks as registries, the hub and file servers do, and lies on command.

use std::time::Duration;

use gguf_writer::{Tensor, small, tiny};
use origin::{Lie, Origin, digest, layer, noise};
use registry::credentials::HubToken;
use registry::pull::Error as PullError;
use registry::source::Settings;
use registry::{Error, Reference, http, remote, transfer};

use crate::harness::{Home, name, wait_until};

const MIB: usize = 1 << 20;

const CONFIG: &str = r#"{"model_format":"gguf","model_family":"llama"}"#;

fn manifest(layers: &[serde_json::Value]) -> Vec<u8> {
    origin::manifest(CONFIG.as_bytes(), layers)
}

/// A registry with `me/notes:latest`, which has small weights, a system prompt and a large layer of a kind that is not used here.
async fn registry_with(large: &[u8]) -> (Origin, Vec<u8>) {
    let origin = Origin::start().await;
    let weights = small::model();
    for bytes in [&weights, CONFIG.as_bytes(), b"Take notes.", large] {
        origin.blob(bytes);
    }
    let bytes = manifest(&[
        layer("model", &weights),
        layer("system", b"Take notes."),
        layer("tensor", large),
    ]);
    origin.manifest("me/notes:latest", bytes.clone());
    (origin, bytes)
}

fn reference(origin: &Origin) -> String {
    format!("{}/me/notes", origin.host())
}

/// Where the blob is that has these bytes.
fn at(bytes: &[u8]) -> String {
    digest(bytes)
}

/// The error of the only place that was tried.
fn only_failure(error: Error) -> Error {
    let Error::Pull(PullError::Failed { mut failures, .. }) = error else {
        panic!("{error}")
    };
    assert_eq!(failures.len(), 1, "{failures:?}");
    *failures.remove(0).error
}

async fn pull(home: &Home, origin: &Origin) -> Result<registry::Digest, Error> {
    home.pull_from(&reference(origin), &Settings::default())
        .await
}

/// Tries a lie about the large blob, and returns what became of the pull.
async fn with_lie(times: usize, lie: Lie) -> (Home, Origin, Result<registry::Digest, Error>) {
    let large = noise(20 * MIB, 1);
    let (origin, _) = registry_with(&large).await;
    origin.lie(&at(&large), times, lie);
    let home = Home::open().await;
    let pulled = pull(&home, &origin).await;
    (home, origin, pulled)
}

#[tokio::test]
async fn a_model_comes_from_a_registry_byte_for_byte() {
    let large = noise(20 * MIB, 1);
    let (origin, bytes) = registry_with(&large).await;
    let home = Home::open().await;
    let pulled = pull(&home, &origin).await.expect("an honest server");
    assert_eq!(pulled.to_string(), digest(&bytes));
    let model = home
        .registry
        .model(&name(&reference(&origin)))
        .await
        .expect("the model is there");
    assert_eq!(model.system.as_deref(), Some("Take notes."));
    let whole =
        (small::model().len() + CONFIG.len() + 11 + large.len()) as u64 + bytes.len() as u64;
    assert_eq!(origin.sent(), whole, "each byte is sent once");
    wait_until(|| home.left_behind().is_empty()).await;

    origin.forget();
    pull(&home, &origin).await.expect("nothing has changed");
    assert_eq!(
        origin.seen("/blobs/").len(),
        0,
        "what is here is not fetched again"
    );
}

#[tokio::test]
async fn all_connections_together_keep_to_the_rate() {
    const RATE: u64 = 8 << 20;
    let large = noise(8 * MIB, 1);
    let (origin, _) = registry_with(&large).await;
    let home = Home::open().await;
    let home = home.reopened_with(std::num::NonZeroU64::new(RATE)).await;
    let begun = std::time::Instant::now();
    pull(&home, &origin).await.expect("an honest server");
    // A second's worth; what was saved up before the first byte, and the last piece of each connection, came at once.
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(500), "{took:?}");
    assert!(home.left_behind().is_empty());
}

#[tokio::test]
async fn progress_never_goes_back() {
    let (home, _, pulled) = with_lie(3, Lie::Cut(3 * MIB)).await;
    pulled.expect("three cuts are forgiven");
    let mut last = std::collections::HashMap::new();
    for progress in home.told() {
        if let Some(digest) = progress.digest {
            let before = last.insert(digest, progress.completed).unwrap_or(0);
            assert!(before <= progress.completed, "{progress:?} after {before}");
        }
    }
}

#[tokio::test]
async fn redirects_of_every_kind_lead_to_the_bytes() {
    for status in [301, 302, 303, 307, 308] {
        let large = noise(MIB, 1);
        let (origin, _) = registry_with(&large).await;
        let elsewhere = Origin::start().await;
        elsewhere.blob(large.clone());
        origin.lie(&at(&large), 9, Lie::Redirect(status, elsewhere.url()));
        let home = Home::open().await;
        let pulled = pull(&home, &origin).await;
        pulled.unwrap_or_else(|error| panic!("{status}: {error}"));
        assert_eq!(elsewhere.seen("").len(), 1);
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_costs_what_was_not_sent() {
    let (home, origin, pulled) = with_lie(5, Lie::Cut(2 * MIB)).await;
    pulled.expect("cuts are forgiven");
    assert!(origin.sent() < 21 * MIB as u64, "{}", origin.sent());
    home.registry
        .verify(
            registry::VerifyOptions::default(),
            &registry::Reporter::silent(),
        )
        .await
        .expect("a good store");
}

#[tokio::test]
async fn a_pull_that_is_stopped_goes_on_where_it_was() {
    let large = noise(40 * MIB, 1);
    let (origin, _) = registry_with(&large).await;
    origin.lie(&at(&large), 4, Lie::Silence(6 * MIB));
    let home = Home::open().await;
    {
        let mut pulling = std::pin::pin!(pull(&home, &origin));
        let enough = async {
            let short = |progress: &registry::Progress| progress.completed < 20 * MIB as u64;
            while home.told().iter().all(short) {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            done = &mut pulling => panic!("{done:?}"),
            () = enough => {}
        }
    }
    let part = format!("part-{}", &at(&large)["sha256:".len()..]);
    let kept = home.left_behind();
    assert!(
        kept.contains(&part) && kept.contains(&format!("{part}.json")),
        "{kept:?}"
    );
    let before = origin.sent();
    origin.be_honest();
    // As after a restart of the daemon.
    let home = home.reopened().await;
    pull(&home, &origin).await.expect("an honest server");
    let again = origin.sent() - before;
    // What is missing, and of each of four connections what was on its way when the pull was dropped.
    let most = (20 + 4 * 2) * MIB as u64;
    assert!(again < most, "{again} bytes were sent once more");
    assert_eq!(home.left_behind(), Vec::<String>::new());
}

#[tokio::test]
async fn a_server_without_ranges_is_taken_as_it_is() {
    let (_, origin, pulled) = with_lie(99, Lie::NoRanges).await;
    pulled.expect("whole files are good enough");
    assert!(origin.sent() < 60 * MIB as u64, "{}", origin.sent());
}

#[tokio::test]
async fn a_part_that_is_another_one_is_never_written() {
    for lie in [Lie::Earlier(4096), Lie::NoContentRange] {
        let (home, _, pulled) = with_lie(99, lie.clone()).await;
        match (lie, pulled) {
            // Its length is right, and the digest decides.
            (Lie::NoContentRange, Ok(_)) => {}
            (_, Err(error)) => {
                let error = only_failure(error);
                assert!(
                    matches!(error, Error::Transfer(transfer::Error::Part { .. })),
                    "{error}"
                );
                assert!(home.registry.list().await.expect("a store").is_empty());
            }
            (lie, Ok(_)) => panic!("{lie:?}"),
        }
    }
}

#[tokio::test]
async fn wrong_bytes_are_fetched_once_more_and_then_told() {
    let (_, _, once) = with_lie(1, Lie::Flip(5_000_000)).await;
    once.expect("the second time they are right");
    let (home, origin, always) = with_lie(99, Lie::Flip(5_000_000)).await;
    let error = only_failure(always.expect_err("they are never right"));
    assert!(
        matches!(error, Error::Transfer(transfer::Error::Digest { .. })),
        "{error}"
    );
    assert!(origin.sent() < 42 * MIB as u64, "{}", origin.sent());
    assert!(home.registry.list().await.expect("a store").is_empty());
}

#[tokio::test]
async fn a_web_page_is_not_taken_for_weights() {
    let page = "<html><head><title>Log in</title></head></html>";
    let html = vec![("content-type", "text/html; charset=utf-8".to_owned())];
    let (_, _, pulled) = with_lie(99, Lie::Status(200, html, page)).await;
    let error = only_failure(pulled.expect_err("it is a page"));
    assert!(
        matches!(error, Error::Transfer(transfer::Error::Page { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn packed_bytes_are_refused_by_name() {
    let (_, _, pulled) = with_lie(99, Lie::Header("content-encoding", "gzip".to_owned())).await;
    let error = only_failure(pulled.expect_err("they are packed"));
    assert!(error.to_string().contains("\"gzip\""), "{error}");
}

#[tokio::test]
async fn a_wait_that_is_asked_for_is_kept_and_one_of_a_day_is_told() {
    let later = |seconds: &str| vec![("retry-after", seconds.to_owned())];
    let (_, _, soon) = with_lie(2, Lie::Status(429, later("0"), "")).await;
    soon.expect("it was only a moment");
    let (_, _, day) = with_lie(9, Lie::Status(503, later("86400"), "")).await;
    let error = only_failure(day.expect_err("nobody waits for a day"));
    assert!(
        matches!(
            error,
            Error::Transfer(transfer::Error::Busy { seconds: 86400, .. })
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_always_fails_is_given_up_with_what_it_says() {
    let (_, origin, pulled) = with_lie(999, Lie::Status(404, Vec::new(), "no such blob")).await;
    let error = only_failure(pulled.expect_err("there is no blob"));
    assert!(
        error.to_string().contains("404") && error.to_string().contains("no such blob"),
        "{error}"
    );
    assert!(origin.seen("/blobs/").len() < 20);
}

#[tokio::test]
async fn a_signed_address_that_ended_is_asked_for_anew() {
    let large = noise(20 * MIB, 1);
    let (origin, _) = registry_with(&large).await;
    let elsewhere = Origin::start().await;
    elsewhere.blob(large.clone());
    origin.lie(&at(&large), 99, Lie::Redirect(307, elsewhere.url()));
    let home = Home::open().await;
    elsewhere.lie(&at(&large), 2, Lie::Cut(MIB));
    elsewhere.lie(&at(&large), 2, Lie::Status(403, Vec::new(), "expired"));
    pull(&home, &origin).await.expect("a new address is good");
    assert!(origin.seen("/blobs/").len() >= 4);
}

#[tokio::test]
async fn a_registry_that_gives_out_tokens_is_asked_with_one() {
    let large = noise(MIB, 1);
    let (origin, _) = registry_with(&large).await;
    let issuer = Origin::start().await;
    issuer.file("/token", r#"{"token":"let-me-in"}"#);
    let realm = format!(
        r#"Bearer realm="{}/token",service="reg",scope="repository:me/notes:pull""#,
        issuer.url()
    );
    origin.lie(
        "/manifests/",
        1,
        Lie::Status(401, vec![("www-authenticate", realm)], ""),
    );
    let elsewhere = Origin::start().await;
    elsewhere.blob(large.clone());
    origin.lie(&at(&large), 9, Lie::Redirect(302, elsewhere.url()));
    let home = Home::open().await;
    pull(&home, &origin).await.expect("the token is good");
    assert_eq!(
        issuer
            .seen("/token?service=reg&scope=repository%3Ame%2Fnotes%3Apull")
            .len(),
        1
    );
    assert_eq!(issuer.seen("")[0].authorization, None);
    let last = origin
        .seen("/manifests/")
        .pop()
        .expect("it was asked again");
    assert_eq!(last.authorization.as_deref(), Some("Bearer let-me-in"));
    assert!(
        elsewhere
            .seen("")
            .iter()
            .all(|seen| seen.authorization.is_none()),
        "no token leaves its origin"
    );
}

#[tokio::test]
async fn a_redirect_into_this_machine_is_not_followed_unless_the_host_was_named() {
    let large = noise(MIB, 1);
    let (origin, _) = registry_with(&large).await;
    for to in [
        "http://localhost:9",
        "http://[::1]:9",
        "http://169.254.169.254",
        "http://[::ffff:127.0.0.1]:9",
    ] {
        origin.be_honest();
        origin.lie(&at(&large), 9, Lie::Redirect(302, to.to_owned()));
        let home = Home::open().await;
        let error = only_failure(pull(&home, &origin).await.expect_err(to));
        assert!(
            matches!(
                error,
                Error::Transfer(transfer::Error::Http(http::Error::Private { .. }))
            ),
            "{to}: {error}"
        );
    }
}

#[tokio::test]
async fn redirects_without_an_end_and_to_nowhere_are_told() {
    let large = noise(MIB, 1);
    let (origin, _) = registry_with(&large).await;
    for (lie, wanted) in [
        (Lie::Redirect(302, origin.url()), "redirects too often"),
        (Lie::Status(307, Vec::new(), ""), "without saying where"),
        (
            Lie::Redirect(302, "ftp://127.0.0.1".to_owned()),
            "without saying where",
        ),
    ] {
        origin.be_honest();
        origin.lie(&at(&large), 99, lie);
        let home = Home::open().await;
        let error = only_failure(pull(&home, &origin).await.expect_err(wanted));
        assert!(error.to_string().contains(wanted), "{error}");
    }
}

#[tokio::test]
async fn hostile_manifests_publish_nothing() {
    let weights = small::model();
    let bad_size = {
        let mut layer = layer("model", &weights);
        layer["size"] = (weights.len() + 1).into();
        layer
    };
    let huge = {
        let mut layer = layer("model", &weights);
        layer["size"] = (1_u64 << 50).into();
        layer
    };
    let junk = noise(1000, 7);
    let with = |text: &str| {
        serde_json::from_str::<serde_json::Value>(text)
            .expect("JSON")
            .to_string()
    };
    let both = with(&String::from_utf8(manifest(&[layer("model", &weights)])).expect("JSON"))
        .replacen('{', r#"{"manifests":[],"#, 1);
    for (bytes, wanted) in [
        (manifest(&[bad_size]), "bytes, not"),
        (manifest(&[huge]), "no space"),
        (manifest(&[layer("model", &junk)]), "not a usable gguf"),
        (manifest(&[layer("system", b"Take notes.")]), "no weights"),
        (both.into_bytes(), "an index and a manifest at once"),
        (b"<html>".to_vec(), "web page"),
        (b"{}".to_vec(), "manifest"),
        (b"[1]".to_vec(), "manifest"),
    ] {
        let (origin, _) = registry_with(b"x").await;
        origin.blob(junk.clone());
        origin.manifest("me/notes:latest", bytes);
        let home = Home::open().await;
        let error = pull(&home, &origin).await.expect_err(wanted);
        assert!(
            error.to_string().to_lowercase().contains(wanted),
            "{wanted}: {error}"
        );
        assert!(home.registry.list().await.expect("a store").is_empty());
    }
}

#[tokio::test]
async fn a_pinned_digest_is_held() {
    let large = noise(MIB, 1);
    let (origin, bytes) = registry_with(&large).await;
    let home = Home::open().await;
    let settings = Settings::default();
    let good = format!("{}@{}", reference(&origin), digest(&bytes));
    home.pull_from(&good, &settings)
        .await
        .expect("it has that digest");
    let other = manifest(&[layer("model", &small::model())]);
    let wrong = format!("{}@{}", reference(&origin), digest(&other));
    let error = home
        .pull_from(&wrong, &settings)
        .await
        .expect_err("there is no such manifest");
    assert!(matches!(
        only_failure(error),
        Error::Remote(remote::Error::NotFound { .. })
    ));
    let stated = vec![
        ("docker-content-digest", digest(&other)),
        ("content-type", "application/json".to_owned()),
    ];
    origin.lie("/manifests/latest", 1, Lie::Status(200, stated, "{}"));
    let error = pull(&home, &origin)
        .await
        .expect_err("the header says otherwise");
    assert!(matches!(
        only_failure(error),
        Error::Remote(remote::Error::Digest { .. })
    ));
}

#[tokio::test]
async fn of_a_list_the_form_for_llama_cpp_is_taken() {
    let large = noise(MIB, 1);
    let (origin, bytes) = registry_with(&large).await;
    let child = origin.blob(bytes.clone());
    let list = |runners: &[(&str, &str)]| {
        let children: Vec<_> = runners
            .iter()
            .map(|(runner, digest)| serde_json::json!({"digest": digest, "runner": runner, "format": "gguf"}))
            .collect();
        let kind = "application/vnd.ollama.manifest.list.v2+json";
        serde_json::json!({"schemaVersion": 2, "mediaType": kind, "manifests": children})
            .to_string()
    };
    let other = digest(b"other");
    origin.manifest(
        "me/notes:latest",
        list(&[("ggml", &other), ("llamacpp", &child)]),
    );
    let home = Home::open().await;
    let pulled = pull(&home, &origin)
        .await
        .expect("one of them is for llama.cpp");
    assert_eq!(pulled.to_string(), child);
    origin.manifest("me/notes:latest", list(&[("mlx", &other)]));
    let error = only_failure(pull(&home, &origin).await.expect_err("none of them is"));
    assert!(
        matches!(error, Error::Remote(remote::Error::NoForm { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn two_pulls_of_one_blob_fetch_it_once() {
    let large = noise(20 * MIB, 1);
    let (origin, bytes) = registry_with(&large).await;
    origin.manifest("me/again:latest", bytes);
    let home = Home::open().await;
    let settings = Settings::default();
    let again = format!("{}/me/again", origin.host());
    let (one, two) = tokio::join!(pull(&home, &origin), home.pull_from(&again, &settings));
    assert_eq!(one.expect("the first"), two.expect("the second"));
    assert!(origin.sent() < 21 * MIB as u64, "{}", origin.sent());
}

#[tokio::test]
async fn the_library_is_asked_for_what_no_catalog_has() {
    let large = noise(MIB, 1);
    let (origin, bytes) = registry_with(&large).await;
    origin.manifest("library/nobody-knows:latest", bytes);
    let home = Home::open().await;
    let settings = Settings {
        library: Some(origin.url()),
        ..Settings::default()
    };
    home.pull_from("nobody-knows", &settings)
        .await
        .expect("the library has it");
    home.registry
        .model(&name("nobody-knows"))
        .await
        .expect("it has its short name");
    let error = home
        .pull_from("smolm2", &settings)
        .await
        .expect_err("nobody has it");
    let text = error.to_string();
    assert!(
        text.contains("no catalog has it") && text.contains("did you mean smollm2"),
        "{text}"
    );
}

/// A hub with this one repository.
async fn hub(files: &[(&str, Vec<u8>)]) -> (Origin, Settings) {
    let origin = Origin::start().await;
    for (path, bytes) in files {
        origin.hub_file("acme/notes", path, bytes.clone());
    }
    let settings = Settings {
        hub: Some(origin.url()),
        ..Settings::default()
    };
    (origin, settings)
}

#[tokio::test]
async fn a_model_comes_from_the_hub_with_what_stands_beside_it() {
    let (origin, settings) = hub(&[
        ("README.md", b"# Notes".to_vec()),
        ("notes-Q8_0.gguf", tiny::llama(2)),
        ("notes-Q4_K_M.gguf", small::model()),
        ("template", b"{{ .System }} {{ .Prompt }}".to_vec()),
        ("params", br#"{"temperature":0.25,"stop":["END"]}"#.to_vec()),
    ])
    .await;
    let home = Home::open().await;
    home.pull_from("hf.co/acme/notes", &settings)
        .await
        .expect("an honest hub");
    let model = home
        .registry
        .model(&name("hf.co/acme/notes"))
        .await
        .expect("it is there");
    let weights: Vec<String> = model
        .weights()
        .map(|layer| layer.digest.to_string())
        .collect();
    assert_eq!(weights, [digest(&small::model())]);
    assert_eq!(
        model.template.as_deref(),
        Some("{{ .System }} {{ .Prompt }}")
    );
    assert_eq!(model.parameters.to_json()["temperature"], 0.25);
    let licenses = home.registry.licenses(&model).await;
    assert_eq!(licenses.expect("they are whole"), ["apache-2.0"]);
    let commit = "0123456789abcdef0123456789abcdef01234567";
    assert_eq!(
        origin
            .seen(&format!("/resolve/{commit}/notes-Q4_K_M.gguf"))
            .len(),
        1
    );

    home.pull_from("hf.co/acme/notes:q8_0", &settings)
        .await
        .expect("it has that too");
    let model = home
        .registry
        .model(&name("hf.co/acme/notes:q8_0"))
        .await
        .expect("it is there");
    assert_eq!(
        model.weights().next().map(|layer| layer.digest.to_string()),
        Some(digest(&tiny::llama(2)))
    );
    let error = only_failure(
        home.pull_from("hf.co/acme/notes:Q5_K_M", &settings)
            .await
            .expect_err("there is none"),
    );
    assert!(
        error.to_string().contains("there are Q4_K_M, Q8_0"),
        "{error}"
    );
}

#[tokio::test]
async fn a_split_model_comes_whole() {
    let parts = tiny::writer(1).split(3);
    let paths: Vec<String> = (1..=3)
        .map(|number| format!("n/notes-0000{number}-of-00003.gguf"))
        .collect();
    let files: Vec<(&str, Vec<u8>)> = paths
        .iter()
        .map(String::as_str)
        .zip(parts.clone())
        .collect();
    let (_origin, settings) = hub(&files).await;
    let home = Home::open().await;
    home.pull_from("hf.co/acme/notes", &settings)
        .await
        .expect("all parts are there");
    let model = home
        .registry
        .model(&name("hf.co/acme/notes"))
        .await
        .expect("it is there");
    let weights: Vec<String> = model
        .weights()
        .map(|layer| layer.digest.to_string())
        .collect();
    assert_eq!(
        weights,
        parts.iter().map(|part| digest(part)).collect::<Vec<_>>()
    );

    let (origin, settings) = hub(&files[..2]).await;
    let home = Home::open().await;
    let error = only_failure(
        home.pull_from("hf.co/acme/notes", &settings)
            .await
            .expect_err("one is missing"),
    );
    assert!(
        matches!(error, Error::Remote(remote::Error::Incomplete { .. })),
        "{error}"
    );
    assert_eq!(origin.seen("/resolve/").len(), 0);
}

#[tokio::test]
async fn a_gated_repository_says_what_to_do_and_no_token_leaves_the_hub() {
    let (origin, mut settings) = hub(&[("notes-Q4_K_M.gguf", small::model())]).await;
    let gated = |code: &str| vec![("x-error-code", code.to_owned())];
    origin.lie("/api/models/", 1, Lie::Status(401, gated("GatedRepo"), ""));
    let home = Home::open().await;
    let error = home
        .pull_from("hf.co/acme/notes", &settings)
        .await
        .expect_err("it is gated");
    assert!(
        error
            .hint()
            .is_some_and(|hint| hint.contains("slm login hf.co")),
        "{error}"
    );
    origin.lie(
        "/api/models/",
        9,
        Lie::Status(401, gated("RepoNotFound"), ""),
    );
    let error = only_failure(
        home.pull_from("hf.co/acme/notes", &settings)
            .await
            .expect_err("there is none"),
    );
    assert!(
        matches!(error, Error::Remote(remote::Error::NotFound { .. })),
        "{error}"
    );

    origin.be_honest();
    origin.forget();
    let elsewhere = Origin::start().await;
    elsewhere.file(
        "/acme/notes/resolve/0123456789abcdef0123456789abcdef01234567/notes-Q4_K_M.gguf",
        small::model(),
    );
    origin.lie("/api/models/", 1, Lie::Status(403, gated("GatedRepo"), ""));
    origin.lie("/resolve/", 9, Lie::Redirect(302, elsewhere.url()));
    settings.hub_token = Some(HubToken::of_environment("hf_secret"));
    let tokened = only_failure(
        home.pull_from("hf.co/acme/notes", &settings)
            .await
            .expect_err("its terms are not accepted"),
    );
    assert!(tokened.to_string().contains("HF_TOKEN"), "{tokened}");
    assert!(!tokened.to_string().contains("secret"), "{tokened}");
    origin.forget();
    home.pull_from("hf.co/acme/notes", &settings)
        .await
        .expect("the token is good");
    assert!(
        origin
            .seen("")
            .iter()
            .all(|seen| seen.authorization.as_deref() == Some("Bearer hf_secret"))
    );
    assert!(
        elsewhere
            .seen("")
            .iter()
            .all(|seen| seen.authorization.is_none())
    );
}

#[tokio::test]
async fn a_mirror_may_not_know_commits() {
    let (origin, settings) = hub(&[("notes-Q4_K_M.gguf", small::model())]).await;
    origin.lie("/revision/", 9, Lie::Status(404, Vec::new(), ""));
    let home = Home::open().await;
    home.pull_from("hf.co/acme/notes", &settings)
        .await
        .expect("the listing is enough");
    assert_eq!(origin.seen("/resolve/main/").len(), 1);
}

#[tokio::test]
async fn a_text_beside_the_weights_that_is_not_the_listed_one_is_refused() {
    let (origin, settings) =
        hub(&[("m.gguf", small::model()), ("system", b"Be good.".to_vec())]).await;
    origin.lie("/resolve/", 1, Lie::Flip(3));
    let home = Home::open().await;
    let error = only_failure(
        home.pull_from("hf.co/acme/notes", &settings)
            .await
            .expect_err("it is another text"),
    );
    assert!(error.to_string().contains("git blob id"), "{error}");
}

#[tokio::test]
async fn a_file_comes_from_an_address() {
    let origin = Origin::start().await;
    origin.file("/files/Notes.Q4.gguf", small::model());
    let home = Home::open().await;
    let settings = Settings::default();
    let address = format!("{}/files/Notes.Q4.gguf", origin.url());
    home.pull_from(&address, &settings)
        .await
        .expect("an honest server");
    home.registry
        .model(&name("notes.q4"))
        .await
        .expect("it has the file's name");
    let pinned = |bytes: &[u8]| format!("{address}@{}", digest(bytes));
    home.pull_from(&pinned(&small::model()), &settings)
        .await
        .expect("it has that digest");
    let error = only_failure(
        home.pull_from(&pinned(b"x"), &settings)
            .await
            .expect_err("it has another"),
    );
    assert!(
        matches!(error, Error::Transfer(transfer::Error::Digest { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn a_file_without_length_or_head_comes_all_the_same() {
    let origin = Origin::start().await;
    origin.file("/notes.gguf", tiny::llama(1));
    let home = Home::open().await;
    let address = format!("{}/notes.gguf", origin.url());
    origin.lie("/notes.gguf", 99, Lie::NoLength);
    home.pull_from(&address, &Settings::default())
        .await
        .expect("the body ends by itself");
    assert_eq!(home.left_behind(), Vec::<String>::new());
}

#[tokio::test]
async fn a_file_that_is_replaced_meanwhile_is_told() {
    let origin = Origin::start().await;
    origin.file("/notes.gguf", tiny::llama(1));
    let home = Home::open().await;
    origin.lie("/notes.gguf", 1, Lie::Etag("\"first\"".to_owned()));
    let address = format!("{}/notes.gguf", origin.url());
    let error = only_failure(
        home.pull_from(&address, &Settings::default())
            .await
            .expect_err("its tag differs"),
    );
    assert!(
        matches!(error, Error::Transfer(transfer::Error::Replaced { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn an_explanation_fetches_no_weights() {
    let (origin, settings) = hub(&[
        ("m-Q8_0.gguf", tiny::llama(2)),
        ("m-Q4_K_M.gguf", small::model()),
    ])
    .await;
    let home = Home::open().await;
    let reference = Reference::parse("hf.co/acme/notes").expect("a reference");
    let explained = home
        .registry
        .explain(&reference, false, &settings)
        .await
        .expect("an honest hub");
    assert_eq!(explained.files.len(), 1);
    assert_eq!(explained.missing(), small::model().len() as u64);
    assert!(
        explained
            .steps
            .iter()
            .any(|step| step == "m-Q4_K_M.gguf: the usual one, out of 2 quantizations"),
        "{explained:?}"
    );
    assert_eq!(origin.seen("/resolve/").len(), 0);
    home.pull_from("hf.co/acme/notes", &settings)
        .await
        .expect("an honest hub");
    let explained = home
        .registry
        .explain(&reference, false, &settings)
        .await
        .expect("an honest hub");
    assert_eq!(explained.missing(), 0);
}

#[tokio::test]
async fn a_header_is_read_without_the_weights() {
    let table = vec![0.0; 2 * MIB];
    let large = Tensor::f32("blk.1.large.weight", &[2 * MIB as u64], &table);
    let weights = tiny::writer(4).tensor(large).to_bytes();
    let (origin, settings) = hub(&[("m.gguf", weights.clone())]).await;
    let home = Home::open().await;
    let reference = Reference::parse("hf.co/acme/notes").expect("a reference");
    let registry = &home.registry;
    let read = registry.remote_headers(&reference, false, &settings).await;
    let read = read.expect("an honest hub");
    assert_eq!(read.file_type, "F32");
    assert_eq!(read.memory.weights.len(), 1);
    let facts = &read.memory.weights[0];
    assert_eq!(facts.file_bytes, weights.len() as u64);
    assert!(facts.tensor_bytes() > 8 * MIB as u64);
    assert_eq!(origin.seen("/resolve/").len(), 1, "a part of it is enough");
    let nothing = Reference::parse("hf.co/acme/nothing").expect("a reference");
    let error = registry.remote_headers(&nothing, false, &settings).await;
    assert!(error.is_err_and(|error| error.to_string().contains("no place shows the header")));
}

#[tokio::test]
async fn another_place_goes_on_with_what_the_first_one_brought() {
    let weights = tiny::llama(3);
    let (origin, settings) = hub(&[("m.gguf", weights.clone())]).await;
    origin.lie("/resolve/", 99, Lie::Status(404, Vec::new(), ""));
    origin.blob(weights.clone());
    origin.blob(CONFIG);
    origin.manifest("library/m:latest", manifest(&[layer("model", &weights)]));
    let home = Home::open().await;
    home.catalog(
        "version: 1\nmodels:\n  - name: notes\n    sources:\n      - hf: { repo: acme/notes, file: m.gguf }\n      - ollama: { name: m }\n",
    );
    let settings = Settings {
        library: Some(origin.url()),
        ..settings
    };
    home.pull_from("notes", &settings)
        .await
        .expect("the second place has it");
    home.registry
        .model(&name("notes"))
        .await
        .expect("it is there");
}

#[tokio::test]
async fn a_connection_that_brings_nothing_is_replaced() {
    let (_, origin, pulled) =
        tokio::time::timeout(Duration::from_secs(60), with_lie(1, Lie::Silence(3 * MIB)))
            .await
            .expect("nobody waits for a connection that is silent");
    pulled.expect("another one brings the rest");
    assert!(origin.sent() < 21 * MIB as u64, "{}", origin.sent());
}

#[tokio::test]
async fn what_is_sent_again_by_a_server_without_ranges_does_not_change_what_was_hashed() {
    let large = noise(20 * MIB, 1);
    let (origin, _) = registry_with(&large).await;
    // The first connection is cut behind 6 MiB; then whole files come, with a wrong byte among those that are known.
    origin.lie(&at(&large), 4, Lie::Cut(6 * MIB));
    origin.lie(&at(&large), 1, Lie::FlipAll(MIB));
    origin.lie(&at(&large), 99, Lie::NoRanges);
    let home = Home::open().await;
    pull(&home, &origin).await.expect("it ends well");
    let report = home
        .registry
        .verify(
            registry::VerifyOptions::default(),
            &registry::Reporter::silent(),
        )
        .await
        .expect("a store");
    assert_eq!(report.damaged.len(), 0, "{report:?}");
}

#[tokio::test]
async fn an_address_without_a_mark_of_its_state_is_fetched_from_its_first_byte() {
    let origin = Origin::start().await;
    let (old, new) = (tiny::llama(1), tiny::llama(2));
    assert_eq!(old.len(), new.len());
    origin.file("/notes.gguf", old.clone());
    let home = Home::open().await;
    let address = format!("{}/notes.gguf", origin.url());
    let weak = || Lie::Etag("W/\"x\"".to_owned());
    origin.lie("/notes.gguf", 1, weak());
    origin.lie("/notes.gguf", 1, Lie::Cut(old.len() / 2));
    origin.lie("/notes.gguf", 99, Lie::Status(404, Vec::new(), ""));
    home.pull_from(&address, &Settings::default())
        .await
        .expect_err("it is cut, and then gone");
    origin.be_honest();
    origin.file("/notes.gguf", new.clone());
    origin.lie("/notes.gguf", 99, weak());
    home.pull_from(&address, &Settings::default())
        .await
        .expect("an honest server");
    let model = home
        .registry
        .model(&name("notes"))
        .await
        .expect("it is there");
    let weights = model.weights().next().map(|layer| layer.digest.to_string());
    assert_eq!(weights, Some(digest(&new)));
}

#[tokio::test]
async fn the_digest_of_a_catalog_is_held_by_places_that_tell_none() {
    let (origin, settings) = hub(&[("m.gguf", tiny::llama(2))]).await;
    let listed = format!(
        r#"[{{"type":"file","path":"m.gguf","size":{}}}]"#,
        tiny::llama(2).len()
    );
    let json = vec![("content-type", "application/json".to_owned())];
    origin.lie(
        "/tree/",
        9,
        Lie::Status(200, json, Box::leak(listed.into_boxed_str())),
    );
    let home = Home::open().await;
    let expected = digest(&tiny::llama(3));
    home.catalog(&format!(
        "version: 1\nmodels:\n  - name: notes\n    digest: {expected}\n    sources:\n      - hf: {{ repo: acme/notes, file: m.gguf }}\n"
    ));
    let error = only_failure(
        home.pull_from("notes", &settings)
            .await
            .expect_err("it has other bytes"),
    );
    assert!(
        matches!(error, Error::Transfer(transfer::Error::Digest { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn a_search_finds_models_of_catalogs_and_of_the_hub() {
    let (origin, settings) = hub(&[("m.gguf", small::model())]).await;
    let home = Home::open().await;
    let found = home
        .registry
        .search("smollm2 very small", &[], 5, &settings)
        .await
        .expect("a catalog and a hub");
    let names: Vec<&str> = found.hits.iter().map(|hit| hit.name.as_str()).collect();
    assert_eq!(names, ["smollm2:latest", "hf.co/acme/notes"]);
    assert_eq!(found.hits[1].downloads, Some(7));
    let asked = origin.seen("/api/models?search=smollm2+very+small&filter=gguf&sort=downloads");
    assert!(asked.len() == 1 && asked[0].path.contains("limit=5"));

    origin.lie("/api/models", 9, Lie::Status(404, Vec::new(), ""));
    let found = home.registry.search("smollm2", &[], 5, &settings).await;
    let found = found.expect("the catalogs are here");
    assert!(found.hits.iter().all(|hit| hit.in_catalog));
    assert!(found.problem.is_some_and(|problem| problem.contains("404")));
    origin.forget();
    let found = home.registry.search("smollm2", &[], 0, &settings).await;
    assert!(found.expect("the catalogs are here").problem.is_none());
    assert_eq!(origin.seen("").len(), 0);
}

#[tokio::test]
async fn a_source_of_a_catalog_is_held_to_the_digest_that_stands_beside_it() {
    let origin = Origin::start().await;
    origin.hub_file("acme/notes", "a.gguf", small::model());
    let settings = Settings {
        hub: Some(origin.url()),
        ..Settings::default()
    };
    let home = Home::open().await;
    for (bytes, is_good) in [(b"other bytes".to_vec(), false), (small::model(), true)] {
        home.catalog(&format!(
            "version: 1\nmodels:\n  - name: notes\n    license: MIT\n    sources:\n      - hf:\n          repo: acme/notes\n          \
             file: a.gguf\n          digest: '{}'\n",
            digest(&bytes)
        ));
        match home.pull_from("notes", &settings).await {
            Ok(_) => assert!(is_good, "it has another digest"),
            Err(error) => {
                assert!(!is_good, "{error}");
                let text = error.to_string();
                assert!(text.contains("not those of the catalog"), "{text}");
                assert_eq!(origin.seen("/resolve/").len(), 0, "no weights are fetched");
            }
        }
    }
}

#[tokio::test]
async fn a_small_file_of_the_hub_is_held_to_its_git_id() {
    let origin = Origin::start().await;
    origin.hub_file("acme/notes", "in-git.gguf", small::model());
    let settings = Settings {
        hub: Some(origin.url()),
        ..Settings::default()
    };
    let home = Home::open().await;
    origin.lie("/resolve/", 9, Lie::Flip(64));
    let error = home.pull_from("hf.co/acme/notes", &settings).await;
    let text = error.expect_err("a bit is wrong").to_string();
    assert!(text.contains("git id"), "{text}");
    assert!(home.registry.list().await.expect("a list").is_empty());
    origin.be_honest();
    home.pull_from("hf.co/acme/notes", &settings)
        .await
        .expect("the right bytes");
}
