//! What a browser gets for pages of an allowed origin, on every route of the table.

use super::table::paths;
use super::*;

const PAGE: &str = "app://obsidian.md";

/// A service that allows the origin [`PAGE`].
async fn allowing() -> Service {
    let check = OriginCheck {
        origins: [PAGE.to_owned()].into(),
        ..OriginCheck::default()
    };
    let service = service().await;
    Service {
        router: router(service.app.clone(), check),
        ..service
    }
}

#[tokio::test]
async fn a_preflight_request_gets_the_headers_that_it_asks_for_on_every_path() {
    let service = allowing().await;
    for (path, _) in paths() {
        let asked = "authorization,x-stainless-os,foo";
        let request = Service::request("OPTIONS", &path)
            .header("origin", PAGE)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", asked)
            .header("access-control-request-private-network", "true");
        let answer = service.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, 204, "{path}");
        let headers = &answer.headers;
        assert_eq!(headers["access-control-allow-origin"], PAGE, "{path}");
        assert_eq!(headers["access-control-allow-headers"], asked);
        assert_eq!(headers["access-control-allow-private-network"], "true");
        assert!(headers.contains_key("access-control-max-age"));
        let methods = headers["access-control-allow-methods"].to_str().unwrap();
        assert!(methods.contains("POST") && methods.contains("DELETE"));
    }
}

#[tokio::test]
async fn a_long_list_of_headers_is_not_echoed() {
    let service = allowing().await;
    let request = Service::request("OPTIONS", "/api/tags")
        .header("origin", PAGE)
        .header("access-control-request-headers", "x".repeat(5000));
    let answer = service.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 204);
    assert!(!answer.headers.contains_key("access-control-allow-headers"));
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused_on_every_path() {
    let service = allowing().await;
    for (path, methods) in paths() {
        for method in methods.into_iter().chain(["OPTIONS"]) {
            for origin in ["null", "file://", "http://evil.example", "app://evil"] {
                let request = Service::request(method, &path).header("origin", origin);
                let answer = service.send(request.body(Body::empty()).unwrap()).await;
                assert_eq!(answer.status, 403, "{method} {path} {origin}");
                assert!(!answer.headers.contains_key("access-control-allow-origin"));
            }
            let request = Service::request(method, &path).header("sec-fetch-site", "cross-site");
            let answer = service.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(answer.status, 403, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_body_that_needs_no_preflight_request_is_refused_on_every_path() {
    let service = allowing().await;
    let post = async |path: &str, headers: &[(&str, &str)]| {
        let mut request = Service::request("POST", path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        service.send(request.body(Body::from("{}")).unwrap()).await
    };
    for (path, methods) in paths() {
        if !methods.contains(&"POST") {
            continue;
        }
        for kind in ["text/plain;charset=UTF-8", "multipart/form-data", ""] {
            let answer = post(&path, &[("origin", PAGE), ("content-type", kind)]).await;
            assert_eq!(answer.status, 415, "{path} {kind}: {}", answer.text);
            assert_eq!(answer.headers["access-control-allow-origin"], PAGE);
            assert!(answer.text.contains("application/json"), "{}", answer.text);
        }
    }
    // Programs send no origin, and often no type.
    let program = post("/api/show", &[("content-type", "text/plain")]).await;
    assert_eq!(program.status, 400, "{}", program.text);
}

#[tokio::test]
async fn a_page_can_read_errors_and_streams() {
    let service = allowing().await;
    service.create(json!({})).await;
    let post = async |path: &str, body: Value| {
        let request = Service::request("POST", path)
            .header("origin", PAGE)
            .header("content-type", "application/json");
        service
            .send(request.body(Body::from(body.to_string())).unwrap())
            .await
    };
    for (path, body, status) in [
        ("/api/show", json!({"model": "x"}), 404),
        ("/nothing", json!({}), 404),
        ("/api/tags", json!({}), 405),
        ("/api/generate", json!({"model": "m", "prompt": "hi"}), 200),
    ] {
        let answer = post(path, body).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
        assert_eq!(answer.headers["access-control-allow-origin"], PAGE);
        assert_eq!(answer.headers["access-control-expose-headers"], "*");
        assert_eq!(answer.headers["vary"], "Origin");
    }
}
