//! The layers in axum, in a `ServiceBuilder`, round hyper, and with bodies of every kind.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{Router, routing::get};
use bytes::Bytes;
use evenkeel::{
    health::{Fault, State},
    layer::{CheckRedisLayer, RedisStatus, RequireRedisLayer},
    respond::{Refusal, ResponseBody},
};
use http::{Request, Response, StatusCode, request::Parts};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, combinators::UnsyncBoxBody};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

use super::{Body, OOM, done, down, text, up};

async fn soft(redis: RedisStatus) -> String {
    let (reads, writes) = (redis.can_read(), redis.can_write());
    format!("{} {reads} {writes} {}", redis.is_available(), redis.state().as_str())
}

async fn get_text(app: &Router, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).body(axum::body::Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    (response.status(), text(response).await)
}

#[tokio::test]
async fn axum() {
    let (monitor, mut control) = up();
    let page = RequireRedisLayer::new(&monitor).with_refusal(|_: &Parts, refusal: Refusal| {
        axum::response::IntoResponse::into_response((refusal.status(), "own words"))
    });
    let app = Router::new()
        .route("/strict", get(|| async { "ok" }).layer(RequireRedisLayer::new(&monitor)))
        .route("/page", get(|| async { "ok" }).layer(page))
        .route("/soft", get(soft))
        .layer(CheckRedisLayer::new(&monitor));
    let ok = |text: &str| (StatusCode::OK, text.to_owned());
    assert_eq!(get_text(&app, "/strict").await, ok("ok"));
    assert_eq!(get_text(&app, "/soft").await, ok("true true true connected"));
    control.writes_gone(OOM);
    assert_eq!(get_text(&app, "/soft").await, ok("false true false connected"));
    assert!(control.was_probe_requested());
    control.down(Fault::HANG);
    assert_eq!(get_text(&app, "/soft").await, ok("false false false disconnected"));
    let (status, body) = get_text(&app, "/strict").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.starts_with("{\"error\":\"Service Temporarily Unavailable\""), "{body}");
    let (status, body) = get_text(&app, "/page").await;
    assert_eq!((status.as_u16(), body.as_str()), (503, "own words"));
}

#[tokio::test]
async fn the_extractor_without_its_layer() {
    let app = Router::new().route("/soft", get(soft)).route(
        "/maybe",
        get(|redis: Option<RedisStatus>| async move { redis.is_some().to_string() }),
    );
    let (status, body) = get_text(&app, "/soft").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(body.contains("CheckRedisLayer"), "{body}");
    assert_eq!(get_text(&app, "/maybe").await, (StatusCode::OK, "false".to_owned()));
    let app = app.layer(CheckRedisLayer::new(&up().0));
    assert_eq!(get_text(&app, "/maybe").await, (StatusCode::OK, "true".to_owned()));
}

#[tokio::test]
async fn only_when_degraded() {
    let (monitor, mut control) = up();
    let words = |redis: Option<RedisStatus>| async move { format!("{redis:?}") };
    let app = Router::new()
        .route("/", get(words))
        .layer(CheckRedisLayer::new(&monitor).only_when_degraded());
    assert_eq!(get_text(&app, "/").await.1, "None");
    control.writes_gone(OOM);
    assert!(get_text(&app, "/").await.1.contains("writes: false"));
}

#[tokio::test]
async fn the_status_in_the_extensions_is_the_innermost_layers() {
    let (outer, _hand) = down();
    let (inner, _hand) = up();
    let service = ServiceBuilder::new()
        .layer(CheckRedisLayer::new(&outer))
        .layer(CheckRedisLayer::new(&inner))
        .service(service_fn(|request: Request<Body>| async move {
            let status = *request.extensions().get::<RedisStatus>().unwrap();
            assert_eq!((status.state(), status.is_forced()), (State::Connected, false));
            done(request).await
        }));
    service.oneshot(Request::default()).await.unwrap();
}

#[tokio::test]
async fn hyper() {
    let (monitor, mut control) = up();
    let service = ServiceBuilder::new()
        .layer(CheckRedisLayer::new(&monitor))
        .layer(RequireRedisLayer::new(&monitor))
        .service(service_fn(|_: Request<hyper::body::Incoming>| async {
            Ok::<_, Infallible>(Response::new(Body::from("done")))
        }));
    let (client, server) = tokio::io::duplex(4096);
    let server = hyper::server::conn::http1::Builder::new().serve_connection(
        hyper_util::rt::TokioIo::new(server),
        hyper_util::service::TowerToHyperService::new(service),
    );
    let server = tokio::spawn(server);
    let (mut send, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(client)).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut ask = async || {
        let response = send.send_request(Request::new(Empty::<Bytes>::new())).await.unwrap();
        (response.status().as_u16(), text(response).await.len())
    };
    assert_eq!(ask().await, (200, 4));
    control.down(Fault::HANG);
    let (status, length) = ask().await;
    assert_eq!(status, 503);
    assert!(length > 100);
    control.up();
    assert_eq!(ask().await, (200, 4));
    connection.abort();
    server.abort();
}

/// A body with data and an error of its own, neither `Send` nor `Unpin`.
struct Odd {
    left: u8,
    _not_send: std::marker::PhantomData<std::rc::Rc<()>>,
    _pinned: std::marker::PhantomPinned,
}

impl HttpBody for Odd {
    type Data = std::io::Cursor<Bytes>;
    type Error = &'static str;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, &'static str>>> {
        Poll::Ready(Some(Err("odd")))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.into())
    }
}

#[tokio::test]
async fn any_request_and_response_body() {
    let (monitor, _hand) = up();
    let layer = RequireRedisLayer::new(&monitor);

    let odd = service_fn(|_: Request<std::rc::Rc<()>>| async {
        let body = Odd {
            left: 7,
            _not_send: std::marker::PhantomData,
            _pinned: std::marker::PhantomPinned,
        };
        Ok::<_, Infallible>(Response::new(body))
    });
    let request = Request::new(std::rc::Rc::new(()));
    let response = layer.layer(odd).oneshot(request).await.unwrap();
    let _: &ResponseBody<Odd> = response.body();

    let boxed = service_fn(|_: Request<String>| async {
        let body: UnsyncBoxBody<Bytes, Infallible> = Body::from("boxed").boxed_unsync();
        Ok::<_, Infallible>(Response::new(body))
    });
    let response = layer.layer(boxed).oneshot(Request::default()).await.unwrap();
    assert_eq!(response.body().size_hint().exact(), Some(5));
    assert_eq!(text(response).await, "boxed");
}
