//! What holds whoever decides: one suite, run on Redis and on memory.

use std::task::{Context, Waker};

use evenkeel::store::{
    concurrency::{ConcurrencyLimiter, InFlight},
    rate::{DecisionSource, Subject},
};

use super::{DAY, Instance, support::RedisServer};

struct BackEnd {
    instance: Instance,
    source: DecisionSource,
    _server: Option<RedisServer>,
}

/// Leases that outlast the test: what comes back was given back.
fn three() -> InFlight {
    InFlight::at_most(3).with_lease(DAY)
}

impl BackEnd {
    async fn redis() -> Self {
        let server = RedisServer::start().await;
        let instance = Instance::up(&server.url(), three()).await;
        Self { instance, source: DecisionSource::Redis, _server: Some(server) }
    }

    async fn memory() -> Self {
        let server = RedisServer::start().await;
        let instance = Instance::new(&server.url(), three());
        server.kill();
        instance.is_down().await;
        Self { instance, source: DecisionSource::Memory, _server: None }
    }
}

macro_rules! on_both_back_ends {
    ($($name:ident)*) => {
        mod on_redis {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::BackEnd::redis().await).await;
            })*
        }
        mod on_memory {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::BackEnd::memory().await).await;
            })*
        }
    };
}

on_both_back_ends! {
    so_many_and_no_more
    what_ends_makes_room
    subjects_and_names_are_apart
    any_bytes_make_a_subject
    what_is_cancelled_holds_nothing
}

async fn so_many_and_no_more(BackEnd { instance, source, .. }: BackEnd) {
    let mut permits = Vec::new();
    for number in 1..=3 {
        let permit = instance.acquire("a").await.unwrap();
        let occupancy = permit.occupancy();
        assert_eq!((occupancy.in_flight(), occupancy.limit().get()), (number, 3));
        assert_eq!(occupancy.source(), source);
        permits.push(permit);
    }
    for _ in 0..5 {
        let busy = instance.acquire("a").await.unwrap_err();
        assert_eq!(busy.occupancy().in_flight(), 3);
        assert!(busy.to_string().starts_with("3 requests"), "{busy}");
    }
    assert_eq!(instance.limiter.in_flight(), 3);
}

async fn what_ends_makes_room(BackEnd { instance, .. }: BackEnd) {
    let mut permits = instance.exhaust("a").await;
    for _ in 0..10 {
        permits.pop();
        permits.push(instance.admitted("a").await);
        assert!(instance.acquire("a").await.is_err());
    }
    drop(permits);
    assert_eq!(instance.limiter.in_flight(), 0);
}

async fn subjects_and_names_are_apart(BackEnd { instance, .. }: BackEnd) {
    let held = [instance.exhaust("a").await, instance.exhaust("b").await];
    assert_eq!(held.each_ref().map(Vec::len), [3, 3]);
    let other = ConcurrencyLimiter::new(&instance.redis, three().with_name("other"));
    assert!(other.acquire(&Subject::text("a")).await.is_ok());
}

async fn any_bytes_make_a_subject(BackEnd { instance, source, .. }: BackEnd) {
    for bytes in [vec![], vec![0; 3], vec![0xff; 65_536], b"{a}:b\r\n*1".to_vec()] {
        let permit = instance.limiter.acquire(&Subject::text(&bytes)).await.unwrap();
        assert_eq!((permit.occupancy().in_flight(), permit.occupancy().source()), (1, source));
    }
}

async fn what_is_cancelled_holds_nothing(BackEnd { instance, .. }: BackEnd) {
    let who = Subject::text("a");
    for _ in 0..20 {
        let mut asking = Box::pin(instance.limiter.acquire(&who));
        let polled = asking.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        drop((polled, asking));
    }
    let mut permits = Vec::new();
    for _ in 0..3 {
        permits.push(instance.admitted("a").await);
    }
    assert!(instance.acquire("a").await.is_err());
}
