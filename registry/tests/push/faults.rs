//! Against a server that takes pushes as the specification says, and lies on command.

use md5::Digest as _;
use origin::{Lie, Origin, digest, noise};
use registry::push::{Error as PushError, Pushed};
use registry::{Error, http};

use crate::harness::{Home, MIB};

/// A model with a large layer, and a server that has everything else of it.
async fn with_large(large: &[u8]) -> (Home, String, Origin) {
    let (home, name) = Home::with_model(large).await;
    let origin = Origin::start().await;
    for layer in blobs(&home, &name).await {
        if layer != digest(large) {
            origin.blob(read(&home, &layer));
        }
    }
    (home, name, origin)
}

/// Pushes it to a server that lies once about what has this in it.
async fn with_lie(about: &str, lie: Lie) -> (Origin, Result<Pushed, Error>, Vec<u8>) {
    let large = noise(24 * MIB, 1);
    let (home, name, origin) = with_large(&large).await;
    origin.lie(about, 1, lie);
    let pushed = home
        .push(&name, &format!("{}/me/notes:v1", origin.host()))
        .await;
    (origin, pushed, large)
}

async fn blobs(home: &Home, name: &str) -> Vec<String> {
    let name = registry::ModelName::parse(name).expect("a name");
    let model = home.registry.model(&name).await.expect("it is here");
    let layers = model.manifest.blobs();
    layers.map(|layer| layer.digest.to_string()).collect()
}

fn read(home: &Home, digest: &str) -> Vec<u8> {
    let file = home
        .path()
        .join("models/blobs")
        .join(digest.replace(':', "-"));
    std::fs::read(file).expect("it is here")
}

fn is_there(origin: &Origin, bytes: &[u8]) -> bool {
    let path = format!("/v2/me/notes/blobs/{}", digest(bytes));
    origin.bytes(&path).as_deref() == Some(bytes)
}

