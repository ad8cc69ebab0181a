//! Two instances, through an outage and back.

use std::time::Duration;

use evenkeel::{
    Source,
    store::revocation::{Propagation, RevocationStatus, Token},
};

use super::{
    Instance, PATIENCE, commands, in_an_hour, open,
    support::{Fault, FaultProxy, RedisServer, eventually},
};

#[tokio::test(flavor = "multi_thread")]
async fn revoked_while_healthy_refused_on_both_while_redis_is_stopped() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url()).ready().await;
    let b = Instance::at(&server.url()).ready().await;
    let (bad, good) = (Token::new("bad"), Token::new("good"));

    assert_eq!(a.revocations.revoke("bad", in_an_hour()).await.unwrap(), Propagation::Propagated);
    assert_eq!(b.status(&bad).await, RevocationStatus::Revoked, "at once: Redis is asked");
    assert_eq!(b.status(&good).await, RevocationStatus::Clear);
    b.knows(1).await;

    server.kill();
    a.away().await;
    b.away().await;
    for instance in [&a, &b] {
        let decision = instance.revocations.check(&bad).await;
        assert_eq!((decision.status, decision.source), (RevocationStatus::Revoked, Source::Memory));
        assert!(!decision.is_admitted());
        let decision = instance.revocations.check(&good).await;
        assert_eq!((decision.status, decision.source), (RevocationStatus::Clear, Source::Memory));
        assert!(decision.is_admitted());
        assert!(instance.metric(&["redis_fallback_hits_total", "revocation"]) >= 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hang_of_redis_leaves_both_in_step() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url()).ready().await;
    let _ = a.revocations.revoke("bad", in_an_hour()).await.unwrap();
    server.freeze();
    // Nobody asks: the probe has to find it out, and the log's own connection hangs as well.
    a.away().await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(a.status(&Token::new("good")).await, RevocationStatus::Clear);
    assert_eq!(a.status(&Token::new("bad")).await, RevocationStatus::Revoked);
    server.thaw();
    a.available().await;
    assert_eq!(a.status(&Token::new("good")).await, RevocationStatus::Clear);
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_in_the_outage_pushed_before_connected_and_refused_on_the_other_after_it() {
    let server = RedisServer::builder().persistent(true).start().await;
    let a = Instance::at(&server.url()).ready().await;
    let b = Instance::at(&server.url()).ready().await;
    let bad = Token::new("bad");
    server.kill();
    a.away().await;
    b.away().await;

    assert_eq!(a.revocations.revoke("bad", in_an_hour()).await.unwrap(), Propagation::Pending);
    assert_eq!(a.status(&bad).await, RevocationStatus::Revoked);
    assert_eq!(b.status(&bad).await, RevocationStatus::Clear, "nobody can know it there");

    server.restart().await;
    a.available().await;
    assert_eq!(a.metric(&["redis_recovery_replayed_total", "revocation", "applied"]), 1);
    b.available().await;
    assert_eq!(b.status(&bad).await, RevocationStatus::Revoked);
    b.knows(1).await;
    server.kill();
    b.away().await;
    assert_eq!(
        b.status(&bad).await,
        RevocationStatus::Revoked,
        "and known there in the next outage"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_of_a_subject_is_revoked_up_to_an_instant_on_both() {
    let server = RedisServer::builder().persistent(true).start().await;
    let a = Instance::at(&server.url()).ready().await;
    let b = Instance::at(&server.url()).ready().await;
    let cut = std::time::SystemTime::now();
    let old = Token::new("old").of("alice").issued_at(cut - Duration::from_secs(1));
    let new = Token::new("new").of("alice").issued_at(cut + Duration::from_secs(1));
    let ageless = Token::new("ageless").of("alice");
    let other = Token::new("other").of("bob").issued_at(cut - Duration::from_secs(1));
    let expected = [
        RevocationStatus::Revoked,
        RevocationStatus::Clear,
        RevocationStatus::Revoked,
        RevocationStatus::Clear,
    ];
    let statuses = async |instance: &Instance| {
        let mut statuses = Vec::new();
        for token in [&old, &new, &ageless, &other] {
            statuses.push(instance.status(token).await);
        }
        statuses
    };

    let told = a.revocations.revoke_subject("alice", cut).await.unwrap();
    assert_eq!(told, Propagation::Propagated);
    assert_eq!(statuses(&b).await, expected);
    b.knows(1).await;
    server.kill();
    a.away().await;
    b.away().await;
    assert_eq!(statuses(&a).await, expected);
    assert_eq!(statuses(&b).await, expected);

    let told = b.revocations.revoke_subject("bob", cut).await.unwrap();
    assert_eq!(told, Propagation::Pending);
    assert_eq!(b.status(&other).await, RevocationStatus::Revoked);
    server.restart().await;
    b.available().await;
    a.available().await;
    assert_eq!(a.status(&other).await, RevocationStatus::Revoked);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_instance_in_the_outage_cannot_tell_and_its_policy_decides() {
    let server = RedisServer::start().await;
    server.kill();
    let closed = Instance::at(&server.url());
    let open = Instance::with(&server.url(), open);
    let token = Token::new("any");

    let decision = closed.revocations.check(&token).await;
    assert_eq!(decision.status, RevocationStatus::Unknown);
    assert!(!decision.is_admitted());
    assert_eq!(closed.metric(&["revocation_checks_total", "unknown_refused"]), 1);

    let decision = open.revocations.check(&token).await;
    assert_eq!(decision.status, RevocationStatus::Unknown);
    assert!(decision.is_admitted());
    assert_eq!(open.metric(&["revocation_checks_total", "unknown_admitted"]), 1);
    assert_eq!(open.metric(&["redis_fallback_hits_total", "revocation"]), 1);

    let _ = open.revocations.revoke("any", in_an_hour()).await.unwrap();
    assert!(!open.revocations.check(&token).await.is_admitted(), "what is known is known");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_cut_off_alone_catches_up_when_it_is_back() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let a = Instance::at(&server.url()).ready().await;
    let b = Instance::at(&proxy.url()).ready().await;
    proxy.set(Fault::Refuse).await;
    b.away().await;
    for n in 0..10 {
        let told = a.revocations.revoke(format!("bad {n}"), in_an_hour()).await.unwrap();
        assert!(told.is_propagated());
    }
    // Shorter than what b has missed: it has to notice the gap.
    server.cli(&["XTRIM", "evenkeel:revocation:{table}:log", "MAXLEN", "2"]).await.unwrap();
    proxy.set(Fault::Pass).await;
    b.available().await;
    assert_eq!(b.status(&Token::new("bad 0")).await, RevocationStatus::Revoked);
    b.knows(10).await;
    b.in_step().await;
    proxy.set(Fault::BlackHole).await;
    b.away().await;
    assert_eq!(b.status(&Token::new("bad 9")).await, RevocationStatus::Revoked);
    assert_eq!(b.status(&Token::new("good")).await, RevocationStatus::Clear);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_connection_of_the_log_is_no_outage() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url()).ready().await;
    let b = Instance::at(&server.url()).ready().await;
    for round in 1..=3 {
        server.cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await.unwrap();
        let mut told = a.revocations.revoke(format!("bad {round}"), in_an_hour()).await.unwrap();
        let again = eventually(PATIENCE, || async {
            a.redis.monitor().is_available() && b.redis.monitor().is_available()
        });
        assert!(again.await);
        b.knows(round).await;
        b.in_step().await;
        told = a.revocations.revoke(format!("bad {round}"), in_an_hour()).await.unwrap_or(told);
        assert_eq!(told, Propagation::Propagated);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_takes_no_writes_revocations_wait_and_are_pushed_afterwards() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url()).ready().await;
    let b = Instance::at(&server.url()).ready().await;
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    let told = a.revocations.revoke("bad", in_an_hour()).await.unwrap();
    assert_eq!(told, Propagation::Pending);
    assert_eq!(a.status(&Token::new("bad")).await, RevocationStatus::Revoked);
    assert_eq!(b.status(&Token::new("good")).await, RevocationStatus::Clear, "reads go on");
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]).await.unwrap();
    b.knows(1).await;
    assert_eq!(b.status(&Token::new("bad")).await, RevocationStatus::Revoked);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_check_is_one_command_and_none_for_what_is_known() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url()).ready().await;
    let _ = a.revocations.revoke("bad", in_an_hour()).await.unwrap();
    let before = commands(&server, "hmget").await;
    for _ in 0..50 {
        assert_eq!(a.status(&Token::new("bad").of("alice")).await, RevocationStatus::Revoked);
    }
    assert_eq!(commands(&server, "hmget").await, before, "known: no command at all");
    for _ in 0..50 {
        let decision = a.revocations.check(&Token::new("good").of("alice")).await;
        assert_eq!((decision.status, decision.source), (RevocationStatus::Clear, Source::Redis));
    }
    assert_eq!(commands(&server, "hmget").await, before + 50);
    assert_eq!(a.metric(&["revocation_checks_total", "revoked"]), 50);
    assert_eq!(a.metric(&["revocation_checks_total", "clear"]), 50);
    assert_eq!(a.metric(&["redis_fallback_hits_total", "revocation"]), 0);
}

