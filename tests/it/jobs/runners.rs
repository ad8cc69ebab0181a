//! One runner among several instances: rows 13, 14, 16 and 17 of the notes.

use std::time::Duration;

use evenkeel::jobs::{Lease, Outcome, SkipReason};
use tokio::time::sleep;

use super::{
    History, Instance, LEASE, PATIENCE,
    support::{Fault, FaultProxy, LogCapture, RedisServer, eventually},
};
use crate::guards::away;

const LEASE_KEY: &str = "evenkeel:job:{job}:lease";
const STATE_KEY: &str = "evenkeel:job:{job}:state";

/// Row 16: the lease is given back at the end of a run; a timer that is later has its tick still to
/// come, and must not run it again.
#[tokio::test(flavor = "multi_thread")]
async fn one_run_a_tick_over_three_instances_with_skewed_timers() {
    let server = RedisServer::start().await;
    let history = History::default();
    let period = Duration::from_millis(1_000);
    let mut instances = Vec::new();
    for name in ["a", "b", "c"] {
        let one = Instance::at(&server.url(), name, &history).ready().await;
        // Up to half a period apart at each tick, and started at other times.
        let job = one.job(period, Duration::from_millis(50)).with_jitter(0.5);
        job.with_single_runner(LEASE).start().unwrap();
        instances.push(one);
        sleep(Duration::from_millis(300)).await;
    }
    let ticks = 8;
    sleep(period * ticks).await;
    let all = history.all();
    // The first tick and the last may not be whole.
    assert!((ticks as usize..=ticks as usize + 2).contains(&all.len()), "{all:#?}");
    history.assert_one_at_a_time();
    let ran: u64 = instances.iter().map(|one| one.runs("ran")).sum();
    let skipped: u64 = instances.iter().map(|one| one.runs("skipped")).sum();
    // Each instance has decided each tick: two of three did not run it.
    assert!(skipped + 4 >= ran * 2 && skipped <= ran * 2 + 4, "{ran} ran, {skipped} skipped");
    let reasons = instances.iter().filter_map(|one| one.status().last_skip);
    assert!(reasons.into_iter().all(|skip| skip.reason == SkipReason::NotMine));
    let holders = || async { instances.iter().filter(|one| one.status().holder).count() == 1 };
    assert!(eventually(PATIENCE, holders).await, "one of them has the last tick");
}

/// The notes' own figures of row 16: timers 300 ms apart, a job of 50 ms.
#[tokio::test(flavor = "multi_thread")]
async fn a_tick_that_was_run_is_not_run_again_by_whoever_comes_later() {
    let server = RedisServer::start().await;
    let history = History::default();
    let period = Duration::from_secs(3_600);
    let a = Instance::at(&server.url(), "a", &history).ready().await;
    let job = |one: &Instance| one.job(period, Duration::from_millis(50)).with_single_runner(LEASE);
    // The tick before this one is known to have been taken; this hour's was not.
    let now: Vec<u64> = server.query(&["TIME"]).await.unwrap();
    let hour = 3_600_000_000;
    let tick = (now[0] * 1_000_000 / hour - 1) * hour;
    server.cli(&["HSET", STATE_KEY, "tick", &tick.to_string()]).await.unwrap();
    job(&a).with_catch_up(1).start().unwrap();
    history.reaches(1).await;
    assert!(eventually(PATIENCE, || async { a.status().last.is_some() }).await);
    let free: bool = server.query(&["EXISTS", LEASE_KEY]).await.unwrap();
    assert!(!free, "the lease was given back");
    sleep(Duration::from_millis(300)).await;
    let b = Instance::at(&server.url(), "b", &history).ready().await;
    job(&b).with_catch_up(1).start().unwrap();
    sleep(Duration::from_millis(500)).await;
    assert_eq!((history.of("a"), history.of("b")), (1, 0));
    assert!(a.status().holder && !b.status().holder);
}

/// Row 13: the holder is gone, its lease is still there.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_without_its_holder_is_taken_over_when_it_ends() {
    let server = RedisServer::start().await;
    let history = History::default();
    let a = Instance::at(&server.url(), "a", &history).ready().await;
    let period = Duration::from_millis(100);
    let planted = ["SET", LEASE_KEY, "somebody:1", "PX", "700"];
    server.cli(&planted).await.unwrap();
    let began = std::time::Instant::now();
    a.job(period, Duration::ZERO).with_single_runner(LEASE).start().unwrap();
    history.reaches(1).await;
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(690), "{took:?}");
    // A lease and a period; the rest is for a machine that is busy.
    assert!(took < Duration::from_millis(800 + 1_500), "{took:?}");
    assert_eq!(a.status().last_skip.unwrap().reason, SkipReason::NotMine);
    assert_eq!(a.status().replaced, 0);
}

