//! A Redis that makes room: it drops locks and revocations without any outage, and gets them back from whoever knows.

use std::time::Duration;

use evenkeel::store::revocation::{RevocationStatus, Token};

use super::{
    Instance, PATIENCE, in_an_hour,
    lockout::{Guard, alice, begin, wrong},
    support::{Fault, FaultProxy, LogCapture, RedisServer, eventually},
};

/// From now on the server has room for two more megabytes.
pub(crate) async fn limit(server: &RedisServer, policy: &str) {
    let used = server.info_field("memory", "used_memory").await.unwrap();
    let most = used.parse::<u64>().unwrap() + (2 << 20);
    server.cli(&["CONFIG", "SET", "maxmemory-policy", policy]).await.unwrap();
    server.cli(&["CONFIG", "SET", "maxmemory", &most.to_string()]).await.unwrap();
}

/// A stranger writes until the server has dropped this key.
pub(crate) async fn push_out(server: &RedisServer, key: &str) {
    let fill = "for i = 1, 200 do redis.call('SET', ARGV[1] .. i, string.rep('x', 1000), 'EX', 600) end \
                return redis.call('EXISTS', KEYS[1])";
    for round in 0..2_000 {
        let there: u8 =
            server.query(&["EVAL", fill, "1", key, &format!("fill:{round}:")]).await.unwrap();
        if there == 0 {
            return;
        }
    }
    panic!("{key} stays");
}

pub(crate) async fn is_back(server: &RedisServer, key: &str) -> bool {
    let there = || async { server.query::<u8>(&["EXISTS", key]).await.unwrap() == 1 };
    eventually(PATIENCE, there).await
}

/// The one key of this pattern.
pub(crate) async fn key(server: &RedisServer, pattern: &str) -> String {
    let keys: Vec<String> = server.query(&["KEYS", pattern]).await.unwrap();
    let [key] = keys.as_slice() else { panic!("{keys:?}") };
    key.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_was_dropped_is_in_redis_again() {
    let server = RedisServer::start().await;
    let [a, b] = Guard::pair_at(&server.url()).await;
    for _ in 0..5 {
        wrong(&a.lockout).await;
    }
    let lock = key(&server, "evenkeel:lockout:login:*").await;
    limit(&server, "volatile-lru").await;
    push_out(&server, &lock).await;
    assert!(is_back(&server, &lock).await, "the lock is gone");
    // B has never seen it.
    assert!(b.told_by_redis(&alice()).await.is_locked());
    assert!(begin(&b.lockout, &alice()).await.is_err());
    assert_eq!(a.redis.monitor().status().outages, 0);
}

/// Before anybody has noticed that Redis dropped it.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_seen_a_lock_gives_no_fresh_guess_when_redis_has_dropped_it() {
    let server = RedisServer::start().await;
    let [a, b] = Guard::pair_at(&server.url()).await;
    for _ in 0..5 {
        wrong(&a.lockout).await;
    }
    for _ in 0..3 {
        let lock = key(&server, "evenkeel:lockout:login:*").await;
        server.cli(&["DEL", &lock]).await.unwrap();
        assert!(begin(&a.lockout, &alice()).await.unwrap_err().is_locked());
    }
    // And Redis has it again, for those that have not seen it.
    assert!(b.told_by_redis(&alice()).await.is_locked());
    assert!(begin(&b.lockout, &alice()).await.unwrap_err().is_locked());
}

/// What is known of a lock is not raised over an unlock of another instance.
#[tokio::test(flavor = "multi_thread")]
async fn an_unlock_stays_one_whoever_has_seen_the_lock() {
    let server = RedisServer::start().await;
    let [a, b] = Guard::pair_at(&server.url()).await;
    for _ in 0..5 {
        wrong(&a.lockout).await;
    }
    assert!(b.told_by_redis(&alice()).await.is_locked());
    b.lockout.unlock(&alice()).await.unwrap();
    for guard in [&a, &b] {
        assert!(!guard.told_by_redis(&alice()).await.is_locked());
        assert_eq!(guard.told_by_redis(&alice()).await.attempts_left(), 5);
    }
    // A lock that comes after it is one.
    for _ in 0..5 {
        wrong(&a.lockout).await;
    }
    assert!(b.told_by_redis(&alice()).await.is_locked());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_revocations_that_was_dropped_is_in_redis_again() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url()).ready().await;
    let _ = a.revocations.revoke("bad", in_an_hour()).await.unwrap();
    let tables: Vec<String> = server.query(&["KEYS", "evenkeel:revocation:*"]).await.unwrap();
    let table = tables.iter().find(|key| !key.ends_with(":log")).unwrap();
    limit(&server, "allkeys-random").await;
    push_out(&server, table).await;
    assert!(is_back(&server, table).await, "{tables:?}");
    let b = Instance::at(&server.url()).ready().await;
    b.knows(1).await;
    assert_eq!(b.status(&Token::new("bad")).await, RevocationStatus::Revoked);
}

