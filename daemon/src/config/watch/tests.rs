use notify::event::{CreateKind, DataChange, ModifyKind, RenameMode};

use super::*;

fn changes(file: bool, catalogs: bool) -> Changes {
    Changes { file, catalogs }
}

fn event(kind: EventKind, paths: &[&str]) -> Changes {
    let paths = paths.iter().map(|path| Path::new("/home").join(path));
    let event = paths.fold(Event::new(kind), Event::add_path);
    concerns(Path::new("/home"), &event)
}

#[test]
fn writes_and_renames_of_the_files_are_changes() {
    let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::Both));
    let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    let made = EventKind::Create(CreateKind::Any);
    let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
    for kind in [renamed, written, made, closed] {
        assert_eq!(event(kind, &["config.yaml"]), changes(true, false));
        assert_eq!(event(kind, &["catalogs/a.yaml"]), changes(false, true));
    }
    assert_eq!(
        event(renamed, &[".x.swp", "config.yaml"]),
        changes(true, false)
    );
    assert_eq!(event(made, &["catalogs"]), changes(false, true));
}

#[test]
fn other_files_and_reads_are_no_changes() {
    let none = changes(false, false);
    let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    for path in [
        "registry.db-wal",
        "config.yaml~",
        "run/config.yaml",
        "catalogs/a/b.yaml",
    ] {
        assert_eq!(event(written, &[path]), none, "{path}");
    }
    for kind in [
        AccessKind::Open(AccessMode::Any),
        AccessKind::Close(AccessMode::Read),
    ] {
        assert_eq!(event(EventKind::Access(kind), &["config.yaml"]), none);
    }
}

#[tokio::test(start_paused = true)]
async fn the_reports_of_one_save_are_one_change() {
    let reports = Arc::new(Reports::default());
    for _ in 0..1000 {
        reports.add(changes(true, false));
    }
    reports.add(changes(false, true));
    let begun = Instant::now();
    assert_eq!(reports.settled().await, changes(true, true));
    assert_eq!(begun.elapsed(), QUIET);
    reports.add(changes(false, false));
    assert!(
        timeout_at(begun + LONGEST, reports.settled())
            .await
            .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_reports_does_not_hold_a_change_back() {
    let reports = Arc::new(Reports::default());
    let storm = async {
        let mut ticks = tokio::time::interval(QUIET / 2);
        loop {
            ticks.tick().await;
            reports.add(changes(true, false));
        }
    };
    let begun = Instant::now();
    let settled = tokio::select! {
        settled = reports.settled() => settled,
        () = storm => unreachable!("it does not end"),
    };
    assert_eq!(settled, changes(true, false));
    assert_eq!(begun.elapsed(), LONGEST);
}

#[tokio::test(start_paused = true)]
async fn files_that_the_system_does_not_report_are_looked_at() {
    let home = tempfile::tempdir().unwrap();
    let target = home.path().join("elsewhere.yaml");
    fs::replace(&target, "threads: 1\n").unwrap();
    std::os::unix::fs::symlink(&target, home.path().join(FILE)).unwrap();
    let mut watch = FileWatch::start(home.path());
    let Watching::Polled(reason) = watch.watching() else {
        panic!("{watch:?}")
    };
    assert!(
        reason.ends_with("config.yaml is a symbolic link"),
        "{reason}"
    );
    fs::replace(&target, "threads: 1000\n").unwrap();
    assert_eq!(watch.changed().await, changes(true, false));
    std::fs::create_dir(home.path().join(CATALOGS)).unwrap();
    fs::replace(&home.path().join("catalogs/a.yaml"), "x").unwrap();
    assert_eq!(watch.changed().await, changes(false, true));
}

#[tokio::test]
async fn the_system_reports_a_renamed_file_and_a_new_folder_of_catalogs() {
    let home = tempfile::tempdir().unwrap();
    let mut watch = FileWatch::start(home.path());
    assert_eq!(watch.watching(), Watching::Reported);
    fs::replace(&home.path().join(FILE), "threads: 1\n").unwrap();
    assert_eq!(watch.changed().await, changes(true, false));
    let folder = home.path().join(CATALOGS);
    std::fs::create_dir(&folder).unwrap();
    assert_eq!(watch.changed().await, changes(false, true));
    fs::replace(&folder.join("a.yaml"), "x").unwrap();
    assert_eq!(watch.changed().await, changes(false, true));
}
