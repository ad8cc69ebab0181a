//! A user without a right that the features need: writes are gone, and it is said which one.

use std::time::Duration;

use evenkeel::{
    health::State,
    jobs::{Jobs, Lease, Outcome},
    layer::SessionLayer,
    redis::{RedisConfig, RedisUrl},
    store::{
        lockout::{Lockout, LockoutPolicy},
        rate::{Quota, RateLimiter, Subject},
        revocation::Revocations,
        session::SessionKeys,
    },
};

use super::{
    LONG, World,
    support::{FaultProxy, RedisServer, eventually},
};

async fn user(server: &RedisServer, rules: &[&str]) {
    server.cli(&[&["ACL", "SETUSER", "default"], rules].concat()).await.unwrap();
}

fn lockout(world: &World) -> Lockout {
    let policy = LockoutPolicy::new(5, Duration::from_secs(60)).unwrap();
    Lockout::new(&world.redis, "login", policy).unwrap()
}

/// Writes are gone, because of this; health, metrics and one line of the log say so.
async fn missing(world: &mut World, fault: &str) {
    world.becomes("without writes", |monitor| monitor.can_read() && !monitor.can_write()).await;
    assert_eq!(world.last_fault(), fault);
    let (_, health) = super::app::ask(&world.app, "/health/dependencies").await;
    let word = fault.strip_prefix("credentials: ").unwrap();
    assert!(health.contains("\"status\":\"degraded\""), "{health}");
    assert!(health.contains(&format!("writes gone: {word}\"")), "{health}");
    assert!(health.contains(&format!("\"lastError\":\"{fault}\"")), "{health}");
    assert_eq!(world.metric("redis_capability", "capability=\"writes\"").await, 0.0);
    // It stays so, and no line more is written about it.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(!world.monitor().can_write());
    let lines = world.logs.at_least(tracing::Level::WARN);
    let about: Vec<_> = lines.iter().filter(|line| line.fields.contains(fault)).collect();
    assert_eq!(about.len(), 1, "{lines:#?}");
    world.assert_one_line_a_transition();
}

async fn granted(world: &mut World, rules: &[&str]) {
    user(&world.server, rules).await;
    world.becomes("available", |monitor| monitor.is_available()).await;
    world.assert_one_line_a_transition();
    assert_eq!(world.monitor().status().outages, 0);
}

#[tokio::test]
async fn from_the_start() {
    for (rules, grant, fault) in [
        (&["-@scripting"][..], "+@scripting", "credentials: NOPERM EVAL"),
        (&["-evalsha"], "+evalsha", "credentials: NOPERM EVALSHA"),
        (&["-time"], "+time", "credentials: NOPERM TIME"),
        (&["-hgetall"], "+hgetall", "credentials: NOPERM HGETALL"),
        (&["resetkeys", "~others:*"], "allkeys", "credentials: NOPERM keys"),
    ] {
        let server = RedisServer::start().await;
        user(&server, rules).await;
        let mut world = World::begin(server, |config| config).await;
        let _lockout = lockout(&world);
        missing(&mut world, fault).await;
        granted(&mut world, &[grant]).await;
        assert_eq!(world.history().first(), Some(&(State::Connected, false)), "{fault}");
    }
}

#[tokio::test]
async fn taken_away_under_traffic() {
    let mut world = World::up().await;
    let lockout = lockout(&world);
    assert!(lockout.attempt(&Subject::secret("alice")).await.is_ok());
    user(&world.server, &["-evalsha", "-eval"]).await;
    let ask = || async {
        let _ = lockout.attempt(&Subject::secret("alice")).await;
        !world.monitor().can_write()
    };
    assert!(eventually(Duration::from_secs(2), ask).await, "{:?}", world.monitor());
    // Then it goes on without Redis, in place of an error for each login.
    assert!(lockout.attempt(&Subject::secret("bob")).await.is_ok());
    missing(&mut world, "credentials: NOPERM EVAL").await;
    granted(&mut world, &["+evalsha", "+eval"]).await;
}