/// A pool of the application's own speaks the older protocol: the log is read all the same.
#[tokio::test(flavor = "multi_thread")]
async fn over_a_pool_that_the_application_has_already() {
    use evenkeel::{
        redis::{
            Redis,
            deadpool_redis::{Config, Runtime},
        },
        store::revocation::Revocations,
        telemetry::Metrics,
    };
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url()).ready().await;
    let pool = Config::from_url(server.url()).create_pool(Some(Runtime::Tokio1)).unwrap();
    let config = super::quick(&server.url(), &Metrics::new());
    let redis = Redis::with_pool(pool, config).unwrap();
    let b = Revocations::new(&redis);
    super::available(&redis).await;
    assert!(eventually(PATIENCE, || async { b.is_in_step() }).await);
    let _ = a.revocations.revoke("bad", in_an_hour()).await.unwrap();
    assert!(eventually(PATIENCE, || async { b.len() == 1 }).await);
    let _ = b.revoke("worse", in_an_hour()).await.unwrap();
    a.knows(2).await;
}

/// Redis is there and has no right for us: no answer of it counts, and nothing passes that may be
/// revoked.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_refuses_our_commands_is_no_answer() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let a = Instance::at(&proxy.url()).ready().await;
    let error = "NOPERM this user has no permissions to run the 'hmget' command".to_owned();
    proxy.set(Fault::ErrorReplyTo { command: "HMGET".into(), error }).await;
    let decision = a.revocations.check(&Token::new("good")).await;
    assert_eq!((decision.status, decision.source), (RevocationStatus::Clear, Source::Memory));
    let error = "NOPERM this user has no permissions to run the 'evalsha' command".to_owned();
    proxy.set(Fault::ErrorReplyTo { command: "EVALSHA".into(), error }).await;
    let told = a.revocations.revoke("bad", in_an_hour()).await.unwrap();
    assert_eq!(told, Propagation::Pending);
    assert_eq!(a.status(&Token::new("bad")).await, RevocationStatus::Revoked);
    let failed =
        || async { a.metric(&["redis_recovery_replayed_total", "revocation", "failed"]) > 0 };
    assert!(eventually(PATIENCE, failed).await, "it is tried again, and said");
    proxy.set(Fault::Pass).await;
    let b = Instance::at(&server.url()).ready().await;
    b.knows(1).await;
    assert_eq!(b.status(&Token::new("bad")).await, RevocationStatus::Revoked);
}
