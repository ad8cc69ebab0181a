//! The schedule, in paused time and without any Redis: what runs when, and what survives what.

use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{Cancelled, JobBuilder, Jobs, Outcome, Run, SkipReason};
use crate::{
    redis::{Redis, RedisConfig},
    support::LogCapture,
    telemetry::{Metrics, names},
};

const PERIOD: Duration = Duration::from_millis(100);

/// Nothing listens there.
fn nowhere() -> (Redis, Jobs) {
    let config = RedisConfig::new("redis://127.0.0.1:1".parse().unwrap());
    let redis = Redis::new(config.with_metrics(Metrics::new())).unwrap();
    let jobs = Jobs::new(&redis);
    (redis, jobs)
}

fn alone(job: JobBuilder) -> JobBuilder {
    job.with_needs_redis(false)
}

#[derive(Clone)]
struct Times(Instant, Arc<Mutex<Vec<Duration>>>);

impl Times {
    fn new() -> Self {
        Self(Instant::now(), Arc::default())
    }

    fn note(&self) -> usize {
        let mut times = self.1.lock().unwrap();
        times.push(self.0.elapsed());
        times.len()
    }

    fn all(&self) -> Vec<u128> {
        self.1.lock().unwrap().iter().map(Duration::as_millis).collect()
    }
}

fn runs(redis: &Redis, job: &str, outcome: &str) -> u64 {
    redis.metrics().counter(names::JOB_RUNS, &[("job", job), ("outcome", outcome)]).value()
}

#[tokio::test(start_paused = true)]
async fn a_thousand_periods_without_drift() {
    let (redis, jobs) = nowhere();
    let times = Times::new();
    let noted = times.clone();
    alone(jobs.every("job", PERIOD, move |_| {
        noted.note();
        // As long as it likes, within the period.
        async {
            sleep(Duration::from_millis(rand::random_range(0..90))).await;
            Ok::<(), String>(())
        }
    }))
    .start()
    .unwrap();
    sleep(PERIOD * 1_000 + PERIOD / 2).await;
    assert_eq!(times.all(), (1..=1_000).map(|n| n * 100).collect::<Vec<_>>());
    // The last one has ended by now, and the next has not begun.
    sleep(PERIOD * 9 / 20).await;
    assert_eq!(runs(&redis, "job", "ran"), 1_000);
    assert_eq!(runs(&redis, "job", "skipped"), 0);
}

