//! Registries that ask who is there.

use origin::{Issuer, Lie, Origin, noise};
use registry::{Error, credentials, http, push};

use crate::harness::{Home, MIB, Stock, Users};

#[tokio::test]
async fn a_login_by_name_and_password_opens_a_registry() {
    let stock = Stock::start(Users::Password);
    let (home, name) = Home::with_model(&noise(MIB, 1)).await;
    let to = stock.name("me/notes:v1");
    let error = home.push(&name, &to).await.expect_err("nobody is known");
    assert!(
        matches!(&error, Error::Push(push::Error::Forbidden { .. })),
        "{error:?}"
    );
    assert!(error.hint().expect("a remedy").contains("slm login"));

    let error = home
        .login(stock.host(), "wrong", &[])
        .await
        .expect_err("wrong");
    assert!(
        matches!(
            &error,
            Error::Credentials(credentials::Error::Refused { .. })
        ),
        "{error:?}"
    );
    assert!(!format!("{error} {error:?}").contains("wrong"), "{error:?}");
    assert!(
        !home.path().join("credentials.json").exists(),
        "nothing is kept"
    );

    let kept = home
        .login(stock.host(), "hush", &[])
        .await
        .expect("a good login");
    assert!(kept.is_confirmed);
    let pushed = home.push(&name, &to).await.expect("a good login");
    assert_eq!(home.pull(&to).await.expect("a good login"), pushed.digest);

    assert!(
        home.registry
            .logout(stock.host())
            .await
            .expect("it is there")
    );
    home.push(&name, &to)
        .await
        .expect_err("nobody is known any more");
}

#[tokio::test]
async fn logins_of_docker_are_used() {
    let stock = Stock::start(Users::Password);
    let (mut home, name) = Home::with_model(&noise(MIB, 1)).await;
    let file = home.outside().join("config.json");
    // `me:hush`
    let text = format!(
        r#"{{"auths":{{"{}":{{"auth":"bWU6aHVzaA=="}}}}}}"#,
        stock.host()
    );
    std::fs::write(&file, text).expect("a file");
    home.settings.logins.docker.push(file.clone());
    home.push(&name, &stock.name("me/notes:v1"))
        .await
        .expect("a good login");
    let known = home
        .registry
        .known_logins(&home.settings)
        .await
        .expect("good files");
    assert_eq!(known.len(), 1);
    assert_eq!(known[0].host, stock.host());
    assert_eq!(known[0].user.as_deref(), Some("me"));
    assert_eq!(known[0].source, credentials::Source::File(file));
}

#[tokio::test]
async fn a_login_gets_a_token_and_nobody_may_only_read() {
    let stock = Stock::start(Users::Tokens(Issuer::start().await, "127.0.0.1"));
    let (home, name) = Home::with_model(&noise(MIB, 1)).await;
    let to = stock.name("me/notes:v1");
    let error = home.push(&name, &to).await.expect_err("nobody may write");
    assert!(
        matches!(&error, Error::Push(push::Error::Forbidden { .. })),
        "{error:?}"
    );

    let error = home
        .login(stock.host(), "wrong", &[])
        .await
        .expect_err("wrong");
    assert!(
        error.to_string().contains("wrong name or password"),
        "{error}"
    );
    home.login(stock.host(), "hush", &[])
        .await
        .expect("a good login");
    let pushed = home.push(&name, &to).await.expect("a good login");
    let again = home.push(&name, &stock.name("me/other:v1")).await;
    assert_eq!(again.expect("a good login").digest, pushed.digest);

    let other = Home::open().await;
    assert_eq!(
        other.pull(&to).await.expect("anybody may read"),
        pushed.digest
    );
}

