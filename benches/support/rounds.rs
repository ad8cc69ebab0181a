//! Throughput of several ways to do the same thing, taken in turn, so that what else the machine
//! does falls on all of them; the figures are medians over the rounds, and ratios are taken within
//! a round.

#![allow(dead_code, unreachable_pub, clippy::print_stdout, clippy::unwrap_used)]

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// A way to do it: what one task does over and over.
pub struct Way<'a> {
    name: &'static str,
    /// Runs this many tasks with this many operations each.
    run: Box<dyn FnMut(usize, usize) -> Duration + 'a>,
}

impl<'a> Way<'a> {
    /// Each task has a state of its own from `prepare`, and does `once` with it.
    pub fn new<S, P, F, Fut>(
        name: &'static str,
        runtime: &'a tokio::runtime::Runtime,
        prepare: P,
        once: F,
    ) -> Self
    where
        P: Fn() -> S + 'a,
        S: Send + 'static,
        F: Fn(S) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = S> + Send,
    {
        let run = move |tasks: usize, each: usize| {
            runtime.block_on(async {
                let began = Instant::now();
                let running: Vec<_> = (0..tasks)
                    .map(|_| {
                        let (mut state, once) = (prepare(), once.clone());
                        tokio::spawn(async move {
                            for _ in 0..each {
                                state = once(state).await;
                            }
                        })
                    })
                    .collect();
                for task in running {
                    task.await.unwrap();
                }
                began.elapsed()
            })
        };
        Self::timed(name, run)
    }

    /// `run` does so many operations on each of so many threads or tasks, and says how long that
    /// took.
    pub fn timed(name: &'static str, run: impl FnMut(usize, usize) -> Duration + 'a) -> Self {
        Self { name, run: Box::new(run) }
    }
}

/// The seconds of each way in each round but the first, which warms up; and what all rounds took of
/// the processor.
fn take_turns(
    ways: &mut [Way<'_>],
    tasks: usize,
    each: usize,
    rounds: usize,
) -> (Vec<Vec<f64>>, Vec<Duration>) {
    let mut taken = vec![Vec::new(); ways.len()];
    let mut burnt = vec![Duration::ZERO; ways.len()];
    for round in 0..=rounds {
        for ((way, taken), burnt) in ways.iter_mut().zip(&mut taken).zip(&mut burnt) {
            let before = processor_time();
            let seconds = (way.run)(tasks, each).as_secs_f64();
            if round > 0 {
                taken.push(seconds);
                *burnt += processor_time() - before;
            }
        }
    }
    (taken, burnt)
}

/// Compares with the first way: prints nanoseconds and the ratio to it (above 1: slower).
pub fn nanoseconds(title: &str, threads: usize, each: usize, rounds: usize, ways: &mut [Way<'_>]) {
    let (taken, _) = take_turns(ways, threads, each, rounds);
    println!("\n{title}, threads: {threads}, {rounds} rounds of {}", each * threads);
    for (way, own) in ways.iter().zip(&taken) {
        let ratio = median(own.iter().zip(&taken[0]).map(|(own, base)| own / base).collect());
        let took = median(own.clone()) * 1e9 / (each * threads) as f64;
        println!("  {:<44} {took:>7.0} ns   {ratio:.2} of the first", way.name);
    }
}

/// Compares with the first way: prints operations per second and the ratio to it.
pub fn compare(title: &str, tasks: usize, operations: usize, rounds: usize, ways: &mut [Way<'_>]) {
    let each = (operations / tasks).max(1);
    let (taken, burnt) = take_turns(ways, tasks, each, rounds);
    println!("\n{title}, {tasks} tasks, {rounds} rounds of {}", each * tasks);
    let base = taken[0].clone();
    for ((way, taken), burnt) in ways.iter().zip(&taken).zip(burnt) {
        let burnt = burnt.as_secs_f64() * 1e6 / (rounds * each * tasks) as f64;
        let rate = (each * tasks) as f64 / median(taken.clone());
        let ratio = median(base.iter().zip(taken).map(|(base, own)| base / own).collect());
        println!(
            "  {:<44} {rate:>10.0}/s   {ratio:.2} of the first   {burnt:.2} µs of processor each",
            way.name
        );
    }
}

/// The median latency of one caller alone, way by way in turn.
pub fn alone<'a>(title: &str, rounds: usize, ways: &mut [Way<'a>]) {
    let mut taken = vec![Vec::new(); ways.len()];
    for round in 0..=rounds {
        for (way, taken) in ways.iter_mut().zip(&mut taken) {
            let seconds = (way.run)(1, 200).as_secs_f64() / 200.0;
            if round > 0 {
                taken.push(seconds);
            }
        }
    }
    println!("\n{title}, one task, {rounds} rounds of 200");
    let base = taken[0].clone();
    for (way, taken) in ways.iter().zip(&taken) {
        let ratio = median(base.iter().zip(taken).map(|(base, own)| own / base).collect());
        println!(
            "  {:<44} {:>8.1} µs    {ratio:.2} of the first",
            way.name,
            median(taken.clone()) * 1e6
        );
    }
}

/// What this process has used, all threads together, in ticks of 10 ms: it does not depend on what
/// else the machine does.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
