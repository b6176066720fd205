//! A server that issues signed tokens for a registry (the distribution project's `spec/auth/jwt.md`), with the permissions of the user.
//!
//! The user `me` with the password `hush` has all permissions, an anonymous client may only read.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The service of the tokens.
pub const SERVICE: &str = "registry-of-tests";
/// The issuer of the tokens.
pub const ISSUER: &str = "issuer-of-tests";

/// The server. It ends when it is dropped.
#[derive(Debug)]
pub struct Issuer {
    address: SocketAddr,
    certificate: String,
    seen: Arc<Mutex<Vec<Option<String>>>>,
    _serving: JoinSet<()>,
}

struct Key {
    pair: EcdsaKeyPair,
    certificate: Vec<u8>,
}

impl Issuer {
    /// Starts an issuer on a free port, with a new key.
    pub async fn start() -> Self {
        let made =
            rcgen::generate_simple_self_signed(vec![ISSUER.to_owned()]).expect("a certificate");
        let pair = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &made.signing_key.serialize_der(),
            &SystemRandom::new(),
        )
        .expect("the key of the certificate");
        let key = Arc::new(Key {
            pair,
            certificate: made.cert.der().to_vec(),
        });
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, key, seen.clone()));
        Self {
            address,
            certificate: made.cert.pem(),
            seen,
            _serving: serving,
        }
    }

    /// Its port on loopback.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The certificate of the signing key (PEM).
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The `Authorization` header of each request so far.
    pub fn seen(&self) -> Vec<Option<String>> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

async fn serve(listener: TcpListener, key: Arc<Key>, seen: Arc<Mutex<Vec<Option<String>>>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (key, seen) = (key.clone(), seen.clone());
        connections.spawn(async move {
            let answer = service_fn(move |request: Request<Incoming>| {
                let answer = answer(&request, &key, &seen);
                async move { Ok::<_, Infallible>(answer) }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

fn answer(
    request: &Request<Incoming>,
    key: &Key,
    seen: &Mutex<Vec<Option<String>>>,
) -> Response<Full<Bytes>> {
    let login = request.headers().get(header::AUTHORIZATION);
    let login = login.and_then(|value| value.to_str().ok().map(str::to_owned));
    seen.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(login.clone());
    let good = format!("Basic {}", BASE64_STANDARD.encode("me:hush"));
    let may_write = login.as_deref() == Some(&good);
    if login.is_some() && !may_write {
        return Response::builder()
            .status(401)
            .body(Full::from(
                r#"{"errors":[{"code":"UNAUTHORIZED","message":"wrong name or password"}]}"#,
            ))
            .expect("a good answer");
    }
    let query = request
        .uri()
        .query()
        .unwrap_or_default()
        .replace("%3A", ":");
    let query = query.replace("%2F", "/").replace("%2C", ",");
    let access: Vec<_> = query
        .split('&')
        .filter_map(|pair| {
            let mut parts = pair.strip_prefix("scope=")?.split(':');
            let (kind, name) = (parts.next()?, parts.next()?);
            let actions: Vec<&str> = parts
                .next()?
                .split(',')
                .filter(|action| may_write || *action == "pull")
                .collect();
            Some(json!({ "type": kind, "name": name, "actions": actions }))
        })
        .collect();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    let claims = json!({
        "iss": ISSUER,
        "sub": "me",
        "aud": SERVICE,
        "exp": now + 300,
        "nbf": now - 10,
        "iat": now,
        "jti": "1",
        "access": access,
    });
    let head = json!({
        "typ": "JWT",
        "alg": "ES256",
        "x5c": [BASE64_STANDARD.encode(&key.certificate)],
    });
    let part = |value: &serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&head), part(&claims));
    let signature = key
        .pair
        .sign(&SystemRandom::new(), signed.as_bytes())
        .expect("a good key");
    let token = format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature));
    Response::new(Full::from(json!({ "token": token }).to_string()))
}