/// Of the methods of the requests for uploads, in order.
fn methods(origin: &Origin) -> String {
    let seen = origin.seen("/blobs/uploads/").into_iter();
    seen.map(|seen| seen.method).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_blob_is_sent_at_once_and_the_state_of_its_place_is_kept() {
    let (origin, pushed, large) = with_lie("nothing", Lie::As(201)).await;
    assert_eq!(pushed.expect("an honest server").sent, 1);
    assert!(is_there(&origin, &large));
    assert_eq!(methods(&origin), "POST PUT");
    assert!(origin.bytes("/v2/me/notes/manifests/v1").is_some());
}

#[tokio::test]
async fn what_was_cut_goes_on_where_it_ended() {
    let (origin, pushed, large) = with_lie("PUT /v2/me/notes/blobs", Lie::Cut(16 * MIB)).await;
    pushed.expect("a cut is forgiven");
    assert!(is_there(&origin, &large));
    assert_eq!(methods(&origin), "POST PUT GET PATCH PUT");
    let most = large.len() as u64 * 11 / 10;
    assert!(origin.received() < most, "{} bytes came", origin.received());
}

#[tokio::test]
async fn a_registry_that_takes_no_parts_gets_the_blob_anew() {
    let large = noise(24 * MIB, 1);
    let (home, name, origin) = with_large(&large).await;
    origin.lie("PUT", 1, Lie::Cut(MIB));
    origin.lie("PATCH", 9, Lie::Status(405, Vec::new(), ""));
    home.push(&name, &format!("{}/me/notes:v1", origin.host()))
        .await
        .expect("parts are not needed");
    assert!(is_there(&origin, &large));
}

#[tokio::test]
async fn a_part_that_is_answered_with_another_good_status_counts() {
    for status in [201, 204] {
        let (home, name) = Home::with_model(&noise(MIB, 1)).await;
        let origin = Origin::start().await;
        origin.lie(
            "POST",
            9,
            Lie::Header("oci-chunk-min-length", "1024".to_owned()),
        );
        origin.lie("PATCH", 9, Lie::As(status));
        home.push(&name, &format!("{}/me/notes:v1", origin.host()))
            .await
            .unwrap_or_else(|error| panic!("{status}: {error}"));
        assert!(methods(&origin).contains("POST PATCH PUT"));
    }
}

#[tokio::test]
async fn a_registry_that_kept_less_gets_the_rest() {
    let large = noise(2 * MIB, 1);
    let (home, name, origin) = with_large(&large).await;
    origin.lie(
        "POST",
        9,
        Lie::Header("oci-chunk-min-length", "1024".to_owned()),
    );
    origin.lie("PATCH", 1, Lie::Keep(MIB / 2));
    home.push(&name, &format!("{}/me/notes:v1", origin.host()))
        .await
        .expect("the rest is sent");
    assert!(is_there(&origin, &large));
}

#[tokio::test]
async fn a_part_of_which_nothing_is_kept_is_a_failure() {
    let (home, name, origin) = with_large(&noise(MIB, 1)).await;
    let smallest = Lie::Header("oci-chunk-min-length", "1024".to_owned());
    origin.lie("POST", 9, smallest);
    origin.lie("PATCH", 20, Lie::Keep(0));
    // The next try begins with this question, and would wait for longer than a push does.
    let later = vec![("retry-after", "600".to_owned())];
    origin.lie("GET", 9, Lie::Status(503, later, ""));
    let to = format!("{}/me/notes:v1", origin.host());
    home.push(&name, &to).await.expect_err("nothing is kept");
    assert_eq!(methods(&origin), "POST PATCH GET");
}

#[tokio::test]
async fn a_blob_whose_answer_was_lost_is_not_sent_again() {
    let (origin, pushed, large) = with_lie("PUT /v2/me/notes/blobs", Lie::NoAnswer).await;
    assert_eq!(pushed.expect("the blob is there").sent, 1);
    assert!(is_there(&origin, &large));
    assert_eq!(methods(&origin), "POST PUT GET");
}

#[tokio::test]
async fn two_pushes_send_a_blob_once() {
    let (home, name, origin) = with_large(&noise(MIB, 1)).await;
    origin.lie("PUT /v2/me/notes/blobs", 9, Lie::Trickle(MIB / 8, 5));
    let to = format!("{}/me/notes:v1", origin.host());
    let (first, second) = tokio::join!(home.push(&name, &to), home.push(&name, &to));
    let sent = [first, second].map(|pushed| pushed.expect("an honest server").sent);
    assert_eq!(sent.iter().sum::<usize>(), 1, "{sent:?}");
    assert_eq!(methods(&origin), "POST PUT");
}

#[tokio::test]
async fn a_registry_that_refuses_to_take_a_blob_over_gets_its_bytes() {
    let large = noise(MIB, 1);
    let (home, name, origin) = with_large(&large).await;
    let first = format!("{}/me/notes:v1", origin.host());
    home.push(&name, &first).await.expect("an honest server");
    home.pull(&first).await.expect("it is there");
    origin.forget();
    // In another repository there is nothing, and it may not look into the first one.
    let unknown = Lie::Status(404, Vec::new(), "");
    origin.lie("/v2/me/other/blobs/sha256", 99, unknown);
    origin.lie("mount=", 99, Lie::Status(403, Vec::new(), ""));
    let second = format!("{}/me/other:v1", origin.host());
    let pushed = home
        .push(&first, &second)
        .await
        .expect("a mount is a favour");
    assert_eq!((pushed.sent, pushed.mounted), (5, 0));
    assert_eq!(origin.seen("mount=").len(), 5);
}

#[tokio::test]
async fn an_upload_that_the_registry_forgot_begins_anew() {
    let unknown = r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"unknown"}]}"#;
    let lie = Lie::Status(404, Vec::new(), unknown);
    let (origin, pushed, large) = with_lie("PUT /v2/me/notes/blobs", lie).await;
    pushed.expect("it begins anew");
    assert!(is_there(&origin, &large));
    // Where the refusal came while bytes went out, it may not be heard, and the registry is asked.
    let methods = methods(&origin);
    assert!(
        ["POST PUT POST PUT", "POST PUT GET PUT"].contains(&methods.as_str()),
        "{methods}"
    );
}

