//! What each path says in each state.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use evenkeel::{
    health::{
        Details, Fault, FaultClass, HealthConfig, HealthMonitor, Probe, ProbeAnswer, ProbeOptions,
        State,
    },
    health_router::HealthRouter,
    telemetry::Metrics,
    testing,
};
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};

use super::{get, request, send, up};

const REFUSED: Fault = Fault::new(FaultClass::Transport, "refused");
const OOM: Fault = Fault::new(FaultClass::WritesGone, "OOM");

#[tokio::test]
async fn live_is_200_whatever_happens() {
    let (monitor, mut control) = testing::monitor();
    let router =
        HealthRouter::new(&monitor).redis_critical().critical("database", || async { Err("gone") });
    control.down(REFUSED);
    let answer = get(&router, "/health/live").await;
    assert_eq!(answer.status, StatusCode::OK);
    let body = answer.json();
    assert_eq!(body["status"], "ok");
    assert!(body["uptime"].is_f64());
    assert_eq!(body.as_object().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn every_state_has_its_words() {
    let (monitor, mut control) = testing::monitor();
    let optional = HealthRouter::new(&monitor);
    let critical = HealthRouter::new(&monitor).redis_critical();
    let wait = || tokio::time::sleep(Duration::from_secs(9));

    type Step<'a> = (&'a dyn Fn(&mut testing::ManualControl), &'a str, &'a str, &'a str, u16);
    let steps: &[Step<'_>] = &[
        (&|_| (), "down", "Connecting for 9s", "degraded", 503),
        (&|control| control.up(), "up", "Connected for 9s", "healthy", 200),
        (
            &|control| control.down(REFUSED),
            "down",
            "Disconnected for 9s: transport: refused",
            "degraded",
            503,
        ),
        (
            &|control| control.set_state(State::Recovering, false, false),
            "degraded",
            "Recovering for 9s",
            "degraded",
            200,
        ),
        (
            &|control| control.writes_gone(OOM),
            "degraded",
            "Connected for 9s, writes gone: OOM",
            "degraded",
            200,
        ),
        (
            &|control| control.set_state(State::Failed, false, false),
            "down",
            "Failed for 9s: writes gone: OOM",
            "degraded",
            503,
        ),
        (&|control| control.up(), "up", "Connected for 9s", "healthy", 200),
        (
            &|control| control.set_state(State::Suspect, false, false),
            "down",
            "Suspect: writes gone: OOM",
            "degraded",
            503,
        ),
    ];
    for (step, status, message, overall, when_critical) in steps {
        step(&mut control);
        wait().await;
        for path in ["/health", "/health/ready", "/health/dependencies"] {
            let answer = get(&optional, path).await;
            assert_eq!(answer.status, StatusCode::OK, "{message}");
            let body = answer.json();
            assert_eq!(body["status"], *overall, "{message}");
            assert_eq!(body["checks"]["redis"]["status"], *status, "{message}");
            assert_eq!(body["checks"]["redis"]["message"], *message);
            let details = body["checks"]["redis"].get("details");
            assert_eq!(details.is_some(), path == "/health/dependencies");

            let answer = get(&critical, path).await;
            assert_eq!(answer.status.as_u16(), *when_critical, "{message}");
            let unhealthy = answer.json()["status"] == "unhealthy";
            assert_eq!(unhealthy, *when_critical == 503, "{message}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_document_is_the_contracts() {
    let (monitor, _hand) = up();
    let router = HealthRouter::new(&monitor)
        .with_version("0.1.0")
        .critical("database", || async { Ok::<_, String>(()) });
    tokio::time::sleep(Duration::from_millis(123_450)).await;
    let answer = get(&router, "/health").await;
    assert_eq!(answer.header(header::CONTENT_TYPE), "application/json");
    assert_eq!(answer.header(header::CACHE_CONTROL), "no-store");
    let mut body = answer.json();
    let timestamp = body["timestamp"].take();
    let timestamp = timestamp.as_str().unwrap();
    assert_eq!(timestamp.len(), "2026-11-20T12:00:00.000Z".len());
    assert!(timestamp.ends_with('Z') && timestamp.as_bytes()[10] == b'T');
    assert_eq!(
        body,
        json!({
            "status": "healthy", "timestamp": null, "uptime": 123.45, "version": "0.1.0",
            "checks": {
                "redis": {"status": "up", "message": "Connected for 123s", "responseTime": null},
                "database": {"status": "up", "responseTime": 0.0},
            },
        })
    );
    let order = [
        "\"status\"",
        "\"timestamp\"",
        "\"uptime\"",
        "\"version\"",
        "\"checks\"",
        "\"redis\"",
        "\"database\"",
    ];
    let places: Vec<_> = order.iter().map(|word| answer.body.find(word).unwrap()).collect();
    assert!(places.is_sorted(), "{}", answer.body);
}

/// Answers what the test sets.
struct Puppet(Arc<Mutex<Result<ProbeAnswer, Fault>>>);

impl Probe for Puppet {
    async fn probe(&self, _: ProbeOptions) -> Result<ProbeAnswer, Fault> {
        tokio::time::sleep(Duration::from_micros(210)).await;
        *self.0.lock().unwrap()
    }

    fn details(&self) -> Details {
        let mut details = Details::default();
        details.url = Some("redis://127.0.0.1:6379/0".into());
        details.server_version = Some("7.0.15".into());
        details.topology = Some("standalone");
        details.usage.hits = 2;
        details.usage.misses = 1;
        details
    }
}

#[tokio::test(start_paused = true)]
async fn the_details_are_the_contracts() {
    let good = Ok(ProbeAnswer::new(Duration::from_micros(210)));
    let says = Arc::new(Mutex::new(good));
    let config = HealthConfig::new("redis");
    let probe = Puppet(Arc::clone(&says));
    let monitor = HealthMonitor::start(probe, &config, &Metrics::new()).unwrap();
    let router = HealthRouter::new(&monitor);
    assert!(monitor.wait_available(Duration::from_secs(1)).await);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let redis = get(&router, "/health/dependencies").await.json()["checks"]["redis"].clone();
    assert_eq!(redis["responseTime"], 0.21);
    let mut details = redis["details"].clone();
    let uptime = details["uptime"].take();
    assert!((2.0..2.1).contains(&uptime.as_f64().unwrap()), "{uptime}");
    let attempts = details["reconnectAttempts"].take();
    assert!(attempts.is_u64());
    assert_eq!(
        details,
        json!({
            "connectionState": "connected", "reads": true, "writes": true, "forced": false,
            "retryCount": 0, "reconnectAttempts": null, "lastError": null, "lastErrorTime": null,
            "uptime": null, "url": "redis://127.0.0.1:6379/0", "usingFallback": false,
            "outages": 0, "degradedSeconds": details["degradedSeconds"], "serverVersion": "7.0.15",
            "topology": "standalone", "mayEvict": null,
            "metrics": {"hits": 2, "misses": 1, "sets": 0, "deletes": 0, "errors": 0, "hitRate": 0.667},
        })
    );

    *says.lock().unwrap() = Err(REFUSED);
    tokio::time::sleep(Duration::from_secs(30)).await;
    monitor.record_fallback();
    let redis = get(&router, "/health/dependencies").await.json()["checks"]["redis"].clone();
    assert_eq!(redis["status"], "down");
    assert_eq!(redis["responseTime"], Value::Null);
    let details = &redis["details"];
    assert_eq!(details["connectionState"], "disconnected");
    assert_eq!(details["lastError"], "transport: refused");
    assert!(details["lastErrorTime"].as_str().unwrap().ends_with('Z'));
    assert_eq!(details["outages"], 1);
    assert_eq!(details["usingFallback"], true);
    assert_eq!(details["uptime"], 0.0);
    assert!(details["retryCount"].as_u64().unwrap() > 1);
    assert!(details["degradedSeconds"].as_f64().unwrap() > 20.0);

    monitor.force_down("a drill", Duration::from_secs(60));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let answer = get(&router, "/health/dependencies").await;
    assert!(!answer.body.contains("drill"), "no free text: {}", answer.body);
    assert_eq!(answer.json()["checks"]["redis"]["details"]["forced"], true);
}

#[tokio::test]
async fn details_are_for_those_who_may_see_them() {
    let (monitor, _hand) = up();
    let nobody = HealthRouter::new(&monitor).without_details();
    let answer = get(&nobody, "/health/dependencies").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["checks"]["redis"].get("details"), None);

    let some = HealthRouter::new(&monitor)
        .with_details_if(|parts| parts.headers.get("x-internal").is_some_and(|v| v == "yes"));
    for (header, shown) in [(None, false), (Some("no"), false), (Some("yes"), true)] {
        for accept in ["", "application/health+json"] {
            let mut request = request(Method::GET, "/health/dependencies", accept);
            if let Some(value) = header {
                request.headers_mut().insert("x-internal", HeaderValue::from_static(value));
            }
            let answer = send(some.clone(), request).await;
            assert_eq!(answer.body.contains("connectionState"), shown, "{header:?}");
        }
    }
}

#[tokio::test]
async fn health_json_for_those_who_ask_for_it() {
    let (monitor, mut control) = up();
    let router = HealthRouter::new(&monitor)
        .with_version("1.2.3")
        .optional("mail:out", || async { Err("secret words") });
    for accept in [
        "application/health+json",
        "application/json;q=0.4, application/health+json",
        "application/health+json;q=0.5, text/html",
    ] {
        for path in ["/health", "/health/ready", "/health/dependencies", "/health/live"] {
            let answer = send(router.clone(), request(Method::GET, path, accept)).await;
            assert_eq!(answer.header(header::CONTENT_TYPE), "application/health+json", "{accept}");
            let body = answer.json();
            assert_eq!(body["status"], if path == "/health/live" { "pass" } else { "warn" });
            assert_eq!(body["checks"]["uptime"][0]["componentType"], "system");
        }
    }
    for accept in [
        "*/*",
        "application/*",
        "application/json",
        "application/health+json;q=0",
        "application/json, application/health+json;q=0.9",
        "text/html",
    ] {
        let answer = send(router.clone(), request(Method::GET, "/health", accept)).await;
        assert_eq!(answer.header(header::CONTENT_TYPE), "application/json", "{accept}");
    }

    let ask = || request(Method::GET, "/health/dependencies", "application/health+json");
    let body = send(router.clone(), ask()).await.json();
    assert_eq!(body["releaseId"], "1.2.3");
    let redis = &body["checks"]["redis:responseTime"][0];
    assert_eq!(redis["componentType"], "datastore");
    assert_eq!(redis["status"], "pass");
    assert_eq!(redis.get("output"), None);
    assert!(redis["time"].is_string());
    assert_eq!(redis["details"]["connectionState"], "connected");
    let mail = &body["checks"]["mail_out:responseTime"][0];
    assert_eq!(mail["componentType"], "component");
    assert_eq!(mail["status"], "fail");
    assert_eq!(mail["output"], "The check failed");
    assert_eq!(mail["observedUnit"], "ms");
    assert!(mail["observedValue"].is_number());

    control.writes_gone(OOM);
    let answer = send(router.clone(), ask()).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["checks"]["redis:responseTime"][0]["status"], "warn");
    control.down(REFUSED);
    let answer = send(router.redis_critical(), ask()).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json()["status"], "fail");
}

#[tokio::test]
async fn other_methods_and_paths() {
    let (monitor, _hand) = up();
    let router = HealthRouter::new(&monitor).critical("database", || async { Ok::<_, String>(()) });
    let paths = ["/health/live", "/health/ready", "/health", "/health/dependencies"];
    for path in paths {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
            let answer = send(router.clone(), request(method.clone(), path, "")).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert_eq!(answer.header(header::ALLOW), "GET, HEAD");
            assert_eq!(answer.json()["error"], "Method Not Allowed");
        }
        for accept in ["", "application/health+json"] {
            let head = send(router.clone(), request(Method::HEAD, path, accept)).await;
            let get = send(router.clone(), request(Method::GET, path, accept)).await;
            assert_eq!(head.body, "");
            assert_eq!(head.status, get.status);
            assert_eq!(get.header(header::CONTENT_LENGTH), get.body.len().to_string());
            let length: usize = head.header(header::CONTENT_LENGTH).parse().unwrap();
            assert!(length.abs_diff(get.body.len()) < 10, "numbers differ in length, at most");
            for name in [header::CONTENT_TYPE, header::CACHE_CONTROL] {
                assert_eq!(head.header(name.clone()), get.header(name));
            }
        }
    }
    for path in ["/", "/health/", "/healthz", "/health/live/x", "/metrics", "//health"] {
        let answer = get(&router, path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.json()["error"], "Not Found");
        assert_eq!(answer.header(header::CACHE_CONTROL), "no-store");
    }
    let answer = get(&router, "/health?verbose=1").await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[cfg(feature = "prometheus")]
#[tokio::test]
async fn metrics_are_served_where_there_are_any_to_show() {
    let (monitor, _hand) = up();
    let metrics = Metrics::prometheus("shop", "one");
    let watched = HealthMonitor::start(
        Puppet(Arc::new(Mutex::new(Err(REFUSED)))),
        &HealthConfig::new("redis"),
        &metrics,
    )
    .unwrap();
    let router = HealthRouter::new(&monitor).with_metrics(&metrics);
    let answer = get(&router, "/metrics").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header(header::CONTENT_TYPE), "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        r#"redis_available{instance="one",service="shop"} 0"#,
        r#"redis_degraded_mode{instance="one",service="shop"} 1"#,
        r#"redis_state{state="connecting",instance="one",service="shop"} 1"#,
        r#"redis_state{state="connected",instance="one",service="shop"} 0"#,
        r#"redis_capability{capability="reads",instance="one",service="shop"} 0"#,
        r#"redis_health_check_total{status="timeout",instance="one",service="shop"} 0"#,
        r#"redis_unavailable_total{instance="one",service="shop"} 0"#,
        r#"redis_outage_duration_seconds_count{service="shop",instance="one"} 0"#,
    ] {
        assert!(answer.body.lines().any(|held| held == line), "{line}\n{}", answer.body);
    }
    drop(watched);
    let head = send(router.clone(), request(Method::HEAD, "/metrics", "")).await;
    assert_eq!((head.status, head.body.as_str()), (StatusCode::OK, ""));
    let post = send(router, request(Method::POST, "/metrics", "")).await;
    assert_eq!(post.status, StatusCode::METHOD_NOT_ALLOWED);

    let router = HealthRouter::new(&monitor).with_metrics(&Metrics::new());
    assert_eq!(get(&router, "/metrics").await.status, StatusCode::NOT_FOUND);
}
