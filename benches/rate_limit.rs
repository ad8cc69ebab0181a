//! Decisions of the rate limit beside what else there is: `cargo bench --bench rate_limit`; with
//! `-- memory/`, `-- "check/1 "`, `-- refusal/` or `-- redis/` only those whose title contains one
//! of the words.
//!
//! The ways to decide are taken in turn, see `support/rounds.rs`. Starts a `redis-server` of its
//! own.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

#[path = "rate_limit/memory.rs"]
mod memory;
#[path = "rate_limit/redis.rs"]
mod redis;
#[path = "support/rounds.rs"]
mod rounds;
#[path = "../tests/support/mod.rs"]
#[allow(dead_code, unused_imports)]
mod support;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    // `cargo test --benches` only wants to know that it builds.
    if words.iter().any(|word| word == "--test") {
        return;
    }
    let asked =
        |title: &str| words.is_empty() || words.iter().any(|word| title.contains(word.as_str()));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    memory::compare(&runtime, &asked);
    redis::compare(&runtime, &asked);
}
