//! The health router from outside: documents, checks, ways of mounting, the layer.

mod checks;
mod documents;
mod layer;
mod mounting;
mod paths;

use evenkeel::{
    health::HealthMonitor,
    health_router::HealthRouter,
    testing::{self, ManualControl},
};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::{Service, ServiceExt};

/// What came back.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

fn request(method: Method, path: &str, accept: &str) -> Request<axum::body::Body> {
    let mut request = Request::new(axum::body::Body::empty());
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().unwrap();
    if !accept.is_empty() {
        request.headers_mut().insert(header::ACCEPT, accept.parse().unwrap());
    }
    request
}

async fn send<S, B>(service: S, request: Request<axum::body::Body>) -> Answer
where
    S: Service<Request<axum::body::Body>, Response = http::Response<B>>,
    S::Error: std::fmt::Debug,
    B: http_body::Body,
    B::Error: std::fmt::Debug,
{
    let response = service.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    Answer { status: parts.status, headers: parts.headers, body }
}

async fn get(router: &HealthRouter, path: &str) -> Answer {
    send(router.clone(), request(Method::GET, path, "")).await
}

fn up() -> (HealthMonitor, ManualControl) {
    let (monitor, mut control) = testing::monitor();
    control.up();
    (monitor, control)
}
