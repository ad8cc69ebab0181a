//! A replay over a backlog that misbehaves on demand, and a real server.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::AtomicU64,
};

use parking_lot::Mutex as Lock;

use super::*;
use crate::{
    ErrorKind,
    health::{Backoff, HealthConfig},
    redis::{RedisConfig, client::cmd},
    support::{RedisServer, eventually},
    telemetry::Metrics,
};
use crate::{health::Stage, telemetry::Feature};

/// Longer than anything takes on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);
const PROBE_INTERVAL: Duration = Duration::from_millis(100);

/// Items are numbers; what is in the list is pending.
#[derive(Default)]
struct List {
    pending: Lock<BTreeSet<u32>>,
    /// Pushed at some time, and is pending again when it is lost.
    pushed: Lock<BTreeSet<u32>>,
    /// How often an item is refused, and how often it panics, before it is taken.
    refused: Lock<BTreeMap<u32, u32>>,
    panics: Lock<BTreeMap<u32, u32>>,
    /// How long one push takes.
    slow: Lock<Duration>,
    passes: AtomicU64,
    before_and_after: Lock<Vec<&'static str>>,
}

const PAGE: usize = 4;

impl Backlog for List {
    const STAGE: Option<Stage> = Some(Stage::Guards);
    const NAME: &'static str = "a list";
    const GUARDS: bool = true;
    const FEATURE: Feature = Feature::Lockout;
    const PASS_LIMIT: Option<Duration> = Some(Duration::from_millis(200));
    type Item = u32;

    fn mark_lost(&self, continuity: Continuity) {
        if continuity != Continuity::Kept {
            self.pending.lock().extend(self.pushed.lock().iter());
        }
    }

    fn due(&self, cursor: &mut usize) -> Option<Vec<u32>> {
        if *cursor == 0 {
            self.passes.fetch_add(1, Ordering::Relaxed);
        }
        let pending = self.pending.lock();
        let page: Vec<u32> = pending.range(*cursor as u32..).copied().take(PAGE).collect();
        *cursor = page.last().map_or(*cursor, |last| *last as usize + 1);
        (!page.is_empty()).then_some(page)
    }

    async fn push(&self, connection: &mut Connection, item: u32) -> Result<Pushed, Error> {
        let count = |counts: &Lock<BTreeMap<u32, u32>>| {
            let mut counts = counts.lock();
            let left = counts.get_mut(&item).filter(|left| **left > 0);
            left.map(|left| *left -= 1).is_some()
        };
        assert!(!count(&self.panics), "as it was told to");
        if count(&self.refused) {
            return Err(Error::new(ErrorKind::Command, "no such thing"));
        }
        let slow = *self.slow.lock();
        if !slow.is_zero() {
            sleep(slow).await;
        }
        let _: i64 = connection.query(cmd("SADD").arg("list").arg(item)).await?;
        self.pending.lock().remove(&item);
        let new = self.pushed.lock().insert(item);
        Ok(if new { Pushed::APPLIED } else { Pushed::DISCARDED })
    }

    async fn before(&self, _: &mut Connection, _: &Recovery) -> Result<(), Error> {
        self.before_and_after.lock().push("before");
        Ok(())
    }

    async fn after(&self, _: &mut Connection, _: &Recovery) -> Result<(), Error> {
        let pushed_first = self.pending.lock().is_empty();
        self.before_and_after.lock().push(if pushed_first { "after" } else { "too soon" });
        Ok(())
    }
}

impl List {
    fn leave(&self, items: impl IntoIterator<Item = u32>) {
        self.pending.lock().extend(items);
    }
}

struct World {
    server: RedisServer,
    redis: Redis,
    list: Arc<List>,
    replay: Replay<List>,
}

impl World {
    async fn start() -> Self {
        let server = RedisServer::start().await;
        let health = HealthConfig::new("redis")
            .with_op_timeout(Duration::from_millis(500))
            .with_probe_interval(PROBE_INTERVAL)
            .with_backoff(Backoff::new(Duration::from_millis(20), Duration::from_millis(100)));
        let config = RedisConfig::new(server.url().parse().unwrap())
            .with_health(health)
            .with_metrics(Metrics::default());
        let redis = Redis::new(config).unwrap();
        let list = Arc::new(List::default());
        let replay = Replay::new(&redis, Arc::downgrade(&list));
        assert!(redis.monitor().wait_available(PATIENCE).await);
        Self { server, redis, list, replay }
    }

