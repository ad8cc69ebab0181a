//! Where the address of a client comes from: real servers of axum, hyper and tonic, real
//! connections from two addresses, and what happens where the server does not tell.

use std::{convert::Infallible, future::Future, net::SocketAddr};

use axum::{Router, routing::get};
use bytes::Bytes;
use evenkeel::{
    layer::{
        ConcurrencyLimitLayer, RateLimitLayer,
        client_key::{
            ClientKey, ForwardedHeader, MissingAddress, SetPeerAddrLayer, TrustedProxies,
        },
    },
    respond::{Refusal, RefusalKind},
    store::concurrency::InFlight,
};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinHandle,
};
use tonic::{service::LayerExt, transport::server::TcpIncoming};
use tower::{Layer, ServiceExt, service_fn};
use tracing::Level;

use super::{
    Instance,
    layer::{alone, ask, done},
    slow,
    stacks::Greeter,
    support::LogCapture,
};

/// A server under test; it ends with it.
struct Serving {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Serving {
    async fn start<F>(serve: impl FnOnce(TcpListener) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { address, task: tokio::spawn(serve(listener)) }
    }

    /// A connection from 127.0.0.`host`.
    async fn connect(&self, host: u8) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, host], 0))).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    /// The status and the body of a request from 127.0.0.`host`.
    async fn get(&self, host: u8, headers: &[(&str, &str)]) -> (u16, String) {
        let io = TokioIo::new(self.connect(host).await);
        let (mut send, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::get("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let response = send.send_request(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn status(&self, host: u8) -> u16 {
        self.get(host, &[]).await.0
    }

    /// What two clients get for two requests each.
    async fn of_two_clients(&self) -> [u16; 4] {
        let mut statuses = [0; 4];
        for (at, host) in [1, 1, 2, 2].into_iter().enumerate() {
            statuses[at] = self.status(host).await;
        }
        statuses
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn app(layer: RateLimitLayer) -> Router {
    Router::new().route("/", get(|| async { "done" })).layer(layer)
}

fn limit(one: &Instance) -> RateLimitLayer {
    RateLimitLayer::new(&one.redis, slow(1))
}

/// As the README has it.
async fn axum_served(layer: RateLimitLayer) -> Serving {
    Serving::start(|listener| async move {
        let service = app(layer).into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(listener, service).await.unwrap();
    })
    .await
}

/// With what a newcomer writes.
async fn axum_served_without_connect_info(layer: RateLimitLayer) -> Serving {
    Serving::start(|listener| async move { axum::serve(listener, app(layer)).await.unwrap() }).await
}

async fn hyper_served(layer: RateLimitLayer, tells_the_peer: bool) -> Serving {
    let service = layer.layer(service_fn(|_: Request<hyper::body::Incoming>| async {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("done"))))
    }));
    Serving::start(|listener| async move {
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            let (io, service) = (TokioIo::new(stream), service.clone());
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                if tells_the_peer {
                    let service = SetPeerAddrLayer::new(peer).layer(service);
                    let _ = server.serve_connection(io, TowerToHyperService::new(service)).await;
                } else {
                    let _ = server.serve_connection(io, TowerToHyperService::new(service)).await;
                }
            });
        }
    })
    .await
}

#[tokio::test]
async fn axum_tells_clients_apart_as_the_readme_serves_it() {
    let log = LogCapture::start();
    let one = alone().await;
    let serving = axum_served(limit(&one)).await;
    assert_eq!(serving.of_two_clients().await, [200, 429, 200, 429]);
    assert!(log.at_least(Level::ERROR).is_empty(), "{:?}", log.at_least(Level::ERROR));
}

#[tokio::test]
async fn hyper_tells_clients_apart_by_a_layer_round_each_connection() {
    let one = alone().await;
    let serving = hyper_served(limit(&one), true).await;
    assert_eq!(serving.of_two_clients().await, [200, 429, 200, 429]);
}

