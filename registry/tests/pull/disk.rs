//! A disk that fills up in the middle of a pull: a file system in memory, a few megabytes large.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;

use gguf_writer::small;
use origin::{Lie, Origin, digest, layer, manifest, noise};
use registry::source::Settings;
use registry::{Error, Options, Reference, Registry, Reporter, VerifyOptions};
use tempfile::TempDir;

use crate::harness::wait_until;

const MIB: usize = 1 << 20;

/// A folder with its own small file system. Unmounted when dropped.
struct Disk(TempDir);

impl Disk {
    /// `None`, with a word why, where this process may not mount.
    fn of(megabytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let size = format!("size={megabytes}m");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(folder.path())
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(folder)),
            outcome => {
                let _ = writeln!(
                    io::stderr(),
                    "skipped: cannot mount a tmpfs here: {outcome:?}"
                );
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.path())
            .status();
    }
}

/// Takes every byte that a disk still has.
fn fill(path: &Path) {
    let mut file = File::create(path).expect("a file");
    while file.write(&[0; 4096]).is_ok_and(|count| count > 0) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_up_keeps_what_has_come_and_a_pull_goes_on_when_there_is_space() {
    let Some(disk) = Disk::of(64) else { return };
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
    let filler = disk.path().join("filler");
    let other = async {
        wait_until(|| origin.sent() > 8 * MIB as u64).await;
        fill(&filler);
    };
    let pull = registry.pull(&reference, false, &settings, &silent);
    let (error, ()) = tokio::join!(pull, other);
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
