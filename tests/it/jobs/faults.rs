//! After each fault of the matrix, several times in a row, the job still runs.

use std::time::{Duration, Instant};

use super::{
    History, Instance, LEASE, PATIENCE, rounds,
    support::{Fault, FaultProxy, RedisServer, eventually},
};
use crate::guards::{available, away};

const PERIOD: Duration = Duration::from_millis(200);
/// What is promised is a period and a second; the rest is for a machine that is busy.
const SOON: Duration = Duration::from_millis(200 + 1_000 + 1_500);

struct World {
    server: RedisServer,
    proxy: FaultProxy,
    everywhere: Instance,
    single: Instance,
}

impl World {
    async fn begin() -> Self {
        let server = RedisServer::start().await;
        let proxy = FaultProxy::in_front_of(&server).await;
        let at = |name| Instance::at(&proxy.url(), name, &History::default());
        let (everywhere, single) = (at("everywhere").ready().await, at("single").ready().await);
        let takes = Duration::from_millis(20);
        everywhere.job(PERIOD, takes).start().unwrap();
        single.job(PERIOD, takes).with_single_runner(LEASE).start().unwrap();
        let world = Self { server, proxy, everywhere, single };
        world.still_runs("at the start").await;
        world
    }

    /// Both jobs run again soon after Redis is available.
    async fn still_runs(&self, after: &str) {
        available(&self.everywhere.redis).await;
        available(&self.single.redis).await;
        let before = [&self.everywhere, &self.single].map(|one| one.history.len());
        let began = Instant::now();
        for (one, before) in [&self.everywhere, &self.single].into_iter().zip(before) {
            let runs = eventually(PATIENCE, || async { one.history.len() > before }).await;
            let took = began.elapsed();
            assert!(
                runs && took < SOON,
                "{} after {after}: {took:?}, {:?}",
                one.name,
                one.status()
            );
        }
    }

    async fn again_and_again(&self, fault: Fault) {
        let name = format!("{fault:?}");
        for _ in 0..rounds(3) {
            self.proxy.set(fault.clone()).await;
            away(&self.everywhere.redis).await;
            away(&self.single.redis).await;
            tokio::time::sleep(PERIOD).await;
            self.proxy.set(Fault::Pass).await;
            self.still_runs(&name).await;
        }
        let ran =
            |one: &Instance| super::metric(&one.metrics, &["job_last_success_timestamp_seconds{"]);
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        for one in [&self.everywhere, &self.single] {
            assert!(now - ran(one) <= 5 && one.runs("skipped") > 0, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn still_running_after_refusals() {
    World::begin().await.again_and_again(Fault::Refuse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn still_running_after_resets() {
    World::begin().await.again_and_again(Fault::Reset).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn still_running_after_black_holes() {
    World::begin().await.again_and_again(Fault::BlackHole).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn still_running_after_garbage() {
    World::begin().await.again_and_again(Fault::Garbage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn still_running_after_loading() {
    World::begin().await.again_and_again(Fault::loading()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn still_running_after_hangs_of_the_server() {
    let world = World::begin().await;
    for _ in 0..rounds(3) {
        world.server.freeze();
        away(&world.single.redis).await;
        away(&world.everywhere.redis).await;
        world.server.thaw();
        world.still_runs("a hang").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn still_running_after_restarts_that_come_back_empty() {
    let world = World::begin().await;
    for _ in 0..rounds(3) {
        world.server.restart_empty().await;
        world.still_runs("an empty restart").await;
    }
    world.single.history.assert_one_at_a_time();
}

/// What is no outage: single commands that fail, scripts and data that are gone, connections that
/// are killed.
#[tokio::test(flavor = "multi_thread")]
async fn still_running_after_what_is_no_outage() {
    let world = World::begin().await;
    let refused = |error: &str| Fault::ErrorReplyTo {
        command: "EVALSHA".to_owned(),
        error: error.to_owned(),
    };
    let replies = [
        "UNBLOCKED force unblock from blocking operation, instance state changed",
        "NOSCRIPT No matching script. Please use EVAL.",
        "ERR Error running script",
        "BUSY Redis is busy running a script",
    ];
    for round in 0..rounds(3) {
        for reply in replies {
            world.proxy.set(refused(reply)).await;
            tokio::time::sleep(PERIOD * 2).await;
            world.proxy.set(Fault::Pass).await;
            world.still_runs(reply).await;
        }
        world.server.cli(&["SCRIPT", "FLUSH"]).await.unwrap();
        world.still_runs("SCRIPT FLUSH").await;
        world.server.flushall().await;
        world.still_runs("FLUSHALL").await;
        world.proxy.cut_all().await;
        world.still_runs("killed connections").await;
        world.proxy.set(Fault::lose_answer_to("EVALSHA")).await;
        world.still_runs("a lost answer").await;
        let key = if round % 2 == 0 { "lease" } else { "state" };
        let key = format!("evenkeel:job:{{job}}:{key}");
        world.server.cli(&["DEL", &key]).await.unwrap();
        world.server.cli(&["LPUSH", &key, "not ours"]).await.unwrap();
        world.still_runs("a value of another type").await;
    }
    world.single.history.assert_one_at_a_time();
}

/// With a lease and time-outs of its own a job outlives a Redis that is there every other moment.
#[tokio::test(flavor = "multi_thread")]
async fn still_running_after_flapping() {
    let world = World::begin().await;
    for _ in 0..30 {
        world.proxy.set(Fault::Refuse).await;
        tokio::time::sleep(Duration::from_millis(70)).await;
        world.proxy.set(Fault::Pass).await;
        tokio::time::sleep(Duration::from_millis(130)).await;
    }
    world.still_runs("flapping").await;
}
