//! What a refusal costs: `cargo bench --bench capacity`. Through the gate beside the usual recipe (a
//! script of one's own that takes from a counter if there is enough, sent by the client's own
//! `Script` over one multiplexed connection), and from memory. Starts a `redis-server` of its own.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

#[path = "../tests/support/mod.rs"]
#[allow(dead_code, unused_imports)]
mod support;

use std::{
    convert::Infallible,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use evenkeel::{
    redis::{Redis, RedisConfig, client},
    store::capacity::{Booking, BookingError, Capacity, CapacityVerdict, Occupancy, RequestId},
};
use support::RedisServer;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

const TASKS: usize = 64;
const MEASURED: Duration = Duration::from_secs(1);
const ROUNDS: usize = 5;
const FROM_MEMORY: u32 = 2_000_000;

/// Takes if there is enough: what is copied everywhere.
const RECIPE: &str = "local left = tonumber(redis.call('GET', KEYS[1]) or '0')
if left < tonumber(ARGV[1]) then return {0, left} end
return {1, redis.call('DECRBY', KEYS[1], ARGV[1])}";

#[tokio::main(worker_threads = 2)]
async fn main() {
    let server = RedisServer::start().await;
    let redis = Redis::new(RedisConfig::new(server.url().parse().unwrap())).unwrap();
    assert!(redis.monitor().wait_available(Duration::from_secs(10)).await);
    let builder = Capacity::builder(&redis, "gate").with_gate_lifetime(Duration::from_secs(600));
    let gate = builder.with_sold_out_for(Duration::ZERO).build().unwrap();
    let memory = Capacity::builder(&redis, "memory");
    let memory = memory.with_sold_out_for(Duration::from_secs(600)).build().unwrap();
    for capacity in [&gate, &memory] {
        assert!(!refused(capacity, &RequestId::fresh()).await, "the truth was not asked");
    }
    let client = client::Client::open(server.url()).unwrap();
    let connection = client.get_multiplexed_async_connection().await.unwrap();

    let mut rates = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        let (connection, script) = (connection.clone(), Arc::new(client::Script::new(RECIPE)));
        rates[0].push(
            rate(move || {
                let (mut connection, script) = (connection.clone(), Arc::clone(&script));
                async move {
                    let mut call = script.key("hall");
                    let answer = call.arg(1).invoke_async::<(u8, i64)>(&mut connection).await;
                    assert_eq!(answer.unwrap(), (0, 0));
                }
            })
            .await,
        );
        let handle = redis.clone();
        let script = Arc::new(evenkeel::redis::Script::new(RECIPE));
        rates[1].push(
            rate(move || {
                let (handle, script) = (handle.clone(), Arc::clone(&script));
                async move {
                    let call = script.prepare(&["hall"]).arg(1);
                    let answer = call.run::<(u8, i64)>(&mut handle.connection()).await;
                    assert_eq!(answer.unwrap(), (0, 0));
                }
            })
            .await,
        );
        let gate = gate.clone();
        rates[2].push(
            rate(move || {
                let gate = gate.clone();
                async move { assert!(refused(&gate, &RequestId::fresh()).await) }
            })
            .await,
        );
    }
    let [recipe, handle, gate] = rates.map(|mut rates| {
        rates.sort_by(f64::total_cmp);
        rates[ROUNDS / 2]
    });
    println!("{TASKS} tasks, {ROUNDS} rounds of {MEASURED:?}, refusals in a second:");
    println!("  the recipe by the client's own Script    {recipe:>9.0}");
    println!("  the recipe over the handle of Redis      {handle:>9.0}");
    println!("  Capacity, the gate alone                 {gate:>9.0}");
    println!("  of the client's {:.2}, of the handle's {:.2}", gate / recipe, gate / handle);

    let request = RequestId::fresh();
    assert!(refused(&memory, &request).await);
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for _ in 0..FROM_MEMORY {
            black_box(refused(black_box(&memory), &request).await);
        }
        best = best.min(began.elapsed().as_nanos() as f64 / f64::from(FROM_MEMORY));
    }
    println!("\"sold out\" from memory                    {best:>9.1} ns");
    redis.shutdown().await;
}

/// Whether the seat was refused without the truth, which says that all are taken.
async fn refused(capacity: &Capacity, request: &RequestId) -> bool {
    let mut asked = false;
    let verdict = capacity.reserve("hall", 1, request, async |_| {
        asked = true;
        Ok::<_, BookingError<Infallible>>(Booking::Full(Occupancy::new(100, 100)))
    });
    let verdict = verdict.await.unwrap();
    assert_eq!(verdict.value, CapacityVerdict::Full { left: 0 });
    !asked
}

/// Calls in a second, of all tasks together.
async fn rate<F: Future<Output = ()> + Send>(call: impl Fn() -> F + Clone + Send + 'static) -> f64 {
    let (calls, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let (call, calls, is_over) = (call.clone(), Arc::clone(&calls), Arc::clone(&is_over));
        tasks.spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                call().await;
                calls.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let began = Instant::now();
    sleep(MEASURED).await;
    is_over.store(true, Ordering::Relaxed);
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    calls.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
}
