//! What no request may do, tried on every route of the table: wrong hosts, bodies that are wrong, too large, too deep or never
//! complete, and numbers beyond any range. No answer has a secret.

use axum::body::Bytes;

use super::schema::{Field, Schemas};
use super::table::{Route, document, routes};
use super::*;

/// Values of `Host` that do not name this machine; the forms are those by which attacks pass a check.
const HOSTS: [&str; 30] = [
    "",
    "evil.example",
    "evil.example:11435",
    "localhost.evil.example",
    "localhost.",
    "localhost..",
    "localhost:99999",
    "localhost:",
    "localhost:x",
    "localhost@evil.example",
    "evil@localhost",
    "localhost, evil.example",
    "localhost/",
    "http://localhost",
    "127.0.0.1.evil.example",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "0127.0.0.1",
    "0x7f.1",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "0.0.0.0",
    "192.0.2.7",
    "::1",
    "[::1",
    "[::ffff:127.0.0.1]",
    "[::1]evil.example",
    "xn--lcalhost-54a",
];

#[tokio::test]
async fn a_host_that_is_not_this_machine_is_refused() {
    let service = service().await;
    for route in routes() {
        let refused = async |request: http::request::Builder, host: &str| {
            let answer = service.send(request.body(Body::empty()).unwrap()).await;
            let place = format!("{} {} {host:?}", route.method, route.path);
            assert_eq!(answer.status, 403, "{place}");
            assert!(!answer.headers.contains_key("access-control-allow-origin"));
            if route.method != "HEAD" {
                route.is_error(&answer);
            }
        };
        let to = |uri: &str| http::Request::builder().method(route.method).uri(uri);
        for host in HOSTS {
            refused(to(&route.path).header("host", host), host).await;
        }
        refused(to(&route.path), "none").await;
        let twice = to(&route.path).header("host", "localhost");
        refused(twice.header("host", "localhost"), "twice").await;
        let absolute = to(&format!("http://evil.example{}", route.path));
        refused(absolute.header("host", "localhost"), "of the target").await;
    }
}

#[tokio::test]
async fn the_unix_socket_needs_no_host() {
    let service = service().await;
    let mut request = http::Request::get("/").body(Body::empty()).unwrap();
    request.extensions_mut().insert(Peer::Unix);
    assert_eq!(service.send(request).await.status, 200);
}

/// The routes that read a JSON body.
fn readers() -> impl Iterator<Item = Route> {
    let readers: Vec<Route> = routes()
        .into_iter()
        .filter(|it| it.body().is_some())
        .collect();
    assert!(readers.len() > 30);
    readers.into_iter()
}

async fn sent(service: &Service, route: &Route, body: Body) -> Answer {
    let request = Service::request(route.method, &route.path).body(body);
    service.send(request.unwrap()).await
}

