//! Decisions of the rate limit beside what else there is: `cargo bench --bench rate_limit`.
//!
//! Starts a `redis-server` of its own (on the path, or `REDIS_SERVER`) for the second half.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "rate_limit/memory.rs"]
mod memory;
#[path = "rate_limit/redis.rs"]
mod redis;

use std::time::Duration;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_500))
        .configure_from_args();
    memory::benches(&mut criterion);
    redis::benches(&mut criterion);
    criterion.final_summary();
}
