//! `/limited` of the gateway, as its clients see it, while Redis is stopped, hung and restarted
//! under load.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::Router;
use bytes::Bytes;
use evenkeel::{redis::Redis, store::rate::Quota};
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{
    PATIENCE, settings,
    support::{RedisServer, eventually},
};

#[path = "../../../examples/gateway/limited.rs"]
mod limited;

/// One process of the gateway, with this one route, on a real socket.
struct Gateway {
    address: SocketAddr,
    redis: Redis,
    serving: JoinHandle<()>,
}

struct Answer {
    status: u16,
    headers: http::HeaderMap,
    body: Value,
}

impl Gateway {
    async fn start(url: &str, quota: Quota) -> Self {
        let redis = Redis::new(settings(url)).unwrap();
        let proxies = "127.0.0.1".parse().unwrap();
        let routes: Router = limited::routes(&redis, &quota, &proxies);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = routes.into_make_service_with_connect_info::<SocketAddr>();
        let serving = tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        Self { address, redis, serving }
    }

    async fn get(&self, headers: &[(&str, &[u8])]) -> Answer {
        let io = TokioIo::new(TcpStream::connect(self.address).await.unwrap());
        let (mut send, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::get("/limited");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response =
            send.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn is(&self, available: bool) {
        let became = eventually(PATIENCE, || async {
            self.redis.monitor().request_probe();
            self.redis.monitor().is_available() == available
        });
        assert!(became.await, "{:?}", self.redis);
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[tokio::test]
async fn the_wire() {
    let server = RedisServer::start().await;
    let gateway = Gateway::start(&server.url(), "3/60s".parse().unwrap()).await;
    gateway.is(true).await;
    for left in (0..3).rev() {
        let answer = gateway.get(&[]).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, serde_json::json!({"ok": true, "source": "redis"}));
        assert_eq!(answer.headers["ratelimit-policy"], "\"default\";q=3;w=60");
        let state = answer.headers["ratelimit"].to_str().unwrap();
        assert!(state.starts_with(&format!("\"default\";r={left};t=")), "{state}");
    }
    let refused = gateway.get(&[]).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.body["error"], "Too Many Requests");
    let wait = refused.body["retryAfter"].as_u64().unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
    assert_eq!(refused.headers["retry-after"], wait.to_string());
    assert_eq!(refused.headers["cache-control"], "no-store");
    assert_eq!(gateway.get(&[("x-api-key", b"k")]).await.status, 200);
    assert_eq!(gateway.get(&[("x-forwarded-for", b"2001:db8::1")]).await.status, 200);
    for (name, value) in [
        ("x-forwarded-for", &b"2001:db8::2"[..]),
        ("forwarded", b"for=\"[2001:db8:0:0:ffff::1]:47\""),
    ] {
        assert_eq!(gateway.get(&[(name, value)]).await.status, 200, "the same /64");
    }
    assert_eq!(gateway.get(&[("x-forwarded-for", b"2001:db8::3")]).await.status, 429);
    assert_eq!(gateway.get(&[("x-api-key", b"\xff")]).await.status, 400);
}

/// A client that goes on and on, and counts.
async fn load(gateway: Arc<Gateway>, stop: Arc<AtomicBool>) -> (BTreeMap<u16, u32>, Duration) {
    let (mut statuses, mut slowest) = (BTreeMap::new(), Duration::ZERO);
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let answer = gateway.get(&[("x-api-key", b"load")]).await;
        slowest = slowest.max(began.elapsed());
        *statuses.entry(answer.status).or_insert(0) += 1;
        sleep(Duration::from_millis(2)).await;
    }
    (statuses, slowest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_hung_and_restarted_under_load() {
    let server = RedisServer::start().await;
    let quota: Quota = "40/1s".parse().unwrap();
    let mut fleet = Vec::new();
    for _ in 0..2 {
        fleet.push(Arc::new(Gateway::start(&server.url(), quota.clone()).await));
    }
    for gateway in &fleet {
        gateway.is(true).await;
    }
    // Heartbeats of both.
    sleep(Duration::from_millis(700)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let clients: Vec<_> = fleet
        .iter()
        .flat_map(|gateway| [gateway; 2])
        .map(|gateway| tokio::spawn(load(Arc::clone(gateway), Arc::clone(&stop))))
        .collect();
    for round in 0..3 {
        sleep(Duration::from_millis(600)).await;
        match round {
            0 => server.kill(),
            1 => server.freeze(),
            _ => server.restart_empty().await,
        }
        if round < 2 {
            for gateway in &fleet {
                gateway.is(false).await;
            }
            sleep(Duration::from_millis(600)).await;
            if round == 0 { server.restart_empty().await } else { server.thaw() }
        }
        for gateway in &fleet {
            gateway.is(true).await;
        }
    }
    sleep(Duration::from_millis(600)).await;
    stop.store(true, Ordering::Relaxed);
    let (mut admitted, mut refused) = (0, 0);
    for client in clients {
        let (statuses, slowest) = client.await.unwrap();
        assert!(statuses.keys().all(|status| [200, 429].contains(status)), "{statuses:?}");
        // One deadline of 1 s, and a busy machine.
        assert!(slowest < Duration::from_secs(2), "{slowest:?}");
        admitted += statuses.get(&200).copied().unwrap_or(0);
        refused += statuses.get(&429).copied().unwrap_or(0);
    }
    let limit = 40.0 * (1.0 + began.elapsed().as_secs_f64());
    assert!(f64::from(admitted) <= 1.1 * limit, "{admitted} of {limit:.0}");
    assert!(
        f64::from(admitted) > 0.4 * limit && refused > 0,
        "{admitted} of {limit:.0}, {refused}"
    );
}
