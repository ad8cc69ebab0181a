//! What holds whoever decides: one suite, run on Redis and on memory.

use std::{num::NonZeroU32, time::Duration};

use evenkeel::store::rate::{DecisionSource, Quota, RatePolicy, Retry, Subject};
use tokio::time::sleep;

use super::{Instance, slow, support::RedisServer};

struct BackEnd {
    instance: Instance,
    source: DecisionSource,
    _server: Option<RedisServer>,
}

impl BackEnd {
    async fn redis() -> Self {
        let server = RedisServer::start().await;
        let instance = Instance::up(&server.url()).await;
        Self { instance, source: DecisionSource::Redis, _server: Some(server) }
    }

    async fn memory() -> Self {
        let server = RedisServer::start().await;
        let instance = Instance::new(&server.url());
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
    a_budget_is_spent_once
    costs_and_peeks
    more_than_the_burst_is_never
    several_windows_are_all_or_nothing
    subjects_and_policies_are_apart
    a_changed_policy_starts_afresh
    admitted_exactly_when_announced
    any_bytes_make_a_subject
    forgiven
}

async fn a_budget_is_spent_once(BackEnd { instance, source, .. }: BackEnd) {
    let policy = slow(5);
    for left in (0..5).rev() {
        let verdict = instance.ask(&policy, "a").await;
        assert_eq!((verdict.allowed(), verdict.remaining()), (true, left));
        assert_eq!((verdict.source(), verdict.instances()), (source, NonZeroU32::MIN));
    }
    for _ in 0..3 {
        let verdict = instance.ask(&policy, "a").await;
        assert_eq!((verdict.allowed(), verdict.remaining()), (false, 0));
        assert!(verdict.reset_after() <= Duration::from_secs(86_400));
        let Some(Retry::After(wait)) = verdict.retry() else { panic!("{verdict:?}") };
        assert!(wait <= Duration::from_secs(86_400 / 5), "{wait:?}");
    }
}

async fn costs_and_peeks(BackEnd { instance, .. }: BackEnd) {
    let (policy, who) = (slow(10), Subject::text("a"));
    let decide = async |cost| instance.limiter.decide(&policy, &who, cost).await;
    assert_eq!(decide(0).await.remaining(), 10);
    assert_eq!(decide(7).await.remaining(), 3);
    let refused = decide(4).await;
    assert_eq!((refused.allowed(), refused.remaining()), (false, 3), "nothing was taken");
    assert_eq!(decide(3).await.remaining(), 0);
    assert!(decide(0).await.allowed(), "asking is free");
}

async fn more_than_the_burst_is_never(BackEnd { instance, .. }: BackEnd) {
    let (policy, who) = (slow(10), Subject::text("a"));
    for cost in [11, u32::MAX] {
        let verdict = instance.limiter.decide(&policy, &who, cost).await;
        assert_eq!(verdict.retry(), Some(Retry::Never));
    }
    assert_eq!(instance.left(&policy, "a").await, 10);
}

async fn several_windows_are_all_or_nothing(BackEnd { instance, .. }: BackEnd) {
    let (hour, day) = (Quota::per_hour(3), Quota::per_day(5));
    let policy = RatePolicy::from([hour, day]).with_name("two");
    assert_eq!(instance.exhaust(&policy, "a").await, 3);
    let verdict = instance.ask(&policy, "a").await;
    let left: Vec<u32> = policy.levels(&verdict).map(|level| level.remaining).collect();
    assert_eq!(left, [0, 2], "what the hour refuses the day does not pay for");
}

async fn subjects_and_policies_are_apart(BackEnd { instance, .. }: BackEnd) {
    let (one, other) = (slow(2), slow(2).with_name("other"));
    assert_eq!(instance.exhaust(&one, "a").await, 2);
    assert_eq!(instance.exhaust(&one, "b").await, 2);
    assert_eq!(instance.exhaust(&other, "a").await, 2);
}

async fn a_changed_policy_starts_afresh(BackEnd { instance, .. }: BackEnd) {
    assert_eq!(instance.exhaust(&slow(2), "a").await, 2);
    assert_eq!(instance.exhaust(&slow(3), "a").await, 3);
    assert_eq!(instance.exhaust(&slow(2), "a").await, 0);
}

async fn admitted_exactly_when_announced(BackEnd { instance, .. }: BackEnd) {
    let policy = RatePolicy::from(Quota::per_second(2));
    instance.exhaust(&policy, "a").await;
    for _ in 0..3 {
        let verdict = instance.ask(&policy, "a").await;
        let Some(Retry::After(wait)) = verdict.retry() else { continue };
        assert!(wait <= Duration::from_millis(500));
        // tokio rounds up to the next millisecond.
        sleep(wait).await;
        let verdict = instance.ask(&policy, "a").await;
        assert!(verdict.allowed(), "{verdict:?}");
    }
}

async fn any_bytes_make_a_subject(BackEnd { instance, .. }: BackEnd) {
    let policy = slow(1);
    let huge = vec![0xff; 65_536];
    for bytes in
        [&b""[..], b" ", b"\0", b"{a}", b"}{", b"\xff\xfe", b":", b"\r\n", &huge, &huge[1..]]
    {
        for who in [Subject::text(bytes), Subject::secret(bytes)] {
            let first = instance.limiter.decide(&policy, &who, 1).await;
            let second = instance.limiter.decide(&policy, &who, 1).await;
            assert_eq!((first.allowed(), second.allowed()), (true, false), "{who:?}");
        }
    }
}

async fn forgiven(BackEnd { instance, source, .. }: BackEnd) {
    let policy = slow(2);
    instance.exhaust(&policy, "a").await;
    let done = instance.limiter.reset(&policy, &Subject::text("a")).await;
    assert_eq!(done.is_ok(), source == DecisionSource::Redis);
    assert_eq!(instance.exhaust(&policy, "a").await, 2);
}
