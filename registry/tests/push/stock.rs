//! Against Debian's `docker-registry`, with `skopeo` copying in and out.

use std::collections::HashSet;
use std::process::Command;

use gguf_writer::small;
use origin::noise;
use registry::push::Format;
use registry::{Digest, ModelName, Reference};

use crate::harness::{Home, MIB, Stock, Users};

fn skopeo(words: &[&str]) {
    let done = Command::new("skopeo")
        .args(["--insecure-policy", "copy"])
        .args(words)
        .output()
        .expect("skopeo is installed; installer/test.sh does that");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "skopeo copy {words:?}: {said}");
}

#[tokio::test]
async fn a_model_comes_back_byte_for_byte_and_is_not_sent_twice() {
    let stock = Stock::start(Users::Anybody);
    let (home, name) = Home::with_model(&noise(20 * MIB, 1)).await;
    let to = stock.name("me/notes:v1");
    let first = home.push(&name, &to).await.expect("a good registry");
    assert_eq!((first.sent, first.present, first.mounted), (5, 0, 0));
    assert_eq!(first.digest, home.digest(&name).await);
    assert_eq!(first.place, to);
    let second = home.push(&name, &to).await.expect("nothing has changed");
    assert_eq!((second.sent, second.present, second.mounted), (0, 5, 0));
    let told = home.told();
    let of_blobs = told.iter().filter(|progress| progress.digest.is_some());
    let of_second: Vec<_> = of_blobs.rev().take(5).collect();
    assert!(
        of_second
            .iter()
            .all(|progress| progress.completed == progress.total),
        "what is there is not counted as sent: {of_second:?}"
    );
    let blobs: HashSet<_> = of_second.iter().map(|progress| progress.digest).collect();
    assert_eq!(blobs.len(), 5, "{of_second:?}");

    let other = Home::open().await;
    let pulled = other.pull(&to).await.expect("it is there");
    assert_eq!(pulled, first.digest);

    let mut last = std::collections::HashMap::new();
    for progress in home.told() {
        if let Some(digest) = progress.digest {
            let before = last.insert(digest, progress.completed).unwrap_or(0);
            assert!(progress.completed <= progress.total, "{progress:?}");
            assert!(
                before <= progress.completed || before == progress.total,
                "{progress:?}"
            );
        }
    }
    assert_eq!(last.len(), 5);
}

#[tokio::test]
async fn tags_with_a_quantization_are_variants_of_the_tag_with_the_same_bytes() {
    let stock = Stock::start(Users::Anybody);
    let (home, name) = Home::with_model(&noise(MIB, 1)).await;
    let (other, large) = Home::with_model(&noise(2 * MIB, 2)).await;
    for tag in ["latest", "4b", "4b-q4_K_M", "1b-q4_K_M-old"] {
        let to = stock.name(&format!("me/notes:{tag}"));
        home.push(&name, &to).await.expect("a good registry");
    }
    for tag in ["4b-q8_0", "1b-q8_0"] {
        let to = stock.name(&format!("me/notes:{tag}"));
        other.push(&large, &to).await.expect("a good registry");
    }
    for tag in ["latest", "4b"] {
        let text = stock.name(&format!("me/notes:{tag}"));
        let reference = Reference::parse(&text).expect("a reference");
        let found = home
            .registry
            .variants(&reference, false, &home.settings)
            .await
            .expect("a good registry");
        let shown: Vec<_> = found
            .all
            .iter()
            .map(|it| (it.name.as_str(), it.quantization.as_str(), it.is_usual))
            .collect();
        assert_eq!(
            shown,
            [("4b-q4_K_M", "Q4_K_M", true), ("4b-q8_0", "Q8_0", false)],
            "{tag}"
        );
        assert!(found.all[0].size < found.all[1].size);
    }
}

