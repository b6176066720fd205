//! Models in OCI registries that are laid out as ModelPack, Docker Model Runner, KitOps and RamaLama do.

use gguf_writer::{small, tiny_folder};
use origin::{Origin, digest};
use registry::source::Settings;
use registry::{Error, Model};
use serde_json::{Value, json};

use crate::harness::{Home, name, wait_until};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const PACK: &str = "application/vnd.cncf.model.manifest.v1+json";
const JINJA: &str = "{% for m in messages %}{{ m.content }}{% endfor %}";

/// A layer that the server has, with the name of its file.
fn layer(origin: &Origin, kind: &str, file: Option<&str>, bytes: &[u8]) -> Value {
    origin.blob(bytes);
    let mut layer = json!({"mediaType": kind, "digest": digest(bytes), "size": bytes.len()});
    if let Some(file) = file {
        layer["annotations"] = json!({"org.cncf.model.filepath": file});
    }
    layer
}

fn manifest(origin: &Origin, config: &str, layers: &[Value]) -> Vec<u8> {
    origin.blob(config.as_bytes());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI,
        "artifactType": PACK,
        "config": {"mediaType": "application/vnd.cncf.model.config.v1+json", "digest": digest(config.as_bytes()), "size": config.len()},
        "layers": layers,
    });
    manifest.to_string().into_bytes()
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        // Set by hand, because the library refuses paths that lead out of the folder.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append(&header, *bytes).expect("a member");
    }
    tar.into_inner().expect("an archive")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(bytes).expect("memory");
    gzip.finish().expect("memory")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// The same in several frames, with a skippable one between, as `zstd:chunked` has them.
fn frames(bytes: &[u8]) -> Vec<u8> {
    let (one, two) = bytes.split_at(1024);
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    [&zstd(one)[..], &skippable, &zstd(two)].concat()
}

async fn pulled(origin: &Origin, repository: &str) -> (Home, Result<Model, Error>) {
    let home = Home::open().await;
    let reference = format!("oci://{}/{repository}", origin.host());
    let model = match home.pull_from(&reference, &Settings::default()).await {
        Ok(_) => {
            let name = name(&format!("{}/{repository}", origin.host()));
            home.registry.model(&name).await
        }
        Err(error) => Err(error),
    };
    (home, model)
}

fn weights_of(model: &Model) -> String {
    model.weights().next().expect("weights").digest.to_string()
}

#[tokio::test]
async fn weights_are_found_in_each_layout() {
    let weights = small::model();
    let pack = |end: &str| format!("application/vnd.cncf.model.{end}");
    let kit = |end: &str| format!("application/vnd.kitops.modelkit.{end}");
    let inside = tar(&[
        ("./README.md", b"read me"),
        ("man/File::Spec.3pm", b"no part of a model"),
        ("./models/m-Q4_K_M.gguf", &weights),
        ("LICENSE", b"be kind"),
    ]);
    let docker = "application/vnd.docker.ai.gguf.v3".to_owned();
    let image = "application/vnd.oci.image.layer.v1.tar+gzip".to_owned();
    let label = r#"{"config":{"Labels":{"org.containers.type":"ai.image.model.raw"}}}"#;
    for (kind, file, bytes, config) in [
        (pack("weight.v1.raw"), Some("m.gguf"), weights.clone(), "{}"),
        (pack("weight.v1.raw"), None, weights.clone(), "{}"),
        (pack("weight.v1.tar"), None, inside.clone(), "{}"),
        (pack("weight.v1.tar+gzip"), None, gzip(&inside), "{}"),
        (pack("weight.v1.tar+zstd"), None, zstd(&inside), "{}"),
        (pack("weight.v1.tar+zstd"), None, frames(&inside), "{}"),
        (kit("model.v1.tar+gzip"), None, gzip(&inside), "{}"),
        (docker, None, weights.clone(), "{}"),
        (image, None, gzip(&inside), label),
    ] {
        let origin = Origin::start().await;
        let layers = [
            layer(&origin, &pack("code.v1.raw"), Some("run.py"), b"code"),
            layer(&origin, &kind, file, &bytes),
        ];
        // An image has no other layers than archives.
        let layers = if config == "{}" {
            &layers[..]
        } else {
            &layers[1..]
        };
        origin.manifest("a/b/c:v1", manifest(&origin, config, layers));
        let (home, model) = pulled(&origin, "a/b/c:v1").await;
        let model = model.unwrap_or_else(|error| panic!("{kind}: {error:?}"));
        assert_eq!(weights_of(&model), digest(&weights), "{kind}");
        if !kind.ends_with("raw") && !kind.contains("docker") {
            let licenses = home.registry.licenses(&model).await;
            assert_eq!(licenses.expect("they are whole"), ["be kind"], "{kind}");
            let archive = registry::Digest::of(&bytes);
            let stays = home.registry.has_blob(&archive).await.expect("a store");
            assert!(!stays, "{kind}: the archive was unpacked");
            origin.forget();
            let reference = format!("oci://{}/a/b/c:v1", origin.host());
            let again = home.pull_from(&reference, &Settings::default()).await;
            assert_eq!(again.expect("it is here"), model.digest, "{kind}");
            let fetched = origin.seen(&digest(&bytes));
            assert!(fetched.is_empty(), "{kind}: nothing has changed");
        }
        assert!(
            origin.seen(&digest(b"code")).is_empty(),
            "code is not fetched"
        );
        wait_until(|| home.left_behind().is_empty()).await;
    }
}