/// Row 11 of the notes: a next time that is computed from the last one falls into the past.
#[tokio::test(start_paused = true)]
async fn a_run_of_ten_periods_is_followed_by_the_next_grid_point_and_by_no_burst() {
    let (redis, jobs) = nowhere();
    let (times, logs) = (Times::new(), LogCapture::start());
    let noted = times.clone();
    alone(jobs.every("job", PERIOD, move |_| {
        let is_long = noted.note() == 3;
        async move {
            sleep(if is_long { PERIOD * 10 + PERIOD / 2 } else { PERIOD / 10 }).await;
            Ok::<(), String>(())
        }
    }))
    .start()
    .unwrap();
    sleep(PERIOD * 18 + PERIOD / 2).await;
    assert_eq!(times.all(), [100, 200, 300, 1_400, 1_500, 1_600, 1_700, 1_800]);
    assert_eq!(runs(&redis, "job", "skipped"), 10);
    let skip = jobs.status()[0].last_skip.unwrap();
    assert_eq!(skip.reason, SkipReason::StillRunning);
    let lines: Vec<String> =
        logs.at_least(tracing::Level::INFO).into_iter().map(|line| line.message).collect();
    assert_eq!(lines.iter().filter(|line| line.contains("has not ended")).count(), 1, "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.contains("runs again")).count(), 1, "{lines:?}");
}

/// A process that stood still for many periods, or a machine that was suspended.
#[tokio::test(start_paused = true)]
async fn after_a_jump_of_the_clock_there_is_no_burst() {
    let (_redis, jobs) = nowhere();
    let times = Times::new();
    let noted = times.clone();
    alone(jobs.every("job", PERIOD, move |_| {
        noted.note();
        async { Ok::<(), String>(()) }
    }))
    .with_catch_up(5)
    .start()
    .unwrap();
    sleep(PERIOD * 2 + PERIOD / 2).await;
    tokio::time::advance(Duration::from_millis(3_612)).await;
    sleep(PERIOD * 2).await;
    assert_eq!(times.all()[..2], [100, 200]);
    // One for the tick that it slept through, and then on the grid again.
    let after: Vec<_> = times.all().into_iter().skip(2).collect();
    assert_eq!(after[1..], [3_900, 4_000], "{after:?}");
    assert!(after[0] >= 3_862 && after[0] < 3_900, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn panics_errors_and_hangs_are_counted_said_once_and_survived() {
    let (redis, jobs) = nowhere();
    let (logs, count) = (LogCapture::start(), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&count);
    alone(jobs.every("job", PERIOD, move |_| {
        let n = counted.fetch_add(1, Ordering::SeqCst);
        // Before there is a future, too.
        assert!(!(3..6).contains(&n), "before");
        async move {
            match n {
                0..3 => panic!("inside"),
                6..9 => Err(format!("no {n}")),
                9..12 => pending().await,
                _ => Ok(()),
            }
        }
    }))
    .with_timeout(Duration::from_millis(50))
    .start()
    .unwrap();
    sleep(PERIOD * 9 / 10).await;
    let mut at = 0;
    for (runs, outcome) in
        [(6, Outcome::Panicked), (3, Outcome::Failed), (3, Outcome::TimedOut), (3, Outcome::Ran)]
    {
        at += runs;
        sleep(PERIOD * runs as u32).await;
        assert_eq!(count.load(Ordering::SeqCst), at, "{outcome}");
        assert_eq!(jobs.status()[0].last.unwrap().outcome, outcome);
        assert_eq!(jobs.check().is_ok(), outcome == Outcome::Ran);
    }
    for (outcome, n) in
        [("panicked", 6), ("failed", 3), ("timed_out", 3), ("ran", 3), ("skipped", 0)]
    {
        assert_eq!(runs(&redis, "job", outcome), n, "{outcome}");
    }
    let lines = logs.at_least(tracing::Level::INFO);
    let of_jobs: Vec<_> = lines.iter().filter(|line| line.target.contains("jobs")).collect();
    assert_eq!(of_jobs.len(), 4, "one for each change: {of_jobs:#?}");
}

#[tokio::test(start_paused = true)]
async fn without_redis_it_is_skipped_and_said_once() {
    let (redis, jobs) = nowhere();
    let logs = LogCapture::start();
    for name in ["one", "other"] {
        let job = jobs.every(name, PERIOD, |_| async { Ok::<(), String>(()) });
        let job = if name == "one" { job } else { job.with_single_runner(super::Lease::DEFAULT) };
        job.with_catch_up(3).with_on_recovery(true).start().unwrap();
    }
    sleep(PERIOD * 50 + PERIOD / 2).await;
    for status in jobs.status() {
        assert_eq!(status.last_skip.unwrap().reason, SkipReason::RedisAway);
        assert_eq!(status.last, None);
        assert_eq!(runs(&redis, &status.name, "skipped"), 50);
    }
    assert_eq!(jobs.check().map_err(|error| error.to_string()), Ok(()));
    let lines = logs.at_least(tracing::Level::INFO);
    let about = lines.iter().filter(|line| line.message.contains("until Redis is back"));
    assert_eq!(about.count(), 2, "{lines:#?}");
}

#[tokio::test(start_paused = true)]
async fn jitter_delays_within_its_share_and_stays_on_the_grid() {
    let (_redis, jobs) = nowhere();
    let times = Times::new();
    let noted = times.clone();
    alone(jobs.every("job", PERIOD, move |_| {
        noted.note();
        async { Ok::<(), String>(()) }
    }))
    .with_jitter(0.3)
    .start()
    .unwrap();
    sleep(PERIOD * 200 + PERIOD / 2).await;
    let all = times.all();
    assert_eq!(all.len(), 200);
    for (n, at) in (1_u128..).zip(&all) {
        // The timer rounds up to the next millisecond.
        assert!((n * 100..=n * 100 + 31).contains(at), "run {n} at {at}");
    }
    assert!(all.iter().any(|at| at % 100 > 10), "there is no jitter");
}

#[tokio::test(start_paused = true)]
async fn a_poisoned_item_is_set_aside() {
    let (_redis, jobs) = nowhere();
    let (logs, tally) = (LogCapture::start(), Arc::new(Mutex::new(None)));
    let told = Arc::clone(&tally);
    alone(jobs.every("job", PERIOD, move |run: Run| {
        let told = Arc::clone(&told);
        async move {
            let each = run.each(0..10, |n| async move {
                match n {
                    3 => Err("three is bad"),
                    5 => panic!("five"),
                    _ => Ok(()),
                }
            });
            *told.lock().unwrap() = Some(each.await);
            Ok::<(), String>(())
        }
    }))
    .start()
    .unwrap();
    sleep(PERIOD + PERIOD / 2).await;
    let tally = tally.lock().unwrap().take().unwrap();
    assert_eq!((tally.done, tally.failed, tally.interrupted), (8, 2, false));
    assert_eq!(jobs.status()[0].last.unwrap().outcome, Outcome::Ran);
    let lines = logs.at_least(tracing::Level::WARN);
    let about: Vec<_> = lines.iter().filter(|line| line.message.contains("set aside")).collect();
    assert!(about.len() == 1 && about[0].fields.contains("three is bad"), "{lines:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_tells_waits_and_then_aborts() {
    for (patient, grace, in_time) in [(true, 1_000, true), (false, 1_000, false), (false, 0, false)]
    {
        let (redis, jobs) = nowhere();
        let told = Arc::new(Mutex::new(None));
        let tell = Arc::clone(&told);
        alone(jobs.every("job", PERIOD, move |run: Run| {
            let tell = Arc::clone(&tell);
            async move {
                *tell.lock().unwrap() = Some(run.cancelled().await);
                if !patient {
                    pending::<()>().await;
                }
                sleep(Duration::from_millis(300)).await;
                Ok::<(), String>(())
            }
        }))
        .start()
        .unwrap();
        sleep(PERIOD + PERIOD / 2).await;
        assert!(jobs.status()[0].is_running);
        let began = Instant::now();
        assert_eq!(jobs.shutdown(Duration::from_millis(grace)).await, in_time);
        assert!(began.elapsed() <= Duration::from_millis(grace + 10), "{:?}", began.elapsed());
        let status = jobs.status().remove(0);
        assert_eq!((status.is_running, status.next), (false, None));
        if grace > 0 {
            assert_eq!(*told.lock().unwrap(), Some(Cancelled::Shutdown));
        }
        let (ran, aborted) = (runs(&redis, "job", "ran"), runs(&redis, "job", "timed_out"));
        assert_eq!((ran, aborted), if in_time { (1, 0) } else { (0, 1) });
        sleep(PERIOD * 5).await;
        assert_eq!(runs(&redis, "job", "ran") + runs(&redis, "job", "timed_out"), 1);
        // Again is no mistake, and nothing is started any more.
        jobs.shutdown(Duration::ZERO).await;
        let more = jobs.every("more", PERIOD, |_| async { Ok::<(), String>(()) });
        assert!(more.start().is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn jobs_end_with_the_handle_of_redis() {
    let (redis, jobs) = nowhere();
    let times = Times::new();
    let noted = times.clone();
    alone(jobs.every("job", PERIOD, move |_| {
        noted.note();
        async { Ok::<(), String>(()) }
    }))
    .start()
    .unwrap();
    drop(jobs);
    sleep(PERIOD * 3 + PERIOD / 2).await;
    assert_eq!(times.all().len(), 3, "dropping the handle ends nothing");
    redis.shutdown().await;
    sleep(PERIOD * 3).await;
    assert_eq!(times.all().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_name_is_taken_once() {
    let (_redis, jobs) = nowhere();
    let job = |name: &str| jobs.every(name, PERIOD, |_| async { Ok::<(), String>(()) }).start();
    assert!(job("one").is_ok() && job("two").is_ok());
    assert!(job("one").is_err() && job("a b").is_err());
    assert_eq!(jobs.status().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_token_of_each_run_is_higher() {
    let (_redis, jobs) = nowhere();
    let fences = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&fences);
    alone(jobs.every("job", PERIOD, move |run: Run| {
        seen.lock().unwrap().push(run.fence());
        async { Ok::<(), String>(()) }
    }))
    .start()
    .unwrap();
    sleep(PERIOD * 50).await;
    let fences = fences.lock().unwrap();
    assert!(fences.len() > 40 && fences.is_sorted_by(|one, next| one < next));
}
