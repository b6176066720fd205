//! Pushes whose daemon is killed.

use origin::{Lie, Origin};
use rustix::process::Signal;
use tokio::runtime::Runtime;

use crate::harness::{Engine, Home, Server, kills, random, wait_until};

#[test]
fn a_daemon_that_is_killed_in_a_push_goes_on_by_itself_and_sends_hardly_a_byte_twice() {
    const SIZE: u64 = 24 << 20;
    let kills = kills();
    let source = Server::start();
    let mut random = random();
    let large: Vec<u8> = (0..SIZE / 8).flat_map(|_| random().to_le_bytes()).collect();
    source.model(&gguf_writer::tiny::llama(1), &large);
    let runtime = Runtime::new().expect("threads");
    let target = runtime.block_on(Origin::start());
    // Slow enough that each kill hits a transfer.
    target.lie("/blobs/uploads/", usize::MAX, Lie::Trickle(128 << 10, 5));

    let mut home = Home::new(Engine::Mock);
    home.set("SLM_LIBRARY", source.origin.url());
    let mut daemon = home.daemon();
    home.slm(&["pull", "mine"]).ok();
    let place = format!("{}/me/pushed", target.host());
    home.slm(&["push", "--background", "mine", &place]).ok();
    let mut places: Vec<u64> = (0..kills).map(|_| random() % (SIZE / 20 * 19)).collect();
    places.sort_unstable();
    for enough in places {
        wait_until("bytes come", || (target.received() >= enough).then_some(()));
        daemon.end(Signal::KILL);
        // No client sends the request again.
        daemon = home.daemon();
    }
    target.be_honest();
    wait_until("the manifest to be there", || {
        target.bytes("/v2/me/pushed/manifests/latest").map(drop)
    });
    let twice = target.received().saturating_sub(SIZE);
    println!("{kills} kills: {twice} of {SIZE} bytes were sent twice");
    assert!(twice <= kills << 20, "{twice} bytes were sent twice");
    home.assert_clean();
    drop(daemon);

    // The pushed model is whole.
    let mut other = Home::new(Engine::Mock);
    other.set("SLM_LIBRARY", source.origin.url());
    let _daemon = other.daemon();
    other.slm(&["pull", &place]).ok();
    other.assert_clean();
}