#[tokio::test]
async fn a_command_that_the_server_does_not_know() {
    let server = RedisServer::builder().arg("rename-command EVALSHA", "away").start().await;
    let mut world = World::begin(server, |config| config).await;
    let _lockout = lockout(&world);
    missing(&mut world, "credentials: unknown EVALSHA").await;
}

/// Who only sends commands of their own needs no right for scripts.
#[tokio::test]
async fn without_a_feature_nothing_is_missing() {
    let server = RedisServer::start().await;
    user(&server, &["-@scripting"]).await;
    let world = World::up_with(server, |config| config).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(world.monitor().is_available());
}

/// A refusal that is about the caller's own command says nothing of the others.
#[tokio::test]
async fn a_command_of_the_applications_own_that_is_refused() {
    let mut world = World::up().await;
    let _lockout = lockout(&world);
    user(&world.server, &["-lpush"]).await;
    for _ in 0..20 {
        let refused = world.redis.query::<i64>(redis::cmd("LPUSH").arg("list").arg(1)).await;
        assert!(refused.is_err_and(|error| !error.is_unavailable()));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(world.monitor().is_available());
    assert_eq!(world.history(), [(State::Connected, true)]);
}

#[tokio::test]
async fn whoever_may_not_ask_for_info_is_served_all_the_same() {
    let server = RedisServer::start().await;
    user(&server, &["-info"]).await;
    let world = World::up_with(server, |config| config).await;
    let (_, health) = super::app::ask(&world.app, "/health/dependencies").await;
    assert!(health.contains("\"mayEvict\":null"), "{health}");
    assert!(eventually(LONG, || async { world.probes().await >= 3.0 }).await);
    assert!(world.monitor().is_available());
}

/// The rules that `docs/health.md` gives to be copied.
#[tokio::test]
async fn the_documented_rules_are_enough() {
    let rules = include_str!("../../../docs/health.md");
    let rules = rules.lines().find(|line| line.starts_with("ACL SETUSER app")).unwrap();
    let server = RedisServer::start().await;
    server.cli(&rules.split(' ').collect::<Vec<_>>()).await.unwrap();
    let proxy = FaultProxy::in_front_of(&server).await;
    let url: RedisUrl = format!("redis://app:password@{}", proxy.addr()).parse().unwrap();
    let settings = RedisConfig::new(url).with_health(super::world::health());
    let mut world = World::behind(server, proxy, |_| settings);
    let lockout = lockout(&world);
    let revocations = Revocations::builder(&world.redis).build();
    let limiter = RateLimiter::new(&world.redis);
    let _sessions = SessionLayer::new(&world.redis, SessionKeys::random());
    let jobs = Jobs::new(&world.redis);
    // Long enough for the lease to be renewed.
    let job = jobs.every("job", Duration::from_secs(2), |_| async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        Ok::<(), String>(())
    });
    job.with_single_runner(Lease::of(Duration::from_millis(600))).start().unwrap();
    world.becomes("available", |monitor| monitor.is_available()).await;
    assert!(eventually(LONG, || async { revocations.is_in_step() }).await);
    assert!(lockout.attempt(&Subject::secret("alice")).await.is_ok());
    let policy = Quota::per_minute(9).into();
    let verdict = limiter.decide(&policy, &Subject::text("a"), 1).await;
    assert!(verdict.allowed() && !verdict.is_degraded());
    let ran = || async { jobs.status()[0].last.is_some_and(|last| last.outcome == Outcome::Ran) };
    assert!(eventually(LONG, ran).await, "{:?}", jobs.status());
    jobs.shutdown(LONG).await;
    // Some probes of writes.
    tokio::time::sleep(Duration::from_millis(4_500)).await;
    assert_eq!(world.history(), [(State::Connected, true)]);
    assert!(world.logs.at_least(tracing::Level::WARN).is_empty(), "{:#?}", world.logs.lines());
}
