//! Redis comes back with less than it had.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use evenkeel::{
    Error, ErrorKind,
    health::{Continuity, Stage},
    redis::Redis,
    store::revocation::{Propagation, RevocationStatus, Token},
    telemetry::Metrics,
};

use super::{
    Instance, PATIENCE, available, away, in_an_hour, quick,
    support::{RedisServer, eventually},
};

const TABLE: &str = "evenkeel:revocation:{table}";

async fn fields(server: &RedisServer) -> usize {
    server.query(&["HLEN", TABLE]).await.unwrap()
}

/// Everything is refused on both, and in the hands of Redis again.
async fn nothing_is_un_revoked(server: &RedisServer, a: &Instance, b: &Instance, count: usize) {
    for instance in [a, b] {
        for n in 0..count {
            let token = Token::new(format!("bad {n}"));
            assert_eq!(instance.status(&token).await, RevocationStatus::Revoked, "bad {n}");
        }
        assert_ne!(instance.status(&Token::new("good")).await, RevocationStatus::Revoked);
    }
    // The head, the number, the revocations.
    let pushed = eventually(PATIENCE, || async { fields(server).await == count + 2 }).await;
    assert!(pushed, "{} fields", fields(server).await);
}

async fn revoke(a: &Instance, count: std::ops::Range<usize>) {
    for n in count {
        let told = a.revocations.revoke(format!("bad {n}"), in_an_hour()).await.unwrap();
        assert_eq!(told, Propagation::Propagated);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_comes_back_empty() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url()).ready().await;
    let b = Instance::at(&server.url()).ready().await;
    revoke(&a, 0..20).await;
    b.knows(20).await;
    server.restart_empty().await;
    // By the one that is back first, before it counts as available.
    a.available().await;
    b.available().await;
    assert_eq!(fields(&server).await, 22);
    nothing_is_un_revoked(&server, &a, &b, 20).await;
    a.in_step().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_comes_back_from_an_older_dump() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url()).ready().await;
    let b = Instance::at(&server.url()).ready().await;
    revoke(&a, 0..5).await;
    let dump = server.save_dump().await;
    revoke(&a, 5..20).await;
    b.knows(20).await;
    server.restart_from(&dump).await;
    a.available().await;
    b.available().await;
    nothing_is_un_revoked(&server, &a, &b, 20).await;
    // Numbers of the log were given twice: nobody is led astray by that.
    revoke(&a, 20..30).await;
    b.knows(30).await;
    a.in_step().await;
    b.in_step().await;
    server.kill();
    a.away().await;
    b.away().await;
    assert_eq!(b.status(&Token::new("bad 29")).await, RevocationStatus::Revoked);
    assert_eq!(a.status(&Token::new("bad 0")).await, RevocationStatus::Revoked);
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_emptied_without_any_outage() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url()).ready().await;
    let b = Instance::at(&server.url()).ready().await;
    revoke(&a, 0..20).await;
    b.knows(20).await;
    server.flushall().await;
    // The very first answer is not taken for "not revoked".
    let fresh = Instance::at(&server.url());
    let bad = fresh.revocations.check(&Token::new("bad 0")).await;
    assert_ne!(bad.status, RevocationStatus::Clear);
    nothing_is_un_revoked(&server, &a, &b, 20).await;
    let fresh = fresh.ready().await;
    assert_eq!(fresh.status(&Token::new("bad 0")).await, RevocationStatus::Revoked);
    assert_eq!(a.redis.monitor().status().outages, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_deleted() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url()).ready().await;
    let b = Instance::at(&server.url()).ready().await;
    revoke(&a, 0..5).await;
    b.knows(5).await;
    server.cli(&["DEL", "evenkeel:revocation:{table}:log"]).await.unwrap();
    revoke(&a, 5..10).await;
    b.knows(10).await;
    server.cli(&["SET", "evenkeel:revocation:{table}:log", "not ours"]).await.unwrap();
    revoke(&a, 10..15).await;
    assert_eq!(b.status(&Token::new("bad 14")).await, RevocationStatus::Revoked);
    b.knows(15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_has_put_something_else_in_our_place() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url()).ready().await;
    let b = Instance::at(&server.url()).ready().await;
    revoke(&a, 0..5).await;
    b.knows(5).await;
    server.cli(&["SET", TABLE, "not ours"]).await.unwrap();
    assert_eq!(a.status(&Token::new("bad 0")).await, RevocationStatus::Revoked);
    let pushed = eventually(PATIENCE, || async {
        server.query::<usize>(&["HLEN", TABLE]).await.is_ok_and(|fields| fields == 7)
    });
    assert!(pushed.await);
    nothing_is_un_revoked(&server, &a, &b, 5).await;
}

/// The first attempt to recover finds the loss out and fails at the next step: the second still
/// knows.
#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_that_fails_on_the_way_forgets_no_loss() {
    let server = RedisServer::start().await;
    let metrics = Metrics::new();
    let redis = Redis::new(quick(&server.url(), &metrics)).unwrap();
    let fails = Arc::new(AtomicBool::new(false));
    let failing = Arc::clone(&fails);
    // Registered before the revocations, so it runs before them.
    let _step = redis.on_recovery(Stage::Guards, "fails once", move |_, _| {
        let fail = failing.swap(false, Ordering::SeqCst);
        async move {
            if fail { Err(Error::new(ErrorKind::Unavailable, "not now")) } else { Ok(()) }
        }
    });
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&seen);
    let _witness = redis.on_recovery(Stage::Guards, "witness", move |_, recovery| {
        told.lock().unwrap().push(recovery.continuity());
        async { Ok(()) }
    });
    available(&redis).await;
    fails.store(true, Ordering::SeqCst);
    server.restart_empty().await;
    let again = || async { seen.lock().unwrap().len() == 2 };
    assert!(eventually(PATIENCE, again).await);
    assert_eq!(*seen.lock().unwrap(), [Continuity::Kept, Continuity::Lost]);
    available(&redis).await;
    server.kill();
    away(&redis).await;
    assert!(!fails.load(Ordering::SeqCst), "it failed as it should");
}