#[tokio::test]
async fn a_repository_takes_over_what_another_one_of_the_registry_has() {
    let stock = Stock::start(Users::Anybody);
    let (home, name) = Home::with_model(&noise(MIB, 1)).await;
    let first = stock.name("me/notes:v1");
    home.push(&name, &first).await.expect("a good registry");
    home.pull(&first).await.expect("it is there");
    let second = home
        .push(&first, &stock.name("me/other:v1"))
        .await
        .expect("a good registry");
    assert_eq!((second.sent, second.present, second.mounted), (0, 0, 5));
}

#[tokio::test]
async fn a_model_pack_is_an_artifact_that_other_tools_copy() {
    let stock = Stock::start(Users::Anybody);
    let (home, name) = Home::with_model(&noise(MIB, 1)).await;
    let to = stock.name("me/notes:pack");
    let first = home
        .push_as(&name, &to, Format::ModelPack)
        .await
        .expect("a good registry");
    // Weights, system prompt, licence and the config; a layer of an unknown kind has no place in it.
    assert_eq!((first.sent, first.present), (4, 0));
    let second = home
        .push_as(&name, &to, Format::ModelPack)
        .await
        .expect("a good registry");
    assert_eq!((second.sent, second.digest), (0, first.digest));

    let folder = home.outside().join("copied");
    let layout = format!("oci:{}:pack", folder.display());
    skopeo(&["--src-tls-verify=false", &format!("docker://{to}"), &layout]);
    let blob = |digest: &Digest| {
        let path = folder.join("blobs/sha256").join(digest.hex());
        std::fs::read(path).expect("skopeo has copied it")
    };
    let manifest: serde_json::Value =
        serde_json::from_slice(&blob(&first.digest)).expect("a manifest");
    assert_eq!(
        manifest["artifactType"],
        "application/vnd.cncf.model.manifest.v1+json"
    );
    let weights = &manifest["layers"][0];
    assert_eq!(
        weights["mediaType"],
        "application/vnd.cncf.model.weight.v1.raw"
    );
    assert_eq!(
        weights["annotations"]["org.cncf.model.filepath"],
        "notes.gguf"
    );
    assert_eq!(blob(&Digest::of(&small::model())), small::model());
    let config: serde_json::Value = serde_json::from_slice(&blob(
        &Digest::parse(manifest["config"]["digest"].as_str().expect("a digest")).expect("a digest"),
    ))
    .expect("a config");
    assert_eq!(config["config"]["format"], "gguf");
    assert_eq!(
        config["modelfs"]["diffIds"].as_array().map(Vec::len),
        Some(3)
    );
}

#[tokio::test]
async fn what_skopeo_copied_can_be_pulled() {
    let stock = Stock::start(Users::Anybody);
    let (home, name) = Home::with_model(&noise(MIB, 1)).await;
    let to = stock.name("me/notes:pack");
    let pushed = home
        .push_as(&name, &to, Format::ModelPack)
        .await
        .expect("a good registry");
    let layout = format!("oci:{}:pack", home.outside().join("copied").display());
    skopeo(&["--src-tls-verify=false", &format!("docker://{to}"), &layout]);
    let copied = stock.name("other/copied:pack");
    skopeo(&[
        "--dest-tls-verify=false",
        &layout,
        &format!("docker://{copied}"),
    ]);
    let again = home.push_as(&name, &copied, Format::ModelPack).await;
    let again = again.expect("a good registry");
    assert_eq!((again.sent, again.digest), (0, pushed.digest));

    let other = Home::open().await;
    other.pull(&copied).await.expect("it is there");
    let name = ModelName::parse(&copied).expect("a name");
    let model = other.registry.model(&name).await.expect("it is whole");
    let weights = model.manifest.blobs().map(|layer| layer.digest);
    assert!(
        weights
            .into_iter()
            .any(|digest| digest == Digest::of(&small::model()))
    );
    let licenses = home.registry.licenses(&model).await;
    assert_eq!(licenses.expect("they are whole"), ["MIT"]);
    assert_eq!(model.system.as_deref(), Some("Take notes."));
}
