//! Sending: 2 GiB of random bytes in four layers to a `docker-registry` on this machine, beside `skopeo copy` of the same blobs from
//! an OCI layout. skopeo refuses Ollama's media types, so its manifest is another one.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::json;

use crate::Bench;
use crate::machine;
use crate::row::{Better, Outcome, Row};
use crate::server::{Server, free_port};
use crate::statistics::Samples;
use crate::subject::Subject;
use installer::{files, process, say};

use super::pull::{LAYERS, Registry, SIZE, daemon, pull};

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// SHA-256 of `{}`.
const EMPTY: &str = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
/// The name at the destination.
const NAME: &str = "me/notes:v1";

/// A `docker-registry` with nothing in it.
struct Stock {
    // Dropped before its folder.
    _server: Server,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Stock {
    fn start(below: &Path) -> Result<Self> {
        let folder = tempfile::tempdir_in(below)?;
        let port = free_port()?;
        let config = folder.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\n\
             http: {{ addr: '127.0.0.1:{port}', secret: bench }}\n",
            folder.path().join("store").display()
        );
        files::replace(&config, &text)?;
        let mut command = process::command("docker-registry");
        command.arg("serve").arg(&config);
        let server = Server::start(&mut command, port, "/v2/")
            .context("docker-registry is not installed, or does not start")?;
        Ok(Self {
            _server: server,
            port,
            _folder: folder,
        })
    }

    fn name(&self) -> String {
        format!("127.0.0.1:{}/{NAME}", self.port)
    }
}

/// Compares the push with skopeo.
pub(super) fn measure(bench: &Bench, _: &Subject, runs: usize) -> Result<Outcome> {
    let folder = tempfile::tempdir_in(bench.site.home())?;
    let weights = folder.path().join("tiny.gguf");
    process::run(
        process::command(bench.site.executable("gguf-writer"))
            .arg("tiny")
            .arg(&weights),
    )?;
    let source = Registry::start(bench, &weights, LAYERS, SIZE, 0)?;
    let daemon = daemon(bench, &source)?;
    process::run(&mut pull(bench))?;
    let layers = source.layers()?;
    drop(source);
    let copy = layout(bench, &folder.path().join("layout"), &layers)?;
    let mebibytes = (LAYERS * SIZE) as f64;
    let (mut ours, mut theirs) = (Samples::default(), Samples::default());
    let (mut again, mut memory) = (Samples::default(), Samples::default());
    let idle = machine::memory(daemon.id())?.resident_mib();
    for _ in 0..runs {
        let stock = Stock::start(folder.path())?;
        let to = format!("docker://{}", stock.name());
        let began = Instant::now();
        process::quiet(&mut skopeo(&["--dest-tls-verify=false", &copy, &to]))?;
        theirs.push(mebibytes / began.elapsed().as_secs_f64());
        drop(stock);

        let stock = Stock::start(folder.path())?;
        let began = Instant::now();
        process::run(&mut push(bench, &stock))?;
        ours.push(mebibytes / began.elapsed().as_secs_f64());
        memory.push(machine::peak_mib(daemon.id())? - idle);
        let began = Instant::now();
        process::run(&mut push(bench, &stock))?;
        again.push(began.elapsed().as_secs_f64());
        say::line(&format!(
            "push: {:.0} MiB/s, skopeo {:.0} MiB/s",
            ours.median(),
            theirs.median()
        ));
    }
    process::run(bench.site.slm().args(["rm", "--quiet", "notes"]))?;
    Ok(Outcome::Measured {
        rows: vec![
            Row::new("2 GiB in four layers, MiB/s", 0, Better::More, ours).beside(
                "skopeo copy",
                theirs,
                Some(1.0),
            ),
            Row::new("the same once more, s", 2, Better::Less, again),
            Row::new(
                "peak memory of the daemon over idle, MiB",
                0,
                Better::Less,
                memory,
            ),
        ],
        notes: vec![format!(
            "`docker-registry` runs on the same two cores, with an empty folder each time: {LAYERS} layers of {SIZE} MiB."
        )],
    })
}

/// The blobs of these addresses as an OCI layout, from the store of the bench; returns its name for skopeo.
fn layout(bench: &Bench, folder: &Path, addresses: &[String]) -> Result<String> {
    let blobs = folder.join("blobs/sha256");
    files::make_folder(&blobs)?;
    let empty = json!({
        "mediaType": "application/vnd.oci.empty.v1+json",
        "digest": format!("sha256:{EMPTY}"),
        "size": 2,
    });
    files::replace(&blobs.join(EMPTY), "{}")?;
    let mut layers = Vec::new();
    for address in addresses {
        let (_, hex) = address
            .rsplit_once("sha256:")
            .context("it ends in a digest")?;
        let stored = bench
            .site
            .home()
            .join("models/blobs")
            .join(format!("sha256-{hex}"));
        process::run(process::command("ln").arg(stored).arg(blobs.join(hex)))?;
        layers.push(json!({
            "mediaType": "application/vnd.cncf.model.weight.v1.raw",
            "digest": format!("sha256:{hex}"),
            "size": SIZE << 20,
        }));
    }
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": empty,
        "layers": layers,
    });
    let text = manifest.to_string();
    let draft = folder.join("manifest");
    files::replace(&draft, &text)?;
    let summed = process::quiet(process::command("sha256sum").arg(&draft))?;
    let hex = summed.split(' ').next().unwrap_or_default();
    files::rename(&draft, &blobs.join(hex))?;
    let index = json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": MANIFEST_TYPE,
            "digest": format!("sha256:{hex}"),
            "size": text.len(),
            "annotations": { "org.opencontainers.image.ref.name": "v1" },
        }],
    });
    files::replace(&folder.join("index.json"), &index.to_string())?;
    files::replace(
        &folder.join("oci-layout"),
        &json!({ "imageLayoutVersion": "1.0.0" }).to_string(),
    )?;
    Ok(format!("oci:{}:v1", folder.display()))
}

fn push(bench: &Bench, stock: &Stock) -> std::process::Command {
    let mut command = bench.site.slm();
    command.args(["push", "--quiet", "notes", &stock.name()]);
    command
}

fn skopeo(words: &[&str]) -> std::process::Command {
    let mut command = process::command("skopeo");
    command
        .args(["--insecure-policy", "copy", "--quiet", "--preserve-digests"])
        .args(words);
    command
}
