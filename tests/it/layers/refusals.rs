//! What a refused client sees, byte for byte.

use std::time::Duration;

use evenkeel::{
    health::State,
    layer::RequireRedisLayer,
    respond::{Refusal, RefusalKind, ResponseBody},
    testing,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header, request::Parts};
use tower::{Layer, ServiceExt, service_fn};

use super::{Body, OOM, done, down, text, up};

async fn strict(layer: RequireRedisLayer, request: Request<Body>) -> Response<ResponseBody<Body>> {
    layer.layer(service_fn(done)).oneshot(request).await.unwrap()
}

fn accepting(accept: &'static str) -> Request<Body> {
    Request::builder().header(header::ACCEPT, accept).body(Body::default()).unwrap()
}

fn names(headers: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<_> = headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn the_json_of_every_state() {
    let (monitor, mut control) = testing::monitor();
    for (state, reads, word) in [
        (State::Connecting, false, "connecting"),
        (State::Suspect, false, "disconnected"),
        (State::Disconnected, false, "disconnected"),
        (State::Recovering, false, "recovering"),
        (State::Failed, false, "failed"),
        (State::Connected, true, "disconnected"),
    ] {
        control.set_state(state, reads, false);
        let response = strict(RequireRedisLayer::new(&monitor), Request::default()).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(names(response.headers()), ["cache-control", "content-type", "retry-after"]);
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let seconds = response.headers()["retry-after"].to_str().unwrap().to_owned();
        assert!((1..=3).contains(&seconds.parse::<u64>().unwrap()), "{seconds}");
        let refusal = *response.extensions().get::<Refusal>().unwrap();
        assert_eq!(refusal.kind(), RefusalKind::Unavailable { state });
        assert_eq!(
            text(response).await,
            format!(
                "{{\"error\":\"Service Temporarily Unavailable\",\
                \"message\":\"Redis is currently unavailable. Please retry in a few seconds.\",\
                \"status\":\"{word}\",\"retryAfter\":{seconds},\
                \"details\":{{\"connectionState\":\"{word}\",\"retrying\":true}}}}"
            )
        );
    }
}

#[tokio::test]
async fn the_problem_details() {
    let (monitor, _hand) = down();
    let layer = RequireRedisLayer::new(&monitor);
    let response = strict(layer, accepting("text/html, application/problem+json")).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert!(response.extensions().get::<Refusal>().is_some());
    let seconds = response.headers()["retry-after"].to_str().unwrap().to_owned();
    assert_eq!(
        text(response).await,
        format!(
            "{{\"type\":\"https://iana.org/assignments/http-problem-types#temporary-reduced-capacity\",\
            \"title\":\"Request cannot be satisfied due to temporary server capacity constraints\",\
            \"detail\":\"Redis is currently unavailable. Please retry in a few seconds.\",\
            \"error\":\"Service Temporarily Unavailable\",\
            \"message\":\"Redis is currently unavailable. Please retry in a few seconds.\",\
            \"status\":503,\"retryAfter\":{seconds},\
            \"details\":{{\"connectionState\":\"disconnected\",\"retrying\":true}}}}"
        )
    );
}

#[tokio::test]
async fn an_accept_that_prefers_plain_json_gets_it() {
    let (monitor, _hand) = down();
    for accept in ["*/*", "application/json, application/problem+json;q=0.5"] {
        let response = strict(RequireRedisLayer::new(&monitor), accepting(accept)).await;
        assert_eq!(response.headers()["content-type"], "application/json", "{accept}");
    }
}

#[tokio::test]
async fn too_many_requests() {
    let limited = Refusal::rate_limited(Some(Duration::from_millis(1_001)));
    let response: Response<Body> = limited.response(&HeaderMap::new());
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()["retry-after"], "2");
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.extensions().get(), Some(&limited));
    assert_eq!(
        text(response).await,
        "{\"error\":\"Too Many Requests\",\"message\":\"Too many requests. Please retry later.\",\"retryAfter\":2}"
    );

    let mut problem = HeaderMap::new();
    problem.insert(header::ACCEPT, HeaderValue::from_static("application/problem+json"));
    let response: Response<Body> = limited.response(&problem);
    assert_eq!(
        text(response).await,
        "{\"type\":\"https://iana.org/assignments/http-problem-types#quota-exceeded\",\
        \"title\":\"Request cannot be satisfied as assigned quota has been exceeded\",\
        \"detail\":\"Too many requests. Please retry later.\",\
        \"error\":\"Too Many Requests\",\"message\":\"Too many requests. Please retry later.\",\
        \"status\":429,\"retryAfter\":2}"
    );
}

#[tokio::test]
async fn what_never_fits_is_not_told_to_come_back() {
    let never = Refusal::rate_limited(None);
    let response: Response<Body> = never.response(&HeaderMap::new());
    assert_eq!(response.headers().get("retry-after"), None);
    assert!(text(response).await.ends_with("\"retryAfter\":null}"));
}

#[tokio::test]
async fn retry_after_follows_the_schedule_and_is_spread() {
    let (monitor, mut control) = down();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        control.next_attempt_in(Duration::from_secs(10));
        let response = strict(RequireRedisLayer::new(&monitor), Request::default()).await;
        seen.insert(response.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap());
    }
    assert!(seen.iter().all(|seconds| (10..=13).contains(seconds)), "{seen:?}");
    assert!(seen.len() > 1, "{seen:?}");
}

#[tokio::test]
async fn a_closure_replaces_it_and_the_reason_stays() {
    let (monitor, _hand) = down();
    let service = RequireRedisLayer::new(&monitor)
        .with_refusal(|request: &Parts, refusal: Refusal| {
            let mut response = Response::new(Body::from(format!("{} is closed", request.uri)));
            *response.status_mut() = StatusCode::IM_A_TEAPOT;
            response.headers_mut().insert("x-wait", refusal.retry_after().unwrap().into());
            response
        })
        .reads_only()
        .layer(service_fn(done));
    let request = Request::builder().uri("/tea").body(Body::default()).unwrap();
    let response = service.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::IM_A_TEAPOT);
    let refusal = *response.extensions().get::<Refusal>().unwrap();
    assert_eq!(response.headers()["x-wait"], refusal.retry_after().unwrap().to_string());
    assert_eq!(text(response).await, "/tea is closed");
}

#[tokio::test]
async fn reads_only_goes_on_without_writes() {
    let (monitor, mut control) = up();
    let both = || RequireRedisLayer::new(&monitor);
    for layer in [both(), both().reads_only()] {
        assert_eq!(text(strict(layer, Request::default()).await).await, "done");
    }
    control.writes_gone(OOM);
    assert_eq!(strict(both(), Request::default()).await.status(), 503);
    assert_eq!(strict(both().reads_only(), Request::default()).await.status(), 200);
    control.down(OOM);
    assert_eq!(strict(both().reads_only(), Request::default()).await.status(), 503);
}

#[tokio::test]
async fn who_is_refused_asks_for_a_probe() {
    let (monitor, mut control) = up();
    strict(RequireRedisLayer::new(&monitor), Request::default()).await;
    assert!(!control.was_probe_requested());
    control.down(OOM);
    strict(RequireRedisLayer::new(&monitor), Request::default()).await;
    assert!(control.was_probe_requested());
}
