//! That an event is full is remembered without asking anybody, until somebody releases seats.

use evenkeel::Source;

use super::{support::RedisServer, *};
use crate::{
    guards::PATIENCE,
    support::{Fault, FaultProxy, eventually},
};

async fn sold_out(a: &Instance) -> Token {
    let token = a.token("hall", 100).await;
    assert_eq!(a.reserve("hall", 1).await.unwrap().value, FULL);
    token
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rush_costs_redis_nothing_once_all_is_sold() {
    let server = RedisServer::start().await;
    let database = Database::new();
    let long = |builder: CapacityBuilder| builder.with_sold_out_for(LONG);
    let a = Instance::with(&server.url(), &database, long).ready().await;
    sold_out(&a).await;
    // Every look at a gate is one of these, and nothing else is: the handle runs other scripts now and
    // then.
    let looks = async || server.commands_processed("hmget").await;
    let before = looks().await;
    assert!(before > 0);
    for _ in 0..1_000 {
        let refused = a.reserve("hall", 1).await.unwrap();
        assert_eq!((refused.value, refused.source), (FULL, Source::Memory));
    }
    assert_eq!(looks().await, before);
    assert_eq!(a.redis.monitor().status().outages, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_anywhere_is_heard() {
    let server = RedisServer::start().await;
    let database = Database::new();
    // Heard or never.
    let long = |builder: CapacityBuilder| builder.with_sold_out_for(LONG);
    let a = Instance::with(&server.url(), &database, long).ready().await;
    let b = Instance::with(&server.url(), &database, long).ready().await;
    let token = sold_out(&a).await;
    a.release("hall", &token).await;
    for round in 0..10 {
        let (one, rest) = (a.token("hall", 1).await, a.token("hall", 99).await);
        for instance in [&a, &b] {
            assert_eq!(instance.reserve("hall", 1).await.unwrap().value, FULL);
        }
        a.release("hall", &rest).await;
        let heard = async || b.reserve("hall", 99).await.unwrap().is_granted();
        assert!(eventually(PATIENCE, heard).await, "round {round}: not heard");
        assert_eq!(b.reserve("hall", 1).await.unwrap().value, FULL);
        // Where it was released it is known at once.
        b.release("hall", &one).await;
        let one = b.token("hall", 1).await;
        b.release("hall", &one).await;
        database.0.rows.lock().unwrap().clear();
        server.flushall().await;
    }
}

/// Where nothing can be heard it is remembered for a second at most.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_is_not_heard_is_seen_within_a_second() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let database = Database::new();
    let a = Instance::at(&server.url(), &database).ready().await;
    let b = Instance::at(&proxy.url(), &database).ready().await;
    let token = sold_out(&a).await;
    proxy.set(Fault::HoldUsersOf("SUBSCRIBE".to_owned())).await;
    assert_eq!(b.reserve("hall", 1).await.unwrap().value, FULL);
    a.release("hall", &token).await;
    let sold = async || b.reserve("hall", 1).await.unwrap().is_granted();
    assert!(eventually(PATIENCE, sold).await);
}
