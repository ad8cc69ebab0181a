//! Servers that speak TLS: with an authority of one's own, one version only, certificates of clients.
#![cfg(feature = "tls")]

use std::path::Path;

use evenkeel::redis::{Redis, RedisConfig, RedisUrl};
use redis::cmd;

use super::{
    LONG,
    support::{Certificates, LogCapture, RedisServer, eventually},
    world::health,
};

fn config(url: &str) -> RedisConfig {
    let url: RedisUrl = url.parse().unwrap();
    RedisConfig::new(url).with_health(health())
}

async fn serves(redis: &Redis) {
    assert!(redis.monitor().wait_available(LONG).await, "{:?}", redis.monitor());
    redis.query::<()>(cmd("SET").arg("key").arg(1)).await.unwrap();
}

/// Refused, with one line in the log that names the reason and what was tried.
async fn refused(config: RedisConfig, reasons: &[&str], tried: &str) {
    let logs = LogCapture::start();
    let redis = Redis::new(config).unwrap();
    let lines = || {
        let lines = logs.at_least(tracing::Level::WARN);
        let lines = lines.iter().map(|line| format!("{} {}", line.message, line.fields));
        lines.filter(|line| line.contains("TLS handshake")).collect::<Vec<_>>()
    };
    let said = eventually(LONG, || async { !lines().is_empty() });
    assert!(said.await, "{:?}", redis.monitor());
    // Asked again, it says no more.
    for _ in 0..3 {
        redis.monitor().request_probe();
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    }
    let lines = lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(reasons.iter().any(|reason| lines[0].contains(reason)), "{lines:?}");
    for part in ["TLS 1.3, TLS 1.2", tried] {
        assert!(lines[0].contains(part), "{part}: {lines:?}");
    }
    assert!(!redis.monitor().can_read());
    let fault = redis.monitor().status().last_fault.unwrap().0.to_string();
    assert!(fault.starts_with("transport: "), "{fault}");
}

#[tokio::test]
async fn a_server_of_one_version() {
    let files = Certificates::new();
    for version in ["TLSv1.2", "TLSv1.3", "TLSv1.2 TLSv1.3"] {
        let builder = RedisServer::builder().arg("tls-auth-clients", "no");
        let server = files.server(builder.arg("tls-protocols", version)).await;
        let url = format!("rediss://{}/", server.addr());
        serves(&Redis::new(config(&url).with_ca_cert(files.file("ca.pem"))).unwrap()).await;
    }
}

#[tokio::test]
async fn an_authority_that_nobody_knows() {
    let files = Certificates::new();
    let server = files.server(RedisServer::builder().arg("tls-auth-clients", "no")).await;
    let url = format!("rediss://{}/", server.addr());
    let strangers = files.file("strangers-ca.pem");
    refused(config(&url).with_ca_cert(&strangers), &["UnknownIssuer"], "strangers-ca.pem").await;
    refused(config(&url), &["UnknownIssuer", "certificate"], "the system's").await;
}

#[tokio::test]
async fn a_server_that_wants_a_certificate() {
    let files = Certificates::new();
    for version in ["TLSv1.2", "TLSv1.3"] {
        let builder = RedisServer::builder().arg("tls-auth-clients", "yes");
        let server = files.server(builder.arg("tls-protocols", version)).await;
        let config = || {
            config(&format!("rediss://localhost:{}", server.addr().port()))
                .with_ca_cert(files.file("ca.pem"))
        };
        let mine = config().with_client_cert(files.file("client.pem"), files.file("client.key"));
        serves(&Redis::new(mine).unwrap()).await;
        let strangers =
            config().with_client_cert(files.file("stranger.pem"), files.file("stranger.key"));
        refused(strangers, &["alert"], "stranger.pem").await;
    }
}

#[tokio::test]
#[cfg(feature = "cluster")]
async fn a_cluster() {
    let files = Certificates::new();
    let builder = RedisServer::builder().arg("tls-auth-clients", "yes");
    let server =
        files.server(builder.arg("cluster-enabled", "yes").arg("tls-cluster", "yes")).await;
    server.server.cli(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await.unwrap();
    let config = config(&format!("rediss-cluster://{}", server.addr()))
        .with_ca_cert(files.file("ca.pem"))
        .with_client_cert(files.file("client.pem"), files.file("client.key"));
    serves(&Redis::new(config).unwrap()).await;
}

#[tokio::test]
async fn files_that_cannot_be_used() {
    let files = Certificates::new();
    let url = "rediss://localhost";
    std::fs::write(files.file("empty.pem"), "hunter2").unwrap();
    let (pem, key) = (files.file("client.pem"), files.file("client.key"));
    let ca = |name: &str| config(url).with_ca_cert(files.file(name));
    let client = |pem: &Path, key: &Path| config(url).with_client_cert(pem, key);
    for (config, parts) in [
        (ca("none.pem"), ["REDIS_CA_CERT", "none.pem", "cannot be read"]),
        (ca("empty.pem"), ["REDIS_CA_CERT", "empty.pem", "no certificate"]),
        (ca("client.key"), ["REDIS_CA_CERT", "client.key", "no certificate"]),
        (
            client(&files.file("empty.pem"), &key),
            ["REDIS_CLIENT_CERT", "empty.pem", "no certificate"],
        ),
        (
            client(&pem, &files.file("empty.pem")),
            ["REDIS_CLIENT_KEY", "empty.pem", "no private key"],
        ),
        (
            client(&pem, &files.file("stranger.key")),
            ["REDIS_CLIENT_KEY", "stranger.key", "does not fit"],
        ),
    ] {
        let error = Redis::new(config).unwrap_err();
        let error = format!("{error} {error:?}");
        for part in parts {
            assert!(error.contains(part), "no {part:?} in {error}");
        }
        let content = std::fs::read_to_string(&key).unwrap();
        assert!(!error.contains("hunter2") && !error.contains("BEGIN"), "{error}");
        assert!(content.lines().all(|line| !error.contains(line)), "{error}");
    }
    let plain = config("redis://localhost").with_ca_cert(files.file("ca.pem"));
    let error = Redis::new(plain).unwrap_err().to_string();
    assert!(error.contains("rediss") && error.contains("REDIS_CA_CERT"), "{error}");
}
