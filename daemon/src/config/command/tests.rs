use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use super::*;

struct Home(tempfile::TempDir);

impl Home {
    fn with(text: &str) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        std::fs::write(home.path(), text).unwrap();
        home
    }

    fn path(&self) -> PathBuf {
        self.0.path().join(FILE)
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.path()).unwrap()
    }

    fn run(&self, command: ConfigCommand, input: &str) -> Result<String, String> {
        let flags = Flags {
            home: Some(self.0.path().to_owned()),
            ..Flags::default()
        };
        let variables = BTreeMap::from([("SLM_MAX_QUEUE".to_owned(), "9".to_owned())]);
        carry_out(&command, &flags, &variables, input.as_bytes()).map_err(|error| error.to_string())
    }

    fn set(&self, key: &str, value: &str) -> Result<String, String> {
        let (key, value) = (key.to_owned(), value.to_owned());
        self.run(ConfigCommand::Set { key, value }, "")
    }
}

#[test]
fn a_setting_is_written_after_the_whole_file_was_checked() {
    let home = Home::with("# mine\nthreads: 1\n");
    std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o640)).unwrap();
    home.set("threads", "2").unwrap();
    home.set("models.qwen2.5.parallel", "2").unwrap();
    let text = "# mine\nthreads: 2\nmodels:\n  qwen2.5:\n    parallel: 2\n";
    assert_eq!(home.text(), text);
    let mode = std::fs::metadata(home.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    for (key, value, words) in [
        ("threads", "many", "line 2: threads: \"many\" must be"),
        (
            "thread",
            "1",
            "unknown key \"thread\"; did you mean \"threads\"?",
        ),
        ("models.a.pins", "1", "did you mean \"pin\"?"),
        ("models.a b.pin", "true", "line 6: models.a b: "),
        ("models", "1", "unknown key \"models\""),
    ] {
        let error = home.set(key, value).unwrap_err();
        assert!(error.contains(words), "{error}");
        assert_eq!(home.text(), text);
    }
    let key = "models.qwen2.5.parallel".to_owned();
    home.run(ConfigCommand::Unset { key: key.clone() }, "")
        .unwrap();
    assert_eq!(home.text(), "# mine\nthreads: 2\n");
    let error = home.run(ConfigCommand::Unset { key }, "").unwrap_err();
    assert!(error.ends_with("config.yaml does not set models.qwen2.5.parallel"));
}

#[test]
fn a_file_with_a_mistake_is_not_edited() {
    let home = Home::with("thread: 1\n");
    let error = home.set("threads", "2").unwrap_err();
    assert!(error.contains("config.yaml line 1: unknown key"), "{error}");
    let key = "thread".to_owned();
    assert!(home.run(ConfigCommand::Unset { key }, "").is_err());
    assert_eq!(home.text(), "thread: 1\n");
}

#[test]
fn a_whole_text_is_checked_and_replaces_the_file() {
    let home = Home::with("threads: 1\n");
    let wrong = home
        .run(ConfigCommand::Check, "threads: 2\nlog: loud\n")
        .unwrap_err();
    assert!(wrong.contains("config.yaml line 2: log: "), "{wrong}");
    assert!(home.run(ConfigCommand::Replace, "a: [").is_err());
    let long = "# much\n".repeat(200_000);
    assert!(home.run(ConfigCommand::Replace, &long).is_err());
    assert_eq!(home.text(), "threads: 1\n");
    home.run(ConfigCommand::Check, "threads: 2\n").unwrap();
    home.run(ConfigCommand::Replace, "threads: 2\n").unwrap();
    assert_eq!(home.text(), "threads: 2\n");
}

#[test]
fn a_link_stays_a_link_to_the_changed_file() {
    let home = Home::with("");
    let target = home.0.path().join("real.yaml");
    std::fs::rename(home.path(), &target).unwrap();
    std::os::unix::fs::symlink(&target, home.path()).unwrap();
    home.set("threads", "2").unwrap();
    assert!(std::fs::symlink_metadata(home.path()).unwrap().is_symlink());
    assert_eq!(std::fs::read_to_string(target).unwrap(), "threads: 2\n");
}

#[test]
fn all_settings_are_shown_with_value_and_origin_and_without_passwords() {
    let home = Home::with("threads: 2\nhttps_proxy: http://me:hush@proxy.example:3128\n");
    let shown = home.run(ConfigCommand::Show, "").unwrap();
    assert!(!shown.contains("hush"), "{shown}");
    let shown: api::ConfigResponse = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown.file, home.path().display().to_string());
    assert_eq!(shown.settings.len(), KEYS.len());
    let setting = |key: &str| shown.settings.iter().find(|one| one.key == key).unwrap();
    let threads = setting("threads");
    assert_eq!((&*threads.value, threads.line), ("2", Some(1)));
    let queue = setting("max_queue");
    assert_eq!(queue.origin, api::ConfigOrigin::Environment);
    assert_eq!(
        (&*queue.value, queue.by.as_deref()),
        ("9", Some("SLM_MAX_QUEUE"))
    );
    assert_eq!(setting("https_proxy").value, "…@proxy.example:3128");
}
