//! `/items` of two gateways on one database, as their clients see it, through every kind of outage.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::{RedisServer, eventually};
use crate::guards::{
    PATIENCE,
    gateway::{Answer, Gateway},
};

impl Answer {
    /// `x-cache`, `x-cache-tier` and `x-cache-mode`.
    fn cache(&self) -> [&str; 3] {
        ["x-cache", "x-cache-tier", "x-cache-mode"].map(|name| {
            let headers = self.head.lines().filter_map(|line| line.split_once(": "));
            let of_this_name = headers.filter(|(key, _)| key.eq_ignore_ascii_case(name));
            of_this_name.map(|(_, value)| value).next().unwrap_or_default()
        })
    }
}

impl Gateway {
    async fn item(&self, id: &str) -> Answer {
        self.send("GET", &format!("/items/{id}"), "").await
    }

    async fn put(&self, id: &str, body: &str) -> Answer {
        let length = body.len();
        let request = format!(
            "PUT /items/{id} HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        self.raw(request.as_bytes()).await
    }

    /// Writes, and waits until both have it.
    async fn write(&self, other: &Self, id: &str, value: &str) -> u64 {
        let body = json!({ "value": value }).to_string();
        let written = self.put(id, &body).await;
        assert_eq!((written.status, &written.body["value"]), (200, &json!(value)));
        let has_it = |answer: Answer| answer.body["version"] == written.body["version"];
        assert!(has_it(self.item(id).await), "the writer reads what it wrote");
        let heard = eventually(PATIENCE, || async { has_it(other.item(id).await) });
        assert!(heard.await);
        written.body["version"].as_u64().unwrap()
    }

    async fn metrics_of_the_cache(&self) -> Value {
        let health = self.send("GET", "/health/dependencies", "").await.body;
        health["checks"]["redis"]["details"]["metrics"].clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn items_through_every_kind_of_outage() {
    let server = RedisServer::builder().persistent(true).start().await;
    let disk = TempDir::new().unwrap();
    let a = Gateway::start(&server.url(), &disk).await.ready().await;
    let b = Gateway::start(&server.url(), &disk).await.ready().await;

    let first = a.item("7").await;
    assert_eq!((first.status, first.cache()), (200, ["miss", "database", "normal"]));
    assert_eq!(first.body, json!({ "id": 7, "value": "item 7", "version": 1 }));
    let in_memory =
        eventually(PATIENCE, || async { a.item("7").await.cache() == ["hit", "memory", "normal"] });
    assert!(in_memory.await);
    assert_eq!(b.item("7").await.cache(), ["hit", "redis", "normal"]);
    let none = a.item("4711").await;
    assert_eq!((none.status, none.cache()), (404, ["miss", "database", "normal"]));
    assert_eq!(none.body["message"], "there is no such item");
    assert_eq!(a.item("4711").await.cache(), ["hit", "memory", "normal"]);
    assert_eq!(a.write(&b, "7", "healthy").await, 2);
    let counts = a.metrics_of_the_cache().await;
    assert!(counts["hits"].as_u64() >= Some(2), "{counts}");
    assert!(counts["misses"].as_u64() >= Some(2) && counts["deletes"] == 1, "{counts}");
    assert!(counts["hitRate"].as_f64() > Some(0.0), "{counts}");

    // Stopped: memory goes on, and then the database.
    server.kill();
    a.redis_is(false).await;
    b.redis_is(false).await;
    assert_eq!(a.item("7").await.cache(), ["hit", "memory", "without-redis"]);
    assert_eq!(a.item("8").await.cache(), ["miss", "database", "without-redis"]);
    let written = a.put("7", r#"{"value":"stopped"}"#).await;
    assert_eq!((written.status, &written.body["version"]), (200, &json!(3)));
    assert_eq!(a.item("7").await.body["value"], "stopped");
    let metrics = a.send("GET", "/metrics", "").await;
    assert_eq!(metrics.status, 200);

    // Back with what it had: the old value is not served, by either.
    server.restart().await;
    a.redis_is(true).await;
    b.redis_is(true).await;
    for gateway in [&a, &b] {
        let heard =
            eventually(PATIENCE, || async { gateway.item("7").await.body["value"] == "stopped" });
        assert!(heard.await);
    }
    assert_eq!(a.write(&b, "7", "again").await, 4);

    // Hung, emptied, and brought back older.
    server.freeze();
    a.redis_is(false).await;
    assert_eq!(a.item("7").await.status, 200);
    server.thaw();
    a.redis_is(true).await;
    b.redis_is(true).await;
    let dump = server.save_dump().await;
    assert_eq!(a.write(&b, "7", "newer than the dump").await, 5);
    server.flushall().await;
    assert_eq!(a.write(&b, "7", "after it was emptied").await, 6);
    server.restart_from(&dump).await;
    a.redis_is(true).await;
    b.redis_is(true).await;
    for gateway in [&a, &b] {
        let current =
            eventually(PATIENCE, || async { gateway.item("7").await.body["version"] == 6 });
        assert!(current.await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_request_is_said() {
    let server = RedisServer::start().await;
    let disk = TempDir::new().unwrap();
    let gateway = Gateway::start(&server.url(), &disk).await.ready().await;
    for path in ["x", "-1", "99999999999", "%00", "7/8"] {
        let answer = gateway.item(path).await;
        assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
        assert!(answer.body["message"].is_string(), "{path}: {}", answer.body);
    }
    for body in ["", "{", "{}", r#"{"value":7}"#, "[]"] {
        let answer = gateway.put("7", body).await;
        assert!((400..500).contains(&answer.status), "{body}: {}", answer.status);
        assert!(answer.body["message"].is_string(), "{body}: {}", answer.body);
    }
    // One that is new.
    let new = gateway.put("4711", r#"{"value":"new"}"#).await;
    assert_eq!(new.body, json!({ "id": 4711, "value": "new", "version": 1 }));
    assert_eq!(gateway.item("4711").await.body["value"], "new");
}
