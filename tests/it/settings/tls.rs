//! Certificates in the environment.
#![cfg(feature = "tls")]

use super::{
    gateway::{Gateway, LONG, run},
    support::{Certificates, RedisServer, eventually},
};

#[tokio::test]
async fn certificates_are_used() {
    let files = Certificates::new();
    let builder = RedisServer::builder().arg("tls-auth-clients", "yes").password("secret");
    let server = files.server(builder).await;
    let url = format!("rediss://:secret@{}", server.addr());
    let path = |name| files.file(name).display().to_string();
    let (ca, cert, key) = (path("ca.pem"), path("client.pem"), path("client.key"));
    let gateway = Gateway::start(&[
        ("REDIS_URL", &url),
        ("REDIS_CA_CERT", &ca),
        ("REDIS_CLIENT_CERT", &cert),
        ("REDIS_CLIENT_KEY", &key),
    ])
    .await;
    let connected = eventually(LONG, || async {
        let health = gateway.get("/health/dependencies").await;
        health.is_some_and(|health| health.contains("\"connectionState\":\"connected\""))
    });
    assert!(connected.await);
}

#[tokio::test]
async fn what_cannot_be_used_is_named() {
    for (variables, parts) in [
        (
            &[("REDIS_URL", "rediss://host"), ("REDIS_CA_CERT", "/no/such/file.pem")][..],
            ["REDIS_CA_CERT", "/no/such/file.pem", "cannot be read"],
        ),
        (
            &[("REDIS_URL", "rediss://host"), ("REDIS_CLIENT_KEY", "/no/such/file.pem")],
            ["REDIS_CLIENT_KEY", "REDIS_CLIENT_CERT", "together"],
        ),
        (
            &[("REDIS_CA_CERT", "/no/such/file.pem")],
            ["REDIS_CA_CERT", "redis://127.0.0.1:6379/0", "without TLS"],
        ),
    ] {
        let output = run(variables).await;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{error}");
        for part in parts {
            assert!(error.contains(part), "no {part:?} in {error:?}");
        }
    }
}
