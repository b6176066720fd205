//! Models that come over HTTP, by each kind of name, to a real runner; and pulls whose daemon is killed.

use std::process::Stdio;

use origin::{Lie, Origin, layer, manifest};
use rustix::process::Signal;
use tokio::runtime::Runtime;

use crate::harness::{Engine, Home, wait_until};

/// A server beside the test, which is not asynchronous itself.
struct Server {
    origin: Origin,
    _runtime: Runtime,
}

impl Server {
    fn start() -> Self {
        let runtime = Runtime::new().expect("threads");
        let origin = runtime.block_on(Origin::start());
        Self {
            origin,
            _runtime: runtime,
        }
    }

    /// Has a model under `library/mine:latest`, with a large layer of a kind that is not used here.
    fn model(&self, weights: &[u8], large: &[u8]) {
        let config = br#"{"model_format":"gguf"}"#;
        for bytes in [config.as_slice(), weights, large] {
            self.origin.blob(bytes);
        }
        let layers = [layer("model", weights), layer("tensor", large)];
        self.origin
            .manifest("library/mine:latest", manifest(config, &layers));
    }
}

#[test]
fn each_kind_of_name_is_pulled_and_answers() {
    let server = Server::start();
    let weights = gguf_writer::tiny::llama(1);
    server.model(&weights, b"x");
    server
        .origin
        .hub_file("acme/tiny", "tiny-Q4_K_M.gguf", weights.clone());
    server.origin.file("/files/Tiny.gguf", weights);
    let mut home = Home::new(Engine::Real);
    home.set("SLM_LIBRARY", server.origin.url());
    home.set("HF_ENDPOINT", server.origin.url());
    let _daemon = home.daemon();
    let ask = [
        "--param",
        "temperature=0",
        "--param",
        "num_predict=4",
        "the sky",
    ];
    let named = [
        "mine".to_owned(),
        format!("{}/library/mine", server.origin.host()),
        "hf.co/acme/tiny".to_owned(),
        format!("{}/files/Tiny.gguf", server.origin.url()),
    ];
    let answers = named.map(|name| {
        let mut words = vec!["run", &name];
        words.extend(ask);
        home.slm(&words).ok()
    });
    assert!(!answers[0].trim().is_empty());
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
    let list = home.slm(&["list"]).ok();
    for name in ["mine:latest", "hf.co/acme/tiny:latest", "tiny:latest"] {
        assert!(list.contains(name), "{name}: {list}");
    }
    home.assert_clean();
}

#[test]
fn a_daemon_that_is_killed_again_and_again_fetches_hardly_a_byte_twice() {
    const SIZE: usize = 48 << 20;
    const KILLS: u64 = 12;
    let server = Server::start();
    let weights = gguf_writer::tiny::llama(1);
    let large: Vec<u8> = (0..SIZE as u64 / 8)
        .flat_map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .collect();
    server.model(&weights, &large);
    // Slow enough that each kill meets a transfer.
    server
        .origin
        .lie("/blobs/", usize::MAX, Lie::Trickle(64 << 10, 20));
    let mut home = Home::new(Engine::Mock);
    home.set("SLM_LIBRARY", server.origin.url());
    for kill in 0..KILLS {
        let daemon = home.daemon();
        let mut pull = home
            .program("slm")
            .args(["pull", "mine"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("slm starts");
        let enough = (kill + 1) * (SIZE as u64 / (KILLS + 1));
        wait_until("bytes come", || {
            (server.origin.sent() >= enough).then_some(())
        });
        daemon.end(Signal::KILL);
        assert!(!pull.wait().expect("it ends").success());
    }
    server.origin.be_honest();
    let _daemon = home.daemon();
    home.slm(&["pull", "mine"]).ok();
    let whole = (SIZE + weights.len()) as u64;
    // Of each connection, what was on its way when the daemon was killed is lost.
    let lost = server.origin.sent().saturating_sub(whole);
    assert!(
        lost <= KILLS * 4 * (1 << 20),
        "{lost} bytes were sent twice"
    );
    assert!(home.slm(&["list"]).ok().contains("mine:latest"));
    home.assert_clean();
}
