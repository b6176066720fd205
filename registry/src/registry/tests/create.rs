//! Making models.

use gguf_writer::tiny;
use modelfile::{Message, Parameters, Role};

use super::*;
use crate::{Capability, Error, Model, ModelRef, Stage, manifest::Manifest};

fn parameters(lines: &[(&str, &str)]) -> Parameters {
    let mut parameters = Parameters::default();
    for (name, value) in lines {
        parameters.set(name, value).expect("a good parameter");
    }
    parameters
}

fn on(name: &str, base: &str) -> Create {
    Create::new(
        name_of(name),
        Base::Model(ModelRef {
            name: name_of(base),
            digest: None,
        }),
    )
}

/// A model with one of everything that is text.
async fn full(registry: &Registry, name: &str) -> Digest {
    let weights = put(registry, &tiny::llama(1)).await;
    let create = Create {
        template: Some("{{ .System }} {{ .Prompt }}".into()),
        system: Some("be brief".into()),
        parameters: parameters(&[("temperature", "0.5"), ("stop", "END")]),
        messages: vec![Message {
            role: Role::User,
            content: "hi".into(),
        }],
        licenses: vec!["free".into()],
        requires: Some("0.1.0".into()),
        renderer: Some("r".into()),
        parser: Some("p".into()),
        ..Create::new(name_of(name), Base::Blobs(vec![weights]))
    };
    make(registry, create).await
}

async fn refusal(registry: &Registry, create: Create) -> Error {
    registry
        .create(create, &Reporter::silent())
        .await
        .expect_err("a refusal")
}

/// The same model as [`tiny::llama`], marked as something else.
pub(super) fn marked(kind: &str, architecture: &str) -> Vec<u8> {
    let tiny = gguf_writer::Writer::new()
        .kv("general.architecture", architecture)
        .kv("general.type", kind)
        .tensor(gguf_writer::Tensor::f32("a", &[32], &[0.0; 32]));
    tiny.to_bytes()
}

async fn licenses(registry: &Registry, model: &Model) -> Vec<String> {
    registry.licenses(model).await.expect("they are whole")
}

