//! Many revocations: the memory they take, and how long Redis takes to learn of them after an
//! outage.

use std::time::{Duration, Instant};

use evenkeel::redis::deadpool_redis::redis as client;
use tokio::runtime::Runtime;

use crate::{away, handle, in_an_hour, in_step, support::RedisServer};

fn resident() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: f64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096.0 / 1e6
}

async fn a_million() {
    let server = RedisServer::start().await;
    let redis = handle(&server);
    let revocations = in_step(&redis).await;
    server.kill();
    away(&redis).await;
    let before = resident();
    let (until, began) = (in_an_hour(), Instant::now());
    for n in 0..1_000_000_u32 {
        let _ = revocations.revoke(n.to_le_bytes(), until).await.unwrap();
    }
    let (took, grew) = (began.elapsed(), resident() - before);
    assert_eq!(revocations.len(), 1_000_000);
    println!("1 000 000 revocations: {grew:.0} MB resident, noted in {took:.1?}");
}

/// An outage with 100 000 revocations; then live requests of another instance while they are
/// pushed.
async fn catch_up() {
    let server = RedisServer::start().await;
    let redis = handle(&server);
    let revocations = in_step(&redis).await;
    redis.monitor().force_down("bench", Duration::from_secs(60));
    for n in 0..100_000_u32 {
        let _ = revocations.revoke(n.to_le_bytes(), in_an_hour()).await.unwrap();
    }
    let other = handle(&server);
    while !other.monitor().is_available() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let live = tokio::spawn(async move {
        let mut waits = Vec::new();
        loop {
            let began = Instant::now();
            let mut get = client::cmd("GET");
            let answer: Result<Option<String>, _> = other.query(get.arg("evenkeel:live")).await;
            waits.push(began.elapsed());
            if answer.is_err() || waits.len() > 3_000 {
                return (waits, answer.is_ok());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let began = Instant::now();
    redis.monitor().release();
    assert!(redis.monitor().wait_available(Duration::from_secs(60)).await);
    let took = began.elapsed();
    let held: usize = server.query(&["HLEN", "evenkeel:revocation:{table}"]).await.unwrap();
    assert_eq!(held, 100_002);
    let (mut waits, well) = live.await.unwrap();
    assert!(well, "a live request met a deadline");
    waits.sort();
    let (middle, most) = (waits[waits.len() / 2], waits[waits.len() - 1]);
    println!(
        "100 000 pushed before connected: {took:.2?}; live GETs meanwhile: median {middle:.2?}, longest {most:.2?}"
    );
}

pub(crate) fn measure(runtime: &Runtime) {
    runtime.block_on(a_million());
    for _ in 0..3 {
        runtime.block_on(catch_up());
    }
}
