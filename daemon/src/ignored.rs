//! Names the fields of request bodies that their route does not know.
//!
//! Such a field has no effect. The response names it in a header, and the log once for each route.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use serde_ignored::Path;

/// The header of a response that names ignored fields, separated by commas.
const HEADER: HeaderName = HeaderName::from_static("slm-ignored-fields");

/// Most names of one request.
const MAX_NAMES: usize = 16;

/// Longest name in bytes.
const MAX_NAME: usize = 80;

/// Most names that the log remembers; further ones are not logged.
const MAX_LOGGED: usize = 1024;

/// The ignored fields of one request.
#[derive(Debug, Clone, Default)]
pub(crate) struct IgnoredFields(Arc<Mutex<Vec<String>>>);

impl IgnoredFields {
    /// Adds names, unless there are many already.
    pub(crate) fn add(&self, names: impl IntoIterator<Item = String>) {
        let mut all = self.lock();
        let room = MAX_NAMES.saturating_sub(all.len());
        all.extend(names.into_iter().take(room));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The list of the request, for handlers that leave out a part of it.
impl<S: Sync> FromRequestParts<S> for IgnoredFields {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let list = parts.extensions.get::<Self>().cloned();
        Ok(list.unwrap_or_default())
    }
}

/// Adds the name of a field as a client writes it, such as `messages[0].cache`, unless there are many already.
pub(crate) fn name(path: &Path<'_>, names: &mut Vec<String>) {
    if names.len() < MAX_NAMES {
        let mut name = String::new();
        write(path, &mut name);
        names.push(name);
    }
}

fn write(path: &Path<'_>, name: &mut String) {
    match path {
        Path::Root => {}
        Path::Seq { parent, index } => {
            write(parent, name);
            name.push_str(&format!("[{index}]"));
        }
        Path::Map { parent, key } => {
            write(parent, name);
            if !name.is_empty() {
                name.push('.');
            }
            // A client chose the key, and it becomes part of a header.
            let is_kept = |letter: &char| letter.is_ascii_graphic() && *letter != ',';
            name.extend(key.chars().filter(is_kept).take(MAX_NAME));
        }
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => write(parent, name),
    }
    name.truncate(MAX_NAME);
}

/// The names that the log has, with their routes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Logged(Arc<Mutex<HashSet<(String, String)>>>);

impl Logged {
    /// Whether this is the first time that a route gets this field.
    fn is_new(&self, route: &str, field: &str) -> bool {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logged.len() < MAX_LOGGED && logged.insert((route.to_owned(), field.to_owned()))
    }
}

/// Gives each request a list for ignored fields, and puts it into the header of its response.
pub(crate) async fn report(
    State(logged): State<Logged>,
    mut request: Request,
    next: Next,
) -> Response {
    let ignored = IgnoredFields::default();
    request.extensions_mut().insert(ignored.clone());
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or_else(String::new, |route| route.as_str().to_owned());
    let mut response = next.run(request).await;
    let names = std::mem::take(&mut *ignored.lock());
    if names.is_empty() {
        return response;
    }
    for name in names.iter().filter(|name| logged.is_new(&route, name)) {
        tracing::info!(route, field = name, "ignored an unknown field");
    }
    if let Ok(value) = HeaderValue::from_str(&names.join(", ")) {
        response.headers_mut().insert(HEADER, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Deserialize)]
    struct Inner {
        #[expect(dead_code, reason = "only its name counts")]
        known: Option<u32>,
    }

    #[derive(Deserialize)]
    struct Outer {
        #[expect(dead_code, reason = "only its name counts")]
        list: Option<Vec<Inner>>,
    }

    fn names(body: serde_json::Value) -> Vec<String> {
        let mut names = Vec::new();
        serde_ignored::deserialize::<_, _, Outer>(body, |path| name(&path, &mut names)).unwrap();
        names
    }

    #[test]
    fn an_unknown_field_is_named_by_its_path() {
        let body = json!({"list": [{"known": 1}, {"odd": 1}], "a, b\n": 1});
        assert_eq!(names(body), ["list[1].odd", "ab"]);
    }

    #[test]
    fn names_are_bounded() {
        let many = (0..100).map(|number| (format!("{number}{}", "x".repeat(1000)), json!(1)));
        let names = names(serde_json::Value::Object(many.collect()));
        assert_eq!(names.len(), MAX_NAMES);
        assert!(names.iter().all(|name| name.len() <= MAX_NAME));
    }

    #[test]
    fn a_field_is_logged_once_for_each_route() {
        let logged = Logged::default();
        assert!(logged.is_new("/a", "x"));
        assert!(!logged.is_new("/a", "x"));
        assert!(logged.is_new("/b", "x"));
    }
}