/// Row 13: a lease that would never end, and values that are not ours.
#[tokio::test(flavor = "multi_thread")]
async fn a_planted_lease_without_an_end_is_taken_over_and_counted() {
    let server = RedisServer::start().await;
    let logs = LogCapture::start();
    let planted: &[&[&[&str]]] = &[
        &[&["SET", LEASE_KEY, "somebody:1"]],
        &[&["SET", LEASE_KEY, "somebody:1", "EX", "999999"]],
        &[&["LPUSH", LEASE_KEY, "list"]],
        &[&["SET", STATE_KEY, "text"]],
        &[&["HSET", STATE_KEY, "fence", "nan"]],
        &[&["HSET", STATE_KEY, "tick", "1e300"]],
        &[&["HSET", STATE_KEY, "fence", "-5", "taken", "x"]],
    ];
    for commands in planted {
        server.flushall().await;
        for command in *commands {
            server.cli(command).await.unwrap();
        }
        let history = History::default();
        let a = Instance::at(&server.url(), "a", &history).ready().await;
        let period = Duration::from_millis(100);
        a.job(period, Duration::ZERO).with_single_runner(LEASE).start().unwrap();
        history.reaches(3).await;
        assert!(a.status().replaced >= 1, "{commands:?}");
        history.assert_one_at_a_time();
        a.jobs.shutdown(PATIENCE).await;
    }
    let lines = logs.at_least(tracing::Level::WARN);
    assert!(lines.iter().any(|line| line.message.contains("was not ours")), "{lines:#?}");
}

/// Row 13: a run that panics gives its lease back at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_panics_or_does_not_end_gives_its_lease_back() {
    let server = RedisServer::start().await;
    let history = History::default();
    let a = Instance::at(&server.url(), "a", &history).ready().await;
    let period = Duration::from_millis(300);
    let long = Lease::of(Duration::from_secs(60));
    for (outcome, panics) in [(Outcome::Panicked, true), (Outcome::TimedOut, false)] {
        let job = a.jobs.every(outcome.as_str(), period, move |_| async move {
            assert!(!panics, "on purpose");
            std::future::pending::<Result<(), String>>().await
        });
        let job = job.with_timeout(Duration::from_millis(100));
        job.with_single_runner(long).start().unwrap();
        let of_it = || a.jobs.status().pop().unwrap().last.map(|last| last.outcome);
        assert!(eventually(PATIENCE, || async { of_it() == Some(outcome) }).await);
        let key = format!("evenkeel:job:{{{}}}:lease", outcome.as_str());
        let given_back = || async { !server.query::<bool>(&["EXISTS", &key]).await.unwrap() };
        assert!(eventually(PATIENCE, given_back).await, "{outcome}");
    }
}

/// Row 17: nobody is there for a tick.
#[tokio::test(flavor = "multi_thread")]
async fn the_tick_in_the_moment_of_a_change_of_holder() {
    tokio::join!(change_of_holder(1, 1), change_of_holder(0, 0));
}

async fn change_of_holder(catch_up: u32, runs: usize) {
    let server = RedisServer::start().await;
    let history = History::default();
    let period = Duration::from_millis(3_000);
    let at = |name| Instance::at(&server.url(), name, &history);
    let a = at("a").ready().await;
    let job = |one: &Instance| {
        one.job(period, Duration::ZERO).with_single_runner(LEASE).with_catch_up(catch_up)
    };
    job(&a).start().unwrap();
    history.reaches(1).await;
    assert!(eventually(PATIENCE, || async { a.runs("ran") == 1 }).await);
    let first = history.all()[0].began;
    // The process ends well before the next tick, as by SIGTERM …
    assert!(a.jobs.shutdown(Duration::from_secs(1)).await);
    a.redis.shutdown().await;
    // … and the next one is there well after it.
    sleep((period + period / 2).saturating_sub(first.elapsed())).await;
    let b = at("b").ready().await;
    job(&b).start().unwrap();
    sleep((period * 2 - period / 5).saturating_sub(first.elapsed())).await;
    assert_eq!(history.of("b"), runs, "catch_up({catch_up})");
    history.reaches(2 + runs).await;
    if catch_up == 0 {
        assert!(eventually(PATIENCE, || async { b.runs("skipped") == 1 }).await);
    } else {
        assert_eq!(b.runs("skipped"), 0);
    }
}