#[tokio::test]
async fn a_chat_template_and_a_licence_come_along() {
    let origin = Origin::start().await;
    let kind = |end: &str| format!("application/vnd.docker.ai.{end}");
    let layers = [
        layer(&origin, &kind("license"), None, b"be kind"),
        layer(
            &origin,
            &kind("chat.template.jinja"),
            None,
            JINJA.as_bytes(),
        ),
        layer(&origin, &kind("gguf.v3"), None, &small::model()),
    ];
    origin.manifest("ai/notes:latest", manifest(&origin, "{}", &layers));
    let (home, model) = pulled(&origin, "ai/notes").await;
    let model = model.expect("a model of Docker's");
    assert_eq!(model.chat_template.as_deref(), Some(JINJA));
    let licenses = home.registry.licenses(&model).await;
    assert_eq!(licenses.expect("they are whole"), ["be kind"]);
    let shown = home
        .registry
        .show(&model.name, false)
        .await
        .expect("it is there");
    assert_eq!(shown.chat_template.as_deref(), Some(JINJA));
}

#[tokio::test]
async fn a_folder_of_safetensors_is_converted() {
    let origin = Origin::start().await;
    let files: Vec<(String, Vec<u8>)> = tiny_folder::bert(1)
        .into_iter()
        .map(|(path, bytes)| (format!("bert/{path}"), bytes))
        .collect();
    let members: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
        .collect();
    let kind = "application/vnd.kitops.modelkit.model.v1.tar";
    let layers = [layer(&origin, kind, None, &tar(&members))];
    origin.manifest("a/bert:latest", manifest(&origin, "{}", &layers));
    let (_, model) = pulled(&origin, "a/bert").await;
    let model = model.expect("an encoder");
    assert_eq!(model.capabilities, [registry::Capability::Embedding]);
}

#[tokio::test]
async fn an_index_leads_to_the_manifest_with_weights() {
    let origin = Origin::start().await;
    let image = "application/vnd.oci.image.layer.v1.tar+gzip";
    let image = manifest(&origin, "{}", &[layer(&origin, image, None, b"no archive")]);
    let kind = "application/vnd.cncf.model.weight.v1.raw";
    let model = manifest(
        &origin,
        "{}",
        &[layer(&origin, kind, Some("m.gguf"), &small::model())],
    );
    let entry = |bytes: &[u8]| json!({"mediaType": OCI, "digest": digest(bytes), "size": bytes.len(), "platform": {"os": "linux", "architecture": "amd64"}});
    let index = |entries: &[Value]| {
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
            .to_string()
            .into_bytes()
    };
    origin.manifest("a/b:image", image.clone());
    origin.manifest("a/b:model", model.clone());
    // The registry lacks the first one.
    let entries = [entry(b"not there"), entry(&image), entry(&model)];
    origin.manifest("a/b:latest", index(&entries));
    let (_, found) = pulled(&origin, "a/b").await;
    assert_eq!(
        weights_of(&found.expect("the second one")),
        digest(&small::model())
    );

    origin.manifest("a/b:none", index(&[entry(&image)]));
    let (_, none) = pulled(&origin, "a/b:none").await;
    let text = none.expect_err("no weights").to_string();
    assert!(
        text.contains("only in formats that slm cannot run: linux/amd64"),
        "{text}"
    );

    let mut both: Value = serde_json::from_slice(&index(&[entry(&model)])).expect("JSON");
    both["layers"] = json!([]);
    origin.manifest("a/b:both", both.to_string());
    let (_, both) = pulled(&origin, "a/b:both").await;
    let text = both.expect_err("it is ambiguous").to_string();
    assert!(text.contains("an index and a manifest at once"), "{text}");
}

