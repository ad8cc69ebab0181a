//! Who asks for a token: the one place that knows how users prove who they are.

use axum::{
    extract::Request,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};

/// The password of every user of this demonstration.
const PASSWORD: &str = "correct-horse";

/// The user that a token is to be issued to, or the refusal.
///
/// Until there are sessions: `Authorization: Basic`, with the password of the demonstration.
pub(crate) async fn token_subject(request: Request) -> Result<String, Response> {
    credentials(&request)
        .and_then(|text| {
            let (user, password) = text.split_once(':')?;
            (!user.is_empty() && password == PASSWORD).then(|| user.to_owned())
        })
        .ok_or_else(|| {
            let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"gateway\"")];
            (StatusCode::UNAUTHORIZED, challenge, "who are you?").into_response()
        })
}

fn credentials(request: &Request) -> Option<String> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credentials) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    String::from_utf8(STANDARD.decode(credentials.trim()).ok()?).ok()
}
