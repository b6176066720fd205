//! The table of routes, as the OpenAPI document has it. Tests that hold for every route walk it.

use super::*;
use crate::openapi;

/// One route: a method of a path.
pub(super) struct Route {
    pub(super) method: &'static str,
    /// The path with a value in place of each parameter.
    pub(super) path: String,
    /// What the document says of it.
    pub(super) operation: Value,
}

impl Route {
    /// The schema of its JSON body, if it reads one.
    pub(super) fn body(&self) -> Option<&Value> {
        let content = &self.operation["requestBody"]["content"];
        content["application/json"].get("schema")
    }

    /// Whether the document has this status for this route.
    pub(super) fn describes(&self, status: StatusCode) -> bool {
        let of_every_route = [403, 405, 408, 413, 415].contains(&status.as_u16());
        let range = format!("{}XX", status.as_u16() / 100);
        let responses = &self.operation["responses"];
        let mut described = [status.as_str(), range.as_str()].into_iter();
        of_every_route || described.any(|key| responses.get(key).is_some())
    }

    /// Checks that an answer has a status of the document, and the error format of this route's dialect.
    pub(super) fn is_error(&self, answer: &Answer) {
        let status = answer.status;
        assert!(
            self.describes(status),
            "the document has no {status} for {} {}",
            self.method,
            self.path
        );
        let body = answer.json();
        let message = match self.operation["tags"][0].as_str().unwrap() {
            "OpenAI" => &body["error"]["message"],
            "Anthropic" => {
                assert_eq!(body["type"], "error", "{} {}", self.method, self.path);
                &body["error"]["message"]
            }
            _ => &body["error"],
        };
        assert!(
            message.as_str().is_some_and(|text| !text.is_empty()),
            "{} {}: {body}",
            self.method,
            self.path
        );
    }
}

/// The OpenAPI document.
pub(super) fn document() -> Value {
    serde_json::from_str(openapi::json()).unwrap()
}

/// Every route of the document.
pub(super) fn routes() -> Vec<Route> {
    let document = document();
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (key, method) in [
            ("get", "GET"),
            ("head", "HEAD"),
            ("post", "POST"),
            ("delete", "DELETE"),
        ] {
            routes.extend(item.get(key).map(|operation| Route {
                method,
                path: path.replace(['{', '}'], ""),
                operation: operation.clone(),
            }));
        }
        let known = ["get", "head", "post", "delete"];
        let mut methods = item.as_object().unwrap().keys();
        assert!(methods.all(|key| known.contains(&key.as_str())), "{path}");
    }
    routes
}

/// Every path of the document with its methods, and a path without a route.
pub(super) fn paths() -> Vec<(String, Vec<&'static str>)> {
    let mut paths: Vec<(String, Vec<&'static str>)> = Vec::new();
    for route in routes() {
        match paths.last_mut() {
            Some((path, methods)) if *path == route.path => methods.push(route.method),
            _ => paths.push((route.path, vec![route.method])),
        }
    }
    paths.push(("/nothing".to_owned(), vec!["GET"]));
    paths
}
