//! What the table of the rate limit takes, measured on the process: alone in its own test program,
//! with one test.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::{IpAddr, Ipv4Addr};

use evenkeel::{
    redis::{Redis, RedisConfig},
    store::rate::{Quota, RateLimiter, RatePolicy, Subject},
};

const BOUND: u32 = 100_000;
const MEGABYTE: usize = 1_000_000;

/// What this process holds of the machine's memory, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

fn who(n: u32) -> Subject {
    // Mixed, so that neighbours in time are none in the table.
    Subject::address(IpAddr::V4(Ipv4Addr::from(n.wrapping_mul(0x9e37_79b1))), 64)
}

/// Nothing listens there: memory decides.
#[tokio::test]
async fn a_hundred_thousand_subjects_and_a_flood() {
    let redis = Redis::new(RedisConfig::new("redis://127.0.0.1:1".parse().unwrap())).unwrap();
    let limiter = RateLimiter::builder(&redis).with_capacity(BOUND as usize).build();
    let policy = RatePolicy::from(Quota::per_day(10));
    let decide = async |n, cost| limiter.decide(&policy, &who(n), cost).await.allowed();
    let empty = resident();
    let throttled = 1_000;
    for n in 0..throttled {
        assert!(decide(n, 10).await);
    }
    for n in throttled..BOUND {
        assert!(decide(n, 1).await);
    }
    let full = resident();
    let takes = full.saturating_sub(empty);
    println!("{BOUND} subjects take {:.1} MB", takes as f64 / MEGABYTE as f64);
    assert!(takes <= 20 * MEGABYTE, "{takes}");
    assert!(takes > MEGABYTE, "they are held: {takes}");

    for n in BOUND..BOUND + 5_000_000 {
        decide(n, 1).await;
    }
    let flooded = resident();
    println!("after 5 000 000 more: {:+.1} MB", (flooded as f64 - full as f64) / MEGABYTE as f64);
    assert!(flooded < full + 4 * MEGABYTE, "{full}, {flooded}");
    assert!(limiter.subjects() <= BOUND as usize);
    for n in 0..throttled {
        assert!(!decide(n, 1).await, "a flood frees nobody");
    }
}
