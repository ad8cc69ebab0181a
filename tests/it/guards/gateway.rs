//! The gateway's token routes, as a client meets them, with Redis stopped, hung, emptied, rolled
//! back and restarted.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    PATIENCE,
    support::{RedisServer, eventually},
};
use crate::example;

impl Answer {
    /// What a client that keeps cookies sends next.
    fn cookies(&self) -> String {
        let set = self.head.lines().filter_map(|line| line.split_once(": "));
        let set = set.filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
        let pairs: Vec<&str> = set.filter_map(|(_, cookie)| cookie.split(';').next()).collect();
        pairs.join("; ")
    }
}

pub(crate) struct Gateway {
    process: Child,
    address: SocketAddr,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Value,
}

impl Gateway {
    pub(crate) async fn start(redis: &str, disk: &TempDir) -> Self {
        Self::with(redis, disk, &[], Stdio::null()).await
    }

    /// With these variables, and its log here.
    pub(crate) async fn with(
        redis: &str,
        disk: &TempDir,
        variables: &[(&str, &str)],
        log: Stdio,
    ) -> Self {
        let mut process = Command::new(example::gateway())
            .env_remove("SESSION_COOKIES")
            .env("LISTEN_ADDR", "127.0.0.1:0")
            .env("REDIS_URL", redis)
            .env("REDIS_OP_TIMEOUT", "500ms")
            .env("REDIS_PROBE_INTERVAL", "200ms")
            .env("REDIS_BACKOFF", "50ms..200ms")
            .env("SESSION_KEYS", STANDARD.encode([7; 32]))
            .env("DATABASE_PATH", disk.path().join("gateway.sqlite3"))
            .env("RUST_LOG", "warn")
            .stdout(Stdio::piped())
            .envs(variables.iter().copied())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        let address = first.split("http://").nth(1).unwrap().split(' ').next().unwrap();
        let address = address.parse().unwrap();
        // Read on, so that the gateway never meets a closed pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, address }
    }

    /// SIGSTOP.
    pub(crate) fn freeze(&self) {
        kill_process(Pid::from_child(&self.process), Signal::STOP).unwrap();
    }

    /// SIGCONT.
    pub(crate) fn thaw(&self) {
        kill_process(Pid::from_child(&self.process), Signal::CONT).unwrap();
    }

    pub(crate) async fn send(&self, method: &str, path: &str, headers: &str) -> Answer {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: g\r\nconnection: close\r\n{headers}");
        self.raw(format!("{head}\r\n").as_bytes()).await
    }

    pub(crate) async fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = serde_json::from_str(body).unwrap_or(Value::Null);
        Answer { status, head: head.to_owned(), body }
    }

    pub(crate) async fn login(&self, user: &str, password: &str) -> Answer {
        let body = json!({ "user": user, "password": password }).to_string();
        let length = body.len();
        let request = format!(
            "POST /login HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        self.raw(request.as_bytes()).await
    }

    /// A token for this user, who logs in for it.
    pub(crate) async fn token(&self, user: &str) -> String {
        let answer = self.login(user, "correct-horse").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let answer =
            self.send("POST", "/token", &format!("cookie: {}\r\n", answer.cookies())).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.body["expiresIn"], 3600);
        assert!(answer.body["jti"].as_str().unwrap().len() >= 16);
        answer.body["token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn check(&self, token: &str) -> Answer {
        self.send("GET", "/token/check", &format!("authorization: Bearer {token}\r\n")).await
    }

    pub(crate) async fn revoke(&self, token: &str) -> Answer {
        self.send("POST", "/token/revoke", &format!("authorization: Bearer {token}\r\n")).await
    }

    pub(crate) async fn redis_is(&self, available: bool) {
        let so = eventually(PATIENCE, || async {
            self.send("GET", "/soft", "").await.body == json!({ "redisAvailable": available })
        });
        assert!(so.await, "redisAvailable is not {available}");
    }

    /// A good token passes: this instance is in step.
    pub(crate) async fn ready(self) -> Self {
        self.redis_is(true).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        self
    }
}

