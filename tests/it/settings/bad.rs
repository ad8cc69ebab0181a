//! A value that cannot be read: an error with the variable, the value and the accepted form, and
//! exit status 2.

use super::gateway;

#[tokio::test]
async fn every_setting() {
    for (name, value, form) in [
        ("REDIS_URL", "http://127.0.0.1:6379", "redis://"),
        ("REDIS_HOST", "no host", "host name"),
        ("REDIS_HOST", "127.0.0.1:6379", "host name"),
        ("REDIS_PORT", "66666", "port number"),
        ("REDIS_PORT", "http", "port number"),
        ("REDIS_DB", "-1", "database number"),
        ("REDIS_NAMESPACE", "a b", "letters"),
        ("REDIS_NAMESPACE", "a:b", "letters"),
        ("REDIS_OP_TIMEOUT", "100", "250ms"),
        ("REDIS_OP_TIMEOUT", "0ms", "at least 1ms"),
        ("REDIS_OP_TIMEOUT", "-1s", "250ms"),
        ("REDIS_PROBE_TIMEOUT", "soon", "250ms"),
        ("REDIS_PROBE_INTERVAL", "5 s", "250ms"),
        ("REDIS_BACKOFF", "1s", "1s..15s"),
        ("REDIS_BACKOFF", "15s..1s", "1s..15s"),
        ("REDIS_BACKOFF", "0s..1s", "1s..15s"),
        ("REDIS_STARTUP_ATTEMPTS", "0", "whole number"),
        ("REDIS_STARTUP_ATTEMPTS", "many", "whole number"),
        ("LISTEN_ADDR", "localhost", "127.0.0.1:3000"),
        ("METRICS", "perhaps", "on or off"),
        ("DATABASE_PATH", "/no/such/folder/db", "SQLite"),
        ("JOB_INTERVAL", "soon", "30s"),
        ("JOB_INTERVAL", "0s", "10ms"),
    ] {
        let output = gateway::run(&[(name, value)]).await;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{name}={value}: {error}");
        for part in [name, value, form] {
            assert!(error.contains(part), "{name}={value}: no {part:?} in {error:?}");
        }
        assert_eq!(error.trim_end().lines().count(), 1, "{error}");
        assert!(!error.contains("panicked"), "{error}");
        assert!(output.stdout.is_empty(), "it has said something else first");
    }
}

/// Of an address only what cannot be a secret is shown.
#[tokio::test]
async fn an_address() {
    for (url, shown, reason) in [
        ("http://127.0.0.1", "\"http://***\"", "the scheme is not one of Redis"),
        ("127.0.0.1:6379", "\"***\"", "no scheme"),
        ("redis://127.0.0.1:70000", "\"redis://***\"", "port number"),
        ("redis://app:hunter@cache:6379/first", "\"redis://***@cache:6379\"", "database"),
        ("redis://cache:6379?timeout=5s", "\"redis://***\"", "\"timeout\" is not known"),
        ("redis://app:hunt#er@cache:6379", "\"redis://***\"", "%23"),
    ] {
        let output = gateway::run(&[("REDIS_URL", url)]).await;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{url}: {error}");
        for part in ["REDIS_URL: ", shown, reason, "expected redis://"] {
            assert!(error.contains(part), "{url}: no {part:?} in {error:?}");
        }
        assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    }
}

#[tokio::test]
async fn one_that_is_empty_is_one_that_is_not_set() {
    let names = ["REDIS_URL", "REDIS_PORT", "REDIS_OP_TIMEOUT", "REDIS_BACKOFF", "METRICS"];
    let gateway = gateway::Gateway::start(&names.map(|name| (name, ""))).await;
    let said = gateway.stop().await;
    assert!(said.contains("http://127.0.0.1"), "{said}");
}
