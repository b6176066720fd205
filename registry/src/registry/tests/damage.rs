//! Files that are not what they were, or never were what they should be.

use std::os::unix::fs::symlink;

use super::*;
use crate::{Damage, Error};

/// Two models, and the digest of the weights of the first.
async fn two(home: &Home) -> Digest {
    plain(&home.registry, "good", 2).await;
    plain(&home.registry, "hurt", 1).await;
    home.registry
        .model(&name_of("hurt"))
        .await
        .expect("found")
        .weights()
        .next()
        .expect("weights")
        .digest
}

async fn refused(home: &Home) -> Error {
    home.registry
        .ready(&name_of("hurt"), &Reporter::silent())
        .await
        .expect_err("a damaged model is never opened")
}

/// The damage that was found, after a look that all the rest is as promised.
async fn found(home: &Home, weights: Digest) -> Damage {
    let error = refused(home).await;
    let text = error.to_string();
    let Error::Damaged {
        model,
        digest,
        found,
        remedy,
    } = error
    else {
        panic!("{text}")
    };
    assert_eq!((model, digest), (name_of("hurt"), weights));
    assert!(
        text.contains("hurt:latest")
            && text.contains(&weights.to_string())
            && text.contains(remedy),
        "{text}"
    );
    assert!(
        home.registry
            .ready(&name_of("good"), &Reporter::silent())
            .await
            .is_ok(),
        "the other model is not affected"
    );
    let listed = home.registry.list().await.expect("readable");
    let damaged: Vec<_> = listed
        .iter()
        .filter(|model| model.damage.is_some())
        .map(|model| model.name.clone())
        .collect();
    assert_eq!(damaged, [name_of("hurt")], "the list tells");
    found
}

#[tokio::test]
async fn a_flipped_bit_is_found_and_the_blob_moved_aside() {
    let home = Home::new().await;
    let weights = two(&home).await;
    flip_a_bit(&home.blob(&weights));
    assert!(matches!(found(&home, weights).await, Damage::Bytes { .. }));
    assert!(!home.blob(&weights).exists());
    assert_eq!(names_in(&home.path().join("quarantine")).len(), 1);
    assert_eq!(
        found(&home, weights).await,
        Damage::Missing,
        "and the second time"
    );
    // The same weights sent again mend the model.
    put(&home.registry, &gguf_writer::tiny::llama(1)).await;
    assert!(
        home.registry
            .ready(&name_of("hurt"), &Reporter::silent())
            .await
            .is_ok()
    );
    assert!(
        home.registry
            .list()
            .await
            .expect("readable")
            .iter()
            .all(|model| model.damage.is_none())
    );
}

#[tokio::test]
async fn a_small_layer_that_rots_under_its_stamp_is_moved_aside_when_it_is_read() {
    let home = Home::new().await;
    plain(&home.registry, "m", 1).await;
    let model = home.registry.model(&name_of("m")).await.expect("found");
    let config = model.manifest.config.digest;
    let path = home.blob(&config);
    flip_a_bit(&path);
    // Rot changes no stamp, so the new one is noted down as the one of good bytes.
    let file = crate::fs::open(&path).expect("the blob");
    let stamp = crate::fs::stamp(&file, &path).expect("its stamp");
    let index = &home.registry.0.index;
    index.record_verified(&config, stamp).await.expect("noted");
    let error = home.registry.model(&name_of("m")).await;
    let error = error.expect_err("the config is damaged");
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert!(!path.exists(), "it is moved aside");
    // So the same model made again is whole.
    plain(&home.registry, "m", 1).await;
    assert!(home.registry.model(&name_of("m")).await.is_ok());
}

#[tokio::test]
async fn another_name_given_to_a_blob_while_it_is_read_is_no_damage() {
    let home = Home::new().await;
    let digest = put(&home.registry, b"a file that is taken in twice").await;
    // What is done to the file each time it begins to be read.
    type Deed = fn(&Path, u32);
    let examined = async |deed: Deed| {
        let (path, times) = (home.blob(&digest), std::sync::atomic::AtomicU32::new(0));
        let reporter = Reporter::new(move |progress| {
            if progress.completed == 0 {
                deed(
                    &path,
                    times.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
                );
            }
        });
        let trust = crate::registry::blobs::Trust::Nothing;
        home.registry
            .examine(&digest, None, trust, true, &reporter)
            .await
    };
    let once = examined(|path, time| {
        if time == 0 {
            std::fs::hard_link(path, path.with_extension("other")).expect("a link");
        }
    });
    assert!(once.await.expect("it is read again").is_ok());
    let each_time = examined(|path, time| {
        std::fs::hard_link(path, path.with_extension(time.to_string())).expect("a link");
    });
    assert!(matches!(each_time.await, Err(Error::Io { .. })));
    let written = examined(|path, _| {
        let file = std::fs::File::open(path).expect("the blob");
        file.set_modified(std::time::SystemTime::UNIX_EPOCH)
            .expect("its owner may");
    });
    assert!(matches!(written.await, Err(Error::Io { .. })));
}