#[tokio::test]
async fn a_limit_of_a_proxy_is_told_and_nothing_more_is_sent() {
    let page = "<html><head><title>413 Request Entity Too Large</title></head></html>";
    let lie = Lie::Status(413, vec![("content-type", "text/html".to_owned())], page);
    let large = noise(24 * MIB, 1);
    let (home, name, origin) = with_large(&large).await;
    origin.lie("PUT /v2/me/notes/blobs", 9, lie);
    let error = home
        .push(&name, &format!("{}/me/notes:v1", origin.host()))
        .await
        .expect_err("it is refused");
    let Error::Push(PushError::TooLarge { said, .. }) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(said, "413 Request Entity Too Large");
    assert!(
        error
            .hint()
            .expect("a remedy")
            .contains("client_max_body_size")
    );
    assert!(!is_there(&origin, &large));
    // Once heard, it is not tried again. What came while bytes went out may not be heard, and then none goes out before the answer.
    let methods = methods(&origin);
    assert!(
        ["POST PUT", "POST PUT GET PUT"].contains(&methods.as_str()),
        "{methods}"
    );
    assert_eq!(origin.received(), 0);
    assert!(origin.bytes("/v2/me/notes/manifests/v1").is_none());
}

#[tokio::test]
async fn a_push_that_was_ended_goes_on_after_a_restart() {
    let large = noise(24 * MIB, 1);
    let (home, name, origin) = with_large(&large).await;
    let to = format!("{}/me/notes:v1", origin.host());
    // After the cut the registry is closed for a while, which ends the push.
    origin.lie("PUT", 1, Lie::Cut(16 * MIB));
    let later = vec![("retry-after", "600".to_owned())];
    origin.lie("GET", 99, Lie::Status(503, later, ""));
    let ended = home.push(&name, &to).await;
    assert!(
        matches!(
            ended,
            Err(Error::Push(PushError::Http(http::Error::Status { .. })))
        ),
        "{ended:?}"
    );
    let home = home.reopened().await;
    origin.be_honest();
    let told = home.told().len();
    home.push(&name, &to).await.expect("an honest server");
    let mut of_large = home.told().into_iter().skip(told);
    let first = of_large.find(|progress| progress.total == large.len() as u64);
    let first = first.expect("it is told").completed;
    assert_eq!(first, 16 * MIB as u64, "it begins where the upload stands");
    assert!(is_there(&origin, &large));
    let most = large.len() as u64 * 11 / 10;
    assert!(origin.received() < most, "{} bytes came", origin.received());
    let left = std::fs::read_dir(home.path().join("ingest")).expect("a folder");
    assert_eq!(left.count(), 0, "no note is left");
}

#[tokio::test]
async fn a_registry_of_ollamas_sends_parts_to_a_store_that_gets_no_credentials() {
    let large = noise(MIB, 1);
    let (mut home, name, origin) = with_large(&large).await;
    let behind = Origin::start().await;
    home.settings.library = Some(origin.url());
    origin.lie("PATCH", 9, Lie::Redirect(307, behind.url()));
    home.push(&name, "me/notes").await.expect("it is taken");
    assert_eq!(behind.behind(), std::slice::from_ref(&large));
    assert!(
        behind
            .seen("/-/behind/")
            .iter()
            .all(|seen| seen.authorization.is_none())
    );
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let tag = hex(&md5::Md5::digest(md5::Md5::digest(&large)));
    let finished = origin.seen(&format!("etag={tag}-1"));
    assert_eq!(finished.len(), 1, "{:?}", origin.seen("/uploads/"));
}

#[tokio::test]
async fn a_name_that_no_registry_takes_is_refused_before_any_request() {
    let (home, name) = Home::with_model(b"x").await;
    let origin = Origin::start().await;
    let error = home
        .push(&name, &format!("{}/me/Notes", origin.host()))
        .await
        .expect_err("upper case");
    assert!(error.to_string().contains("'N'"), "{error}");
    assert_eq!(origin.seen("").len(), 0);
}
