//! In axum: merged, nested, as a fallback.

use axum::{Router, routing::get};
use evenkeel::health_router::HealthRouter;
use http::{Method, StatusCode, header};

use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{request, send, up};

fn application() -> Router {
    Router::new().route("/", get(|| async { "hello" }))
}

#[tokio::test]
async fn merged() {
    let (monitor, _hand) = up();
    let app = application()
        .merge(HealthRouter::new(&monitor).critical("database", || async { Ok::<_, String>(()) }));
    let answer = send(app.clone(), request(Method::GET, "/", "")).await;
    assert_eq!(answer.body, "hello");
    for path in ["/health/live", "/health/ready", "/health", "/health/dependencies"] {
        let answer = send(app.clone(), request(Method::GET, path, "")).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        answer.json();
        let length = answer.header(header::CONTENT_LENGTH).to_owned();
        let head = send(app.clone(), request(Method::HEAD, path, "")).await;
        assert_eq!(head.status, StatusCode::OK);
        assert_eq!(head.body, "");
        assert_eq!(head.header(header::CONTENT_LENGTH).len(), length.len());
        assert_ne!(head.header(header::CONTENT_LENGTH), "0");
        let post = send(app.clone(), request(Method::POST, path, "")).await;
        assert_eq!(post.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(post.header(header::ALLOW), "GET, HEAD");
    }
    for path in ["/metrics", "/health/x"] {
        let answer = send(app.clone(), request(Method::GET, path, "")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(answer.body, "", "the application's own fallback");
    }
}

#[tokio::test]
async fn merged_into_a_router_with_a_state() {
    let (monitor, _hand) = up();
    let app: Router = Router::new()
        .route("/", get(|state: axum::extract::State<u8>| async move { state.0.to_string() }))
        .merge(HealthRouter::new(&monitor))
        .with_state(7_u8);
    let answer = send(app.clone(), request(Method::GET, "/", "")).await;
    assert_eq!(answer.body, "7");
    let answer = send(app, request(Method::GET, "/health", "")).await;
    assert_eq!(answer.json()["status"], "healthy");
}

#[tokio::test]
async fn nested_and_as_a_fallback() {
    let (monitor, _hand) = up();
    let health = HealthRouter::new(&monitor);
    let apps = [
        ("/internal", application().nest_service("/internal", health.clone())),
        ("/internal", application().nest("/internal", health.clone().into())),
        ("", application().fallback_service(health)),
    ];
    for (prefix, app) in apps {
        let path = format!("{prefix}/health/ready");
        let answer = send(app.clone(), request(Method::GET, &path, "")).await;
        assert_eq!(answer.json()["status"], "healthy", "{path}");
        assert_eq!(send(app.clone(), request(Method::GET, "/", "")).await.body, "hello");
        let answer = send(app, request(Method::GET, &format!("{prefix}/nothing"), "")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
    }
}

#[cfg(feature = "prometheus")]
#[tokio::test]
async fn metrics_are_mounted_where_there_are_any() {
    let (monitor, _hand) = up();
    let metrics = evenkeel::telemetry::Metrics::prometheus("s", "i");
    let app = application().merge(HealthRouter::new(&monitor).with_metrics(&metrics));
    let answer = send(app, request(Method::GET, "/metrics", "")).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn alone_on_a_hyper_connection_that_stays_in_step_after_a_head() {
    let (monitor, _hand) = up();
    let service = TowerToHyperService::new(HealthRouter::new(&monitor));
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service);
    let connection = tokio::spawn(connection);
    let ask = "HEAD /health HTTP/1.1\r\nhost: x\r\n\r\n\
               GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    client.write_all(ask.as_bytes()).await.unwrap();
    let mut heard = String::new();
    client.read_to_string(&mut heard).await.unwrap();
    connection.await.unwrap().unwrap();
    let answers: Vec<_> = heard.split("HTTP/1.1 200 OK\r\n").collect();
    assert_eq!(answers.len(), 3, "{heard}");
    let (head, body) = answers[1].split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-length: 1"), "{head}");
    assert_eq!(body, "");
    let (_, body) = answers[2].split_once("\r\n\r\n").unwrap();
    assert!(body.starts_with(r#"{"status":"ok","uptime":"#), "{body}");
}
