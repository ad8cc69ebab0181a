//! Loads: one at a time, contained, bounded.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use evenkeel::store::cache::{Freshness, Mode, Tier};
use futures_util::future::join_all;

use super::{
    Database, Instance, LONG, loading, patient,
    support::{RedisServer, eventually},
};
use crate::guards::{PATIENCE, metric};

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_loaded_once_and_found_in_memory_and_by_others_in_redis() {
    let server = RedisServer::start().await;
    let database = Database::with(&[("k", 7)]);
    let a = Instance::at(&server.url()).ready().await;
    assert_eq!(a.reads(&database, "k").await, (Some(7), Tier::Loader));
    assert_eq!(a.reads(&database, "k").await, (Some(7), Tier::Memory));
    let b = Instance::at(&server.url()).ready().await;
    let others = eventually(PATIENCE, || async { b.items.get("k").await.is_some() });
    assert!(others.await);
    let c = Instance::at(&server.url()).ready().await;
    assert_eq!(c.reads(&database, "k").await, (Some(7), Tier::Redis));
    assert_eq!(c.reads(&database, "k").await, (Some(7), Tier::Memory));
    // What does not exist is remembered, too.
    assert_eq!(c.reads(&database, "none").await, (None, Tier::Loader));
    assert_eq!(c.reads(&database, "none").await, (None, Tier::Memory));
    assert!(c.items.get("none").await.is_none());
    assert_eq!(database.loads(), 2);
    let stats = c.items.stats();
    assert_eq!((stats.hits, stats.misses, stats.stale), (4, 1, 0), "{stats:?}");
    assert!((stats.hit_rate() - 0.8).abs() < 1e-9);
    assert_eq!(
        metric(&c.metrics, &["cache_requests_total", "tier=\"redis\"", "result=\"hit\""]),
        1
    );
    assert_eq!(metric(&c.metrics, &["redis_fallback_hits_total", "cache"]), 0);
    assert_eq!(metric(&c.metrics, &["cache_entries"]), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_misses_over_four_instances_are_one_load_and_four_in_an_outage() {
    let server = RedisServer::start().await;
    let database = Database::with(&[("k", 7), ("l", 8)]);
    database.take(Duration::from_millis(200));
    let mut instances = Vec::new();
    for _ in 0..4 {
        instances.push(Instance::at(&server.url()).ready().await);
    }
    let all = |key: &'static str| {
        let ask = |n: usize| instances[n % 4].reads(&database, key);
        join_all((0..1_000).map(ask))
    };
    assert!(all("k").await.iter().all(|(value, _)| *value == Some(7)));
    assert_eq!(database.loads(), 1);
    server.kill();
    for instance in &instances {
        instance.away().await;
    }
    assert!(all("l").await.iter().all(|(value, _)| *value == Some(8)));
    assert_eq!(database.loads(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_takes_its_load_from_nobody() {
    let server = RedisServer::start().await;
    let database = Database::with(&[("k", 7)]);
    let a = Arc::new(Instance::at(&server.url()).ready().await);
    let gate = database.hold();
    let ask = || {
        let (a, database) = (Arc::clone(&a), database.clone());
        tokio::spawn(async move { a.reads(&database, "k").await })
    };
    let first = ask();
    loading(&database, 1).await;
    let others: Vec<_> = (0..99).map(|_| ask()).collect();
    first.abort();
    gate.add_permits(1);
    for other in join_all(others).await {
        assert_eq!(other.unwrap().0, Some(7));
    }
    assert_eq!(database.loads(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loader_that_panics_is_an_error_and_nothing_is_kept() {
    let server = RedisServer::start().await;
    let database = Database::with(&[("k", 7)]);
    let a = Instance::at(&server.url()).ready().await;
    database.panic(true);
    for answer in join_all((0..10).map(|_| a.read(&database, "k"))).await {
        assert!(answer.unwrap_err().is_panic());
    }
    database.panic(false);
    assert_eq!(a.reads(&database, "k").await, (Some(7), Tier::Loader));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_database_is_never_remembered_as_absence() {
    let server = RedisServer::start().await;
    let database = Database::with(&[("k", 7)]);
    let a = Instance::at(&server.url()).ready().await;
    database.fail(true);
    for _ in 0..3 {
        let error = a.read(&database, "k").await.unwrap_err();
        assert!(error.downcast_ref::<std::io::Error>().is_some(), "{error:?}");
    }
    database.fail(false);
    assert_eq!(a.reads(&database, "k").await, (Some(7), Tier::Loader));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loader_that_fails_again_and_again_is_left_alone() {
    let server = RedisServer::start().await;
    let database = Database::with(&[("k", 7)]);
    let a = Instance::at(&server.url()).ready().await;
    database.fail(true);
    let mut refused = 0;
    for _ in 0..200 {
        refused += usize::from(a.read(&database, "k").await.unwrap_err().is_cooling_off());
    }
    assert!(refused > 0 && database.loads() < 200, "{refused} of {}", database.loads());
    database.fail(false);
    let back = eventually(PATIENCE, || async { a.read(&database, "k").await.is_ok() });
    assert!(back.await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loader_that_hangs_is_given_up_and_the_next_begins_anew() {
    let server = RedisServer::start().await;
    let database = Database::with(&[("k", 7)]);
    let hard = Duration::from_millis(200);
    let a = Instance::with(&server.url(), |builder| patient(builder).with_hard_timeout(hard));
    let a = a.ready().await;
    let _gate = database.hold();
    let began = Instant::now();
    assert!(a.read(&database, "k").await.unwrap_err().is_timeout());
    assert!(began.elapsed() >= hard);
    database.let_pass();
    assert_eq!(a.reads(&database, "k").await, (Some(7), Tier::Loader));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_value_is_served_while_a_new_one_is_loaded() {
    let server = RedisServer::start().await;
    let database = Database::with(&[("k", 1)]);
    let a = Instance::with(&server.url(), |builder| {
        patient(builder).with_soft_timeout(Duration::from_millis(20))
    });
    let a = a.ready().await;
    assert_eq!(a.reads(&database, "k").await.0, Some(1));
    database.write("k", 2);
    assert!(a.items.expire("k").await.is_propagated());
    let gate = database.hold();
    let old = a.read(&database, "k").await.unwrap();
    // From which tier depends on whether memory is known to be in step at that moment.
    assert_eq!((old.value, old.mode), (Some(1), Mode::Normal));
    assert!(matches!(old.freshness, Freshness::Stale(_)) && !old.is_degraded());
    loading(&database, 2).await;
    gate.add_permits(1);
    let new = eventually(PATIENCE, || async { a.reads(&database, "k").await.0 == Some(2) });
    assert!(new.await);
    assert_eq!(database.loads(), 2, "one load, however many asked");
}

/// The life of a value is counted from its load, not from when it was last read.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_all_the_time_ends_all_the_same() {
    let server = RedisServer::start().await;
    let database = Database::with(&[("k", 1)]);
    let ttl = Duration::from_millis(200);
    let a = Instance::with(&server.url(), |builder| patient(builder).with_ttl(ttl));
    let a = a.ready().await;
    let began = Instant::now();
    while began.elapsed() < 6 * ttl {
        assert!(!a.read(&database, "k").await.unwrap().freshness.is_stale());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let most = began.elapsed().as_millis() as usize / ttl.as_millis() as usize + 1;
    assert!((2..=most).contains(&database.loads()), "{} loads", database.loads());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_in_use_is_loaded_again_before_it_ends() {
    let server = RedisServer::start().await;
    let database = Database::with(&[("k", 1)]);
    database.take(Duration::from_millis(100));
    let a = Instance::with(&server.url(), |builder| {
        patient(builder).with_ttl(Duration::from_secs(2)).with_early_refresh(5.0)
    });
    let a = a.ready().await;
    assert_eq!(a.reads(&database, "k").await.0, Some(1));
    let again = eventually(PATIENCE, || async {
        // Never a wait, never stale: it is loaded behind the reader's back.
        let cached = a.read(&database, "k").await.unwrap();
        assert_eq!((cached.tier, cached.freshness), (Tier::Memory, Freshness::Fresh));
        database.loads() == 2
    });
    assert!(again.await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_of_another_instance_is_waited_for_but_not_for_ever() {
    let server = RedisServer::start().await;
    let database = Database::with(&[("k", 7)]);
    let (a, b) = (Instance::at(&server.url()), Instance::at(&server.url()));
    let (a, b) = (Arc::new(a.ready().await), b.ready().await);
    let _gate = database.hold();
    let (reader, source) = (Arc::clone(&a), database.clone());
    let first = tokio::spawn(async move { reader.reads(&source, "k").await });
    loading(&database, 1).await;
    database.let_pass();
    // The one that loads hangs; the lease ends after a second.
    let began = Instant::now();
    assert_eq!(b.reads(&database, "k").await.0, Some(7));
    assert!(began.elapsed() >= Duration::from_millis(500), "it did not wait");
    assert!(began.elapsed() < LONG);
    first.abort();
}
