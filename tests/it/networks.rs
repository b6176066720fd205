//! The daemon and its network: certificates in the system's store, and no network at all.

use std::process::Command;

use origin::{Authority, Origin, layer, manifest};
use tokio::runtime::Runtime;

use crate::harness::{Engine, Home, Outcome};

#[test]
fn a_certificate_in_the_systems_store_is_trusted() {
    let runtime = Runtime::new().expect("threads");
    let company = Authority::new();
    let origin = runtime.block_on(Origin::start_tls(&company, &["localhost"]));
    let weights = gguf_writer::tiny::llama(1);
    origin.blob(weights.clone());
    origin.blob(*b"{}");
    origin.manifest(
        "me/notes:latest",
        manifest(b"{}", &[layer("model", &weights)]),
    );
    let port = origin.host().rsplit(':').next().expect("a port").to_owned();
    let reference = format!("https://localhost:{port}/me/notes");

    let stranger = Home::new(Engine::Mock);
    let _daemon = stranger.daemon();
    let refused = stranger.slm(&["pull", &reference]);
    assert_ne!(refused.code, 0);
    assert!(
        refused.stderr.contains("is not trusted"),
        "{}",
        refused.stderr
    );

    let mut home = Home::new(Engine::Mock);
    let store = home.file("ca.pem", company.pem());
    // TLS libraries read this variable before the system's certificate store.
    home.set("SSL_CERT_FILE", store.to_str().expect("a path in UTF-8"));
    let _daemon = home.daemon();
    home.slm(&["pull", &reference]).ok();
    home.assert_clean();
}

#[test]
fn without_a_network_a_pull_fails_and_everything_else_works() {
    let mut home = Home::new(Engine::Mock);
    home.set("SLM_LIBRARY", "").set("HF_ENDPOINT", "");
    let alone = |arguments: &[&str]| {
        let slm = home.program("slm");
        let mut unshare = Command::new("unshare");
        unshare
            .args(["--map-root-user", "--net"])
            .arg(slm.get_program())
            .args(arguments)
            .env_clear()
            .envs(
                slm.get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .current_dir(home.dir());
        Outcome::of(unshare.output().expect("util-linux is there"))
    };
    if alone(&["--version"]).code != 0 {
        println!("skipped: this machine permits no namespaces");
        return;
    }
    home.create_tiny("mine");
    home.slm(&["serve", "--stop"]).ok();
    for name in ["phi4-mini", "hf.co/a/b", "ghcr.io/a/b", "smollm2"] {
        let refused = alone(&["pull", name]);
        assert_ne!(refused.code, 0, "{name}");
        assert!(
            refused.stderr.contains("this machine is offline"),
            "{name}: {}",
            refused.stderr
        );
    }
    assert!(alone(&["list"]).ok().contains("mine:latest"));
    assert!(!alone(&["run", "mine", "hi"]).ok().is_empty());
    home.assert_clean();
    home.slm(&["serve", "--stop"]).ok();
}