/// Row 14: a holder whose renewals are lost stops believing before another begins.
#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_is_cut_off_stops_believing_before_another_begins() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let history = History::default();
    let a = Instance::at(&proxy.url(), "a", &history).ready().await;
    let b = Instance::at(&server.url(), "b", &history).ready().await;
    let period = Duration::from_millis(200);
    for fault in [Fault::BlackHole, Fault::CutToClient, Fault::Refuse] {
        // Only A runs at first, and for long.
        let (mine, theirs) = (a.with_other_jobs(), b.with_other_jobs());
        mine.job(period, Duration::from_secs(60)).with_single_runner(LEASE).start().unwrap();
        let before = history.len();
        history.reaches(before + 1).await;
        theirs.job(period, Duration::from_millis(50)).with_single_runner(LEASE).start().unwrap();
        // Over several leases the one who holds it keeps it.
        sleep(LEASE.length() * 3).await;
        assert_eq!(history.len(), before + 1, "{:?}", history.all());
        proxy.set(fault).await;
        away(&a.redis).await;
        history.reaches(before + 3).await;
        history.assert_one_at_a_time();
        assert!(history.all()[before + 1..].iter().all(|ran| ran.by == "b"));
        proxy.set(Fault::Pass).await;
        mine.jobs.shutdown(PATIENCE).await;
        theirs.jobs.shutdown(PATIENCE).await;
        super::available(&a.redis).await;
        return_of(&server).await;
    }
}

/// Nobody holds the lease.
async fn return_of(server: &RedisServer) {
    let free = || async { !server.query::<bool>(&["EXISTS", LEASE_KEY]).await.unwrap() };
    assert!(eventually(PATIENCE, free).await);
}

/// The end of a process gives the lease back: the next one need not wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_in_the_middle_of_a_run_gives_the_lease_back() {
    let server = RedisServer::start().await;
    let history = History::default();
    let a = Instance::at(&server.url(), "a", &history).ready().await;
    let lease = Lease::of(Duration::from_secs(60));
    let period = Duration::from_millis(200);
    a.job(period, Duration::from_secs(60)).with_single_runner(lease).start().unwrap();
    history.reaches(1).await;
    assert!(a.status().is_running);
    assert!(a.jobs.shutdown(Duration::from_secs(5)).await, "the run heard of it");
    let b = Instance::at(&server.url(), "b", &history).ready().await;
    b.job(period, Duration::ZERO).with_single_runner(lease).start().unwrap();
    history.reaches(2).await;
    history.assert_one_at_a_time();
}

/// An hour forward and back by the clock of Redis, as far as ticks go: what was taken last lies an
/// hour ahead, or behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_an_hour_forward_and_back_changes_no_count() {
    let server = RedisServer::start().await;
    let history = History::default();
    let period = Duration::from_millis(200);
    let mut instances = Vec::new();
    for name in ["a", "b"] {
        let one = Instance::at(&server.url(), name, &history).ready().await;
        one.job(period, Duration::ZERO).with_single_runner(LEASE).start().unwrap();
        instances.push(one);
    }
    history.reaches(3).await;
    let hour = 3_600_000_000_i64;
    for by in [hour, -hour, hour, -hour] {
        let before = history.len();
        for field in ["tick", "taken"] {
            server.cli(&["HINCRBY", STATE_KEY, field, &by.to_string()]).await.unwrap();
        }
        sleep(period * 10).await;
        let runs = history.len() - before;
        assert!((9..=12).contains(&runs), "{runs} runs in ten periods");
    }
    history.assert_one_at_a_time();
}

/// The token grows over an empty Redis, and over one that knows a higher one than its clock says.
#[tokio::test(flavor = "multi_thread")]
async fn the_token_grows_also_over_an_empty_restart() {
    let server = RedisServer::start().await;
    let history = History::default();
    let a = Instance::at(&server.url(), "a", &history).ready().await;
    let b = Instance::at(&server.url(), "b", &history).ready().await;
    // A day ahead of the clock, as after it has stepped back.
    let now: Vec<u64> = server.query(&["TIME"]).await.unwrap();
    let ahead = (now[0] + 86_400) * 1_000_000;
    server.cli(&["HSET", STATE_KEY, "fence", &ahead.to_string()]).await.unwrap();
    for one in [&a, &b] {
        one.job(Duration::from_millis(100), Duration::ZERO)
            .with_single_runner(LEASE)
            .start()
            .unwrap();
    }
    history.reaches(5).await;
    for _ in 0..3 {
        server.restart_empty().await;
        history.reaches(history.len() + 5).await;
    }
    history.assert_one_at_a_time();
    assert!(history.all()[0].fence == ahead + 1, "{:?}", history.all()[0]);
}

