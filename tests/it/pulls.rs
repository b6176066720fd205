//! Pulls over HTTP by each kind of name, answered by a real runner; and pulls whose daemon is killed.

use origin::Lie;
use rustix::process::Signal;

use crate::harness::{Engine, Home, Server, kills, random, wait_until};

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
fn a_daemon_that_is_killed_repeatedly_goes_on_by_itself_and_fetches_hardly_a_byte_twice() {
    let kills = kills();
    // A mebibyte for each kill, so that most kills hit a transfer.
    let size = (kills << 20).max(48 << 20);
    let server = Server::start();
    let weights = gguf_writer::tiny::llama(1);
    let mut random = random();
    let large: Vec<u8> = (0..size / 8).flat_map(|_| random().to_le_bytes()).collect();
    server.model(&weights, &large);
    // Slow enough that each kill hits a transfer.
    server
        .origin
        .lie("/blobs/", usize::MAX, Lie::Trickle(64 << 10, 20));
    let mut home = Home::new(Engine::Mock);
    home.set("SLM_LIBRARY", server.origin.url());
    let mut daemon = home.daemon();
    home.slm(&["pull", "--background", "mine"]).ok();
    let mut places: Vec<u64> = (0..kills).map(|_| random() % (size / 20 * 19)).collect();
    places.sort_unstable();
    for enough in places {
        wait_until("bytes come", || {
            (server.origin.sent() >= enough).then_some(())
        });
        daemon.end(Signal::KILL);
        // No client sends the request again.
        daemon = home.daemon();
    }
    server.origin.be_honest();
    wait_until("the model to be here", || {
        home.slm(&["list"])
            .ok()
            .contains("mine:latest")
            .then_some(())
    });
    let whole = size + weights.len() as u64;
    // Bytes in flight on a connection are lost when the daemon is killed.
    let lost = server.origin.sent().saturating_sub(whole);
    println!("{kills} kills: {lost} of {whole} bytes were sent twice");
    assert!(
        lost <= kills * 4 * (1 << 20),
        "{lost} bytes were sent twice"
    );
    let jobs = home.slm(&["jobs", "--all"]).ok();
    assert!(jobs.contains("done"), "{jobs}");
    home.assert_clean();
    drop(daemon);
}

#[test]
fn a_pull_that_is_killed_once_fetches_little_more_than_its_size() {
    const SIZE: usize = 192 << 20;
    let server = Server::start();
    let weights = gguf_writer::tiny::llama(1);
    server.model(&weights, &vec![7; SIZE]);
    server
        .origin
        .lie("/blobs/", usize::MAX, Lie::Trickle(64 << 10, 4));
    let mut home = Home::new(Engine::Mock);
    home.set("SLM_LIBRARY", server.origin.url());
    let daemon = home.daemon();
    home.slm(&["pull", "--background", "mine"]).ok();
    wait_until("half of it", || {
        (server.origin.sent() >= SIZE as u64 / 2).then_some(())
    });
    daemon.end(Signal::KILL);
    server.origin.be_honest();
    let _daemon = home.daemon();
    wait_until("the model to be here", || {
        home.slm(&["list"])
            .ok()
            .contains("mine:latest")
            .then_some(())
    });
    let (sent, whole) = (server.origin.sent(), SIZE + weights.len());
    println!("{sent} bytes were sent of {whole}");
    assert!(sent as f64 <= 1.05 * whole as f64, "{sent} of {whole}");
    home.assert_clean();
}
