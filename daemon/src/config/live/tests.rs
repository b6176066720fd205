use super::*;

struct Home {
    folder: tempfile::TempDir,
    live: LiveConfig,
}

impl Home {
    fn with(text: &str, variables: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::replace(&folder.path().join("config.yaml"), text).unwrap();
        let environment: BTreeMap<String, String> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let flags = Flags {
            home: Some(folder.path().to_owned()),
            values: flags
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect(),
        };
        let config = Config::load(&flags, &environment).unwrap();
        let live = LiveConfig::new(config, flags, environment);
        Self { folder, live }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("config.yaml")
    }

    async fn write(&self, text: &str) -> Reloaded {
        fs::replace(&self.path(), text).unwrap();
        self.live.reload().await
    }
}

fn applied(changed: &[&'static str], waiting: &[&'static str]) -> Reloaded {
    Reloaded::Applied {
        changed: changed.to_vec(),
        waiting: waiting.to_vec(),
    }
}

#[tokio::test]
async fn a_change_is_in_force_and_names_its_keys() {
    let home = Home::with("max_queue: 7\nthreads: 2\n", &[], &[]);
    let mut later = home.live.subscribe();
    let now = home
        .write("max_queue: 8\nmodels:\n  a: {threads: 1}\n")
        .await;
    assert_eq!(now, applied(&["max_queue", "threads", "models"], &[]));
    assert!(later.has_changed().unwrap());
    assert_eq!(later.borrow_and_update().max_queue, 8);
    assert_eq!(home.live.current().threads, 0);
    let same = home
        .write("# moved\nmax_queue: 8\nmodels:\n  a: {threads: 1}\n")
        .await;
    assert_eq!(same, Reloaded::Same);
    fs::remove(&home.path()).unwrap();
    let none = home.live.reload().await;
    assert_eq!(none, applied(&["max_queue", "models"], &[]));
    assert_eq!(home.live.reload().await, Reloaded::Same);
}

#[tokio::test]
async fn a_wrong_file_is_refused_as_a_whole_and_told_once() {
    let home = Home::with("max_queue: 7\n", &[], &[]);
    for (text, line, reason) in [
        (
            "max_queue: 8\nthreads: many\n",
            Some(2),
            "threads: \"many\" must be",
        ),
        (
            "max_queue: 8\nthread: 1\n",
            Some(2),
            "unknown key \"thread\"; did you mean \"threads\"?",
        ),
        (
            "max_queue: 8\nmodels:\n  a:\n    pins: true\n",
            Some(4),
            "\"models.a.pins\"",
        ),
        ("max_queue: [8\n", Some(2), ""),
        (
            "max_queue: 8\nmax_queue: 9\n",
            Some(2),
            "is set in line 1 already",
        ),
        ("host: 0.0.0.0\n", Some(1), "loopback"),
    ] {
        let Reloaded::Refused(refusal) = home.write(text).await else {
            panic!("{text}")
        };
        assert_eq!(
            (&refusal.file, refusal.line),
            (&home.path(), line),
            "{text}"
        );
        assert!(refusal.reason.contains(reason), "{refusal}");
        assert!(!refusal.reason.contains("config.yaml"), "{refusal}");
        assert_eq!(home.live.file_state().refused, Some(refusal));
        assert_eq!(home.live.current().max_queue, 7);
        assert_eq!(home.live.reload().await, Reloaded::Same);
    }
    // The same settings as before, but the mistake is gone.
    assert_eq!(home.write("max_queue: 7\n").await, applied(&[], &[]));
    assert_eq!(home.live.file_state(), FileState::default());
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_refused() {
    let home = Home::with("max_queue: 7\n", &[], &[]);
    let refused = async |words: &str| {
        let Reloaded::Refused(refusal) = home.live.reload().await else {
            panic!("{words}")
        };
        assert!(refusal.reason.contains(words), "{refusal}");
        assert_eq!(home.live.current().max_queue, 7);
        std::fs::remove_file(home.path())
            .or_else(|_| std::fs::remove_dir(home.path()))
            .unwrap();
    };
    fs::replace(&home.path(), &"# much\n".repeat(300_000)).unwrap();
    refused("longer than").await;
    std::fs::create_dir(home.path()).unwrap();
    refused("not a regular file").await;
    std::os::unix::fs::symlink(home.path(), home.path()).unwrap();
    refused("symbolic links").await;
    rustix::fs::mknodat(
        rustix::fs::CWD,
        home.path(),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    refused("not a regular file").await;
    std::fs::write(home.path(), [0xff, 0xfe]).unwrap();
    refused("UTF-8").await;
}

#[tokio::test]
async fn environment_and_flags_override_a_change_of_the_file() {
    let variables = [
        ("SLM_MAX_QUEUE", "9"),
        ("HF_TOKEN", "hush"),
        ("CUDA_VISIBLE_DEVICES", "1"),
    ];
    let home = Home::with("", &variables, &[("threads", "3")]);
    let now = home.write("max_queue: 8\nthreads: 2\nparallel: 2\n").await;
    assert_eq!(now, applied(&["parallel"], &[]));
    let config = home.live.current();
    assert_eq!(
        (config.max_queue, config.threads, config.parallel),
        (9, 3, 2)
    );
    assert!(config.hub_token.is_some());
    assert_eq!(config.driver_variables.len(), 1);
}

#[tokio::test]
async fn a_key_that_needs_a_restart_waits_for_it() {
    let home = Home::with("port: 1\n", &[], &[]);
    let now = home.write("port: 2\nmax_queue: 3\n").await;
    assert_eq!(now, applied(&["max_queue"], &["port"]));
    assert_eq!(home.live.current().address.port(), 1);
    assert_eq!(home.live.file_state().waiting, [("port", "2".to_owned())]);
    let refused = home.write("port: x\n").await;
    assert!(matches!(refused, Reloaded::Refused(_)), "{refused:?}");
    assert_eq!(
        home.write("port: 1\nmax_queue: 3\n").await,
        applied(&[], &[])
    );
    assert_eq!(home.live.file_state().waiting, []);
}