#[tokio::test]
async fn a_blob_that_was_cut_short_is_found() {
    let home = Home::new().await;
    let weights = two(&home).await;
    let path = home.blob(&weights);
    let bytes = std::fs::read(&path).expect("the blob");
    std::fs::remove_file(&path).expect("removed");
    std::fs::write(&path, &bytes[..bytes.len() - 1]).expect("shorter");
    assert_eq!(
        found(&home, weights).await,
        Damage::Size {
            expected: bytes.len() as u64,
            found: bytes.len() as u64 - 1
        }
    );
}

#[tokio::test]
async fn what_is_no_regular_file_is_refused_and_never_followed() {
    let home = Home::new().await;
    let weights = two(&home).await;
    let path = home.blob(&weights);
    let outside = home.path().join("outside");
    std::fs::rename(&path, &outside).expect("moved");
    // Even a link to the very same bytes: whoever owns what it points to could change it unseen.
    symlink(&outside, &path).expect("a link");
    assert_eq!(
        found(&home, weights).await,
        Damage::NotRegular("a symbolic link")
    );
    assert!(
        outside.exists() && !path.exists(),
        "the link was moved aside, not what it points to"
    );
    std::fs::create_dir(&path).expect("a folder");
    assert_eq!(found(&home, weights).await, Damage::NotRegular("a folder"));
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .expect("a pipe");
    assert_eq!(found(&home, weights).await, Damage::NotRegular("a pipe"));
    put(&home.registry, &gguf_writer::tiny::llama(1)).await;
    assert!(
        home.registry
            .ready(&name_of("hurt"), &Reporter::silent())
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_blob_is_not_written_through_a_link() {
    let home = Home::new().await;
    let victim = home.path().join("victim");
    std::fs::write(&victim, "precious").expect("a file");
    let digest = Digest::of(b"hello");
    symlink(&victim, home.blob(&digest)).expect("a link");
    put(&home.registry, b"hello").await;
    assert_eq!(
        std::fs::read_to_string(&victim).expect("a file"),
        "precious"
    );
    assert!(
        std::fs::symlink_metadata(home.blob(&digest))
            .expect("the blob")
            .is_file()
    );
}

#[tokio::test]
async fn a_manifest_is_not_written_through_a_link() {
    let home = Home::new().await;
    let outside = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(home.path().join("models/manifests/registry.ollama.ai"))
        .expect("folders");
    symlink(
        outside.path(),
        home.path()
            .join("models/manifests/registry.ollama.ai/library"),
    )
    .expect("a link");
    let weights = put(&home.registry, &gguf_writer::tiny::llama(1)).await;
    let create = Create::new(name_of("m"), Base::Blobs(vec![weights]));
    let error = home
        .registry
        .create(create, &Reporter::silent())
        .await
        .expect_err("a folder that is a link");
    assert!(
        matches!(
            error,
            Error::NotRegular {
                found: "a symbolic link",
                ..
            }
        ),
        "{error}"
    );
    assert!(names_in(outside.path()).is_empty());
    assert!(names_in(&home.path().join("ingest")).is_empty());
}

#[tokio::test]
async fn weights_that_the_strict_reader_refuses_are_never_opened() {
    let home = Home::new().await;
    two(&home).await;
    // A manifest that others wrote over bytes that are what their digest says, and no GGUF file.
    let text = plant_blob(home.path(), b"GGUF but not really");
    let manifest = std::fs::read_to_string(home.manifest("hurt")).expect("a manifest");
    let parsed = crate::manifest::Manifest::parse(manifest.as_bytes()).expect("a manifest");
    let layer = &parsed.layers[0];
    let lying = manifest
        .replace(&layer.digest.to_string(), &text.to_string())
        .replace(&format!("\"size\":{}", layer.size), "\"size\":19");
    plant(home.path(), "hurt", lying);
    let error = refused(&home).await;
    assert!(
        matches!(&error, Error::Damaged { found: Damage::Gguf(_), digest, .. } if *digest == text),
        "{error}"
    );
    assert!(
        home.blob(&text).exists(),
        "its bytes are what they should be, so the blob stays"
    );
    assert!(home.registry.show(&name_of("hurt"), false).await.is_err());
}

#[tokio::test]
async fn a_manifest_that_lies_about_a_size_costs_the_blob_nothing() {
    let home = Home::new().await;
    let weights = two(&home).await;
    let manifest = std::fs::read_to_string(home.manifest("hurt")).expect("a manifest");
    let size = std::fs::metadata(home.blob(&weights))
        .expect("the blob")
        .len();
    home.registry.0.index.forget_manifests().await;
    plant(
        home.path(),
        "hurt",
        manifest.replace(
            &format!("\"size\":{size}"),
            &format!("\"size\":{}", size + 1),
        ),
    );
    assert_eq!(
        found(&home, weights).await,
        Damage::Size {
            expected: size + 1,
            found: size
        }
    );
    assert!(home.blob(&weights).exists());
    let report = home.verify().await;
    assert_eq!(report.damaged.len(), 1);
}

#[tokio::test]
async fn a_damaged_small_layer_is_found() {
    let home = Home::new().await;
    two(&home).await;
    let create = Create {
        system: Some("be brief, and kind".into()),
        ..Create::new(name_of("hurt"), base("hurt"))
    };
    make(&home.registry, create).await;
    let model = home.registry.model(&name_of("hurt")).await.expect("found");
    let system = model
        .manifest
        .layers_of(crate::manifest::LayerKind::System)
        .next()
        .expect("a layer")
        .digest;
    flip_a_bit(&home.blob(&system));
    let error = home
        .registry
        .model(&name_of("hurt"))
        .await
        .expect_err("damaged");
    assert!(
        matches!(error, Error::Damaged { digest, found: Damage::Bytes { .. }, .. } if digest == system)
    );
    assert!(!home.blob(&system).exists(), "it was moved aside");
    // A config that is gone hides no model from the list.
    std::fs::remove_file(home.blob(&model.manifest.config.digest)).expect("removed");
    assert_eq!(home.listed().await.len(), 2);
}

fn base(name: &str) -> Base {
    Base::Model(crate::ModelRef {
        name: name_of(name),
        digest: None,
    })
}

#[tokio::test]
async fn hostile_manifests_are_listed_as_damaged_and_hide_nothing() {
    let home = Home::new().await;
    let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let layer = format!(
        r#"{{"mediaType":"application/vnd.ollama.image.model","digest":"{digest}","size":1}}"#
    );
    let hostile = [
        String::new(),
        "\0".repeat(100),
        "[".repeat(100_000),
        "{}".into(),
        format!(r#"{{"schemaVersion":2,"config":{layer},"layers":[]}}"#),
        format!(r#"{{"schemaVersion":2,"config":{layer},"layers":[{layer}]}}"#),
        format!(
            r#"{{"schemaVersion":2,"config":{layer},"layers":[{}]}}"#,
            layer.replace("e3b0", "../../")
        ),
        " ".repeat(5 << 20),
    ];
    for (number, text) in hostile.iter().enumerate() {
        plant(home.path(), &format!("hostile{number}"), text);
    }
    plain(&home.registry, "good", 1).await;
    let listed = home.registry.list().await.expect("readable");
    assert_eq!(listed.len(), hostile.len() + 1);
    for model in &listed {
        assert_eq!(
            model.damage.is_none(),
            model.name == name_of("good"),
            "{model:?}"
        );
    }
    for number in 0..hostile.len() {
        let name = name_of(&format!("hostile{number}"));
        assert!(matches!(
            home.registry.model(&name).await,
            Err(Error::DamagedManifest { .. })
        ));
        assert!(matches!(
            home.registry.copy(&name, &name_of("copy")).await,
            Err(Error::DamagedManifest { .. })
        ));
    }
    let report = home.verify().await;
    assert_eq!(
        (report.manifests.len(), report.damaged.len()),
        (hostile.len(), 0)
    );
}

#[tokio::test]
async fn verification_finds_every_kind_of_damage_and_changes_nothing_unasked() {
    let home = Home::new().await;
    let weights = two(&home).await;
    plain(&home.registry, "gone", 3).await;
    let gone = home
        .registry
        .model(&name_of("gone"))
        .await
        .expect("found")
        .manifest
        .config
        .digest;
    std::fs::remove_file(home.blob(&gone)).expect("removed");
    flip_a_bit(&home.blob(&weights));
    let stray = plant_blob(home.path(), b"stray");
    flip_a_bit(&home.blob(&stray));
    plant(home.path(), "broken", "{");
    let before = home.blobs();
    let report = home.verify().await;
    let damaged: std::collections::BTreeMap<_, _> = report
        .damaged
        .iter()
        .map(|blob| (blob.digest, blob.models.clone()))
        .collect();
    let expected = [
        (weights, vec![name_of("hurt")]),
        (gone, vec![name_of("gone")]),
        (stray, vec![]),
    ];
    assert_eq!(damaged, expected.into());
    assert_eq!(
        report
            .manifests
            .iter()
            .map(|model| &model.name)
            .collect::<Vec<_>>(),
        [&name_of("broken")]
    );
    assert!(!report.is_clean() && report.models == 4);
    assert_eq!(home.blobs(), before);

    let options = VerifyOptions {
        names: vec![name_of("good")],
        quarantine: false,
    };
    assert!(
        home.registry
            .verify(options, &Reporter::silent())
            .await
            .expect("readable")
            .is_clean()
    );
    let options = VerifyOptions {
        names: Vec::new(),
        quarantine: true,
    };
    let report = home
        .registry
        .verify(options, &Reporter::silent())
        .await
        .expect("readable");
    assert_eq!(report.quarantined.0, 2);
    let names = vec![name_of("nobody")];
    let options = VerifyOptions {
        names,
        quarantine: false,
    };
    assert!(matches!(
        home.registry.verify(options, &Reporter::silent()).await,
        Err(Error::NotFound { .. })
    ));
}

#[tokio::test]
async fn verification_trusts_no_stamp() {
    let home = Home::new().await;
    let weights = two(&home).await;
    // Damage below the file system changes no stamp. Here the index is told that the new stamp is a verified one.
    flip_a_bit(&home.blob(&weights));
    let check = home
        .registry
        .0
        .store
        .open_blob(&weights, None)
        .expect("readable");
    let crate::store::Check::There(_, stamp) = check else {
        panic!("{check:?}")
    };
    home.registry
        .0
        .index
        .record_verified(&weights, stamp)
        .await
        .expect("written");
    assert_eq!(home.verify().await.damaged.len(), 1);
    assert!(
        matches!(found(&home, weights).await, Damage::Bytes { .. }),
        "and nobody trusts it afterwards"
    );
}

#[tokio::test]
async fn verification_has_the_strict_reader_look_again() {
    let home = Home::new().await;
    let weights = two(&home).await;
    let check = home.registry.0.store.open_blob(&weights, None);
    let crate::store::Check::There(_, stamp) = check.expect("readable") else {
        panic!("the blob is there")
    };
    let refused = Err("it was refused once".to_owned());
    let index = &home.registry.0.index;
    let noted = index.record_gguf(&weights, stamp, &refused).await;
    noted.expect("written");
    let hurt = name_of("hurt");
    assert!(
        home.registry
            .ready(&hurt, &Reporter::silent())
            .await
            .is_err()
    );
    assert!(home.verify().await.is_clean());
    assert!(
        home.registry
            .ready(&hurt, &Reporter::silent())
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_layer_whose_kind_rots_is_named_wherever_the_model_is_looked_at() {
    let home = Home::new().await;
    plain(&home.registry, "m", 1).await;
    let create = Create {
        system: Some("Be brief.".into()),
        ..Create::new(
            name_of("m"),
            Base::Model(crate::ModelRef {
                name: name_of("m"),
                digest: None,
            }),
        )
    };
    make(&home.registry, create).await;
    let path = home.manifest("m");
    let text = std::fs::read_to_string(&path).expect("it is there");
    let rotten = text.replace("ollama.image.system", "ollama.image.sistem");
    assert_ne!(text, rotten);
    std::fs::write(&path, rotten).expect("it is ours");
    home.registry.0.index.forget_manifests().await;

    let said = "is of the unknown kind \"application/vnd.ollama.image.sistem\"";
    let report = home
        .registry
        .verify(VerifyOptions::default(), &Reporter::silent())
        .await
        .expect("readable");
    assert!(!report.is_clean());
    assert!(report.manifests[0].reason.contains(said), "{report:?}");
    let list = home.registry.list().await.expect("readable");
    assert!(
        list[0]
            .damage
            .as_deref()
            .is_some_and(|damage| damage.contains(said)),
        "{list:?}"
    );
    let shown = home
        .registry
        .show(&name_of("m"), false)
        .await
        .expect("readable");
    assert!(shown.modelfile.contains(said), "{}", shown.modelfile);

    // What Ollama writes for other engines is no damage.
    let foreign = text.replace("ollama.image.system", "ollama.image.tensor");
    std::fs::write(&path, foreign).expect("it is ours");
    let report = home
        .registry
        .verify(VerifyOptions::default(), &Reporter::silent())
        .await
        .expect("readable");
    assert!(report.is_clean(), "{report:?}");
}

/// A model of every kind of layer that holds a part of its own, the text of its manifest, and its adapter.
async fn complete(home: &Home) -> String {
    let weights = put(&home.registry, &gguf_writer::tiny::llama(1)).await;
    let adapter = put(&home.registry, &super::create::marked("adapter", "llama")).await;
    let mut parameters = modelfile::Parameters::default();
    parameters.set("seed", "7").expect("a parameter");
    let create = Create {
        adapters: vec![adapter],
        template: Some("{{ .System }} {{ .Prompt }}".into()),
        system: Some("Be brief.".into()),
        parameters,
        ..Create::new(name_of("m"), Base::Blobs(vec![weights]))
    };
    make(&home.registry, create).await;
    std::fs::read_to_string(home.manifest("m")).expect("it is there")
}

/// What rot makes of that text.
fn rotten(text: &str) -> Vec<String> {
    let mut rotten: Vec<_> = ["system", "template", "params", "adapter", "model"]
        .iter()
        .map(|kind| text.replacen(&format!("image.{kind}\""), "image.sistem\"", 1))
        .collect();
    let digest = text.find("sha256:").expect("a digest") + "sha256:".len();
    let other = if &text[digest..=digest] == "0" {
        "1"
    } else {
        "0"
    };
    rotten.push(format!("{}{other}{}", &text[..digest], &text[digest + 1..]));
    rotten.push(text.replacen("\"size\":", "\"size\":1", 1));
    rotten.push(text[..text.len() / 2].to_owned());
    rotten.push("\0".repeat(text.len()));
    rotten.push(String::new());
    assert!(rotten.iter().all(|rotten| rotten != text));
    rotten
}

#[tokio::test]
async fn a_manifest_that_rots_is_mended_when_its_model_is_used() {
    let home = Home::new().await;
    let text = complete(&home).await;
    for rotten in rotten(&text) {
        plant(home.path(), "m", &rotten);
        // Collection comes first, and takes nothing that the model had.
        home.registry.gc().await.expect("readable");
        let model = home.registry.model(&name_of("m")).await.expect("mended");
        assert_eq!(model.system.as_deref(), Some("Be brief."), "{rotten}");
        assert_eq!(
            (model.template.is_some(), model.adapters().count()),
            (true, 1),
            "{rotten}"
        );
        let now = std::fs::read_to_string(home.manifest("m")).expect("it is there");
        assert_eq!(now, text);
        let listed = home.registry.list().await.expect("readable");
        assert_eq!(listed[0].damage, None, "{rotten}");
    }
}

#[tokio::test]
async fn verification_mends_a_manifest_that_rots_and_tells() {
    let home = Home::new().await;
    let text = complete(&home).await;
    for rotten in rotten(&text) {
        plant(home.path(), "m", &rotten);
        let report = home.verify().await;
        assert_eq!(report.manifests.len(), 1, "{rotten}: {report:?}");
        assert!(report.manifests[0].mended && report.damaged.is_empty());
        let now = std::fs::read_to_string(home.manifest("m")).expect("it is there");
        assert_eq!(now, text);
        assert!(home.verify().await.is_clean());
    }
}

#[tokio::test]
async fn a_manifest_of_another_program_stays_and_one_that_cannot_be_mended_is_told() {
    let home = Home::new().await;
    let text = complete(&home).await;
    plain(&home.registry, "other", 2).await;
    let others = std::fs::read_to_string(home.manifest("other")).expect("it is there");
    plant(home.path(), "m", &others);
    assert!(home.verify().await.is_clean());
    let model = home.registry.model(&name_of("m")).await.expect("found");
    assert_eq!(model.system, None);
    // It is what is known from now on.
    plant(home.path(), "m", &others[..others.len() / 2]);
    home.registry.model(&name_of("m")).await.expect("mended");
    let now = std::fs::read_to_string(home.manifest("m")).expect("it is there");
    assert_eq!(now, others);
    // A model with other blobs and a layer of a later program is not overwritten.
    let later = text.replacen("image.system", "image.sistem", 1);
    plant(home.path(), "m", &later);
    let report = home.verify().await;
    assert!(!report.manifests[0].mended, "{report:?}");
    assert_eq!(
        std::fs::read_to_string(home.manifest("m")).expect("it is there"),
        later
    );
    // Without its blobs, the kept text is of no use.
    plant(home.path(), "other", "{");
    let model = crate::manifest::Manifest::parse(others.as_bytes()).expect("a manifest");
    std::fs::remove_file(home.blob(&model.config.digest)).expect("removed");
    let error = home.registry.model(&name_of("other")).await;
    assert!(matches!(error, Err(Error::DamagedManifest { .. })));
}
