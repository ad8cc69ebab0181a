//! The process restarts in the middle of an outage, and the table is full.

use std::time::{Duration, SystemTime};

use evenkeel::{
    Error,
    store::{
        Journal, JournalRecord,
        revocation::{Propagation, RevocationStatus, Revocations, RevocationsBuilder, Token},
    },
};

use super::{
    Disk, Instance, PATIENCE, in_an_hour,
    support::{RedisServer, eventually},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_the_outage_with_the_journal_forgets_nothing() {
    let server = RedisServer::builder().persistent(true).start().await;
    let disk = Disk::default();
    let a = Instance::with_journal(&server.url(), &disk).await.ready().await;
    let b = Instance::at(&server.url()).ready().await;
    let _ = a.revocations.revoke("before", in_an_hour()).await.unwrap();
    server.kill();
    a.away().await;
    let told = a.revocations.revoke("during", in_an_hour()).await.unwrap();
    assert_eq!(told, Propagation::Pending);
    let told = a.revocations.revoke_subject("alice", SystemTime::now()).await.unwrap();
    assert_eq!(told, Propagation::Pending);
    a.stop().await;

    let a = Instance::with_journal(&server.url(), &disk).await;
    assert_eq!(a.status(&Token::new("before")).await, RevocationStatus::Revoked);
    assert_eq!(a.status(&Token::new("during")).await, RevocationStatus::Revoked);
    assert_eq!(a.status(&Token::new("hers").of("alice")).await, RevocationStatus::Revoked);
    assert_eq!(
        a.status(&Token::new("good")).await,
        RevocationStatus::Unknown,
        "it was not in step"
    );
    server.restart().await;
    a.available().await;
    b.available().await;
    assert_eq!(b.status(&Token::new("during")).await, RevocationStatus::Revoked);
    assert_eq!(b.status(&Token::new("hers").of("alice")).await, RevocationStatus::Revoked);
    assert_eq!(a.status(&Token::new("good")).await, RevocationStatus::Clear);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_the_outage_without_a_journal_refuses_all_until_redis_is_back() {
    let server = RedisServer::builder().persistent(true).start().await;
    let a = Instance::at(&server.url()).ready().await;
    let _ = a.revocations.revoke("before", in_an_hour()).await.unwrap();
    server.kill();
    a.away().await;
    a.stop().await;

    let a = Instance::at(&server.url());
    for id in ["before", "good"] {
        let decision = a.revocations.check(&Token::new(id)).await;
        assert_eq!(decision.status, RevocationStatus::Unknown);
        assert!(!decision.is_admitted());
    }
    server.restart().await;
    a.available().await;
    assert_eq!(a.status(&Token::new("before")).await, RevocationStatus::Revoked);
    assert_eq!(a.status(&Token::new("good")).await, RevocationStatus::Clear);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_journal_is_said_where_nothing_else_has_it() {
    let server = RedisServer::start().await;
    let disk = Disk::default();
    let a = Instance::with_journal(&server.url(), &disk).await.ready().await;
    disk.break_down();
    let told = a.revocations.revoke("one", in_an_hour()).await.unwrap();
    assert_eq!(told, Propagation::Propagated, "Redis has it");
    server.kill();
    a.away().await;
    assert!(a.revocations.revoke("two", in_an_hour()).await.is_err());
    assert_eq!(a.status(&Token::new("two")).await, RevocationStatus::Revoked, "here at least");
}

/// A disk that takes its time.
struct Slow(Disk);

impl Journal for Slow {
    async fn save(&self, record: JournalRecord) -> Result<(), Error> {
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.0.save(record).await
    }

    async fn load(&self, feature: &'static str) -> Result<Vec<JournalRecord>, Error> {
        self.0.load(feature).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_while_the_disk_is_slow_loses_no_record() {
    let disk = Disk::default();
    let a = Instance::at("redis://127.0.0.1:1/");
    let builder = Revocations::builder(&a.redis).with_journal(Slow(disk.clone()));
    let revocations = builder.build().await.unwrap();
    let revoke = revocations.revoke("bad", in_an_hour());
    assert!(tokio::time::timeout(Duration::from_millis(10), revoke).await.is_err());
    let saved = || async { disk.load("revocation").await.unwrap().len() == 1 };
    assert!(eventually(PATIENCE, saved).await);
}

fn issued(id: &str, ago: i64) -> Token {
    let now = SystemTime::now();
    let by = Duration::from_secs(ago.unsigned_abs());
    Token::new(id).issued_at(if ago < 0 { now + by } else { now - by })
}

#[tokio::test(flavor = "multi_thread")]
async fn one_more_than_the_table_holds_is_not_silently_accepted() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url()).ready().await;
    let small = |builder: RevocationsBuilder| builder.with_capacity(100);
    let b = Instance::with(&server.url(), small).ready().await;
    for n in 0..=100 {
        let _ = a.revocations.revoke(format!("bad {n}"), in_an_hour()).await.unwrap();
    }
    b.knows(100).await;
    // Healthy: Redis knows them all.
    for n in 0..=100 {
        assert_eq!(b.status(&issued(&format!("bad {n}"), 5)).await, RevocationStatus::Revoked);
    }
    let again = async || b.status(&issued("good", 5)).await;
    assert_eq!(again().await, RevocationStatus::Clear);
    a.in_step().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.kill();
    b.away().await;
    // Outage: the one that found no room cannot be told from a good one. None passes.
    for n in 0..=100 {
        assert_ne!(
            b.status(&issued(&format!("bad {n}"), 5)).await,
            RevocationStatus::Clear,
            "bad {n}"
        );
    }
    assert_eq!(again().await, RevocationStatus::Unknown);
    assert_eq!(
        b.status(&issued("newer", -5)).await,
        RevocationStatus::Clear,
        "issued after it was full"
    );

    // More than fits, and nobody else knows: everything issued until now is revoked, here and then
    // everywhere.
    let told = b.revocations.revoke("one more", in_an_hour()).await.unwrap();
    assert_eq!(told, Propagation::Pending);
    assert_eq!(b.status(&issued("one more", 5)).await, RevocationStatus::Revoked);
    let full = Instance::with(&server.url(), small);
    for n in 0..=100 {
        let _ = full.revocations.revoke(format!("worse {n}"), in_an_hour()).await.unwrap();
    }
    for n in 0..=100 {
        assert_eq!(full.status(&issued(&format!("worse {n}"), 5)).await, RevocationStatus::Revoked);
    }
    assert_eq!(
        full.status(&issued("newer", -5)).await,
        RevocationStatus::Unknown,
        "fresh, in an outage"
    );
    server.restart().await;
    full.available().await;
    a.available().await;
    for n in 0..=100 {
        assert_eq!(a.status(&issued(&format!("worse {n}"), 5)).await, RevocationStatus::Revoked);
        assert_eq!(a.status(&issued(&format!("bad {n}"), 5)).await, RevocationStatus::Revoked);
    }
    assert_eq!(a.status(&issued("newer", -5)).await, RevocationStatus::Clear);
}