/// When Redis is back: at once where that was asked for, once over all instances, and as often as
/// it is to catch up.
#[tokio::test(flavor = "multi_thread")]
async fn on_recovery_one_of_them_runs_at_once_and_missed_ticks_are_made_up_for() {
    let server = RedisServer::builder().persistent(true).start().await;
    let at = |name, history: &History| Instance::at(&server.url(), name, history);

    // An hour's job, at once.
    let hourly = History::default();
    let instances = [at("a", &hourly).ready().await, at("b", &hourly).ready().await];
    for one in &instances {
        let job = one.job(Duration::from_secs(3_600), Duration::from_millis(50));
        job.with_single_runner(LEASE).with_on_recovery(true).start().unwrap();
    }
    // One that catches up with three of its ticks.
    let often = History::default();
    let catching_up = at("c", &often).ready().await;
    let job = catching_up.job_named("often", Duration::from_millis(300), Duration::ZERO);
    job.with_single_runner(LEASE).with_catch_up(3).start().unwrap();
    often.reaches(2).await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!(hourly.len(), 0, "the first connection is no recovery");

    for round in 1..=3 {
        server.kill();
        for one in [&instances[0], &instances[1], &catching_up] {
            away(&one.redis).await;
        }
        let skipped = catching_up.runs("skipped");
        let missed = || async { catching_up.runs("skipped") >= skipped + 4 };
        assert!(eventually(PATIENCE, missed).await);
        let (before, out) = (often.len(), std::time::Instant::now());
        server.restart().await;
        hourly.reaches(round).await;
        often.reaches(before + 4).await;
        let caught_up = often.all()[before..before + 3].to_vec();
        assert!(
            caught_up[2].began - caught_up[0].began < Duration::from_millis(300),
            "{caught_up:?}"
        );
        assert!(out.elapsed() < PATIENCE);
        sleep(Duration::from_millis(500)).await;
        assert_eq!(hourly.len(), round, "{:?}", hourly.all());
    }
    hourly.assert_one_at_a_time();
    often.assert_one_at_a_time();
}

/// A run that blocks its thread cannot be aborted: no other begins beside it, and nothing else
/// stands still.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_run_that_blocks_its_thread_is_never_overlapped() {
    let server = RedisServer::start().await;
    let history = History::default();
    let a = Instance::at(&server.url(), "a", &history).ready().await;
    let noted = history.clone();
    let job = a.jobs.every("job", Duration::from_millis(100), move |run| {
        let noted = noted.clone();
        async move {
            let at = noted.begin("a", &run);
            std::thread::sleep(Duration::from_millis(450));
            noted.end(at);
            Ok::<(), String>(())
        }
    });
    let job = job.with_timeout(Duration::from_millis(50));
    job.with_single_runner(Lease::of(Duration::from_millis(200))).start().unwrap();
    history.reaches(4).await;
    assert!(eventually(PATIENCE, || async { a.runs("timed_out") >= 3 }).await);
    assert_eq!(a.runs("ran"), 0);
    assert_eq!(a.status().last_skip.unwrap().reason, SkipReason::StillRunning);
    history.assert_one_at_a_time();
}

/// Whoever is busy when Redis comes back runs afterwards: what it does may be about the time before.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_under_way_at_a_recovery_is_followed_by_the_one_of_the_recovery() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let history = History::default();
    let a = Instance::at(&proxy.url(), "a", &history).ready().await;
    let job = a.job(Duration::from_secs(3_600), Duration::from_millis(1_500));
    job.with_on_recovery(true).start().unwrap();
    for _ in 0..2 {
        proxy.set(Fault::Refuse).await;
        away(&a.redis).await;
        proxy.set(Fault::Pass).await;
        super::available(&a.redis).await;
        history.reaches(1).await;
    }
    assert_eq!(history.len(), 1, "the first is under way");
    history.reaches(2).await;
    history.assert_one_at_a_time();
    assert!(eventually(PATIENCE, || async { a.runs("ran") == 2 }).await);
    assert_eq!(history.len(), 2);
}

/// The question at a recovery fails, and Redis is there all the same: the next tick is an hour away.
#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_whose_question_failed_is_not_forgotten() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let history = History::default();
    let a = Instance::at(&proxy.url(), "a", &history).ready().await;
    let job = a.job(Duration::from_secs(3_600), Duration::ZERO).with_on_recovery(true);
    job.with_single_runner(LEASE).start().unwrap();
    proxy.set(Fault::Refuse).await;
    away(&a.redis).await;
    let (command, error) = ("EVALSHA".to_owned(), "ERR Error running script".to_owned());
    proxy.set(Fault::ErrorReplyTo { command, error }).await;
    super::available(&a.redis).await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!(history.len(), 0);
    proxy.set(Fault::Pass).await;
    history.reaches(1).await;
    sleep(Duration::from_millis(1_200)).await;
    assert_eq!(history.len(), 1, "asked once more, and not again and again");
}