pub(crate) fn assert_refused(answer: &Answer) {
    assert_eq!(answer.status, 401, "{}", answer.body);
    assert_eq!(answer.body["error"], "Unauthorized");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_through_every_kind_of_outage() {
    let server = RedisServer::builder().persistent(true).start().await;
    let disk = TempDir::new().unwrap();
    let other_disk = TempDir::new().unwrap();
    let a = Gateway::start(&server.url(), &disk).await.ready().await;
    let b = Gateway::start(&server.url(), &other_disk).await.ready().await;
    let good = a.token("alice").await;
    let (early, late) = (a.token("alice").await, b.token("bob").await);
    assert_eq!(b.check(&good).await.body, json!({ "user": "alice" }));
    let dump = server.save_dump().await;

    let told = a.revoke(&early).await;
    assert_eq!((told.status, told.body), (200, json!({ "revoked": true, "propagated": true })));
    assert_refused(&b.check(&early).await);
    assert_eq!(a.revoke(&early).await.status, 200, "again is no mistake");
    tokio::time::sleep(Duration::from_millis(200)).await;

    // Stopped.
    server.kill();
    a.redis_is(false).await;
    b.redis_is(false).await;
    for gateway in [&a, &b] {
        assert_refused(&gateway.check(&early).await);
        assert_eq!(gateway.check(&good).await.status, 200);
    }
    let told = a.revoke(&late).await;
    assert_eq!((told.status, told.body), (200, json!({ "revoked": true, "propagated": false })));
    assert_refused(&a.check(&late).await);

    // The process restarts in the middle of it: its disk knows what it had revoked, and the rest
    // cannot be told.
    drop(a);
    let a = Gateway::start(&server.url(), &disk).await;
    assert_refused(&a.check(&early).await);
    assert_refused(&a.check(&late).await);
    let unknown = a.check(&good).await;
    assert_eq!(unknown.status, 503);
    assert_eq!(unknown.body["error"], "Service Temporarily Unavailable");
    assert!(unknown.head.to_lowercase().contains("retry-after:"), "{}", unknown.head);

    // Restarted.
    server.restart().await;
    a.redis_is(true).await;
    b.redis_is(true).await;
    for gateway in [&a, &b] {
        assert_refused(&gateway.check(&early).await);
        assert_refused(&gateway.check(&late).await);
        assert_eq!(gateway.check(&good).await.status, 200);
    }
    let b = b.ready().await;

    // Hung.
    server.freeze();
    assert_refused(&b.check(&late).await);
    assert_eq!(b.check(&good).await.status, 200);
    server.thaw();
    b.redis_is(true).await;
    a.redis_is(true).await;
    let (a, b) = (a.ready().await, b.ready().await);

    // Emptied, then rolled back to before anything was revoked.
    server.restart_empty().await;
    a.redis_is(true).await;
    b.redis_is(true).await;
    let fresh = Gateway::start(&server.url(), &TempDir::new().unwrap()).await.ready().await;
    server.restart_from(&dump).await;
    for gateway in [&a, &b, &fresh] {
        gateway.redis_is(true).await;
    }
    for gateway in [&a, &b, &fresh] {
        assert_refused(&gateway.check(&early).await);
        assert_refused(&gateway.check(&late).await);
        assert_eq!(gateway.check(&good).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_before_and_in_an_outage_lock_together_and_a_kill_does_not_help() {
    let server = RedisServer::builder().persistent(true).start().await;
    let (disk, other_disk) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let a = Gateway::start(&server.url(), &disk).await.ready().await;
    let b = Gateway::start(&server.url(), &other_disk).await.ready().await;
    // A has seen all three of alice's, and B only the first of bob's.
    for (gateway, user) in
        [(&b, "alice"), (&a, "alice"), (&a, "alice"), (&b, "bob"), (&a, "bob"), (&a, "bob")]
    {
        assert_eq!(gateway.login(user, "wrong").await.status, 401);
    }

    server.kill();
    a.redis_is(false).await;
    b.redis_is(false).await;
    for (gateway, user) in [(&a, "alice"), (&a, "alice"), (&b, "bob"), (&b, "bob")] {
        assert_eq!(gateway.login(user, "wrong").await.status, 401);
    }
    let locked = a.login("alice", "correct-horse").await;
    assert_eq!(locked.status, 423, "{}", locked.body);
    assert!(locked.head.to_lowercase().contains("retry-after:"), "{}", locked.head);

    // Killed in the middle of it: the lock is on disk.
    drop(a);
    let a = Gateway::start(&server.url(), &disk).await;
    assert_eq!(a.login("alice", "correct-horse").await.status, 423);
    assert_eq!(a.login("carol", "correct-horse").await.status, 200);

    // Two of bob's were told to Redis before the outage by A, and three are B's.
    server.restart().await;
    a.redis_is(true).await;
    b.redis_is(true).await;
    for gateway in [&a, &b] {
        for user in ["alice", "bob"] {
            let answer = gateway.login(user, "correct-horse").await;
            assert_eq!(answer.status, 423, "{user} {}", answer.body);
        }
    }
}
