//! What guarding costs: `cargo bench --features full,testing --bench guards`.
//!
//! What is answered from memory is criterion's; a word alone names one of the other parts:
//! `-- healthy`, `-- many`.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

#[path = "guards/healthy.rs"]
mod healthy;
#[path = "guards/many.rs"]
mod many;
#[path = "guards/memory.rs"]
mod memory;
#[path = "support/rounds.rs"]
mod rounds;
#[path = "../tests/support/mod.rs"]
#[allow(dead_code, unused_imports)]
mod support;

use std::time::{Duration, SystemTime};

use criterion::Criterion;
use evenkeel::{
    health::Backoff,
    redis::{Redis, RedisConfig},
    store::revocation::Revocations,
};
use support::RedisServer;
use tokio::runtime::Runtime;

fn handle(server: &RedisServer) -> Redis {
    let config = RedisConfig::new(server.url().parse().unwrap());
    let backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(20));
    let health = config.health().clone().with_backoff(backoff);
    Redis::new(config.with_health(health)).unwrap()
}

async fn in_step(redis: &Redis) -> Revocations {
    let revocations = Revocations::new(redis);
    while !(redis.monitor().is_available() && revocations.is_in_step()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    revocations
}

async fn away(redis: &Redis) {
    while redis.monitor().can_read() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn in_an_hour() -> SystemTime {
    SystemTime::now() + Duration::from_secs(3600)
}

fn main() {
    let runtime = Runtime::new().unwrap();
    let arguments: Vec<String> = std::env::args().collect();
    let named = |word: &str| arguments.iter().any(|argument| argument == word);
    if named("healthy") {
        return healthy::compare(&runtime);
    }
    if named("many") {
        return many::measure(&runtime);
    }
    let mut criterion = Criterion::default().configure_from_args();
    memory::benches(&mut criterion, &runtime);
    criterion.final_summary();
    // Unless something was asked for by name.
    if arguments.iter().skip(1).all(|argument| argument == "--bench") {
        many::measure(&runtime);
        healthy::compare(&runtime);
    }
}