/// One line for a server process, and the health details and the metrics say it for as long as it is so.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_may_evict_is_told_of_once() {
    let logs = LogCapture::start();
    let server = RedisServer::builder().arg("maxmemory-policy", "allkeys-lfu").start().await;
    let a = Guard::at(&server.url()).ready().await;
    let (monitor, line) = (a.redis.monitor(), "may drop locks");
    let may = |is: bool| async move {
        eventually(PATIENCE, || async { monitor.details().may_evict == Some(is) }).await
    };
    assert!(may(false).await, "without a limit nothing is dropped: {:?}", monitor.details());
    assert!(!logs.contains(line));
    for _ in 0..2 {
        limit(&server, "allkeys-lfu").await;
        assert!(may(true).await, "{:?}", monitor.details());
        assert_eq!(a.metric(&["redis_may_evict{"]), 1);
        server.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await.unwrap();
        assert!(may(false).await, "{:?}", monitor.details());
        assert_eq!(a.metric(&["redis_may_evict{"]), 0);
    }
    let told = || logs.lines().iter().filter(|told| told.message.contains(line)).count();
    assert_eq!(told(), 1, "{:?}", logs.lines());
    // Another process, with the same fault.
    server.restart_empty().await;
    limit(&server, "volatile-ttl").await;
    assert!(may(true).await, "{:?}", monitor.details());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(told(), 2, "{:?}", logs.lines());
}

/// Four wrong ones, then the counter is dropped: the one guess that is left is the last.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_seen_failures_gives_no_fresh_guesses_when_redis_has_dropped_them() {
    let server = RedisServer::start().await;
    let [a, b] = Guard::pair_at(&server.url()).await;
    for _ in 0..4 {
        wrong(&a.lockout).await;
        let counter = key(&server, "evenkeel:lockout:login:*").await;
        server.cli(&["DEL", &counter]).await.unwrap();
    }
    assert!(wrong(&a.lockout).await.value.is_locked());
    assert!(b.told_by_redis(&alice()).await.is_locked());
}

/// What is known of failures is not raised over a success, or a lock, of another instance.
#[tokio::test(flavor = "multi_thread")]
async fn failures_that_were_settled_do_not_count_again_whoever_has_seen_them() {
    let server = RedisServer::start().await;
    let [a, b] = Guard::pair_at(&server.url()).await;
    for _ in 0..4 {
        wrong(&a.lockout).await;
    }
    let attempt = begin(&b.lockout, &alice()).await.unwrap();
    b.lockout.succeed(attempt).await.unwrap();
    for guard in [&a, &b] {
        assert_eq!(guard.told_by_redis(&alice()).await.attempts_left(), 5);
    }
    for left in (1..5).rev() {
        assert_eq!(wrong(&a.lockout).await.value.attempts_left(), left);
    }
    assert!(wrong(&b.lockout).await.value.is_locked());
    // Those five are the lock. They count no more when it has been lifted.
    b.lockout.unlock(&alice()).await.unwrap();
    assert_eq!(a.told_by_redis(&alice()).await.attempts_left(), 5);
}

/// What an instance tells Redis again takes a trip to get there, now a short one, now a long one.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_ends_when_it_was_to_end_however_often_it_is_asked_for() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let a = Guard::at(&proxy.url()).ready().await;
    for _ in 0..5 {
        wrong(&a.lockout).await;
    }
    let lock = key(&server, "evenkeel:lockout:login:*").await;
    let end = async || server.query::<u64>(&["HGET", &lock, "until"]).await.unwrap();
    let was = end().await;
    for _ in 0..20 {
        for delay in [Fault::Pass, Fault::DelayBoth(Duration::from_millis(30))] {
            proxy.set(delay).await;
            assert!(a.told_by_redis(&alice()).await.is_locked());
            assert!(begin(&a.lockout, &alice()).await.unwrap_err().is_locked());
        }
    }
    assert_eq!(end().await, was);
}
