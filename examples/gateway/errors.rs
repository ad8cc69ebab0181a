//! Whatever is wrong with a request, the answer is a 4xx with a JSON body that says what.

use axum::{
    Json,
    body::to_bytes,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

/// The longest text of a rejection that is passed on.
const LONGEST_TEXT: usize = 4 * 1024;

pub(crate) async fn no_such_route(uri: Uri) -> (StatusCode, String) {
    (StatusCode::NOT_FOUND, format!("no route {}; GET / lists them", uri.path()))
}

/// The database does not answer. What it says of that is for the log.
pub(crate) fn database_is_down(error: &(dyn std::error::Error + 'static)) -> Response {
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    tracing::error!(%error, cause, "the database does not serve");
    let message = "the database does not answer; please try again";
    let body = json!({ "error": "Service Unavailable", "message": message });
    let headers = [(header::RETRY_AFTER, "1"), (header::CACHE_CONTROL, "no-store")];
    (StatusCode::SERVICE_UNAVAILABLE, headers, Json(body)).into_response()
}

/// Gives the refusals of the framework (no such method, body too large, broken JSON, …), which are
/// plain text or nothing, the form that all others have.
pub(crate) async fn as_json(response: Response) -> Response {
    let status = response.status();
    if !status.is_client_error() || is_json(response.headers()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let text = to_bytes(body, LONGEST_TEXT).await.unwrap_or_default();
    let error = status.canonical_reason().unwrap_or("Bad Request");
    let message = match std::str::from_utf8(&text) {
        Ok(text) if !text.is_empty() => text,
        _ if status == StatusCode::METHOD_NOT_ALLOWED => "this route has no such method, see Allow",
        _ => error,
    };
    let mut answer = (status, Json(json!({ "error": error, "message": message }))).into_response();
    for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH] {
        parts.headers.remove(name);
    }
    if status != StatusCode::METHOD_NOT_ALLOWED {
        parts.headers.remove(header::ALLOW);
    }
    answer.headers_mut().extend(parts.headers);
    answer.extensions_mut().extend(parts.extensions);
    answer
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    media_type == "application/json" || media_type.ends_with("+json")
}