    async fn told(&self, items: impl IntoIterator<Item = u32>) -> bool {
        let all: BTreeSet<u32> = items.into_iter().collect();
        eventually(PATIENCE, async || {
            let members: Result<BTreeSet<u32>, _> =
                self.redis.query(cmd("SMEMBERS").arg("list")).await;
            members.is_ok_and(|members| members == all) && self.list.pending.lock().is_empty()
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_armed_is_told_without_an_outage_by_one_task_that_rests() {
    let world = World::start().await;
    world.list.leave(0..10);
    world.replay.arm();
    assert!(world.told(0..10).await);
    let rests = async || world.replay.core.armed.arm();
    assert!(eventually(PATIENCE, rests).await, "the task has not ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_is_dropped_arms_and_a_settled_one_does_not() {
    let world = World::start().await;
    world.list.leave([1]);
    let passes = world.list.passes.load(Ordering::Relaxed);
    world.replay.guard().settled();
    sleep(Duration::from_millis(100)).await;
    assert_eq!(world.list.passes.load(Ordering::Relaxed), passes);
    let gone = async {
        let _guard = world.replay.guard();
        std::future::pending::<()>().await;
    };
    assert!(tokio::time::timeout(Duration::from_millis(10), gone).await.is_err());
    assert!(world.told([1]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_tells_all_before_redis_is_announced() {
    let world = World::start().await;
    world.list.before_and_after.lock().clear();
    world.server.kill();
    let monitor = world.redis.monitor();
    assert!(eventually(PATIENCE, async || !monitor.is_available()).await);
    world.list.leave(0..10);
    world.replay.arm();
    world.server.restart().await;
    assert!(monitor.wait_available(PATIENCE).await);
    assert!(world.list.pending.lock().is_empty(), "announced before it was told");
    assert_eq!(*world.list.before_and_after.lock(), ["before", "after"]);
    // Emptied: what was told once is told again.
    world.server.kill();
    assert!(eventually(PATIENCE, async || !monitor.is_available()).await);
    world.server.restart().await;
    assert!(monitor.wait_available(PATIENCE).await);
    assert!(world.told(0..10).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_item_holds_up_no_other_and_is_tried_again() {
    let world = World::start().await;
    world.list.refused.lock().insert(2, 2);
    world.list.leave(0..10);
    world.replay.arm();
    assert!(world.told(0..10).await);
    assert_eq!(world.replay.core.replayed.failed.value(), 2);
    assert_eq!(world.replay.core.replayed.applied.value(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_panics_does_not_end_it_for_good() {
    let world = World::start().await;
    world.list.panics.lock().insert(3, 1);
    world.list.leave([3]);
    world.replay.arm();
    let panicked = async || world.list.panics.lock().get(&3) == Some(&0);
    assert!(eventually(PATIENCE, panicked).await);
    let told = async || {
        world.replay.arm();
        world.list.pending.lock().is_empty()
    };
    assert!(eventually(PATIENCE, told).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_waits_no_longer_than_the_limit_and_the_task_does_the_rest() {
    let world = World::start().await;
    world.server.kill();
    let monitor = world.redis.monitor();
    assert!(eventually(PATIENCE, async || !monitor.is_available()).await);
    *world.list.slow.lock() = Duration::from_millis(150);
    world.list.leave(0..40);
    world.server.restart().await;
    assert!(monitor.wait_available(PATIENCE).await);
    assert!(!world.list.pending.lock().is_empty(), "a recovery that waited for everything");
    *world.list.slow.lock() = Duration::ZERO;
    assert!(world.told(0..40).await);
}

/// Fills the server with keys that have a TTL until it drops some.
async fn evict(server: &RedisServer) {
    let dropped = async || server.info_field("stats", "evicted_keys").await.expect("a field");
    let before = dropped().await;
    for round in 0..1_000 {
        let fill = "for i = 1, 100 do redis.call('SET', ARGV[1] .. i, string.rep('x', 1000), \
                    'EX', 600) end";
        server.cli(&["EVAL", fill, "0", &format!("fill:{round}:")]).await.unwrap();
        if dropped().await != before {
            return;
        }
    }
    panic!("nothing was evicted");
}

async fn may_evict(server: &RedisServer) {
    let used = server.info_field("memory", "used_memory").await.expect("a field");
    let limit = used.parse::<u64>().unwrap() + (1 << 20);
    server.cli(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]).await.unwrap();
    server.cli(&["CONFIG", "SET", "maxmemory", &limit.to_string()]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_guards_is_pushed_again_after_evictions_and_not_all_the_time() {
    let world = World::start().await;
    world.list.leave(0..1_000);
    world.replay.arm();
    assert!(world.told(0..1_000).await);
    may_evict(&world.server).await;
    // As if it were among what is dropped.
    world.server.cli(&["DEL", "list"]).await.unwrap();
    evict(&world.server).await;
    assert!(world.told(0..1_000).await, "it is not pushed again");
    assert_eq!(world.redis.monitor().status().outages, 0);
    // Evictions go on: it is pushed again now and then, not at each of them.
    let passes = || world.list.passes.load(Ordering::Relaxed);
    let (before, began) = (passes(), Instant::now());
    while passes() < before + 3 {
        assert!(began.elapsed() < PATIENCE, "{} passes", passes() - before);
        evict(&world.server).await;
    }
    let rests = began.elapsed().as_secs_f64() / (PROBE_INTERVAL * INTERVALS_BETWEEN).as_secs_f64();
    // The first may have been due already, and one may be the task's.
    assert!(rests >= 1.0, "3 passes and {rests} rests");
}
