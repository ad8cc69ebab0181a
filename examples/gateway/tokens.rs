//! Signed tokens that can be revoked, with or without Redis.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::{
    Extension, Json, Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use evenkeel::{
    ErrorKind,
    layer::{RequestHead, RevocationLayer, Session},
    respond::Refusal,
    store::revocation::{Revocations, Token},
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::app::App;

const LIFE: Duration = Duration::from_secs(3600);

/// Signs with the first key, verifies with all.
#[derive(Clone)]
pub(crate) struct TokenKeys {
    signs: EncodingKey,
    verify: Vec<DecodingKey>,
}

impl TokenKeys {
    /// Keys derived from those of the sessions (a comma-separated list), so that instances that
    /// share these take each other's tokens. `None`: a random one, which ends with the process.
    pub(crate) fn derived_from(session_keys: Option<&str>) -> Self {
        let derive = |key: &[u8]| -> [u8; 32] {
            Sha256::new()
                .chain_update("evenkeel gateway: tokens\0")
                .chain_update(key)
                .finalize()
                .into()
        };
        let secrets: Vec<[u8; 32]> = match session_keys {
            Some(keys) => keys.split(',').map(|key| derive(key.trim().as_bytes())).collect(),
            None => vec![rand::random()],
        };
        let signs = EncodingKey::from_secret(secrets.first().unwrap_or(&[0; 32]));
        let verify = secrets.iter().map(|secret| DecodingKey::from_secret(secret)).collect();
        Self { signs, verify }
    }

    fn sign(&self, claims: &Claims) -> Result<String, jsonwebtoken::errors::Error> {
        encode(&Header::new(Algorithm::HS256), claims, &self.signs)
    }

    /// `None`: not ours, or expired.
    fn verify(&self, token: &str) -> Option<Claims> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        validation.set_required_spec_claims(&["exp", "sub"]);
        let verified = |key| decode::<Claims>(token, key, &validation).ok();
        self.verify.iter().find_map(verified).map(|token| token.claims)
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Claims {
    sub: String,
    jti: String,
    iat: u64,
    exp: u64,
}

pub(crate) fn routes(app: &App) -> Router {
    let authenticated = from_fn_with_state(app.token_keys.clone(), authenticate);
    let not_revoked = RevocationLayer::new(&app.revocations, verified_token);
    // The last layer is the outermost: who is it, then is the token still good.
    Router::new()
        .route(
            "/token/check",
            get(check).route_layer(not_revoked).route_layer(authenticated.clone()),
        )
        .route("/token/revoke", post(revoke).route_layer(authenticated))
        .route("/token", post(issue))
        .with_state(app.clone())
}

async fn issue(State(app): State<App>, session: Session) -> Result<Json<Value>, Response> {
    let Some(sub) = session.subject().await.map_err(IntoResponse::into_response)? else {
        let message = "no session; POST /login begins one";
        return Err((StatusCode::UNAUTHORIZED, message).into_response());
    };
    let iat = since_1970(SystemTime::now());
    let jti = format!("{:032x}", rand::random::<u128>());
    let claims = Claims { sub, jti, iat, exp: iat + LIFE.as_secs() };
    let token = app.token_keys.sign(&claims).map_err(|error| {
        tracing::error!(%error, "a token cannot be signed");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    })?;
    Ok(Json(json!({ "token": token, "jti": claims.jti, "expiresIn": LIFE.as_secs() })))
}

async fn check(Extension(claims): Extension<Claims>) -> Json<Value> {
    Json(json!({ "user": claims.sub }))
}

async fn revoke(
    State(app): State<App>,
    Extension(claims): Extension<Claims>,
) -> Result<Json<Value>, Response> {
    let Some(until) = at(claims.exp) else {
        return Err((StatusCode::BAD_REQUEST, "exp: no clock reaches that far").into_response());
    };
    match app.revocations.revoke(&claims.jti, until).await {
        Ok(told) => Ok(Json(json!({ "revoked": true, "propagated": told.is_propagated() }))),
        Err(error) if error.kind() == ErrorKind::Invalid => {
            Err((StatusCode::BAD_REQUEST, error.to_string()).into_response())
        }
        Err(error) => {
            tracing::error!(%error, "a revocation holds in this process only");
            Err(unavailable(&app.revocations))
        }
    }
}

fn unavailable(revocations: &Revocations) -> Response {
    Refusal::unavailable(revocations.monitor()).response(&Default::default())
}

/// Lets bearers of a token of ours pass, and leaves its claims in the extensions.
async fn authenticate(State(keys): State<TokenKeys>, mut request: Request, next: Next) -> Response {
    let Some(claims) = bearer(&request).and_then(|token| keys.verify(token)) else {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        let message =
            "expected `Authorization: Bearer` and a token from POST /token that has not expired";
        return (StatusCode::UNAUTHORIZED, challenge, message).into_response();
    };
    request.extensions_mut().insert(claims);
    next.run(request).await
}

fn bearer(request: &Request) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn verified_token(request: &RequestHead<'_>) -> Option<Token> {
    let claims = request.extensions.get::<Claims>()?;
    let token = Token::new(&claims.jti).of(&claims.sub);
    // `None` would let it pass: what has no time of issue counts as old.
    Some(at(claims.iat).map_or(token, |issued| token.issued_at(issued)))
}

fn at(since_1970: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_secs(since_1970))
}

fn since_1970(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
