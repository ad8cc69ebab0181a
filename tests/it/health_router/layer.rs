//! In front of another service.

use std::{convert::Infallible, future::Future, time::Duration};

use evenkeel::{
    health_router::{HealthLayer, HealthRouter},
    testing::Strict,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit, service_fn};

use super::{request, send, up};

/// Neither `Clone` nor an `Error`: nothing may be asked of it.
#[derive(Debug, PartialEq)]
struct Odd(u8);

fn layer() -> HealthLayer {
    let (monitor, _hand) = up();
    HealthRouter::new(&monitor).critical("database", || async { Ok::<_, String>(()) }).layer()
}

#[tokio::test]
async fn answers_its_own_and_passes_the_rest_on() {
    let inner = Strict::new(service_fn(|request: Request<axum::body::Body>| async move {
        let path = request.uri().path().to_owned();
        Ok::<_, Infallible>(Response::new(Full::new(bytes::Bytes::from(path))))
    }));
    let calls = inner.calls();
    let service = layer().layer(inner);
    for path in ["/health", "/health/live", "/health/ready", "/health/dependencies"] {
        let answer = send(service.clone(), request(Method::GET, path, "")).await;
        assert_eq!(answer.status, StatusCode::OK);
        answer.json();
        let head = send(service.clone(), request(Method::HEAD, path, "")).await;
        assert_eq!(head.body, "");
        let post = send(service.clone(), request(Method::POST, path, "")).await;
        assert_eq!(post.status, StatusCode::METHOD_NOT_ALLOWED);
    }
    assert_eq!(calls.count(), 0);
    for path in ["/", "/metrics", "/health/other", "/grpc.Service/Method"] {
        let answer = send(service.clone(), request(Method::POST, path, "")).await;
        assert_eq!(answer.body, path);
    }
    assert_eq!(calls.count(), 4);
}

#[tokio::test]
async fn the_ready_service_is_the_one_that_is_called() {
    let inner = Strict::new(service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(Response::new(Full::<bytes::Bytes>::default()))
    }));
    let calls = inner.calls();
    let mut service = layer().layer(inner);
    for path in ["/", "/health", "/", "/health", "/health/live", "/", "/"] {
        let mut request = Request::new(());
        *request.uri_mut() = path.parse().unwrap();
        service.ready().await.unwrap().call(request).await.unwrap();
    }
    assert_eq!(calls.count(), 4);
}

#[tokio::test]
async fn the_error_type_is_the_inner_services() {
    let inner =
        service_fn(|_: Request<()>| async { Err::<Response<Full<bytes::Bytes>>, _>(Odd(7)) });
    let service = layer().layer(inner);
    let mut request = Request::new(());
    *request.uri_mut() = "/elsewhere".parse().unwrap();
    assert_eq!(service.oneshot(request).await.err(), Some(Odd(7)));
}

#[tokio::test]
async fn a_body_of_another_error_type_passes_untouched() {
    let inner = service_fn(|_: Request<()>| async {
        let chunks = [Ok(http_body::Frame::data(bytes::Bytes::from("a"))), Err(Odd(9))];
        let body = http_body_util::StreamBody::new(futures_util::stream::iter(chunks));
        Ok::<_, Infallible>(Response::new(body))
    });
    let response = layer().layer(inner).oneshot(Request::new(())).await.unwrap();
    let error: Odd = response.into_body().collect().await.unwrap_err();
    assert_eq!(error, Odd(9));
}

#[tokio::test(start_paused = true)]
async fn a_probe_holds_no_slot_of_the_inner_service() {
    let inner = service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(Response::new(Full::<bytes::Bytes>::default()))
    });
    let service = layer().layer(ConcurrencyLimit::new(inner, 1));
    let mut prober = service.clone();
    let mut health = Request::new(());
    *health.uri_mut() = "/health/live".parse().unwrap();
    prober.ready().await.unwrap().call(health).await.unwrap();
    // The prober's connection stays open, and another one is served.
    let other = service.oneshot(Request::new(()));
    assert!(tokio::time::timeout(Duration::from_secs(1), other).await.is_ok());
    drop(prober);
}

#[test]
fn the_futures_can_be_sent() {
    fn sendable<F: Future + Send>(_: &F) {}
    let (monitor, _hand) = up();
    let mut router = HealthRouter::new(&monitor);
    sendable(&router.call(Request::new(std::rc::Rc::new(()))));
}