#[tokio::test]
async fn a_login_goes_to_another_host_only_when_the_user_lists_it() {
    let stock = Stock::start(Users::Tokens(Issuer::start().await, "localhost"));
    let Users::Tokens(issuer, _) = &stock.users else {
        unreachable!("it was just made so")
    };
    let (mut home, name) = Home::with_model(&noise(MIB, 1)).await;
    let to = stock.name("me/notes:v1");
    // The host of the tokens is one that may be asked.
    home.settings.library = Some(format!("http://localhost:{}", issuer.port()));
    let file = home.outside().join("config.json");
    let text = format!(
        r#"{{"auths":{{"{}":{{"auth":"bWU6aHVzaA=="}}}}}}"#,
        stock.host()
    );
    std::fs::write(&file, text).expect("a file");
    home.settings.logins.docker.push(file);
    let error = home.push(&name, &to).await.expect_err("nobody may write");
    let Error::Push(push::Error::Http(http::Error::Realm { realm, .. })) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(*realm, format!("localhost:{}", issuer.port()));
    assert!(error.hint().expect("a remedy").contains("--realm-host"));
    let seen = issuer.seen();
    assert!(
        !seen.is_empty() && seen.iter().all(Option::is_none),
        "{seen:?}"
    );

    home.settings.library = None;
    let seen = issuer.seen().len();
    let error = home.login(stock.host(), "hush", &[]).await;
    let error = error.expect_err("it is not sent there");
    assert!(
        matches!(&error, Error::Http(http::Error::Realm { .. })),
        "{error:?}"
    );
    assert_eq!(issuer.seen().len(), seen, "nothing is asked without it");
    assert!(!home.path().join("credentials.json").exists());

    home.login(stock.host(), "hush", &["localhost"])
        .await
        .expect("a good login");
    home.push(&name, &to).await.expect("the login may go there");
    assert!(issuer.seen().iter().any(Option::is_some));
}

/// A server that answers everything with a challenge for tokens of its own, of which it gives out none.
async fn closed() -> Origin {
    let origin = Origin::start().await;
    origin.lie("/token", 99, Lie::Status(401, Vec::new(), ""));
    let challenge = format!(r#"Bearer realm="{}/token",service="reg""#, origin.url());
    let challenge = vec![("www-authenticate", challenge)];
    origin.lie("/v2/", 99, Lie::Status(401, challenge, ""));
    origin
}

#[tokio::test]
async fn the_key_is_for_the_ollama_library_alone() {
    let origin = closed().await;
    let (mut home, name) = Home::with_model(&noise(MIB, 1)).await;
    let key = home.path().join("id_ed25519");
    let signed = |origin: &Origin| {
        let seen = origin.seen("/token").into_iter();
        seen.filter(|seen| seen.authorization.is_some()).count()
    };
    let to = format!("{}/me/notes:v1", origin.host());
    home.push(&name, &to).await.expect_err("nobody is known");
    assert!(!origin.seen("/token").is_empty());
    assert_eq!(signed(&origin), 0);
    assert!(!key.exists(), "no key is made for it");

    home.settings.library = Some(origin.url());
    let error = home.push(&name, "me/notes").await;
    let error = error.expect_err("the key is not known");
    assert!(
        matches!(&error, Error::Push(push::Error::Forbidden { .. })),
        "{error:?}"
    );
    assert!(signed(&origin) > 0);

    std::fs::write(&key, "no key").expect("a file");
    let error = home.push(&name, "me/notes").await;
    let error = error.expect_err("there is no key");
    assert!(
        matches!(&error, Error::Push(push::Error::Forbidden { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_refresh_token_follows_no_redirect_to_another_origin() {
    let (origin, other) = (Origin::start().await, closed().await);
    origin.lie("/token", 99, Lie::Redirect(307, other.url()));
    let challenge = format!(r#"Bearer realm="{}/token",service="reg""#, origin.url());
    let challenge = vec![("www-authenticate", challenge)];
    origin.lie("/v2/", 99, Lie::Status(401, challenge, ""));
    let (mut home, name) = Home::with_model(&noise(MIB, 1)).await;
    let file = home.outside().join("config.json");
    let text = format!(
        r#"{{"auths":{{"{}":{{"identitytoken":"hush"}}}}}}"#,
        origin.host()
    );
    std::fs::write(&file, text).expect("a file");
    home.settings.logins.docker.push(file);
    let to = format!("{}/me/notes:v1", origin.host());
    let error = home.push(&name, &to).await.expect_err("no token is had");
    assert!(
        matches!(
            &error,
            Error::Push(push::Error::Http(http::Error::LoginRedirect { .. }))
        ),
        "{error:?}"
    );
    assert_eq!(origin.seen("/token").len(), 1);
    assert_eq!(other.seen("").len(), 0);
}
