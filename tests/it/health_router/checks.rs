//! Checks of other dependencies, as a prober sees them.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use evenkeel::health_router::HealthRouter;
use http::{Method, StatusCode, header};
use serde_json::json;
use tokio::time::Instant;

use super::{get, request, send, up};

#[tokio::test(start_paused = true)]
async fn a_critical_one_decides_over_ready_and_an_optional_one_does_not() {
    let (monitor, _hand) = up();
    let fail = || async { Err("postgres://user:hunter2@db/ refused") };
    for path in ["/health/ready", "/health", "/health/dependencies"] {
        let router = HealthRouter::new(&monitor).optional("database", fail);
        let answer = get(&router, path).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.json()["status"], "degraded");

        let router = HealthRouter::new(&monitor).critical("database", fail);
        let answer = get(&router, path).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.json()["status"], "unhealthy");
        assert_eq!(answer.json()["checks"]["database"]["status"], "down");
        assert_eq!(answer.json()["checks"]["database"]["message"], "The check failed");
        assert!(!answer.body.contains("hunter2"));
    }
    let router = HealthRouter::new(&monitor).critical("database", fail);
    assert_eq!(get(&router, "/health/live").await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn they_run_at_the_same_time_each_within_the_timeout() {
    let (monitor, _hand) = up();
    let router = HealthRouter::new(&monitor)
        .with_check_timeout(Duration::from_millis(300))
        .critical("quick", || async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            Ok::<_, String>(())
        })
        .optional("hangs", || async {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            Ok::<_, String>(())
        })
        .optional("panics", || async {
            if true {
                panic!("on purpose");
            }
            Ok::<_, String>(())
        });
    let began = Instant::now();
    let answer = get(&router, "/health").await;
    assert_eq!(began.elapsed(), Duration::from_millis(300));
    assert_eq!(answer.status, StatusCode::OK);
    let checks = &answer.json()["checks"];
    assert_eq!(checks["quick"]["status"], "up");
    assert_eq!(checks["quick"]["responseTime"], 200.0);
    assert_eq!(checks["hangs"]["status"], "down");
    assert_eq!(checks["hangs"]["message"], "The check took too long");
    assert_eq!(checks["panics"]["status"], "down");
    assert_eq!(checks["panics"]["message"], "The check panicked");
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_probes_over_clones_causes_one_run() {
    let (monitor, _hand) = up();
    let runs = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&runs);
    let router = HealthRouter::new(&monitor).with_check_ttl(Duration::from_secs(5)).critical(
        "database",
        move || {
            count.fetch_add(1, Ordering::SeqCst);
            async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Ok::<_, String>(())
            }
        },
    );
    for _ in 0..3 {
        let probes = (0..200).map(|_| {
            let router = router.clone();
            tokio::spawn(async move { get(&router, "/health/ready").await.status })
        });
        for probe in probes.collect::<Vec<_>>() {
            assert_eq!(probe.await.unwrap(), StatusCode::OK);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    tokio::time::sleep(Duration::from_secs(5)).await;
    get(&router, "/health").await;
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    get(&router, "/health/live").await;
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_name_stands_for_one_check() {
    let (monitor, _hand) = up();
    let fine = || async { Ok::<_, String>(()) };
    let broken = || async { Err("no") };
    let router = HealthRouter::new(&monitor)
        .critical("database", broken)
        .critical("redis", broken)
        .critical("database", fine);
    let answer = get(&router, "/health").await;
    assert_eq!(answer.json()["status"], "healthy");
    assert_eq!(answer.body.matches("database").count(), 1);
}

#[tokio::test]
async fn what_belongs_to_a_check_is_shown_to_those_who_see_details() {
    let (monitor, _control) = up();
    #[derive(serde::Serialize)]
    struct Pool {
        idle: u32,
    }
    let fine = || async { Ok::<_, String>(()) };
    let router = HealthRouter::new(&monitor)
        .with_check_details("database", || "replaced")
        .with_check_details("database", || Pool { idle: 3 })
        .critical("database", fine)
        .optional("plain", fine)
        .optional("down", || async { Err("gone") })
        .with_check_details("down", || json!({ "since": "noon" }))
        .critical("unwritable", fine)
        .with_check_details("unwritable", || HashMap::from([((1, 2), 3)]))
        .critical("panics", fine)
        .with_check_details("panics", || -> u8 { panic!("on purpose") })
        .with_check_details("nobody", || 1)
        .with_check_details("redis", || 1)
        .with_group("/databases", ["database"])
        .with_details_if(|parts| parts.headers.contains_key(header::ACCEPT));
    let seen = |path, accept| send(router.clone(), request(Method::GET, path, accept));

    let all = seen("/health/dependencies", "application/json").await;
    assert_eq!(all.status, StatusCode::OK);
    let checks = all.json()["checks"].clone();
    assert_eq!(checks["database"]["details"], json!({ "idle": 3 }));
    assert!(checks["plain"].get("details").is_none());
    assert_eq!(checks["down"]["details"], json!({ "since": "noon" }));
    for name in ["unwritable", "panics"] {
        assert_eq!(checks[name]["status"], "up", "{name}: only its details are missing");
        assert!(checks[name].get("details").is_none(), "{name}");
    }
    assert_eq!(checks["redis"]["details"]["connectionState"], "connected");
    assert!(checks.get("nobody").is_none());
    let typed = seen("/health/dependencies", "application/health+json").await.json();
    let observed = &typed["checks"]["database:responseTime"][0];
    assert_eq!(observed["details"], json!({ "idle": 3 }));

    for path in ["/health", "/health/ready", "/databases"] {
        let short = seen(path, "application/json").await;
        assert!(!short.body.contains("idle"), "{path}: {}", short.body);
    }
    assert!(!seen("/health/dependencies", "").await.body.contains("idle"));
}
