//! Log in, be served, log out: with or without Redis.

use axum::{
    Extension, Json, Router,
    extract::{State, rejection::JsonRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use evenkeel::layer::{Session, SessionError};
use serde::Deserialize;
use serde_json::{Value, json};

use super::login_guard::{ClientAddress, LoginGuard};

/// What may travel with the client, and so is there in an outage.
pub(crate) const STATELESS_KEYS: [&str; 1] = [VISITS];
const VISITS: &str = "visits";

/// The password of every user of this demonstration.
const PASSWORD: &str = "correct-horse";
/// In bytes. A longer name would leave no room for anything else in a cookie.
const LONGEST_USER: usize = 256;

pub(crate) fn routes(guard: LoginGuard) -> Router {
    Router::new()
        .route("/login", post(login))
        .route("/me", get(me))
        .route("/logout", post(logout))
        .with_state(guard)
}

#[derive(Deserialize)]
struct Credentials {
    user: String,
    password: String,
}

async fn login(
    State(guard): State<LoginGuard>,
    address: Option<Extension<ClientAddress>>,
    session: Session,
    credentials: Result<Json<Credentials>, JsonRejection>,
) -> Result<Response, Response> {
    let Json(Credentials { user, password }) = credentials.map_err(IntoResponse::into_response)?;
    if user.is_empty() || user.len() > LONGEST_USER {
        let message = format!("user: expected 1 to {LONGEST_USER} bytes");
        return Err((StatusCode::UNPROCESSABLE_ENTITY, message).into_response());
    }
    let address = address.as_ref().map(|Extension(ClientAddress(address))| address);
    guard.judge(&user, address, || password == PASSWORD).await?;
    let stored = begin(&session, &user).await.map_err(IntoResponse::into_response)?;
    Ok(Json(json!({ "user": user, "session": stored })).into_response())
}

/// A session of the user's own: whatever the client had before ends here, also when it cannot be
/// judged right now.
async fn begin(session: &Session, user: &str) -> Result<&'static str, SessionError> {
    session.flush().await?;
    session.set_subject(user).await?;
    session.insert(VISITS, 0).await?;
    kept(session).await
}

async fn me(session: Session) -> Result<Response, SessionError> {
    let Some(user) = session.subject().await? else {
        return Ok((StatusCode::UNAUTHORIZED, "no session; POST /login begins one").into_response());
    };
    let visits = session.get::<u64>(VISITS).await?.unwrap_or(0).saturating_add(1);
    session.insert(VISITS, visits).await?;
    let stored = kept(&session).await?;
    let answer: Value = json!({ "user": user, "visits": visits, "session": stored });
    Ok(Json(answer).into_response())
}

async fn logout(session: Session) -> Result<StatusCode, SessionError> {
    session.flush().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where the session is kept.
async fn kept(session: &Session) -> Result<&'static str, SessionError> {
    session.save().await?;
    Ok(if session.is_stateless().await? { "stateless" } else { "stored" })
}
