//! Served end to end over loopback TCP, each connection kept alive: without a session, and with one
//! of each that never leaves the process.

use axum::{Router, response::IntoResponse, routing::get};
use bytes::Bytes;
use evenkeel::layer::Session;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};
use tower_sessions::{MemoryStore, SessionManagerLayer};

use crate::{
    gone, layer,
    rounds::{self, Way},
};

const CONNECTIONS: usize = 32;

/// Where it is served, and what its client shows.
#[derive(Clone)]
struct Served {
    address: String,
    cookies: HeaderValue,
}

/// One connection; opened by its first request.
struct Client {
    served: Served,
    sender: Option<SendRequest<Empty<Bytes>>>,
}

impl Client {
    fn new(served: &Served) -> Self {
        Self { served: served.clone(), sender: None }
    }

    async fn get(&mut self, path: &str) -> http::Response<hyper::body::Incoming> {
        if self.sender.is_none() {
            let stream = TcpStream::connect(&self.served.address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            self.sender = Some(sender);
        }
        let request = Request::get(path)
            .header(header::HOST, &self.served.address)
            .header(header::COOKIE, &self.served.cookies)
            .body(Empty::new())
            .unwrap();
        let sender = self.sender.as_mut().unwrap();
        sender.ready().await.unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer
    }

    /// One request, answered with a value of this size.
    async fn read(mut self, size: usize) -> Self {
        let body = self.get("/read").await.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body.len(), size);
        self
    }
}

fn bare(size: usize) -> Router {
    let value = "x".repeat(size);
    Router::new()
        .route("/start", get(|| async {}))
        .route("/read", get(move || std::future::ready(value.clone())))
}

fn ours(size: usize) -> Router {
    let start = async move |session: Session| {
        session.insert("value", "x".repeat(size)).await.unwrap();
    };
    let read = async |session: Session| {
        let value: Option<String> = session.get("value").await.unwrap();
        value.unwrap().into_response()
    };
    Router::new().route("/start", get(start)).route("/read", get(read)).layer(layer(&gone()))
}

fn theirs(size: usize) -> Router {
    let start = async move |session: tower_sessions::Session| {
        session.insert("value", "x".repeat(size)).await.unwrap();
    };
    let read = async |session: tower_sessions::Session| {
        let value: Option<String> = session.get("value").await.unwrap();
        value.unwrap().into_response()
    };
    Router::new()
        .route("/start", get(start))
        .route("/read", get(read))
        .layer(SessionManagerLayer::new(MemoryStore::default()))
}

/// Serves it, and begins a session there.
async fn serve(router: Router) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let served = Served { address, cookies: HeaderValue::from_static("a=b") };
    let answer = Client::new(&served).get("/start").await;
    let set = answer.headers().get_all(header::SET_COOKIE).iter();
    let pairs: Vec<_> = set.map(|v| v.to_str().unwrap().split(';').next().unwrap()).collect();
    let cookies = pairs.join("; ").parse().unwrap();
    Served { cookies, ..served }
}

pub(crate) fn compare(runtime: &Runtime) {
    for size in [16, 1_024] {
        let _guard = runtime.enter();
        let way = |name, router| {
            let served = runtime.block_on(serve(router));
            let once = move |client: Client| client.read(size);
            Way::new(name, runtime, move || Client::new(&served), once)
        };
        let mut ways = [
            way("tower-sessions, memory store", theirs(size)),
            way("evenkeel, Redis away", ours(size)),
            way("no session", bare(size)),
        ];
        let title = format!("A value of {size} bytes, read over HTTP");
        rounds::compare(&title, CONNECTIONS, 32_000, 15, &mut ways);
    }
}
