//! What stands between: proxies that demand a login, and certificates of a company.

use gguf_writer::small;
use origin::{Authority, Origin, Proxy, layer};
use registry::http::Network;
use registry::source::Settings;

use crate::harness::Home;

/// `user:secret` as `Proxy-Authorization` says it.
const LOGIN: &str = "Basic dXNlcjpzZWNyZXQ=";

fn serve(origin: &Origin) {
    let weights = small::model();
    origin.blob(&*weights);
    origin.blob(*b"{}");
    origin.manifest(
        "me/notes:latest",
        origin::manifest(b"{}", &[layer("model", &weights)]),
    );
}

fn behind(network: Network) -> Settings {
    Settings {
        network,
        ..Settings::default()
    }
}

#[tokio::test]
async fn a_certificate_of_a_company_is_trusted_when_its_file_is_named() {
    let (company, other) = (Authority::new(), Authority::new());
    let origin = Origin::start_tls(&company, &["localhost"]).await;
    serve(&origin);
    let home = Home::open().await;
    let port = origin.host().rsplit(':').next().expect("a port").to_owned();
    let reference = format!("https://localhost:{port}/me/notes");
    let file = home.path().join("ca.pem");
    for (trusted, is_good) in [(None, false), (Some(&other), false), (Some(&company), true)] {
        let mut network = Network::default();
        if let Some(authority) = trusted {
            std::fs::write(&file, authority.pem()).expect("a file");
            network.ca_file = Some(file.clone());
        }
        match home.pull_from(&reference, &behind(network)).await {
            Ok(_) => assert!(is_good, "nobody trusts this certificate"),
            Err(error) => {
                assert!(!is_good, "{error}");
                let (text, hint) = (
                    error.to_string(),
                    error.hint().unwrap_or_default().to_owned(),
                );
                assert!(
                    text.contains(&format!("the certificate of localhost:{port}")),
                    "{text}"
                );
                assert!(hint.contains("ca_file"), "{hint}");
            }
        }
    }
}

#[tokio::test]
async fn a_proxy_gets_its_login_and_leads_to_names_that_only_it_can_resolve() {
    let company = Authority::new();
    let secure = Origin::start_tls(&company, &["registry.test"]).await;
    let plain = Origin::start().await;
    serve(&secure);
    serve(&plain);
    let home = Home::open().await;
    let file = home.path().join("ca.pem");
    std::fs::write(&file, company.pem()).expect("a file");
    for (origin, scheme) in [(&plain, "http"), (&secure, "https")] {
        let proxy = Proxy::start(origin.host(), LOGIN).await;
        let network = |login: &str| {
            let url = Some(format!("http://{login}{}", proxy.host()));
            Network {
                http_proxy: url.clone(),
                https_proxy: url,
                ca_file: Some(file.clone()),
                ..Network::default()
            }
        };
        let reference = format!("{scheme}://registry.test/me/notes");
        for login in ["", "user:wrong@"] {
            let refused = home
                .pull_insecurely(&reference, &behind(network(login)))
                .await;
            let error = refused.expect_err("the proxy demands a login");
            let hint = error.hint().unwrap_or_default().to_owned();
            assert!(
                hint.contains("the proxy wants a login"),
                "{scheme}: {error}: {hint}"
            );
            assert!(!error.to_string().contains("wrong"), "{error}");
        }
        home.pull_insecurely(&reference, &behind(network("user:secret@")))
            .await
            .unwrap_or_else(|error| panic!("{scheme}: {error}"));
        let seen = proxy.seen();
        let expected = match scheme {
            "http" => "GET http://registry.test/v2/me/notes/manifests/latest",
            _ => "CONNECT registry.test:443",
        };
        assert!(
            seen.iter().any(|line| line.starts_with(expected)),
            "{seen:?}"
        );
        let logins = origin.seen("/v2/");
        assert!(logins.iter().all(|seen| seen.authorization.is_none()));
    }
}

#[tokio::test]
async fn this_machine_is_never_reached_through_a_proxy() {
    let origin = Origin::start().await;
    serve(&origin);
    let proxy = Proxy::start(origin.host(), LOGIN).await;
    let url = Some(format!("http://{}", proxy.host()));
    let network = Network {
        http_proxy: url.clone(),
        https_proxy: url,
        ..Network::default()
    };
    let home = Home::open().await;
    let reference = format!("{}/me/notes", origin.host());
    home.pull_from(&reference, &behind(network))
        .await
        .expect("no proxy is asked");
    assert_eq!(proxy.seen(), Vec::<String>::new());
}
