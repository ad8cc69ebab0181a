//! What Kubernetes sets beside a service named redis is no setting.

use super::{
    gateway::{Gateway, LONG, run},
    support::{RedisServer, eventually},
};

const LINKS: [(&str, &str); 7] = [
    ("REDIS_PORT", "tcp://10.96.12.3:6379"),
    ("REDIS_SERVICE_HOST", "10.96.12.3"),
    ("REDIS_SERVICE_PORT", "6379"),
    ("REDIS_PORT_6379_TCP", "tcp://10.96.12.3:6379"),
    ("REDIS_PORT_6379_TCP_PROTO", "tcp"),
    ("REDIS_PORT_6379_TCP_PORT", "6379"),
    ("REDIS_PORT_6379_TCP_ADDR", "10.96.12.3"),
];

#[tokio::test]
async fn links_alone_are_explained() {
    for link in ["tcp://10.96.12.3:6379", "udp://[fd00::1]:6379"] {
        let output = run(&[("REDIS_PORT", link), ("REDIS_PASSWORD", "secret")]).await;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{error}");
        for part in ["REDIS_PORT", link, "Kubernetes", "REDIS_URL or REDIS_HOST"] {
            assert!(error.contains(part), "no {part:?} in {error:?}");
        }
        assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    }
}

#[tokio::test]
async fn links_beside_an_address_are_ignored() {
    let server = RedisServer::builder().password("secret").start().await;
    let url = server.url_with_password();
    let mut variables = LINKS.to_vec();
    variables.push(("REDIS_URL", &url));
    let gateway = Gateway::start(&variables).await;
    let connected = eventually(LONG, || async {
        let health = gateway.get("/health/dependencies").await;
        health.is_some_and(|health| health.contains("\"connectionState\":\"connected\""))
    });
    assert!(connected.await);
    // The port is the default then.
    let mut variables = LINKS.to_vec();
    variables.push(("REDIS_HOST", "127.0.0.1"));
    let gateway = Gateway::start(&variables).await;
    let health = gateway.get("/health/dependencies").await.unwrap();
    assert!(health.contains("redis://127.0.0.1:6379/0"), "{health}");
}
