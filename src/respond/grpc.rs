//! The gRPC form of a refusal: trailers only, with `RetryInfo`.
//!
//! The details are three small protobuf messages of the `google.rpc` package, of two field kinds;
//! they are written here so that no protobuf library comes with the layers, and the tests read
//! them back with one.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header::CONTENT_TYPE};

use super::{Refusal, RefusalKind};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// What the answer's `content-type` has to be, if the request is gRPC. A gRPC-Web client wants to
/// see its own again.
pub(super) fn asked_for(request: &HeaderMap) -> Option<HeaderValue> {
    let asked = request.get(CONTENT_TYPE)?;
    let (name, rest) = asked.as_bytes().split_at_checked("application/grpc".len())?;
    if !name.eq_ignore_ascii_case(b"application/grpc") {
        return None;
    }
    match rest.first() {
        None | Some(b'+' | b';' | b' ') => Some(HeaderValue::from_static("application/grpc")),
        Some(b'-') => Some(asked.clone()),
        Some(_) => None,
    }
}

pub(super) fn trailers_only(refusal: Refusal, content_type: HeaderValue) -> Response<Bytes> {
    let code = match refusal.kind() {
        RefusalKind::Unavailable { .. } => 14,
        RefusalKind::RateLimited => 8,
        RefusalKind::NoKey => 3,
        RefusalKind::NoPeerAddress => 13,
        RefusalKind::Revoked | RefusalKind::NotFresh => 16,
    };
    let mut response = Response::new(Bytes::new());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(STATUS, HeaderValue::from(code));
    headers.insert(MESSAGE, HeaderValue::from_static(refusal.message()));
    // A negative pushback: do not retry.
    let pushback = refusal
        .retry_after()
        .map_or(-1, |seconds| i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000));
    headers.insert(PUSHBACK, HeaderValue::from(pushback));
    let details = STANDARD_NO_PAD.encode(rpc_status(code, refusal));
    if let Ok(details) = HeaderValue::try_from(details) {
        headers.insert(DETAILS, details);
    }
    response
}

/// A `google.rpc.Status`: code 1, message 2, details 3. What no wait can mend has no `RetryInfo`.
fn rpc_status(code: u16, refusal: Refusal) -> Vec<u8> {
    let mut status = number(1, code.into());
    status.extend(bytes(2, refusal.message().as_bytes()));
    if let Some(seconds) = refusal.retry_after() {
        let duration = number(1, seconds);
        let retry_info = bytes(1, &duration);
        let any = [bytes(1, RETRY_INFO.as_bytes()), bytes(2, &retry_info)].concat();
        status.extend(bytes(3, &any));
    }
    status
}

/// A field that holds a number.
fn number(field: u8, value: u64) -> Vec<u8> {
    let mut out = vec![field << 3];
    varint(value, &mut out);
    out
}

/// A field that holds text, bytes or another message.
fn bytes(field: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![field << 3 | 2];
    varint(value.len() as u64, &mut out);
    out.extend_from_slice(value);
    out
}

/// Seven bits a byte, the lowest first; the eighth says that more follow.
fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_grpc_from_its_neighbours() {
        for (asked, answer) in [
            ("application/grpc", Some("application/grpc")),
            ("application/grpc+proto", Some("application/grpc")),
            ("Application/gRPC; charset=utf-8", Some("application/grpc")),
            ("application/grpc-web+proto", Some("application/grpc-web+proto")),
            ("application/grpc-web-text", Some("application/grpc-web-text")),
            ("application/grpcx", None),
            ("application/grp", None),
            ("application/json", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(asked));
            let answered = asked_for(&headers);
            let expected = answer.map(HeaderValue::from_static);
            assert_eq!(answered, expected, "{asked}");
        }
        assert_eq!(asked_for(&HeaderMap::new()), None);
    }

    #[test]
    fn varints_are_little_endian_sevens() {
        for (value, expected) in
            [(0, vec![0]), (127, vec![127]), (128, vec![0x80, 1]), (300, vec![0xac, 2])]
        {
            let mut out = Vec::new();
            varint(value, &mut out);
            assert_eq!(out, expected, "{value}");
        }
    }
}
