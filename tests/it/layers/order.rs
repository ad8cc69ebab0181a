//! The whole stack of `examples/layers.rs`: what a browser gets of each layer, in any weather.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::ConnectInfo,
    routing::{get, post},
};
use evenkeel::{
    layer::{RequireRedisLayer, Session, SessionError},
    redis::{Redis, RedisConfig},
    store::rate::Quota,
};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use tower::ServiceExt;

use crate::support::RedisServer;

#[allow(dead_code, reason = "its `main` is not run")]
#[path = "../../../examples/layers.rs"]
mod example;

const PATIENCE: Duration = Duration::from_secs(20);

async fn visit(session: Session) -> Result<String, SessionError> {
    let visits = session.get::<u64>("visits").await?.unwrap_or(0) + 1;
    session.insert("visits", visits).await?;
    Ok("a visit ".repeat(100))
}

fn app(redis: &Redis, limit: u32) -> Router {
    let strict = RequireRedisLayer::new(redis.monitor());
    let routes = Router::new()
        .route("/", get(visit))
        .route("/strict", get(|| async { "strict" }).layer(strict))
        .route(
            "/panic",
            get(|| async {
                if true {
                    panic!("on purpose")
                }
            }),
        )
        .route("/broken", get(|| async { StatusCode::SERVICE_UNAVAILABLE }))
        .route("/slow", get(|| tokio::time::sleep(Duration::from_secs(60))))
        .route("/upload", post(|body: Bytes| async move { body.len().to_string() }));
    example::with_layers(routes, redis, Quota::per_minute(limit)).unwrap()
}

fn request(method: Method, path: &str) -> Request<Body> {
    let peer: SocketAddr = "192.0.2.1:4000".parse().unwrap();
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::ORIGIN, "https://shop.example")
        .header(header::ACCEPT_ENCODING, "gzip")
        .extension(ConnectInfo(peer))
        .body(Body::empty())
        .unwrap()
}

fn preflight() -> Request<Body> {
    let mut request = request(Method::OPTIONS, "/upload");
    let headers = request.headers_mut();
    headers.insert(header::ACCESS_CONTROL_REQUEST_METHOD, "POST".parse().unwrap());
    headers.insert(header::ACCESS_CONTROL_REQUEST_HEADERS, "content-type".parse().unwrap());
    request
}

async fn send(app: &Router, request: Request<Body>) -> Response<Body> {
    app.clone().oneshot(request).await.unwrap()
}

/// A browser hands this answer to the page, with the headers that limits and refusals have.
fn can_be_read(headers: &HeaderMap) {
    assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "https://shop.example");
    let exposed = headers[header::ACCESS_CONTROL_EXPOSE_HEADERS].to_str().unwrap();
    for name in ["retry-after", "ratelimit", "ratelimit-policy", "x-request-id"] {
        assert!(exposed.split(',').any(|exposed| exposed.trim() == name), "{name}: {exposed}");
    }
    assert!(headers.contains_key("x-request-id"));
}

async fn connected() -> (RedisServer, Redis) {
    let server = RedisServer::start().await;
    let redis = Redis::new(RedisConfig::new(server.url().parse().unwrap())).unwrap();
    assert!(redis.monitor().wait_available(PATIENCE).await);
    (server, redis)
}

/// Nobody is at its address.
fn away() -> Redis {
    Redis::new(RedisConfig::new("redis://127.0.0.1:1".parse().unwrap())).unwrap()
}

#[tokio::test]
async fn every_layer_does_its_part() {
    let (_server, redis) = connected().await;
    let app = app(&redis, 100);
    let answer = send(&app, request(Method::GET, "/")).await;
    assert_eq!(answer.status(), StatusCode::OK);
    can_be_read(answer.headers());
    assert_eq!(answer.headers()[header::CONTENT_ENCODING], "gzip");
    assert!(answer.headers().contains_key(header::SET_COOKIE));
    assert!(answer.headers()["ratelimit"].to_str().unwrap().contains("r=99"));

    let panicked = send(&app, request(Method::GET, "/panic")).await;
    assert_eq!(panicked.status(), StatusCode::INTERNAL_SERVER_ERROR);
    can_be_read(panicked.headers());

    let mut large = request(Method::POST, "/upload");
    *large.body_mut() = vec![0; 64 * 1024 + 1].into();
    let large = send(&app, large).await;
    assert_eq!(large.status(), StatusCode::PAYLOAD_TOO_LARGE);
    can_be_read(large.headers());
    let mut fits = request(Method::POST, "/upload");
    *fits.body_mut() = vec![0; 64 * 1024].into();
    assert_eq!(send(&app, fits).await.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn what_takes_too_long_is_ended_and_says_so_to_the_page() {
    let app = app(&away(), 100);
    let slow = send(&app, request(Method::GET, "/slow")).await;
    assert_eq!(slow.status(), StatusCode::GATEWAY_TIMEOUT);
    can_be_read(slow.headers());
}

#[tokio::test]
async fn preflights_cost_nothing_and_pages_can_read_a_refusal() {
    for redis in [connected().await, (RedisServer::start().await, away())].iter().map(|(_, r)| r) {
        let app = app(redis, 2);
        for _ in 0..10 {
            let answer = send(&app, preflight()).await;
            assert_eq!(answer.status(), StatusCode::OK);
            assert_eq!(answer.headers()[header::ACCESS_CONTROL_ALLOW_METHODS], "GET,POST");
            assert!(!answer.headers().contains_key("ratelimit"), "it was not counted");
        }
        for _ in 0..2 {
            let answer = send(&app, request(Method::POST, "/upload")).await;
            assert_eq!(answer.status(), StatusCode::OK);
        }
        let refused = send(&app, request(Method::POST, "/upload")).await;
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        can_be_read(refused.headers());
        assert!(refused.headers().contains_key(header::RETRY_AFTER));
        // Also for whoever is out of budget: else a browser would hide the 429 from its page.
        assert_eq!(send(&app, preflight()).await.status(), StatusCode::OK);
    }
}

/// What was logged on this thread, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_refusal_is_no_error_line_and_a_failure_is_one() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::ERROR)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let errors = || String::from_utf8(std::mem::take(&mut *log.0.lock().unwrap())).unwrap();

    let app = app(&away(), 100);
    for path in ["/strict", "/"] {
        let refused = send(&app, request(Method::GET, path)).await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
        can_be_read(refused.headers());
    }
    assert_eq!(errors(), "");
    let broken = send(&app, request(Method::GET, "/broken")).await;
    assert_eq!(broken.status(), StatusCode::SERVICE_UNAVAILABLE);
    let lines = errors();
    assert!(lines.lines().count() == 1 && lines.contains("failed"), "{lines}");
}
