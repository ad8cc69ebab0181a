//! What the limits over one handle share.

use std::time::Duration;

use evenkeel::{
    layer::rate_limit::RateLimitLayer,
    redis::Redis,
    store::{
        concurrency::{ConcurrencyLimiter, InFlight},
        rate::Subject,
    },
};
use tokio::{runtime::Handle, time::sleep};
use tower::{Layer, service_fn};

use super::{
    Instance, PATIENCE,
    layer::{ask, done, from},
    settings, slow,
    support::{RedisServer, eventually},
};

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

#[tokio::test]
async fn ten_layers_are_one_member_with_one_task_and_ten_limits() {
    let server = RedisServer::start().await;
    let redis = Redis::new(settings(&server.url())).unwrap();
    assert!(redis.monitor().wait_available(PATIENCE).await);
    let layer = |n| RateLimitLayer::new(&redis, slow(1).with_name(format!("limit {n}")));
    let mut layers = vec![layer(0)];
    let concurrency = ConcurrencyLimiter::new(&redis, InFlight::at_most(1));
    sleep(Duration::from_millis(50)).await;
    let key = format!("{}:instances", redis.namespace());
    let members = async || server.query::<u32>(&["ZCARD", &key]).await.unwrap();
    assert!(eventually(PATIENCE, || async { members().await == 1 }).await);
    // Heartbeats, and what the monitor writes to know that it may.
    let writes = async || {
        let before = server.commands_processed("zadd").await;
        sleep(Duration::from_secs(3)).await;
        server.commands_processed("zadd").await - before
    };
    let of_one = writes().await;
    assert!(of_one >= 5, "{of_one} in 3 s, with a heartbeat each 300 ms");
    let before = tasks();
    layers.extend((1..10).map(layer));
    assert!(eventually(PATIENCE, || async { tasks() <= before }).await, "{} of {before}", tasks());
    let of_ten = writes().await;
    assert!(of_ten <= of_one + 4, "{of_one} for one, {of_ten} for ten");
    assert_eq!(members().await, 1);

    for layer in &layers {
        let service = layer.layer(service_fn(done));
        let client = "203.0.113.1:1000";
        assert_eq!(ask(&service, from(client)).await.parts.status, 200);
        assert_eq!(ask(&service, from(client)).await.parts.status, 429);
    }
    drop((layers, concurrency));
}

#[tokio::test]
async fn a_limit_in_flight_is_counted_under_no_rate_limit() {
    let server = RedisServer::start().await;
    let one = Instance::up(&server.url()).await;
    let limit = InFlight::at_most(1).with_name("export");
    let limiter = ConcurrencyLimiter::new(&one.redis, limit);
    let who = Subject::text("a");
    let held = limiter.acquire(&who).await.unwrap();
    assert!(limiter.acquire(&who).await.is_err());
    drop(held);
    one.ask(&slow(1).with_name("export"), "a").await;
    let decisions = async |labels: &[&str]| one.metric("rate_limit_decisions_total", labels).await;
    let redis = "source=\"redis\"";
    let own = ["policy=\"concurrency:export\"", "\"allowed\"", redis];
    assert_eq!(decisions(&own).await, Some(1));
    assert_eq!(decisions(&["policy=\"export\"", "\"allowed\"", redis]).await, Some(1));
    assert_eq!(decisions(&["policy=\"default\""]).await, None);
}
