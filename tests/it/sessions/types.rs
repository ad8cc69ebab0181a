//! A value that is not of the type asked for, or none that can be kept.

use std::{collections::HashMap, error::Error as _};

use axum::{Router, routing::get};
use evenkeel::{
    Error, ErrorKind,
    layer::{Session, SessionError, SessionLayer},
    redis::{Redis, RedisConfig},
};
use http::Request;
use tower::ServiceExt;

use super::{
    app::{PATIENCE, keys},
    support::RedisServer,
};

/// What the handler met, and all that its error says.
async fn met(redis: &Redis, handler: fn(Session) -> Answer) -> String {
    let (sender, mut met) = tokio::sync::mpsc::channel(1);
    let app = Router::new()
        .route(
            "/",
            get(move |session: Session| async move {
                let error = handler(session).await.unwrap_err();
                assert!(!error.is_unavailable() && error.refusal().is_none());
                let inner = Error::from(error.clone());
                assert_eq!(inner.kind(), ErrorKind::Invalid);
                assert!(error.source().is_none() && inner.source().is_none());
                sender.send(format!("{error} {error:?} {inner} {inner:?}")).await.unwrap();
                error
            }),
        )
        .layer(SessionLayer::new(redis, keys()));
    let response = app.oneshot(Request::new(axum::body::Body::empty())).await.unwrap();
    assert_eq!(response.status(), 500);
    let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
    format!("{} {}", met.recv().await.unwrap(), String::from_utf8_lossy(&body))
}

type Answer = std::pin::Pin<Box<dyn Future<Output = Result<(), SessionError>> + Send>>;

#[tokio::test]
async fn the_error_names_key_and_type_and_never_the_value() {
    let server = RedisServer::start().await;
    let redis = Redis::new(RedisConfig::new(server.url().parse().unwrap())).unwrap();
    assert!(redis.monitor().wait_available(PATIENCE).await);
    let said = met(&redis, |session| {
        Box::pin(async move {
            session.insert("cart", "hunter2").await?;
            session.get::<u64>("cart").await.map(drop)
        })
    })
    .await;
    assert!(said.starts_with(
        "the session's value of \"cart\" is not of the type that was asked for: u64 "
    ));
    assert!(!said.contains("hunter2"), "{said}");

    let said = met(&redis, |session| {
        Box::pin(async move { session.insert("odd", HashMap::from([((1, 2), "hunter2")])).await })
    })
    .await;
    assert!(said.starts_with("the session's value of \"odd\" cannot be written as JSON"));
    assert!(said.contains("HashMap<(i32, i32), &str>"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");

    let said = met(&redis, |session| {
        Box::pin(async move {
            let key = format!("{}\n", "é".repeat(1_000));
            session.insert(&key, 1).await?;
            session.get::<bool>(&key).await.map(drop)
        })
    })
    .await;
    assert!(said.contains("é\"… is not of the type that was asked for: bool"), "{said}");
    assert!(said.len() < 1_000 && !said.contains('\n'));
}
