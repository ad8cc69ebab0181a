//! Paths of one's own, a prefix, and groups of dependencies.

use axum::Router;
use evenkeel::health_router::{HealthPath, HealthRouter};
use http::{Method, StatusCode};

use super::{get, request, send, up};

#[tokio::test]
async fn paths_of_ones_own() {
    let (monitor, _control) = up();
    let router = HealthRouter::new(&monitor)
        .with_path(HealthPath::Live, "/livez")
        .with_path(HealthPath::Ready, "readyz")
        .with_path(HealthPath::Health, "/healthz");
    for path in ["/livez", "/readyz", "/healthz", "/health/dependencies"] {
        assert_eq!(get(&router, path).await.status, StatusCode::OK, "{path}");
        let app: Router = Router::new().merge(router.clone());
        let merged = send(app, request(Method::GET, path, "")).await;
        assert_eq!(merged.status, StatusCode::OK, "{path} in axum");
    }
    for path in ["/health/live", "/health/ready", "/health"] {
        assert_eq!(get(&router, path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let prefixed = router.with_prefix("/internal/");
    assert_eq!(get(&prefixed, "/internal/livez").await.status, StatusCode::OK);
    assert_eq!(get(&prefixed, "/livez").await.status, StatusCode::NOT_FOUND);
    // One path leads to one document: the last that was put there. Else axum would panic.
    let again = prefixed.with_path(HealthPath::Dependencies, "/internal/livez");
    assert!(get(&again, "/internal/livez").await.json()["checks"]["redis"].is_object());
    let _: Router = Router::new().merge(again);
}

#[tokio::test]
async fn groups_show_and_judge_their_own_alone() {
    let (monitor, _control) = up();
    let router = HealthRouter::new(&monitor)
        .critical("database", || async { Ok::<_, String>(()) })
        .critical("ledger", || async { Err("gone") })
        .with_group("/startupz", ["database"])
        .with_group("/stores", ["redis", "ledger", "unknown"]);
    let started = get(&router, "/startupz").await;
    assert_eq!(started.status, StatusCode::OK);
    let checks = started.json()["checks"].clone();
    assert!(checks["database"].is_object() && checks.as_object().unwrap().len() == 1, "{checks}");
    let stores = get(&router, "/stores").await;
    assert_eq!(stores.status, StatusCode::SERVICE_UNAVAILABLE);
    let checks = stores.json()["checks"].clone();
    assert!(checks["redis"].is_object() && checks["ledger"].is_object(), "{checks}");
    assert_eq!(checks.as_object().unwrap().len(), 2, "{checks}");
    assert_eq!(get(&router, "/health").await.status, StatusCode::SERVICE_UNAVAILABLE);
}
