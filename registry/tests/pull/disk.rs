//! A disk that fills up in the middle of a pull: a file system in memory, a few megabytes large.

use gguf_writer::small;
use origin::{Lie, Origin, digest, layer, manifest, noise};
use registry::source::Settings;
use registry::{Error, Options, Reference, Registry, Reporter, VerifyOptions};

use crate::harness::wait_until;
use crate::small_disk::Small;

const MIB: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_up_keeps_what_has_come_and_a_pull_goes_on_when_there_is_space() {
    let Some(disk) = Small::of(64 << 10) else {
        return;
    };
    let origin = Origin::start().await;
    let (weights, large) = (small::model(), noise(32 * MIB, 1));
    for bytes in [weights.as_slice(), b"{}", &large] {
        origin.blob(bytes);
    }
    let layers = [layer("model", &weights), layer("tensor", &large)];
    origin.manifest("me/notes:latest", manifest(b"{}", &layers));
    // Slow enough that the disk is full before it is here.
    origin.lie(&digest(&large), 4, Lie::Trickle(256 << 10, 20));

    let home = disk.path().join("home");
    let registry = Registry::open(Options::new(home)).await.expect("a store");
    let reference = Reference::parse(&format!("{}/me/notes", origin.host())).expect("a reference");
    let (settings, silent) = (Settings::default(), Reporter::silent());
    let other = async {
        wait_until(|| origin.sent() > 8 * MIB as u64).await;
        disk.fill()
    };
    let pull = registry.pull(&reference, false, &settings, &silent);
    let (error, filler) = tokio::join!(pull, other);
    let error = error.expect_err("the disk is full");
    let Error::NoSpace {
        needed, available, ..
    } = &error
    else {
        panic!("{error:?}")
    };
    assert!(needed > available, "{error}");
    let sent = origin.sent();
    assert!(registry.list().await.expect("a list").is_empty());

    std::fs::remove_file(&filler).expect("the filler");
    origin.be_honest();
    registry
        .pull(&reference, false, &settings, &silent)
        .await
        .expect("there is space again");
    let again = origin.sent() - sent;
    let most = (32 - 8 + 6) * MIB as u64;
    assert!(again < most, "{again} bytes were fetched after {sent}");
    let report = registry
        .verify(VerifyOptions::default(), &silent)
        .await
        .expect("a report");
    assert!(report.damaged.is_empty(), "{report:?}");
}
