//! `POST /slm/v1/login`, `/slm/v1/logout`, `/slm/v1/logins`: the logins for pulls and pushes.
//!
//! On the Unix socket only: its clients can read the file of logins anyway. Over TCP, other users of this machine could change the
//! owner's logins. *Cancel*: a login that is not stored when the client disconnects is dropped.

use api::{
    ErrorBody, KnownLogin, LoginRequest, LoginResponse, LoginsRequest, LoginsResponse,
    LogoutRequest, LogoutResponse,
};
use axum::Extension;
use axum::extract::State;
use registry::NewLogin;
use registry::credentials::Secret;

use super::on_socket;
use crate::app::App;
use crate::error::Error;
use crate::extract::{Json, SMALL};
use crate::listen::Peer;

/// Stores a login, after its host has accepted it.
///
/// On the Unix socket only. *Cancel*.
#[utoipa::path(
    post,
    path = api::routes::LOGIN,
    request_body = LoginRequest,
    responses(
        (status = 200, description = "The login is stored", body = LoginResponse),
        (status = "4XX", description = "The request did not come over the Unix socket, or the host refuses the login", body = ErrorBody),
        (status = "5XX", description = "The host did not answer, or the store failed", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn login(
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
    Json(request): Json<LoginRequest, SMALL>,
) -> Result<axum::Json<LoginResponse>, Error> {
    on_socket(peer, api::routes::LOGIN)?;
    if request.password.is_empty() {
        return Err(Error::Invalid("the password is empty".into()));
    }
    let login = NewLogin {
        host: request.host,
        user: request.user,
        secret: Secret::new(request.password),
        realm_hosts: request.realm_hosts,
    };
    let kept = app.registry.login(login, &app.sources.now()).await?;
    Ok(axum::Json(LoginResponse {
        host: kept.host,
        confirmed: kept.is_confirmed,
    }))
}

/// Removes a login.
///
/// On the Unix socket only. *Cancel*.
#[utoipa::path(
    post,
    path = api::routes::LOGOUT,
    request_body = LogoutRequest,
    responses(
        (status = 200, description = "There is no login for the host now", body = LogoutResponse),
        (status = "4XX", description = "The request did not come over the Unix socket, or the host is malformed", body = ErrorBody),
        (status = "5XX", description = "The store failed", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn logout(
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
    Json(request): Json<LogoutRequest, SMALL>,
) -> Result<axum::Json<LogoutResponse>, Error> {
    on_socket(peer, api::routes::LOGOUT)?;
    let removed = app.registry.logout(&request.host).await?;
    Ok(axum::Json(LogoutResponse { removed }))
}

/// Lists the hosts with logins, and the public key if asked for.
///
/// On the Unix socket only. *Cancel*.
#[utoipa::path(
    post,
    path = api::routes::LOGINS,
    request_body = LoginsRequest,
    responses(
        (status = 200, description = "The hosts", body = LoginsResponse),
        (status = "4XX", description = "The request did not come over the Unix socket", body = ErrorBody),
        (status = "5XX", description = "The store failed", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn list(
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
    Json(request): Json<LoginsRequest, SMALL>,
) -> Result<axum::Json<LoginsResponse>, Error> {
    on_socket(peer, api::routes::LOGINS)?;
    let key = match request.key {
        true => Some(app.registry.public_key(&app.sources.now()).await?),
        false => None,
    };
    let known = app.registry.known_logins(&app.sources.now()).await?;
    let logins = known.into_iter().map(|login| KnownLogin {
        host: login.host,
        user: login.user,
        source: login.source.to_string(),
    });
    Ok(axum::Json(LoginsResponse {
        logins: logins.collect(),
        key,
    }))
}