#[tokio::test]
async fn tonic_tells_clients_apart_by_itself() {
    let log = LogCapture::start();
    let one = alone().await;
    let greeter = limit(&one).named_layer(Greeter);
    let serving = Serving::start(|listener| async move {
        let server = tonic::transport::Server::builder().add_service(greeter);
        server.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap();
    })
    .await;
    let mut seen = Vec::new();
    for host in [1, 1, 2, 2] {
        let io = TokioIo::new(serving.connect(host).await);
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
        let (mut send, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        let request = Request::post("http://localhost/evenkeel.test.Greeter/Hello")
            .header("content-type", "application/grpc")
            .body(Empty::<Bytes>::new())
            .unwrap();
        let response = send.send_request(request).await.unwrap();
        seen.push(response.headers()["grpc-status"].to_str().unwrap().to_owned());
    }
    // UNIMPLEMENTED by the service, RESOURCE_EXHAUSTED by the limit.
    assert_eq!(seen, ["12", "8", "12", "8"]);
    assert!(log.at_least(Level::ERROR).is_empty(), "{:?}", log.at_least(Level::ERROR));
}

#[tokio::test]
async fn a_server_that_tells_no_address_is_found_out_by_its_first_request() {
    let log = LogCapture::start();
    let one = alone().await;
    for serving in [
        axum_served_without_connect_info(limit(&one)).await,
        hyper_served(limit(&one), false).await,
    ] {
        log.clear();
        // No stranger takes another's budget, and no limit is silently gone.
        assert_eq!(serving.of_two_clients().await, [500; 4]);
        let (_, body) = serving.get(1, &[]).await;
        let expected = "{\"error\":\"Internal Server Error\",\"message\":\"The server cannot tell who is asking.\",\"retryAfter\":null}";
        assert_eq!(body, expected);
        let errors = log.at_least(Level::ERROR);
        assert_eq!(errors.len(), 1, "once for each layer: {errors:?}");
        for cure in [
            "into_make_service_with_connect_info::<SocketAddr>()",
            "SetPeerAddrLayer",
            "tonic",
            "with_missing_address",
        ] {
            assert!(errors[0].message.contains(cure), "{cure}: {}", errors[0].message);
        }
    }
}

#[tokio::test]
async fn grpc_clients_of_such_a_server_get_internal() {
    let one = alone().await;
    let service = limit(&one).layer(service_fn(done));
    let request = Request::builder().header("content-type", "application/grpc");
    let answer = ask(&service, request.body(Full::default()).unwrap()).await;
    assert_eq!(answer.parts.headers["grpc-status"], "13");
    let refusal = answer.parts.extensions.get::<Refusal>().unwrap();
    assert_eq!((refusal.kind(), refusal.retry_after()), (RefusalKind::NoPeerAddress, None));
}

#[tokio::test]
async fn what_becomes_of_it_is_a_choice() {
    let log = LogCapture::start();
    let one = alone().await;
    for (choice, expected, told) in [
        (MissingAddress::Allow, [200; 4], "are not limited"),
        (MissingAddress::Shared, [200, 429, 429, 429], "are counted as one client"),
    ] {
        log.clear();
        let layer = limit(&one).with_missing_address(choice);
        let serving = axum_served_without_connect_info(layer).await;
        assert_eq!(serving.of_two_clients().await, expected, "{choice:?}");
        let errors = log.at_least(Level::ERROR);
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].message.contains(told), "{}", errors[0].message);
    }
}

#[tokio::test]
async fn it_is_found_at_the_first_request_also_when_that_has_another_key() {
    let log = LogCapture::start();
    let one = alone().await;
    let by_key = ClientKey::header("x-api-key".parse().unwrap());
    let layer = limit(&one).with_key(by_key.clone().or(ClientKey::peer()));
    let serving = axum_served_without_connect_info(layer).await;
    assert_eq!(serving.get(1, &[("x-api-key", "k")]).await.0, 200);
    assert_eq!(log.at_least(Level::ERROR).len(), 1);
    assert_eq!(serving.status(1).await, 500);
    assert_eq!(log.at_least(Level::ERROR).len(), 1);
    // What needs no address, or has something in its place, is no fault.
    log.clear();
    for key in [by_key, ClientKey::peer().or(ClientKey::label("local"))] {
        let serving = axum_served_without_connect_info(limit(&one).with_key(key)).await;
        serving.get(1, &[("x-api-key", "other")]).await;
    }
    assert!(log.at_least(Level::ERROR).is_empty(), "{:?}", log.lines());
}

#[tokio::test]
async fn requests_in_flight_are_told_apart_in_the_same_way() {
    let log = LogCapture::start();
    let one = alone().await;
    let layer = ConcurrencyLimitLayer::new(&one.redis, InFlight::at_most(1));
    let ask = |layer: ConcurrencyLimitLayer| {
        layer.layer(service_fn(done)).oneshot(Request::new(Full::<Bytes>::default()))
    };
    assert_eq!(ask(layer.clone()).await.unwrap().status(), 500);
    assert_eq!(log.at_least(Level::ERROR).len(), 1);
    let allowing = layer.with_missing_address(MissingAddress::Allow);
    let _held = ask(allowing.clone()).await.unwrap();
    assert_eq!(ask(allowing).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_closure_with_what_it_knows_finds_the_peer() {
    let one = alone().await;
    let known = std::net::IpAddr::from([203, 0, 113, 9]);
    let key = ClientKey::peer().with_peer(move |_| Some(known));
    let serving = axum_served_without_connect_info(limit(&one).with_key(key)).await;
    assert_eq!(serving.of_two_clients().await, [200, 429, 429, 429]);
}

#[tokio::test]
async fn single_headers_of_trusted_proxies_and_of_nobody_else() {
    let one = alone().await;
    for (number, (header, name)) in [
        (ForwardedHeader::XRealIp, "X-Real-IP"),
        (ForwardedHeader::CfConnectingIp, "CF-Connecting-IP"),
        (ForwardedHeader::FlyClientIp, "Fly-Client-IP"),
    ]
    .into_iter()
    .enumerate()
    {
        let proxies: TrustedProxies = "127.0.0.1".parse().unwrap();
        let key = ClientKey::address(proxies.with_header(header));
        let policy = slow(1).with_name(format!("behind {number}"));
        let serving = axum_served(RateLimitLayer::new(&one.redis, policy).with_key(key)).await;
        let through = async |host, client| serving.get(host, &[(name, client)]).await.0;
        assert_eq!(through(1, "203.0.113.1").await, 200, "{name}");
        assert_eq!(through(1, "203.0.113.1").await, 429, "{name}");
        assert_eq!(through(1, "203.0.113.2").await, 200, "{name}");
        // Whoever comes directly is who they are, whatever they write.
        assert_eq!(through(2, "203.0.113.3").await, 200, "{name}");
        assert_eq!(through(2, "203.0.113.4").await, 429, "{name}");
    }
}
