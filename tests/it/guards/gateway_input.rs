//! What the gateway's token routes make of bad input.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::STANDARD};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::{
    gateway::{Gateway, assert_refused},
    support::RedisServer,
};

#[tokio::test(flavor = "multi_thread")]
async fn cookies_are_secure_on_loopback_too_unless_the_other_is_asked_for() {
    let server = RedisServer::start().await;
    for (variables, is_secure) in [(&[][..], true), (&[("SESSION_COOKIES", "insecure")], false)] {
        let disk = TempDir::new().unwrap();
        let log = disk.path().join("log");
        let to = std::fs::File::create(&log).unwrap().into();
        let gateway = Gateway::with(&server.url(), &disk, variables, to).await.ready().await;
        let answer = gateway.login("alice", "correct-horse").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let set = answer.head.lines().filter_map(|line| line.split_once(": "));
        let set = set.filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
        let cookies: Vec<&str> = set.map(|(_, cookie)| cookie).collect();
        assert_eq!(cookies.len(), 2, "{cookies:?}");
        for cookie in cookies {
            assert_eq!(cookie.starts_with("__Host-s"), is_secure, "{cookie}");
            assert_eq!(cookie.contains("; Secure"), is_secure, "{cookie}");
        }
        let log = std::fs::read_to_string(log).unwrap();
        assert_eq!(log.contains("SESSION_COOKIES=insecure"), !is_secure, "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_a_4xx_with_a_reason() {
    let server = RedisServer::start().await;
    let disk = TempDir::new().unwrap();
    let gateway = Gateway::start(&server.url(), &disk).await.ready().await;
    let token = gateway.token("alice").await;
    let (head, signature) = token.rsplit_once('.').unwrap();
    let last = if signature.ends_with('A') { "B" } else { "A" };
    let forged = format!("{head}.{}{last}", &signature[..signature.len() - 1]);
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJhIiwianRpIjoiYiIsImlhdCI6MSwiZXhwIjo5OTk5OTk5OTk5fQ.";
    let huge = "x".repeat(7_000);
    for path in ["GET /token/check", "POST /token/revoke"] {
        let (method, path) = path.split_once(' ').unwrap();
        let bearers = ["", "x", "..", "a.b.c", "\u{1f980}", none, &forged, &huge, "Bearer"];
        for bearer in bearers {
            let headers = format!("authorization: Bearer {bearer}\r\n");
            let answer = gateway.send(method, path, &headers).await;
            assert_eq!(answer.status, 401, "{bearer} {}", answer.body);
            assert!(answer.body["message"].is_string(), "{bearer}");
        }
        for headers in ["", "authorization: Basic YTpi\r\n", "authorization: \r\n"] {
            assert_eq!(gateway.send(method, path, headers).await.status, 401, "{headers}");
        }
        let mut binary =
            format!("{method} {path} HTTP/1.1\r\nhost: g\r\nconnection: close\r\n").into_bytes();
        binary.extend(b"authorization: Bearer \xff\xfe\r\n\r\n");
        assert_eq!(gateway.raw(&binary).await.status, 401);
    }
    assert_eq!(gateway.send("POST", "/token", "").await.status, 401);
    assert_eq!(gateway.send("GET", "/token", "").await.status, 405);
    assert_eq!(gateway.send("POST", "/token/check", "").await.status, 405);
    assert_eq!(gateway.check(&token).await.status, 200);
}

/// What nobody but the gateway can sign, with claims that it would never make.
#[tokio::test(flavor = "multi_thread")]
async fn claims_beyond_all_bounds_are_answered_and_never_pass_unchecked() {
    let server = RedisServer::start().await;
    let disk = TempDir::new().unwrap();
    let gateway = Gateway::start(&server.url(), &disk).await.ready().await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let century = 36_525 * 24 * 60 * 60;
    for (jti, exp, status) in [
        ("a", now + 60, 200),
        ("b", now - 60, 401),
        ("c", 0, 401),
        ("d", now + century + 60, 400),
        ("e", 1 << 63, 400),
        ("f", u64::MAX, 400),
        ("", now + 60, 400),
        ("\0\r\n{table}*", now + 60, 200),
    ] {
        let token = signed(&json!({ "sub": "alice", "jti": jti, "iat": now, "exp": exp }));
        let answer = gateway.revoke(&token).await;
        assert_eq!(answer.status, status, "{jti} {exp} {}", answer.body);
        if status == 200 {
            assert_refused(&gateway.check(&token).await);
        } else {
            assert!(answer.body["message"].is_string(), "{jti} {exp}");
        }
    }

    // No instant: as good as none, and the id counts all the same.
    for (jti, iat) in [("g", u64::MAX), ("h", 1 << 63), ("i", 0)] {
        let token = signed(&json!({ "sub": "alice", "jti": jti, "iat": iat, "exp": now + 60 }));
        assert_eq!(gateway.check(&token).await.status, 200);
        assert_eq!(gateway.revoke(&token).await.status, 200);
        assert_refused(&gateway.check(&token).await);
    }
}

/// With the key that the gateway derives from its `SESSION_KEYS`.
fn signed(claims: &Value) -> String {
    let secret = Sha256::new()
        .chain_update("evenkeel gateway: tokens\0")
        .chain_update(STANDARD.encode([7; 32]))
        .finalize();
    encode(&Header::default(), claims, &EncodingKey::from_secret(&secret)).unwrap()
}
