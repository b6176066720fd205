//! The OpenAPI document, the page that shows it, and the routes that it describes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::table::{document, routes};
use super::*;
use crate::openapi;

#[test]
fn the_document_is_the_one_in_docs() {
    let checked_in = include_str!("../../../../docs/openapi.json");
    assert!(
        checked_in == openapi::json(),
        "docs/openapi.json is out of date: write it with `slmd openapi > docs/openapi.json`"
    );
}

#[test]
fn each_route_has_a_summary_and_an_error_has_a_body() {
    for route in routes() {
        let place = format!("{} {}", route.method, route.path);
        let summary = route.operation["summary"].as_str().unwrap_or_default();
        assert!(summary.ends_with('.'), "{place}: {summary:?}");
        assert!(!summary.contains("*Cancel*"), "{place}: {summary:?}");
        let responses = route.operation["responses"].as_object().unwrap();
        for (status, response) in responses {
            assert_ne!(response["description"], "", "{place} {status}");
            let is_error = status.starts_with(['4', '5']);
            if is_error && route.method != "HEAD" {
                let body = &response["content"]["application/json"]["schema"];
                assert!(body.is_object(), "{place} {status} has no body");
            }
        }
    }
}

#[test]
fn each_field_of_a_request_has_a_description() {
    let document = document();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
            let forms = schema["oneOf"].as_array().into_iter().flatten();
            let mut all = std::iter::once(schema).chain(forms);
            assert!(
                all.any(|schema| schema["description"].is_string()),
                "{name}.{field}"
            );
        }
    }
}

#[test]
fn each_reference_leads_to_a_schema() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            Value::Object(members) => {
                let reference = members.get("$ref").and_then(Value::as_str);
                found.extend(reference.map(str::to_owned));
                members.values().for_each(|value| references(value, found));
            }
            _ => {}
        }
    }
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 100, "{}", found.len());
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

/// Two types with the same name would be one schema, which is wrong for one of them.
#[test]
fn no_two_types_have_the_name_of_a_schema() {
    fn scan(folder: &Path, places: &mut BTreeMap<String, Vec<String>>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                scan(&path, places);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                for name in schemas(&text) {
                    let place = path.display().to_string();
                    places.entry(name).or_default().push(place);
                }
            }
        }
    }
    /// The names of the schemas that a file defines.
    fn schemas(text: &str) -> Vec<String> {
        let mut names = Vec::new();
        let (mut is_schema, mut given) = (false, None);
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[derive(") && line.contains("ToSchema") {
                (is_schema, given) = (true, None);
            } else if let Some(name) = line.strip_prefix("#[schema(as = ") {
                given = name
                    .split([',', ')'])
                    .next()
                    .map(|name| name.replace("::", "."));
            } else if is_schema
                && let Some((_, name)) = line
                    .split_once("struct ")
                    .or_else(|| line.split_once("enum "))
                && line.starts_with("pub")
            {
                let end = name.find(|it: char| !it.is_alphanumeric());
                let name = name[..end.unwrap_or(name.len())].to_owned();
                let name = given.take().unwrap_or(name);
                // A macro has a variable in place of the name.
                names.extend(Some(name).filter(|name| !name.is_empty()));
                is_schema = false;
            }
        }
        names
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut places = BTreeMap::new();
    scan(&root.join("api/src"), &mut places);
    scan(&root.join("src"), &mut places);
    assert!(places.contains_key("ollama.ChatRequest") && places.len() > 100);
    for (name, places) in places {
        assert_eq!(
            places.len(),
            1,
            "{name} is in {places:?}: give one of them #[schema(as = …)]"
        );
    }
}

/// The paths of the router, read from its debug text: axum has no other list of them.
fn registered() -> BTreeSet<String> {
    let router = format!("{:?}", all().into_router());
    let paths = router.split("RouteId(").skip(1);
    let paths = paths.filter_map(|text| text.split_once("): \"")?.1.split_once('"'));
    paths.map(|(path, _)| path.to_owned()).collect()
}

/// Paths of OpenAI and Anthropic that slm does not serve are in no document: any method gets an error that says so.
#[tokio::test]
async fn each_path_is_in_the_document_or_refuses_every_method() {
    let service = service().await;
    let document = document();
    let described: BTreeSet<String> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    let registered = registered();
    let plain: BTreeSet<String> = registered
        .iter()
        .map(|path| path.replace("{*", "{"))
        .collect();
    assert_eq!(described.difference(&plain).next(), None, "{registered:?}");
    let others = plain.difference(&described);
    for path in others.filter(|path| !path.contains("__private__axum")) {
        let path = path.replace(['{', '}'], "");
        for method in ["GET", "POST", "DELETE", "PUT", "PATCH"] {
            let answer = service.call(method, &path, json!({})).await;
            let code = answer.json()["error"]["code"].clone();
            let refused = match path.starts_with("/v1/messages/") {
                true => answer.text.contains("is not supported"),
                false => code == "not_served",
            };
            assert!(refused, "{method} {path}: {}", answer.text);
            assert!(answer.status.is_client_error(), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn each_path_has_the_methods_of_the_document_and_no_others() {
    let service = service().await;
    for route in routes() {
        let item = routes().into_iter().filter(|it| it.path == route.path);
        let methods: Vec<&str> = item.map(|it| it.method).collect();
        for method in ["GET", "HEAD", "POST", "DELETE", "PUT", "PATCH"] {
            // axum answers HEAD where a route has GET.
            let known = methods.contains(&method) || method == "HEAD" && methods.contains(&"GET");
            let request = Service::request(method, &route.path).body(Body::from("{}"));
            // Not the body, because some streams have no end.
            let response = service.router.clone().oneshot(request.unwrap());
            let response = response.await.unwrap();
            let status = response.status().as_u16();
            assert_eq!(status == 405, !known, "{method} {}: {status}", route.path);
            if status == 405 && method != "HEAD" {
                let answer = service.call(method, &route.path, json!({})).await;
                route.is_error(&answer);
            }
        }
    }
}

#[tokio::test]
async fn the_document_and_its_page_are_served_to_a_browser() {
    let service = service().await;
    let open = async |path: &str, site: &str| {
        let request = Service::request("GET", path).header("sec-fetch-site", site);
        service.send(request.body(Body::empty()).unwrap()).await
    };
    let served = open("/slm/v1/openapi.json", "same-origin").await;
    assert_eq!(served.headers["content-type"], "application/json");
    assert_eq!(served.text, openapi::json());
    let page = open("/slm/v1/docs", "none").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'"));
    for (file, kind) in [
        ("page.js", "text/javascript; charset=utf-8"),
        ("page.css", "text/css; charset=utf-8"),
    ] {
        assert!(page.text.contains(&format!("docs/{file}")), "{file}");
        let answer = open(&format!("/slm/v1/docs/{file}"), "same-origin").await;
        assert_eq!(answer.headers["content-type"], kind);
        for address in ["http:", "https:", "//cdn"] {
            assert!(!answer.text.contains(address), "{file} has {address}");
        }
    }
    let missing = open("/slm/v1/docs/other.js", "same-origin").await;
    missing.refuses(404, "no_route", "/slm/v1/docs/other.js");
}
