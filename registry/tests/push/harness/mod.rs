//! A store for one test, and a `docker-registry` beside it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use gguf_writer::small;
use origin::{Issuer, Origin, layer};
use registry::credentials::Secret;
use registry::push::{Format, Pushed};
use registry::source::Settings;
use registry::{Digest, ModelName, NewLogin, Options, Progress, Reference, Registry, Reporter};
use tempfile::TempDir;

use crate::reopened::reopened;

pub(crate) const MIB: usize = 1 << 20;
pub(crate) const CONFIG: &str = r#"{"model_format":"gguf","model_family":"llama"}"#;

/// A store for one test.
pub(crate) struct Home {
    pub(crate) registry: Registry,
    pub(crate) settings: Settings,
    folder: TempDir,
    told: Arc<Mutex<Vec<Progress>>>,
}

impl Home {
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let registry = Registry::open(Options::new(folder.path().join("home"))).await;
        Self {
            registry: registry.expect("an empty store"),
            settings: Settings::default(),
            folder,
            told: Arc::default(),
        }
    }

    /// A home with the model `<origin>/me/notes`: small weights, a system prompt, a licence and a layer of these bytes. Returns its name.
    pub(crate) async fn with_model(large: &[u8]) -> (Self, String) {
        let origin = Origin::start().await;
        let weights = small::model();
        for bytes in [&weights, CONFIG.as_bytes(), b"Take notes.", b"MIT", large] {
            origin.blob(bytes);
        }
        let manifest = origin::manifest(
            CONFIG.as_bytes(),
            &[
                layer("model", &weights),
                layer("system", b"Take notes."),
                layer("license", b"MIT"),
                layer("tensor", large),
            ],
        );
        origin.manifest("me/notes:latest", manifest);
        let home = Self::open().await;
        let name = format!("{}/me/notes", origin.host());
        home.pull(&name).await.expect("an honest server");
        (home, name)
    }

    /// The same home, as a process sees it that starts after this one.
    pub(crate) async fn reopened(self) -> Self {
        let options = Options::new(self.path());
        Self {
            registry: reopened(self.registry, options).await,
            ..self
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// A folder that is no part of the home.
    pub(crate) fn outside(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) async fn pull(&self, name: &str) -> Result<Digest, registry::Error> {
        let reference = Reference::parse(name)?;
        self.registry
            .pull(&reference, false, &self.settings, &Reporter::silent())
            .await
    }

    pub(crate) async fn push(&self, from: &str, to: &str) -> Result<Pushed, registry::Error> {
        self.push_as(from, to, Format::Ollama).await
    }

    pub(crate) async fn push_as(
        &self,
        from: &str,
        to: &str,
        format: Format,
    ) -> Result<Pushed, registry::Error> {
        let told = self.told.clone();
        let reporter = Reporter::new(move |progress| {
            told.lock().expect("no test panics in here").push(progress);
        });
        let (source, destination) = (ModelName::parse(from)?, Reference::parse(to)?);
        self.registry
            .push(
                &source,
                &destination,
                format,
                false,
                &self.settings,
                &reporter,
            )
            .await
    }

    /// The digest of a model of the store.
    pub(crate) async fn digest(&self, name: &str) -> Digest {
        let name = ModelName::parse(name).expect("a name");
        self.registry.model(&name).await.expect("it is here").digest
    }

    pub(crate) async fn login(
        &self,
        host: &str,
        password: &str,
        realm_hosts: &[&str],
    ) -> Result<registry::LoggedIn, registry::Error> {
        let login = NewLogin {
            host: host.to_owned(),
            user: Some("me".to_owned()),
            secret: Secret::new(password),
            realm_hosts: realm_hosts.iter().map(|host| (*host).to_owned()).collect(),
        };
        self.registry.login(login, &self.settings).await
    }

    pub(crate) fn told(&self) -> Vec<Progress> {
        self.told.lock().expect("no test panics in here").clone()
    }
}

/// How a registry knows its users.
pub(crate) enum Users {
    Anybody,
    /// `me` with the password `hush`.
    Password,
    /// The same, through tokens that this server gives out, at this host.
    Tokens(Issuer, &'static str),
}

/// Debian's `docker-registry` on a free port. It ends when it is dropped.
pub(crate) struct Stock {
    process: Child,
    address: String,
    pub(crate) users: Users,
    _folder: TempDir,
}

impl Stock {
    pub(crate) fn start(users: Users) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("a file");
            path.display().to_string()
        };
        let auth = match &users {
            Users::Anybody => String::new(),
            Users::Password => {
                // `htpasswd -nbBC 4 me hush`
                let line = "me:$2y$04$zEpy3LECzFLn1V0ePuYpue/pbmAkvoNxyENVIscmP1waudFU7CEMO\n";
                format!(
                    "auth: {{ htpasswd: {{ realm: tests, path: {} }} }}\n",
                    file("htpasswd", line)
                )
            }
            Users::Tokens(issuer, host) => format!(
                "auth:\n  token:\n    realm: http://{host}:{}/token\n    service: {}\n    issuer: {}\n    rootcertbundle: {}\n",
                issuer.port(),
                origin::SERVICE,
                origin::ISSUER,
                file("certificate.pem", issuer.certificate()),
            ),
        };
        let config = format!(
            "version: 0.1\nlog: {{ level: info }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\n\
             http: {{ addr: '127.0.0.1:0', secret: tests }}\n{auth}",
            folder.path().join("store").display()
        );
        let config = file("config.yml", &config);
        let mut process = Command::new("docker-registry")
            .args(["serve", &config])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry is installed; installer/test.sh does that");
        let mut lines = BufReader::new(process.stderr.take().expect("it is piped")).lines();
        let mut said = String::new();
        let address = loop {
            let Some(Ok(line)) = lines.next() else {
                panic!("docker-registry ended: {said}");
            };
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest.split('"').next().expect("there is a first").to_owned();
            }
            said.push_str(&line);
        };
        // It must not wait for a reader of its log.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            process,
            address,
            users,
            _folder: folder,
        }
    }

    /// Host and port.
    pub(crate) fn host(&self) -> &str {
        &self.address
    }

    pub(crate) fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