#[tokio::test]
async fn manifest_and_config_have_the_shape_that_ollama_reads() {
    let home = Home::new().await;
    let digest = full(&home.registry, "me/full").await;
    let bytes = std::fs::read(home.manifest("me/full")).expect("a manifest");
    assert_eq!(digest, Digest::of(&bytes));
    let manifest = Manifest::parse(&bytes).expect("a manifest");
    let config = std::fs::read(home.blob(&manifest.config.digest)).expect("a config");
    let pretty = |json: &[u8]| {
        let value: serde_json::Value = serde_json::from_slice(json).expect("JSON");
        serde_json::to_string_pretty(&value).expect("JSON")
    };
    // Sizes and digests of the weights are the business of those who make them.
    let filters = vec![
        ("sha256:[0-9a-f]{64}", "sha256:<hex>"),
        (r#""size": \d+"#, r#""size": <bytes>"#),
    ];
    insta::with_settings!({ filters => filters }, {
        insta::assert_snapshot!(pretty(&bytes), @r#"
    {
      "schemaVersion": 2,
      "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
      "config": {
        "mediaType": "application/vnd.docker.container.image.v1+json",
        "digest": "sha256:<hex>",
        "size": <bytes>
      },
      "layers": [
        {
          "mediaType": "application/vnd.ollama.image.model",
          "digest": "sha256:<hex>",
          "size": <bytes>
        },
        {
          "mediaType": "application/vnd.ollama.image.template",
          "digest": "sha256:<hex>",
          "size": <bytes>
        },
        {
          "mediaType": "application/vnd.ollama.image.system",
          "digest": "sha256:<hex>",
          "size": <bytes>
        },
        {
          "mediaType": "application/vnd.ollama.image.license",
          "digest": "sha256:<hex>",
          "size": <bytes>
        },
        {
          "mediaType": "application/vnd.ollama.image.params",
          "digest": "sha256:<hex>",
          "size": <bytes>
        },
        {
          "mediaType": "application/vnd.ollama.image.messages",
          "digest": "sha256:<hex>",
          "size": <bytes>
        }
      ]
    }
    "#);
        insta::assert_snapshot!(pretty(&config), @r#"
    {
      "model_format": "gguf",
      "model_family": "llama",
      "model_families": [
        "llama"
      ],
      "model_type": "119K",
      "file_type": "F32",
      "renderer": "r",
      "parser": "p",
      "requires": "0.1.0",
      "capabilities": [
        "completion"
      ],
      "context_length": 2048,
      "embedding_length": 64,
      "architecture": "amd64",
      "os": "linux",
      "rootfs": {
        "type": "layers",
        "diff_ids": [
          "sha256:<hex>",
          "sha256:<hex>",
          "sha256:<hex>",
          "sha256:<hex>",
          "sha256:<hex>",
          "sha256:<hex>"
        ]
      }
    }
    "#);
    });
    let digests: Vec<_> = manifest
        .layers
        .iter()
        .map(|layer| layer.digest.to_string())
        .collect();
    let config: serde_json::Value = serde_json::from_slice(&config).expect("JSON");
    assert_eq!(config["rootfs"]["diff_ids"], serde_json::json!(digests));
}

#[tokio::test]
async fn a_model_reads_back_as_it_was_made() {
    let home = Home::new().await;
    let digest = full(&home.registry, "full").await;
    let model = home.registry.model(&name_of("full")).await.expect("found");
    assert_eq!(model.digest, digest);
    assert_eq!(
        model.template.as_deref(),
        Some("{{ .System }} {{ .Prompt }}")
    );
    assert_eq!(model.system.as_deref(), Some("be brief"));
    assert_eq!(
        model.parameters,
        parameters(&[("temperature", "0.5"), ("stop", "END")])
    );
    assert_eq!(
        model.messages,
        [Message {
            role: Role::User,
            content: "hi".into()
        }]
    );
    assert_eq!(licenses(&home.registry, &model).await, ["free"]);
    assert_eq!(
        (
            model.config.renderer.as_deref(),
            model.config.parser.as_deref()
        ),
        (Some("r"), Some("p"))
    );
    assert_eq!(model.config.requires.as_deref(), Some("0.1.0"));
    assert_eq!(model.capabilities, [Capability::Completion]);
    assert_eq!(
        (model.details.format.as_str(), model.details.family.as_str()),
        ("gguf", "llama")
    );
    let listed = home.registry.list().await.expect("readable");
    assert_eq!(
        (&listed[0].details, &listed[0].capabilities),
        (&model.details, &model.capabilities)
    );
    assert_eq!(
        (listed[0].digest, listed[0].size),
        (digest, model.manifest.size())
    );
}

#[tokio::test]
async fn what_a_recipe_does_not_say_is_inherited() {
    let home = Home::new().await;
    full(&home.registry, "base").await;
    let digest = make(&home.registry, on("child", "base")).await;
    let (base, child) = (
        home.registry.model(&name_of("base")).await,
        home.registry.model(&name_of("child")).await,
    );
    let (base, child) = (base.expect("found"), child.expect("found"));
    assert_ne!(base.digest, digest, "its layers say where they come from");
    assert!(
        child
            .manifest
            .layers
            .iter()
            .all(|layer| layer.from.as_deref() == Some("base:latest"))
    );
    assert_eq!(
        (&child.template, &child.system, &child.messages),
        (&base.template, &base.system, &base.messages)
    );
    assert_eq!(child.parameters, base.parameters);
    assert_eq!(
        licenses(&home.registry, &child).await,
        licenses(&home.registry, &base).await
    );
    assert_eq!(child.config, base.config);
}

#[tokio::test]
async fn a_recipe_overrides_adds_and_takes_away() {
    let home = Home::new().await;
    full(&home.registry, "base").await;
    let create = Create {
        template: Some(String::new()),
        system: Some("be long".into()),
        parameters: parameters(&[("temperature", "0.9"), ("top_k", "7")]),
        messages: vec![Message {
            role: Role::Assistant,
            content: "yes".into(),
        }],
        licenses: vec!["freer".into(), "free".into()],
        ..on("child", "base")
    };
    make(&home.registry, create).await;
    let child = home.registry.model(&name_of("child")).await.expect("found");
    assert_eq!(child.template, None);
    assert_eq!(child.system.as_deref(), Some("be long"));
    assert_eq!(
        child.parameters,
        parameters(&[("temperature", "0.9"), ("top_k", "7"), ("stop", "END")])
    );
    assert_eq!(
        child.messages,
        [Message {
            role: Role::Assistant,
            content: "yes".into()
        }]
    );
    let mut licenses = licenses(&home.registry, &child).await;
    licenses.sort();
    assert_eq!(licenses, ["free", "freer"], "each once");
}

#[tokio::test]
async fn a_licence_is_added_once_however_often_a_model_is_made_from_itself() {
    let home = Home::new().await;
    full(&home.registry, "base").await;
    let now = async || {
        let model = home.registry.model(&name_of("base")).await;
        licenses(&home.registry, &model.expect("found")).await
    };
    let before = now().await;
    let again = || Create {
        licenses: before.clone(),
        ..on("base", "base")
    };
    let first = make(&home.registry, again()).await;
    assert_eq!(now().await, before);
    assert_eq!(make(&home.registry, again()).await, first);
    let more = Create {
        licenses: vec!["another".into()],
        ..on("base", "base")
    };
    make(&home.registry, more).await;
    assert_eq!(now().await.len(), before.len() + 1);
}

#[tokio::test]
async fn a_model_says_what_it_was_made_from() {
    let home = Home::new().await;
    full(&home.registry, "base").await;
    make(&home.registry, on("child", "base")).await;
    make(&home.registry, on("grandchild", "child")).await;
    make(&home.registry, on("grandchild", "grandchild")).await;
    for (name, parent) in [
        ("base", ""),
        ("child", "base:latest"),
        ("grandchild", "child:latest"),
    ] {
        let model = home.registry.model(&name_of(name)).await.expect("found");
        assert_eq!(model.details.parent_model, parent, "{name}");
        let listed = home.registry.list().await.expect("readable");
        let line = listed.iter().find(|line| line.name == model.name);
        assert_eq!(line.expect("listed").details.parent_model, parent, "{name}");
    }
}

#[tokio::test]
async fn a_model_that_is_made_again_as_it_is_keeps_its_time() {
    let home = Home::new().await;
    full(&home.registry, "base").await;
    make(&home.registry, on("child", "base")).await;
    let found = async || home.registry.model(&name_of("child")).await.expect("found");
    let before = found().await;
    make(&home.registry, on("child", "base")).await;
    let after = found().await;
    assert_eq!(
        (before.digest, before.modified),
        (after.digest, after.modified)
    );
    let changed = Create {
        system: Some("new".into()),
        ..on("child", "base")
    };
    make(&home.registry, changed).await;
    assert_ne!(found().await.digest, before.digest);
}

#[tokio::test]
async fn a_model_can_be_its_own_base() {
    let home = Home::new().await;
    full(&home.registry, "base").await;
    let old = home.registry.model(&name_of("base")).await.expect("found");
    make(
        &home.registry,
        Create {
            system: Some("new".into()),
            ..on("base", "BASE")
        },
    )
    .await;
    let new = home.registry.model(&name_of("base")).await.expect("found");
    assert_eq!(new.system.as_deref(), Some("new"));
    assert!(home.verify().await.is_clean());
    let system = |model: &crate::Model| {
        model
            .manifest
            .layers_of(crate::manifest::LayerKind::System)
            .next()
            .map(|l| l.digest)
    };
    assert!(
        !home.blob(&system(&old).expect("a layer")).exists(),
        "the replaced system prompt went"
    );
}

#[tokio::test]
async fn parameters_of_another_program_are_kept() {
    let home = Home::new().await;
    plain(&home.registry, "base", 1).await;
    let params = plant_blob(
        home.path(),
        br#"{"temperature":0.1,"from_the_future":[1,2]}"#,
    );
    let manifest = std::fs::read_to_string(home.manifest("base")).expect("a manifest");
    let layer = format!(
        r#",{{"mediaType":"application/vnd.ollama.image.params","digest":"{params}","size":43}}]}}"#
    );
    plant(
        home.path(),
        "base",
        manifest.trim_end_matches("]}").to_owned() + &layer,
    );
    make(
        &home.registry,
        Create {
            parameters: parameters(&[("top_k", "3")]),
            ..on("child", "base")
        },
    )
    .await;
    let child = home.registry.model(&name_of("child")).await.expect("found");
    assert_eq!(
        child.parameters,
        parameters(&[("temperature", "0.1"), ("top_k", "3")])
    );
    let layer = child
        .manifest
        .layers_of(crate::manifest::LayerKind::Params)
        .next()
        .expect("a layer")
        .digest;
    let json = std::fs::read_to_string(home.blob(&layer)).expect("a blob");
    assert!(json.contains("from_the_future"), "{json}");
}

#[tokio::test]
async fn a_pinned_base_must_be_the_one_that_is_here() {
    let home = Home::new().await;
    let digest = plain(&home.registry, "base", 1).await;
    let pinned = |digest| {
        Create::new(
            name_of("child"),
            Base::Model(ModelRef {
                name: name_of("base"),
                digest: Some(digest),
            }),
        )
    };
    make(&home.registry, pinned(digest)).await;
    let other = Digest::of(b"other");
    let error = refusal(&home.registry, pinned(other)).await;
    assert!(
        matches!(error, Error::BaseMismatch { expected, found, .. } if expected == other && found == digest)
    );
    assert!(matches!(
        refusal(&home.registry, on("child", "nobody")).await,
        Error::NotFound { .. }
    ));
}

#[tokio::test]
async fn files_say_themselves_what_they_are() {
    let home = Home::new().await;
    let weights = put(&home.registry, &tiny::llama(1)).await;
    let projector = put(&home.registry, &marked("mmproj", "clip")).await;
    let adapter = put(&home.registry, &marked("adapter", "llama")).await;
    let draft = put(&home.registry, &tiny::llama(2)).await;
    let create = Create {
        adapters: vec![adapter],
        draft: Some(draft),
        ..Create::new(name_of("all"), Base::Blobs(vec![projector, weights]))
    };
    make(&home.registry, create).await;
    let ready = home
        .registry
        .ready(&name_of("all"), &Reporter::silent())
        .await
        .expect("good");
    assert_eq!(ready.weights.digest, weights);
    assert_eq!(ready.projectors[0].digest, projector);
    assert_eq!(ready.adapters[0].digest, adapter);
    assert_eq!(ready.draft.expect("a draft").digest, draft);
    assert_eq!(ready.model.details.families, ["llama", "clip"]);
    assert_eq!(
        ready.model.capabilities,
        [Capability::Completion, Capability::Vision]
    );
}

#[tokio::test]
async fn models_with_adapters_are_found_by_their_base() {
    let home = Home::new().await;
    plain(&home.registry, "base", 1).await;
    assert!(
        home.registry
            .adapted_models()
            .await
            .expect("readable")
            .is_empty()
    );
    let adapter = put(&home.registry, &marked("adapter", "llama")).await;
    let base = ModelRef {
        name: name_of("base"),
        digest: None,
    };
    let create = Create {
        adapters: vec![adapter],
        ..Create::new(name_of("a"), Base::Model(base))
    };
    let before = home.registry.revision();
    make(&home.registry, create).await;
    assert_ne!(home.registry.revision(), before);
    let adapted = home.registry.adapted_models().await.expect("readable");
    let base = home.registry.model(&name_of("base")).await.expect("there");
    let [found] = adapted.as_slice() else {
        panic!("one model has adapters: {adapted:?}");
    };
    assert_eq!((&found.name, &found.key), (&name_of("a"), &base.key()));
    assert_eq!(found.adapters[0].digest, adapter);
    let silent = Reporter::silent();
    let opened = home.registry.ready_adapter(&found.name, adapter, &silent);
    assert_eq!(opened.await.expect("good").digest, adapter);
    let absent = home.registry.ready_adapter(&base.name, adapter, &silent);
    assert!(matches!(absent.await, Err(Error::BlobNotFound { .. })));

    let before = home.registry.revision();
    home.registry.remove(&name_of("a")).await.expect("removed");
    assert_ne!(home.registry.revision(), before);
    assert!(
        home.registry
            .adapted_models()
            .await
            .expect("readable")
            .is_empty()
    );
}

#[tokio::test]
async fn recipes_that_cannot_be_followed_are_refused_and_change_nothing() {
    let home = Home::new().await;
    let old = plain(&home.registry, "m", 1).await;
    let blobs = |digests: &[Digest]| Create::new(name_of("m"), Base::Blobs(digests.to_vec()));
    let weights = put(&home.registry, &tiny::llama(1)).await;
    let other = put(&home.registry, &tiny::llama(2)).await;
    let adapter = put(&home.registry, &marked("adapter", "llama")).await;
    let foreign = put(&home.registry, &marked("adapter", "gemma")).await;
    let text = put(&home.registry, b"no weights").await;
    let missing = Digest::of(b"missing");
    for (create, expected) in [
        (
            Create {
                system: Some("s".repeat((4 << 20) + 1)),
                ..blobs(&[weights])
            },
            "the system prompt has 4194305 bytes, at most 4194304 are allowed".to_owned(),
        ),
        (
            Create {
                renderer: Some("r".repeat(1 << 20)),
                ..blobs(&[weights])
            },
            "the config has ".to_owned(),
        ),
        (
            blobs(&vec![weights; 1025]),
            "the model would have 1025 layers, at most 1024 are allowed".to_owned(),
        ),
        (
            blobs(&[weights, foreign]),
            format!("adapter {foreign} is made for \"gemma\", but the base is \"llama\""),
        ),
        (blobs(&[]), "none of the files holds weights".to_owned()),
        (
            blobs(&[adapter]),
            "none of the files holds weights".to_owned(),
        ),
        (
            blobs(&[weights, other]),
            "several files hold weights, and they are not the parts of one model".to_owned(),
        ),
        (
            blobs(&[weights, weights]),
            format!("blob {weights} is named twice"),
        ),
        (
            blobs(&[missing]),
            format!("blob {missing} is not in the store; send it first"),
        ),
        (
            blobs(&[text]),
            format!("blob {text} is not a usable GGUF file"),
        ),
        (
            Create {
                adapters: vec![other],
                ..blobs(&[weights])
            },
            format!("blob {other} is of kind model, not adapter"),
        ),
        (
            Create {
                draft: Some(adapter),
                ..blobs(&[weights])
            },
            format!("blob {adapter} is of kind adapter, not draft model"),
        ),
        (
            Create {
                adapters: vec![foreign],
                ..blobs(&[weights])
            },
            format!("adapter {foreign} is made for \"gemma\", but the base is \"llama\""),
        ),
    ] {
        let error = refusal(&home.registry, create).await.to_string();
        assert!(
            error.starts_with(&expected),
            "{error:?} is not {expected:?}"
        );
    }
    assert_eq!(
        home.registry
            .model(&name_of("m"))
            .await
            .expect("found")
            .digest,
        old
    );
}

#[tokio::test]
async fn the_parts_of_a_split_model_are_put_in_order() {
    let parts = tiny::writer(1).split(2);
    let home = Home::new().await;
    let (first, second) = (
        put(&home.registry, &parts[0]).await,
        put(&home.registry, &parts[1]).await,
    );
    make(
        &home.registry,
        Create::new(name_of("m"), Base::Blobs(vec![second, first])),
    )
    .await;
    let ready = home
        .registry
        .ready(&name_of("m"), &Reporter::silent())
        .await
        .expect("good");
    assert_eq!(
        (ready.weights.digest, ready.shards[0].digest),
        (first, second)
    );
    let whole = tiny::llama(1);
    let gguf = crate::gguf::read(&mut std::io::Cursor::new(&whole), whole.len() as u64);
    let whole = gguf.expect("a good file");
    assert_eq!(
        ready.model.details.parameter_size,
        crate::facts::count_label(whole.parameter_count())
    );
    let shown = home.registry.show(&name_of("m"), true).await;
    let shown = shown.expect("good");
    assert_eq!(shown.tensors.len(), whole.tensors.len());
    assert_eq!(
        shown.model_info["general.parameter_count"],
        whole.parameter_count()
    );
    let mut half = Create::new(name_of("m"), Base::Blobs(vec![second]));
    half.file_names.note(second, "m-00002-of-00002.gguf");
    assert_eq!(
        refusal(&home.registry, half).await.to_string(),
        "the model is split into 2 files, and part 1 is missing beside m-00002-of-00002.gguf"
    );
}

#[tokio::test]
async fn the_parts_of_a_split_model_come_and_go_together() {
    let home = Home::new().await;
    let mut parts = Vec::new();
    for part in tiny::writer(1).split(3) {
        parts.push(put(&home.registry, &part).await);
    }
    make(
        &home.registry,
        Create::new(name_of("m"), Base::Blobs(parts.clone())),
    )
    .await;
    home.registry
        .copy(&name_of("m"), &name_of("twin"))
        .await
        .expect("there");
    home.registry.remove(&name_of("m")).await.expect("there");
    home.registry.gc().await.expect("readable");
    assert!(
        home.registry
            .ready(&name_of("twin"), &Reporter::silent())
            .await
            .is_ok()
    );

    // A part that is damaged makes the model damaged.
    std::fs::remove_file(home.blob(&parts[2])).expect("it is there");
    let report = home
        .registry
        .verify(VerifyOptions::default(), &Reporter::silent())
        .await
        .expect("readable");
    let damaged: Vec<_> = report.damaged.iter().map(|blob| blob.digest).collect();
    assert_eq!(damaged, [parts[2]]);
    assert_eq!(report.damaged[0].models, [name_of("twin")]);

    home.registry.0.index.end_leases().await;
    home.registry.remove(&name_of("twin")).await.expect("there");
    home.registry.gc().await.expect("readable");
    assert!(parts.iter().all(|part| !home.blob(part).exists()));
}

#[tokio::test]
async fn a_file_in_the_other_byte_order_is_refused_with_the_reason() {
    let home = Home::new().await;
    let big = put(&home.registry, &gguf_writer::small::big_endian()).await;
    let mut create = Create::new(name_of("m"), Base::Blobs(vec![big]));
    create.file_names.note(big, "big.gguf");
    let error = refusal(&home.registry, create).await;
    assert!(matches!(error, Error::NotGguf { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.starts_with("big.gguf is not a usable GGUF file: its numbers are big-endian"),
        "{text}"
    );

    let path = home.path().join("big.gguf");
    std::fs::write(&path, gguf_writer::small::big_endian()).expect("a file");
    let error = home.registry.adopt(&path, &Reporter::silent()).await;
    let error = error.expect_err("the other byte order");
    assert!(error.to_string().contains("are big-endian"), "{error}");

    // Also where nothing stands in it, and something else is wrong as well.
    let empty = [b"GGUF".as_slice(), &[0, 0, 0, 3], &[0; 16]].concat();
    let empty = put(&home.registry, &empty).await;
    let create = Create::new(name_of("m"), Base::Blobs(vec![empty]));
    let error = refusal(&home.registry, create).await;
    assert!(error.to_string().contains("are big-endian"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_cut_off_is_called_by_its_name_and_incomplete() {
    let home = Home::new().await;
    let whole = tiny::llama(1);
    for length in [900, whole.len() / 2, whole.len() - 1] {
        let cut = put(&home.registry, &whole[..length]).await;
        let mut create = Create::new(name_of("m"), Base::Blobs(vec![cut]));
        create.file_names.note(cut, "cut.gguf");
        let text = refusal(&home.registry, create).await.to_string();
        assert!(
            text.starts_with("cut.gguf is not a usable GGUF file"),
            "{text}"
        );
        assert!(
            text.contains("incomplete") && text.contains("download it again"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn progress_says_what_is_done() {
    let home = Home::new().await;
    let weights = put(&home.registry, &tiny::llama(1)).await;
    let said = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = said.clone();
    let reporter =
        Reporter::new(move |progress| sink.lock().expect("no panic").push(progress.stage));
    let create = Create {
        system: Some("s".into()),
        ..Create::new(name_of("m"), Base::Blobs(vec![weights]))
    };
    home.registry.create(create, &reporter).await.expect("made");
    let said = said.lock().expect("no panic").clone();
    let system = Digest::of(b"s");
    for expected in [
        Stage::ReadingWeights,
        Stage::ExistingLayer(weights),
        Stage::NewLayer(system),
        Stage::WritingManifest,
    ] {
        assert!(
            said.contains(&expected),
            "{expected:?} is missing in {said:?}"
        );
    }
}

#[tokio::test]
async fn a_shown_modelfile_makes_the_same_model() {
    let home = Home::new().await;
    full(&home.registry, "full").await;
    let shown = home
        .registry
        .show(&name_of("full"), true)
        .await
        .expect("found");
    assert!(!shown.tensors.is_empty());
    assert_eq!(
        shown
            .model_info
            .get("general.architecture")
            .and_then(|value| value.as_str()),
        Some("llama")
    );
    let parsed = modelfile::parse(&shown.modelfile)
        .expect("a Modelfile")
        .modelfile;
    let weights = shown.model.weights().next().expect("weights").digest;
    assert_eq!(
        parsed.from().collect::<Vec<_>>(),
        [home.blob(&weights).to_str().expect("a path")]
    );
    assert_eq!(parsed.template(), shown.model.template.as_deref());
    assert_eq!(parsed.system(), shown.model.system.as_deref());
    assert_eq!(parsed.parameters(), shown.model.parameters);
    assert_eq!(
        parsed.messages().cloned().collect::<Vec<_>>(),
        shown.model.messages
    );
    assert_eq!(parsed.licenses().collect::<Vec<_>>(), ["free"]);
    assert!(
        home.registry
            .show(&name_of("full"), false)
            .await
            .expect("found")
            .tensors
            .is_empty()
    );
}

#[tokio::test]
async fn a_caller_who_goes_away_stops_nothing_half_way() {
    use futures::FutureExt as _;
    let home = Home::new().await;
    let weights = put(&home.registry, &tiny::llama(1)).await;
    let silent = Reporter::silent();
    {
        let create = Create {
            system: Some("s".into()),
            ..Create::new(name_of("m"), Base::Blobs(vec![weights]))
        };
        let mut builder = Box::pin(home.registry.create(create, &silent));
        assert!(
            builder.as_mut().now_or_never().is_none(),
            "it has only begun"
        );
    }
    while home.listed().await.is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        home.registry
            .model(&name_of("m"))
            .await
            .expect("found")
            .system
            .as_deref(),
        Some("s")
    );
    assert!(home.verify().await.is_clean());
}

#[tokio::test]
async fn a_model_whose_pull_was_dropped_is_not_published() {
    let home = Home::new().await;
    let registry = &home.registry;
    let weights = put(registry, &tiny::llama(1)).await;
    let dropped = tokio_util::sync::CancellationToken::new();
    let create = || Create {
        dropped: Some(dropped.clone()),
        ..Create::new(name_of("mine"), Base::Blobs(vec![weights]))
    };
    make(registry, create()).await;
    registry
        .remove(&name_of("mine"))
        .await
        .expect("it is there");
    put(registry, &tiny::llama(1)).await;
    dropped.cancel();
    let error = refusal(registry, create()).await;
    assert!(
        matches!(error, Error::Source(crate::source::Error::Cancelled)),
        "{error}"
    );
    assert!(registry.list().await.expect("a list").is_empty());
}