#[tokio::test]
async fn a_body_that_never_ends_is_refused() {
    let service = service().await;
    tokio::time::pause();
    for route in readers() {
        let start = futures::stream::once(async { Ok::<_, std::io::Error>("{") });
        let body = Body::from_stream(start.chain(futures::stream::pending()));
        let answer = sent(&service, &route, body).await;
        assert_eq!(answer.status, 408, "{}: {}", route.path, answer.text);
        route.is_error(&answer);
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_or_too_deep_or_not_json_is_refused() {
    let service = service().await;
    let piece = Bytes::from(vec![b' '; 1 << 20]);
    for route in readers() {
        let pieces = vec![Ok::<_, std::convert::Infallible>(piece.clone()); 33];
        let body = Body::from_stream(futures::stream::iter(pieces));
        let answer = sent(&service, &route, body).await;
        assert_eq!(answer.status, 413, "{}: {}", route.path, answer.text);
        route.is_error(&answer);
        let deep = format!("{{\"x\":{}", "[".repeat(10_000));
        for body in [&deep, "{\"model\":", "{}{}", "\u{0}", "[", ""] {
            let answer = sent(&service, &route, Body::from(body.to_owned())).await;
            let start: String = body.chars().take(10).collect();
            assert_eq!(answer.status, 400, "{} {start}", route.path);
            route.is_error(&answer);
        }
    }
}

/// Fields that are right in most bodies.
fn given() -> Value {
    json!({
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 4,
        "prompt": "hi",
        "input": "hi",
        "query": "hi",
        "documents": ["hi"],
        "text": "hi",
        "tokens": [1],
    })
}

/// The fields of the JSON body of a route.
fn fields(schemas: &Schemas, route: &Route) -> Vec<Field> {
    schemas.fields(route.body().unwrap(), &given())
}

/// There is no model, so a value that is read gets as far as 404.
#[tokio::test]
async fn a_field_of_the_wrong_type_is_refused() {
    let service = service().await;
    let schemas = Schemas(document());
    let values = [
        json!(true),
        json!(7),
        json!(1.5),
        json!("word"),
        json!([]),
        json!([7]),
        json!({}),
    ];
    let mut tried = 0;
    for route in readers() {
        for field in fields(&schemas, &route) {
            let is_wrong = |value: &&Value| {
                // serde reads a list as the fields of an object in their order.
                let is_read = value.is_array() && schemas.admits(&field.schema, &json!({}));
                !schemas.admits(&field.schema, value) && (field.is_required || !is_read)
            };
            for value in values.iter().filter(is_wrong) {
                let body = field.with(value).to_string();
                let answer = sent(&service, &route, Body::from(body)).await;
                let place = format!("{} {} {value}", route.path, field.pointer);
                assert_eq!(answer.status, 400, "{place}: {}", answer.text);
                route.is_error(&answer);
                tried += 1;
            }
        }
    }
    assert!(tried > 1000, "{tried}");
}

#[tokio::test]
async fn a_number_beyond_its_range_is_refused_or_has_no_effect() {
    let service = able().await;
    let schemas = Schemas(document());
    let numbers = [
        json!(-1),
        json!(0),
        json!(0.5),
        json!(2_147_483_648_u32),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e308),
        json!(-1e308),
    ];
    let mut answered = 0;
    for route in readers() {
        for field in fields(&schemas, &route) {
            if !schemas.admits(&field.schema, &json!(1)) {
                continue;
            }
            for number in &numbers {
                let body = field.with(number).to_string();
                let answer = sent(&service, &route, Body::from(body)).await;
                let place = format!("{} {} {number}", route.path, field.pointer);
                let status = answer.status;
                assert!(!status.is_server_error(), "{place}: {}", answer.text);
                match status.is_client_error() {
                    true => route.is_error(&answer),
                    false => {
                        assert!(route.describes(status), "{place}: {status}");
                        answered += 1;
                    }
                }
            }
        }
    }
    assert!(answered > 100, "{answered}");
}

/// The folder of the store, and the variables of the daemon's environment.
#[tokio::test]
async fn no_answer_has_a_path_or_a_variable_of_the_daemon() {
    let service = able().await;
    let mut app = service.app.clone();
    // As where clients on other machines may ask.
    app.config = configured("allowed_hosts: box.example");
    let router = router(app, OriginCheck::default());
    let home = service.home.path().display().to_string();
    let path = std::env::var("PATH").unwrap();
    let secrets = [home.as_str(), path.as_str(), env!("CARGO_MANIFEST_DIR")];
    for route in routes() {
        for body in [json!({}), given()] {
            let body = match route.method {
                "GET" | "HEAD" => Body::empty(),
                _ => Body::from(body.to_string()),
            };
            let request = Service::request(route.method, &route.path).body(body);
            let response = router.clone().oneshot(request.unwrap()).await.unwrap();
            let status = response.status();
            let place = format!("{} {}", route.method, route.path);
            assert!(route.describes(status), "{place}: {status}");
            let mut text = format!("{:?}", response.headers());
            // A stream of events has no end.
            if response
                .headers()
                .get("content-type")
                .is_none_or(|it| it != "text/event-stream")
            {
                let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await;
                text.push_str(std::str::from_utf8(&bytes.unwrap()).unwrap());
            }
            for secret in secrets {
                assert!(!text.contains(secret), "{place}");
            }
        }
    }
}