#[tokio::test]
async fn hostile_archives_leave_nothing_behind() {
    let weights = small::model();
    let named = |path: &str| tar(&[(path, &weights)]);
    let mut long = tar::Header::new_gnu();
    long.set_entry_type(tar::EntryType::GNULongName);
    long.set_size(3 << 20);
    long.set_cksum();
    let mut header = tar::Builder::new(Vec::new());
    header
        .append(&long, &vec![b'a'; 3 << 20][..])
        .expect("a member");
    let header = header.into_inner().expect("an archive");
    let zeros = vec![0; 40 << 20];
    for (what, archive, packing, reason) in [
        ("a path", named("../../m.gguf"), "tar", "no weights"),
        ("a device", named("con.gguf"), "tar", "no weights"),
        (
            "twice",
            tar(&[("m.gguf", &weights), ("m.gguf", &weights)]),
            "tar",
            "twice",
        ),
        (
            "a bomb",
            gzip(&tar(&[("m.gguf", &zeros)])),
            "tar+gzip",
            "which no model of its size does",
        ),
        (
            "a long header",
            header,
            "tar",
            "the header of a member has more than",
        ),
        ("no archive", b"x".repeat(2048), "tar", "an archive"),
        (
            "no gzip",
            named("m.gguf"),
            "tar+gzip",
            "invalid gzip header",
        ),
        ("no zstd", named("m.gguf"), "tar+zstd", "an archive"),
        ("cut", named("m.gguf")[..1024].to_vec(), "tar", "an archive"),
        (
            "nothing",
            tar(&[("README.md", b"read me")]),
            "tar",
            "no weights",
        ),
    ] {
        let origin = Origin::start().await;
        let kind = format!("application/vnd.cncf.model.weight.v1.{packing}");
        let layers = [layer(&origin, &kind, None, &archive)];
        origin.manifest("a/b:latest", manifest(&origin, "{}", &layers));
        let (home, model) = pulled(&origin, "a/b").await;
        let text = model.expect_err(what).to_string();
        assert!(text.contains(reason), "{what}: {text}");
        wait_until(|| home.left_behind().is_empty()).await;
        assert!(home.registry.list().await.expect("a list").is_empty());
    }
}

#[tokio::test]
async fn a_link_in_an_archive_is_passed_over() {
    let origin = Origin::start().await;
    let mut archive = tar::Builder::new(Vec::new());
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    archive
        .append_link(&mut link, "m.gguf", "/etc/passwd")
        .expect("a link");
    let archive = archive.into_inner().expect("an archive");
    let kind = "application/vnd.cncf.model.weight.v1.tar";
    let layers = [layer(&origin, kind, None, &archive)];
    origin.manifest("a/b:latest", manifest(&origin, "{}", &layers));
    let (_, model) = pulled(&origin, "a/b").await;
    let text = model.expect_err("a link is no model").to_string();
    assert!(text.contains("no weights"), "{text}");
}

#[tokio::test]
async fn a_mirror_is_asked_before_the_registry_itself() {
    let (mirror, origin) = (Origin::start().await, Origin::start().await);
    let kind = "application/vnd.cncf.model.weight.v1.raw";
    for (server, repository) in [(&mirror, "proxy/a/b:latest"), (&origin, "a/c:latest")] {
        let layers = [layer(server, kind, Some("m.gguf"), &small::model())];
        server.manifest(repository, manifest(server, "{}", &layers));
    }
    let pair = format!("{}={}/proxy", origin.host(), mirror.host());
    let settings = Settings {
        mirrors: registry::mirrors::Mirrors::parse(&pair).expect("a mirror"),
        ..Settings::default()
    };
    let home = Home::open().await;
    for (repository, asked) in [("a/b", 0), ("a/c", 1)] {
        let reference = format!("{}/{repository}", origin.host());
        home.pull_from(&reference, &settings)
            .await
            .unwrap_or_else(|error| panic!("{repository}: {error}"));
        let seen = origin.seen(&format!("/v2/{repository}/manifests"));
        assert_eq!(seen.len(), asked, "{repository}");
    }
}
