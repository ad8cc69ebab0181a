//! Counters and locks through an outage, over two instances.

use std::time::Duration;

use evenkeel::{
    Source,
    store::{lockout::Lockout, rate::Subject},
};

use tracing::Level;

use super::{
    Disk, PATIENCE, available,
    lockout::{Guard, WINDOW, alice, begin, policy, wrong},
    support::{Fault, FaultProxy, LogCapture, RedisServer, eventually},
};

#[tokio::test(flavor = "multi_thread")]
async fn three_wrong_ones_healthy_and_two_in_the_outage_lock_and_the_other_instance_refuses_after_it()
 {
    let server = RedisServer::builder().persistent(true).start().await;
    let [a, b] = Guard::pair_at(&server.url()).await;
    for _ in 0..3 {
        wrong(&a.lockout).await;
    }
    server.kill();
    a.away().await;
    let told = wrong(&a.lockout).await;
    assert_eq!((told.source, told.attempts_left()), (Source::Memory, 1));
    let told = wrong(&a.lockout).await;
    assert!(told.is_locked());
    assert!(begin(&a.lockout, &alice()).await.is_err());
    assert!(a.metric(&["redis_fallback_hits_total", "lockout"]) >= 5);
    tokio::time::sleep(Duration::from_secs(2)).await;

    server.restart().await;
    available(&a.redis).await;
    available(&b.redis).await;
    assert!(a.metric(&["redis_recovery_replayed_total", "lockout", "applied"]) >= 1);
    let refused = b.told_by_redis(&alice()).await;
    assert!(refused.is_locked());
    assert!(begin(&b.lockout, &alice()).await.is_err());
    // The time goes on as it would have.
    assert!(refused.retry_after() <= WINDOW - Duration::from_secs(2), "{refused:?}");
    assert!(refused.retry_after() >= WINDOW - Duration::from_secs(60), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_comes_back_empty_and_learns_what_memory_knew() {
    let server = RedisServer::start().await;
    let [a, b] = Guard::pair_at(&server.url()).await;
    for _ in 0..3 {
        wrong(&a.lockout).await;
    }
    a.lockout.lock(&Subject::secret("locked"), WINDOW).await.unwrap();
    server.restart_empty().await;
    available(&a.redis).await;
    available(&b.redis).await;
    // B has never seen them.
    assert_eq!(b.told_by_redis(&alice()).await.attempts_left(), 2);
    assert!(b.told_by_redis(&Subject::secret("locked")).await.is_locked());
    // And what is known is not counted again by another outage.
    server.restart_empty().await;
    available(&a.redis).await;
    available(&b.redis).await;
    assert_eq!(b.told_by_redis(&alice()).await.attempts_left(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_instances_tell_what_they_saw_and_it_adds_up() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let a = Guard::at(&proxy.url()).ready().await;
    let b = Guard::at(&proxy.url()).ready().await;
    wrong(&a.lockout).await;
    proxy.set(Fault::Refuse).await;
    a.away().await;
    b.away().await;
    wrong(&a.lockout).await;
    wrong(&b.lockout).await;
    wrong(&b.lockout).await;
    proxy.set(Fault::Pass).await;
    available(&a.redis).await;
    available(&b.redis).await;
    assert_eq!(a.told_by_redis(&alice()).await.attempts_left(), 1);
    assert_eq!(b.told_by_redis(&alice()).await.attempts_left(), 1);
    assert!(wrong(&b.lockout).await.is_locked());
    assert!(a.told_by_redis(&alice()).await.is_locked());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_whose_answer_was_lost_counts_once() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let a = Guard::at(&proxy.url()).ready().await;
    wrong(&a.lockout).await;
    let attempt = begin(&a.lockout, &alice()).await.unwrap();
    proxy.set(Fault::lose_answer_to("EVALSHA")).await;
    a.lockout.fail(attempt).await.unwrap();
    available(&a.redis).await;
    let told = eventually(PATIENCE, || async {
        let standing = a.lockout.status(&alice()).await.unwrap();
        standing.source == Source::Redis && standing.attempts_left() == 3
    });
    assert!(told.await, "{:?}", a.standing().await);
}

async fn with_journal(guard: &Guard, name: &str, disk: &Disk) -> Lockout {
    let builder = Lockout::builder(&guard.redis, name, policy()).with_capacity(1_000);
    builder.with_journal(disk.clone()).build().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_the_outage_with_the_journal_keeps_the_lock() {
    let server = RedisServer::start().await;
    let disk = Disk::default();
    let a = Guard::at(&server.url()).ready().await;
    server.kill();
    a.away().await;
    let lockout = with_journal(&a, "login", &disk).await;
    for _ in 0..5 {
        wrong(&lockout).await;
    }
    lockout.lock(&Subject::secret("lifted"), WINDOW).await.unwrap();
    lockout.unlock(&Subject::secret("lifted")).await.unwrap();
    drop(lockout);

    let lockout = with_journal(&a, "login", &disk).await;
    let refused = begin(&lockout, &alice()).await.unwrap_err();
    assert!(refused.is_locked());
    assert!(refused.retry_after() > WINDOW - Duration::from_secs(60));
    assert!(begin(&lockout, &Subject::secret("lifted")).await.is_ok());
    let other = with_journal(&a, "other", &disk).await;
    assert!(begin(&other, &alice()).await.is_ok(), "another lockout's");
    server.restart_empty().await;
    available(&a.redis).await;
    let b = Guard::at(&server.url()).ready().await;
    assert!(b.told_by_redis(&alice()).await.is_locked());

    disk.break_down();
    server.kill();
    a.away().await;
    assert!(lockout.lock(&Subject::secret("bob"), WINDOW).await.is_err(), "nobody else has it");
    assert!(begin(&lockout, &Subject::secret("bob")).await.is_err(), "but here it holds");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_strangers_pushes_nobody_out_and_locks_no_newcomer_out() {
    let logs = LogCapture::start();
    let guard = Guard::at("redis://127.0.0.1:1/");
    let builder = Lockout::builder(&guard.redis, "small", policy()).with_capacity(50);
    let lockout = builder.build().unwrap();
    for _ in 0..4 {
        wrong(&lockout).await;
    }
    lockout.lock(&Subject::secret("locked"), WINDOW).await.unwrap();
    for n in 0..500 {
        if let Ok(attempt) = begin(&lockout, &Subject::secret(format!("stranger {n}"))).await {
            lockout.fail(attempt).await.unwrap();
        }
    }
    assert!(lockout.len() <= 50);
    assert!(begin(&lockout, &Subject::secret("locked")).await.is_err());
    assert!(wrong(&lockout).await.is_locked(), "the fifth, not the first");
    // Whoever finds no room is counted with a few others: free to log in, and not free to guess.
    let newcomer = Subject::secret("newcomer");
    let right = begin(&lockout, &newcomer).await.unwrap();
    lockout.succeed(right).await.unwrap();
    for _ in 0..5 {
        let wrong = begin(&lockout, &newcomer).await.unwrap();
        lockout.fail(wrong).await.unwrap();
    }
    assert!(begin(&lockout, &newcomer).await.unwrap_err().is_locked());
    assert!(guard.metric(&["lockout_events_total", "overflowed"]) > 400);
    let told = logs.at_least(Level::WARN);
    let told = told.iter().filter(|line| line.message.contains("than memory keeps")).count();
    assert_eq!(told, 1);
}

/// What is shared is nobody's alone: told to Redis, it would lock out everywhere who shares it.
#[tokio::test(flavor = "multi_thread")]
async fn what_newcomers_share_when_the_table_is_full_stays_here() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    proxy.set(Fault::Refuse).await;
    let guard = Guard::at(&proxy.url());
    let builder = Lockout::builder(&guard.redis, "small", policy()).with_capacity(50);
    let lockout = builder.build().unwrap();
    for n in 0..200 {
        lockout.count(&Subject::secret(format!("stranger {n}"))).await.unwrap();
    }
    let newcomer = Subject::secret("newcomer");
    lockout.lock(&newcomer, WINDOW).await.unwrap();
    assert!(lockout.status(&newcomer).await.unwrap().is_locked());
    proxy.set(Fault::Pass).await;
    available(&guard.redis).await;
    let told = || async { lockout.status(&newcomer).await.unwrap() };
    assert!(eventually(PATIENCE, || async { told().await.source == Source::Redis }).await);
    assert!(!told().await.is_locked());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_is_not_ours_is_replaced() {
    let server = RedisServer::start().await;
    let guard = Guard::at(&server.url()).ready().await;
    wrong(&guard.lockout).await;
    let keys: Vec<String> = server.query(&["KEYS", "evenkeel:lockout:*"]).await.unwrap();
    let [key] = keys.as_slice() else { panic!("{keys:?}") };
    assert!(!key.contains("alice"), "{key}");
    let other = Guard::at(&server.url()).ready().await;
    server.cli(&["SET", key, "not ours"]).await.unwrap();
    assert_eq!(wrong(&other.lockout).await.attempts_left(), 4);
    server.cli(&["SET", key, "not ours"]).await.unwrap();
    assert_eq!(wrong(&guard.lockout).await.attempts_left(), 3, "it knows of the first");
    let time_left: i64 = server.query(&["PTTL", key]).await.unwrap();
    assert!((0..=WINDOW.as_millis() as i64).contains(&time_left), "{time_left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_refuses_the_script_is_an_error_and_what_failed_counts_here() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let guard = Guard::at(&proxy.url()).ready().await;
    let attempt = begin(&guard.lockout, &alice()).await.unwrap();
    let error = "NOPERM this user has no permissions to run the 'evalsha' command".to_owned();
    proxy.set(Fault::ErrorReplyTo { command: "EVALSHA".into(), error }).await;
    assert!(guard.lockout.fail(attempt).await.is_err());
    assert!(guard.lockout.attempt(&alice()).await.is_err(), "nobody guesses meanwhile");
    proxy.set(Fault::Pass).await;
    assert_eq!(guard.told_by_redis(&alice()).await.attempts_left(), 4);
}

/// A connection that hangs while others work is no outage, and no recovery follows: Redis is told
/// all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_counted_here_for_a_moment_is_told_without_a_recovery() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let a = Guard::at(&proxy.url()).ready().await;
    let b = Guard::at(&server.url()).ready().await;
    let attempt = begin(&a.lockout, &alice()).await.unwrap();
    proxy.set(Fault::HoldExisting).await;
    let told = a.lockout.fail(attempt).await.unwrap();
    assert_eq!(told.source, Source::Memory);
    let failed = async || {
        let key: Vec<String> = server.query(&["KEYS", "evenkeel:lockout:login:*"]).await.unwrap();
        let fields: Vec<String> = server.query(&["HKEYS", &key[0]]).await.unwrap();
        fields.iter().any(|field| field.starts_with('f'))
    };
    assert!(eventually(PATIENCE, failed).await, "{a:?}", a = a.lockout);
    assert_eq!(a.redis.monitor().status().outages, 0);
    assert_eq!(b.told_by_redis(&alice()).await.attempts_left(), 4);
}

/// An address is shared by many: right attempts do not wait for each other, wrong ones add up.
#[tokio::test(flavor = "multi_thread")]
async fn failures_without_a_place_add_up_over_an_outage() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let a = Guard::at(&proxy.url()).ready().await;
    let b = Guard::at(&server.url()).ready().await;
    let address = Subject::address("203.0.113.9".parse().unwrap(), 64);
    for left in [4, 3] {
        assert_eq!(a.lockout.count(&address).await.unwrap().attempts_left(), left);
    }
    proxy.set(Fault::Refuse).await;
    a.away().await;
    for left in [2, 1] {
        assert_eq!(a.lockout.count(&address).await.unwrap().attempts_left(), left);
    }
    assert!(a.lockout.count(&address).await.unwrap().is_locked());
    proxy.set(Fault::Pass).await;
    available(&a.redis).await;
    assert!(b.told_by_redis(&address).await.is_locked());
}
