//! What the timers of 1 000 jobs cost, beside as many tasks of tokio's `interval`: `cargo bench
//! --bench jobs`. Starts a `redis-server` of its own.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

#[path = "../tests/support/mod.rs"]
#[allow(dead_code, unused_imports)]
mod support;

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use evenkeel::{
    jobs::{Jobs, Lease},
    redis::{Redis, RedisConfig},
};
use support::RedisServer;
use tokio::time::{Instant, interval_at, sleep};

const JOBS: u32 = 1_000;
const PERIOD: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(4);
const ROUNDS: usize = 3;

#[derive(Clone, Copy)]
enum Way {
    Nothing,
    Intervals,
    EachInstance,
    SingleRunner,
}

const WAYS: [(&str, Way); 4] = [
    ("nothing but a handle of Redis", Way::Nothing),
    ("1 000 of tokio's intervals, a task for each run", Way::Intervals),
    ("1 000 jobs, on each instance", Way::EachInstance),
    ("1 000 jobs with a single runner", Way::SingleRunner),
];

#[tokio::main(worker_threads = 2)]
async fn main() {
    let server = RedisServer::start().await;
    println!("period {PERIOD:?}, {ROUNDS} rounds of {MEASURED:?}: processor time of this process");
    let mut rates = [const { Vec::new() }; WAYS.len()];
    for _ in 0..ROUNDS {
        for ((_, way), rates) in WAYS.iter().zip(&mut rates) {
            rates.push(measure(&server, *way).await);
        }
    }
    for ((name, _), mut rates) in WAYS.iter().zip(rates) {
        rates.sort_by(|one: &(f64, f64), other| one.0.total_cmp(&other.0));
        let (share, runs) = rates[ROUNDS / 2];
        println!("  {name:<50} {:>6.2} % of a processor, {runs:.0} runs/s", share * 100.0);
    }
}

/// The share of a processor, and runs in a second.
async fn measure(server: &RedisServer, way: Way) -> (f64, f64) {
    let redis = Redis::new(RedisConfig::new(server.url().parse().unwrap())).unwrap();
    assert!(redis.monitor().wait_available(Duration::from_secs(10)).await);
    let runs = Arc::new(AtomicU64::new(0));
    let jobs = Jobs::new(&redis);
    let mut intervals = Vec::new();
    for n in 0..JOBS {
        let runs = Arc::clone(&runs);
        match way {
            Way::Nothing => break,
            Way::Intervals => {
                let first = Instant::now() + PERIOD * n / JOBS;
                intervals.push(tokio::spawn(async move {
                    let mut interval = interval_at(first, PERIOD);
                    loop {
                        interval.tick().await;
                        let runs = Arc::clone(&runs);
                        let run = async move { runs.fetch_add(1, Ordering::Relaxed) };
                        let _ = tokio::spawn(run).await;
                    }
                }));
            }
            Way::EachInstance | Way::SingleRunner => {
                let job = jobs.every(&format!("job-{n}"), PERIOD, move |_| {
                    runs.fetch_add(1, Ordering::Relaxed);
                    std::future::ready(Ok::<(), String>(()))
                });
                let job = job.with_jitter(0.5);
                let is_single = matches!(way, Way::SingleRunner);
                let job = if is_single { job.with_single_runner(Lease::DEFAULT) } else { job };
                job.start().unwrap();
            }
        }
    }
    sleep(PERIOD * 2).await;
    let (began, before) = (Instant::now(), (processor_time(), runs.load(Ordering::Relaxed)));
    sleep(MEASURED).await;
    let took = began.elapsed().as_secs_f64();
    let share = (processor_time() - before.0).as_secs_f64() / took;
    let runs = (runs.load(Ordering::Relaxed) - before.1) as f64 / took;
    intervals.iter().for_each(tokio::task::JoinHandle::abort);
    jobs.shutdown(Duration::from_secs(10)).await;
    redis.shutdown().await;
    (share, runs)
}

/// What the threads of this process have used, to the nanosecond.
fn processor_time() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let used = tasks.filter_map(|task| {
        let stat = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        stat.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(used.sum())
}
