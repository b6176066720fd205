//! Opening a home.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::Error;

#[tokio::test]
async fn a_second_opening_is_refused_and_names_the_holder() {
    let home = Home::new().await;
    let error = Registry::open(Options::new(home.path()))
        .await
        .expect_err("the home is taken");
    assert!(
        matches!(error, Error::Locked { pid: Some(pid), .. } if pid == std::process::id()),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains(&format!("process {}", std::process::id()))
    );
    home.reopen().await;
}

#[tokio::test]
async fn the_home_belongs_to_its_owner_alone() {
    let above = tempfile::tempdir().expect("a folder");
    let registry = open(&above.path().join("deep/home")).await;
    for folder in [
        "",
        "models",
        "models/blobs",
        "models/manifests",
        "ingest",
        "quarantine",
        "run",
    ] {
        let mode = std::fs::metadata(registry.home().join(folder))
            .expect("a folder")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700, "{folder}");
    }
    let mode = std::fs::metadata(registry.home().join("run/lock"))
        .expect("the lock")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn temporary_files_of_a_process_that_was_killed_go() {
    let home = Home::new().await;
    let home = home
        .reopen_after(|path| {
            std::fs::write(path.join("ingest/draft-1-1"), "half").expect("a temporary file");
            std::fs::write(path.join("ingest/notes"), "not ours").expect("a file");
            // Its number may be that of the next process, as it is in a container.
            let wheel = format!("ingest/wheel-{}-x/packages", std::process::id());
            std::fs::create_dir_all(path.join(&wheel)).expect("a folder");
            std::fs::write(path.join(&wheel).join("half.whl"), "half").expect("a file");
            std::os::unix::fs::symlink(path, path.join(&wheel).join("link")).expect("a link");
            std::os::unix::fs::symlink(path, path.join("ingest/wheel-link")).expect("a link");
        })
        .await;
    assert_eq!(names_in(&home.path().join("ingest")), ["notes"]);
}

#[tokio::test]
async fn a_home_that_is_a_file_says_so() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let error = Registry::open(Options::new(file.path()))
        .await
        .expect_err("a file is no home");
    assert!(
        error
            .to_string()
            .contains(&file.path().display().to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn a_lock_that_is_a_link_is_refused() {
    let home = Home::new().await;
    let victim = home.path().join("victim");
    std::fs::write(&victim, "precious").expect("a file");
    let Home { registry, folder } = home;
    registry.close().await;
    drop(registry);
    std::fs::remove_file(folder.path().join("run/lock")).expect("the lock");
    std::os::unix::fs::symlink(&victim, folder.path().join("run/lock")).expect("a link");
    assert!(Registry::open(Options::new(folder.path())).await.is_err());
    assert_eq!(std::fs::read_to_string(victim).expect("a file"), "precious");
}

#[tokio::test]
async fn closing_writes_the_log_of_the_index_back() {
    let home = TempDir::new().expect("a folder");
    let registry = open(home.path()).await;
    plain(&registry, "m", 1).await;
    assert_eq!(registry.list().await.expect("readable").len(), 1);
    registry.close().await;
    let left = names_in(home.path());
    let of_the_index: Vec<_> = left
        .iter()
        .filter(|name| name.starts_with("registry.db"))
        .collect();
    assert_eq!(of_the_index, ["registry.db"]);
}
