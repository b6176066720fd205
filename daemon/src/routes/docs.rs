//! `GET /slm/v1/docs`: a page for people that shows the OpenAPI document.

use api::ErrorBody;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};

use crate::error::Error;
use crate::extract::Path;

const PAGE: &str = include_str!("docs/page.html");
const SCRIPT: &str = include_str!("docs/page.js");
const STYLE: &str = include_str!("docs/page.css");

/// Permits the page the files of this daemon, and neither other addresses nor a script in a text of the document.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A page for people that shows the OpenAPI document.
///
/// *Cancel*.
#[utoipa::path(
    get,
    path = api::routes::DOCS,
    responses((status = 200, description = "The page", body = str, content_type = "text/html")),
    tag = "slm"
)]
pub(crate) async fn page() -> Response {
    file("text/html; charset=utf-8", PAGE)
}

/// The files of the page.
///
/// *Cancel*.
#[utoipa::path(
    get,
    path = api::routes::DOCS_FILE,
    params(("file" = String, Path, description = "`page.js` or `page.css`")),
    responses(
        (status = 200, description = "The file", content((str = "text/javascript"), (str = "text/css"))),
        (status = 404, description = "The page has no such file", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn files(Path(name): Path<String>) -> Result<Response, Error> {
    match name.as_str() {
        "page.js" => Ok(file("text/javascript; charset=utf-8", SCRIPT)),
        "page.css" => Ok(file("text/css; charset=utf-8", STYLE)),
        _ => {
            let name: String = name.chars().take(200).collect();
            Err(Error::NoRoute(format!("{}/{name}", api::routes::DOCS)))
        }
    }
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, text).into_response()
}
