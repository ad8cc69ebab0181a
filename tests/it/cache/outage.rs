//! Without Redis: memory for a while, then the database, one load at a time; and what Redis hears
//! afterwards.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use evenkeel::store::cache::{Mode, Tier};

use super::{
    Database, Instance, patient,
    support::{Fault, FaultProxy, RedisServer, eventually},
};
use crate::guards::{PATIENCE, metric};

#[tokio::test(flavor = "multi_thread")]
async fn memory_goes_on_for_a_while_and_says_so() {
    let server = RedisServer::start().await;
    let database = Database::with(&[("k", 1), ("l", 1)]);
    let a = Instance::at(&server.url()).ready().await;
    assert_eq!(a.reads(&database, "k").await.0, Some(1));
    server.kill();
    a.away().await;
    let hit = a.read(&database, "k").await.unwrap();
    assert_eq!((hit.value, hit.tier, hit.mode), (Some(1), Tier::Memory, Mode::WithoutRedis));
    assert!(hit.is_degraded() && !hit.freshness.is_stale());
    let load = a.read(&database, "l").await.unwrap();
    assert_eq!((load.value, load.tier, load.mode), (Some(1), Tier::Loader, Mode::WithoutRedis));
    assert_eq!(a.reads(&database, "l").await.1, Tier::Memory);
    assert_eq!(metric(&a.metrics, &["redis_fallback_hits_total", "cache"]), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn and_not_for_longer_than_it_may() {
    let server = RedisServer::start().await;
    let database = Database::with(&[("k", 1)]);
    let a = Instance::with(&server.url(), |builder| {
        patient(builder).with_ttl_without_redis(Duration::from_millis(100))
    });
    let a = a.ready().await;
    assert_eq!(a.reads(&database, "k").await.0, Some(1));
    server.kill();
    a.away().await;
    database.write("k", 2);
    // Others' writes are not heard of: a load, again and again.
    let lag = eventually(PATIENCE, || async { a.reads(&database, "k").await.0 == Some(2) });
    assert!(lag.await);
    // And where that fails, what there is, as stale.
    database.fail(true);
    let stale = eventually(PATIENCE, || async {
        let cached = a.read(&database, "k").await.unwrap();
        assert_eq!(cached.value, Some(2));
        cached.freshness.is_stale()
    });
    assert!(stale.await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_memory_tier_the_database_answers_one_load_at_a_time() {
    let server = RedisServer::start().await;
    let database = Database::with(&[("k", 1)]);
    let a = Instance::with(&server.url(), |builder| patient(builder).with_max_bytes(0));
    let a = Arc::new(a.ready().await);
    assert_eq!(a.reads(&database, "k").await, (Some(1), Tier::Loader));
    let found = eventually(PATIENCE, || async {
        a.items.get("k").await.is_some_and(|cached| cached.tier == Tier::Redis)
    });
    assert!(found.await);
    server.kill();
    a.away().await;
    for _ in 0..2 {
        let load = a.read(&database, "k").await.unwrap();
        assert_eq!((load.tier, load.mode), (Tier::Loader, Mode::DatabaseOnly));
    }
    // By choice.
    let b = Instance::at(&server.url());
    b.items.set_database_only(true);
    for _ in 0..2 {
        let load = b.read(&database, "k").await.unwrap();
        assert_eq!((load.tier, load.mode), (Tier::Loader, Mode::DatabaseOnly));
    }
}

/// A Redis that hangs costs a caller who has something to go on with no more than the soft
/// time-out, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_does_not_hold_up_who_has_an_older_value() {
    let server = RedisServer::start().await;
    let database = Database::with(&[("k", 1)]);
    let a = Instance::with(&server.url(), |builder| {
        patient(builder).with_soft_timeout(Duration::from_millis(50))
    });
    let a = a.ready().await;
    assert_eq!(a.reads(&database, "k").await.0, Some(1));
    assert!(a.items.expire("k").await.is_propagated());
    let _gate = database.hold();
    server.freeze();
    let began = Instant::now();
    let stale = a.read(&database, "k").await.unwrap();
    // The handle's op_timeout is half a second: Redis was not waited for.
    assert!(stale.freshness.is_stale() && began.elapsed() < Duration::from_millis(450));
    server.thaw();
}

#[tokio::test(flavor = "multi_thread")]
async fn more_changes_than_are_remembered_are_one_invalidation_of_all() {
    const KEYS: u64 = 10_000;
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let database = Database::default();
    let a = Instance::with(&proxy.url(), |builder| patient(builder).with_max_dirty_keys(1_000));
    let a = a.ready().await;
    for n in 0..200 {
        let key = n.to_string();
        database.write(&key, 1);
        assert_eq!(a.reads(&database, &key).await.0, Some(1));
    }
    let b = Instance::at(&server.url()).ready().await;
    proxy.set(Fault::Refuse).await;
    a.away().await;
    // Something that is no value of ours stands in the way of one.
    server.cli(&["DEL", "evenkeel:cache:items:{3}"]).await.unwrap();
    server.cli(&["LPUSH", "evenkeel:cache:items:{3}", "x"]).await.unwrap();
    for n in 0..KEYS {
        let key = n.to_string();
        database.write(&key, 2);
        let _ = a.items.delete(&key).await;
    }
    let counted = |outcome| metric(&a.metrics, &["cache_invalidations_total", outcome]);
    assert_eq!(counted("pending"), KEYS);
    let pushed_before = server.commands_processed("evalsha").await;
    proxy.set(Fault::Pass).await;
    assert!(a.redis.monitor().wait_available(PATIENCE).await);
    assert!(server.commands_processed("evalsha").await - pushed_before < 2_000);
    for n in 0..200 {
        let key = n.to_string();
        assert_eq!(a.reads(&database, &key).await.0, Some(2), "{key}");
        let heard = eventually(PATIENCE, || async { b.reads(&database, &key).await.0 == Some(2) });
        assert!(heard.await, "{key}");
    }
    assert!(a.items.delete("1").await.is_propagated());
    assert_eq!((counted("pending"), counted("propagated")), (KEYS, 1));
    // One whose caller goes away counts, too.
    proxy.set(Fault::BlackHole).await;
    let given_up = tokio::time::timeout(Duration::from_millis(5), a.items.delete("1")).await;
    assert!(given_up.is_err());
    assert_eq!((counted("pending"), counted("propagated")), (KEYS + 1, 1));
}
