//! The variant of a model that a pull takes, by the memory that models may take, with a real runner.

use crate::harness::{Engine, Home, Server};

/// A hub with a repository of a tiny model in two sizes, named as two quantizations.
fn hub() -> (Server, Home) {
    let server = Server::start();
    let origin = &server.origin;
    origin.hub_file(
        "acme/tiny",
        "tiny-Q4_K_M.gguf",
        gguf_writer::tiny::llama_q8_0(1),
    );
    origin.hub_file("acme/tiny", "tiny-Q8_0.gguf", gguf_writer::tiny::llama(1));
    let mut home = Home::new(Engine::Real);
    home.set("HF_ENDPOINT", origin.url());
    (server, home)
}

fn digest(bytes: &[u8]) -> String {
    origin::digest(bytes)
}

/// The digest of the weights of a model.
fn weights(home: &Home, name: &str) -> String {
    let shown = home.slm(&["show", name, "--modelfile"]).ok();
    let from = shown.lines().find_map(|line| line.strip_prefix("FROM "));
    from.expect("a Modelfile").to_owned()
}

#[test]
fn the_best_variant_that_fits_is_pulled_and_the_reason_is_told() {
    let (_server, home) = hub();
    let _daemon = home.daemon();
    let name = "hf.co/acme/tiny";
    let table = home.slm(&["list", "--variants", name]).ok();
    assert!(
        table.contains("Q8_0 *") && table.contains("Q4_K_M"),
        "{table}"
    );
    assert!(
        table.contains("Q8_0 is taken: the best of 2 variants fits; it takes "),
        "{table}"
    );
    let explained = home.slm(&["pull", "--explain", name]).ok();
    assert!(explained.contains("variant Q8_0: the best"), "{explained}");
    home.slm(&["run", name, "--param", "num_predict=4", "the sky"])
        .ok();
    let large = digest(&gguf_writer::tiny::llama(1));
    let hex = large.trim_start_matches("sha256:");
    assert!(weights(&home, name).contains(hex), "the large one is there");
    let why = home.slm(&["why", name]).ok();
    assert!(
        why.contains("variant Q8_0: the best of 2 variants"),
        "{why}"
    );

    // The wanted one replaces it, and stays when the name is pulled again.
    let little = digest(&gguf_writer::tiny::llama_q8_0(1));
    let hex = little.trim_start_matches("sha256:");
    home.slm(&["run", name, "--variant", "Q4_K_M", "the sky"])
        .ok();
    assert!(weights(&home, name).contains(hex));
    home.slm(&["pull", name]).ok();
    assert!(weights(&home, name).contains(hex));
    let error = home.slm(&["pull", name, "--variant", "Q5_K_M"]).fails(1);
    assert!(error.contains("Q4_K_M, Q8_0"), "{error}");
    home.assert_clean();
}

#[test]
fn a_budget_below_every_variant_takes_the_smallest_and_says_so() {
    let (_server, mut home) = hub();
    home.set("SLM_MEMORY_BUDGET", "1MiB");
    let _daemon = home.daemon();
    let name = "hf.co/acme/tiny";
    home.slm(&["pull", name]).ok();
    let why = home.slm(&["why", name]).ok();
    assert!(
        why.contains("variant Q4_K_M: none of 2 variants fits; the smallest needs"),
        "{why}"
    );
    let listed = home.slm(&["list", "--variants"]).ok();
    assert!(listed.contains("hf.co/acme/tiny:latest"), "{listed}");
}
