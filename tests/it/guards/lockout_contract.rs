//! One suite for both back ends: Redis, and memory while Redis is away.

use std::time::Duration;

use evenkeel::{
    Source,
    store::{
        lockout::{Attempt, Lockout, LockoutPolicy},
        rate::Subject,
    },
};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};

use super::{
    lockout::{Guard, WINDOW, alice, begin, policy, wrong},
    support::RedisServer,
};

/// Runs the suite on Redis and on memory.
async fn on_both<F>(contract: impl Fn(Guard, Source) -> F)
where
    F: Future<Output = ()>,
{
    let server = RedisServer::start().await;
    contract(Guard::at(&server.url()).ready().await, Source::Redis).await;
    let guard = Guard::at(&server.url()).ready().await;
    server.kill();
    guard.away().await;
    contract(guard, Source::Memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fifth_wrong_one_locks_right_password_or_not() {
    on_both(|guard, source| async move {
        let lockout = &guard.lockout;
        for left in [4, 3, 2, 1] {
            let told = wrong(lockout).await;
            assert_eq!(told.source, source);
            assert_eq!((told.attempts_left(), told.is_locked()), (left, false));
        }
        let told = wrong(lockout).await;
        assert!(told.is_locked());
        assert_eq!(told.attempts_left(), 0);
        let refused = begin(lockout, &alice()).await.unwrap_err();
        assert!(refused.is_locked());
        assert!(refused.retry_after() <= WINDOW);
        assert!(refused.retry_after() > WINDOW - Duration::from_secs(60));
        assert!(begin(lockout, &Subject::secret("bob")).await.is_ok(), "nobody else is");
        assert_eq!(guard.metric(&["lockout_events_total", "failed"]), 5);
        assert_eq!(guard.metric(&["lockout_events_total", "\"locked\""]), 1);
        assert_eq!(guard.metric(&["lockout_events_total", "refused"]), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn success_clears_the_counter_and_not_the_lock() {
    on_both(|guard, _| async move {
        let lockout = &guard.lockout;
        for _ in 0..4 {
            wrong(lockout).await;
        }
        let attempt = begin(lockout, &alice()).await.unwrap();
        let told = lockout.succeed(attempt).await.unwrap();
        assert_eq!(told.attempts_left(), 5);
        let attempt = begin(lockout, &alice()).await.unwrap();
        lockout.lock(&alice(), WINDOW).await.unwrap();
        let told = lockout.succeed(attempt).await.unwrap();
        assert!(told.is_locked());
        assert!(begin(lockout, &alice()).await.is_err());
        let told = lockout.unlock(&alice()).await.unwrap();
        assert!(!told.is_locked());
        assert_eq!(guard.standing().await.attempts_left(), 5);
        assert!(begin(lockout, &alice()).await.is_ok());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_200_guesses_at_once_five_are_judged() {
    on_both(|guard, _| async move {
        let guesses = (0..200).map(|_| {
            let lockout = guard.lockout.clone();
            tokio::spawn(async move {
                let Ok(attempt) = begin(&lockout, &alice()).await else { return false };
                tokio::time::sleep(Duration::from_millis(20)).await;
                lockout.fail(attempt).await.unwrap();
                true
            })
        });
        let judged = futures_util::future::join_all(guesses).await;
        let judged = judged.into_iter().filter(|judged| *judged.as_ref().unwrap()).count();
        assert!(judged <= 5, "{judged} were judged");
        while !guard.standing().await.is_locked() {
            wrong(&guard.lockout).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_attempt_gives_its_place_back_and_a_forgotten_one_counts_as_failed() {
    on_both(|guard, _| async move {
        let lockout = &guard.lockout;
        for _ in 0..20 {
            let attempt = begin(lockout, &alice()).await.unwrap();
            lockout.cancel(attempt).await.unwrap();
        }
        assert_eq!(guard.standing().await.attempts_left(), 5);
        let patience = Duration::from_millis(150);
        let policy = policy().with_attempt_timeout(patience);
        let impatient = Lockout::new(&guard.redis, "impatient", policy).unwrap();
        let kept: Vec<Attempt> = futures_util::future::join_all(
            (0..5).map(|_| async { begin(&impatient, &alice()).await.unwrap() }),
        )
        .await;
        tokio::time::sleep(patience * 2).await;
        let refused = begin(&impatient, &alice()).await.unwrap_err();
        assert!(refused.is_locked(), "{refused:?}");
        let first = refused.retry_after();
        tokio::time::sleep(Duration::from_millis(30)).await;
        let again = begin(&impatient, &alice()).await.unwrap_err();
        assert!(again.retry_after() < first, "the lock has an end");
        drop(kept);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_end_and_grow() {
    on_both(|guard, _| async move {
        let short = Duration::from_millis(300);
        let policy = LockoutPolicy::new(1, Duration::from_secs(60))
            .unwrap()
            .with_lock_time(short)
            .with_growth(2.0, short * 3);
        let lockout = Lockout::new(&guard.redis, "short", policy).unwrap();
        for times in [1, 2, 3, 3] {
            let attempt = begin(&lockout, &alice()).await.unwrap();
            let told = lockout.fail(attempt).await.unwrap();
            assert!(told.is_locked());
            assert!(told.retry_after() <= short * times, "{told:?}");
            assert!(told.retry_after() > short * (times - 1), "{told:?}");
            tokio::time::sleep(told.retry_after() + Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_any_kind() {
    on_both(|guard, _| async move {
        let lockout = &guard.lockout;
        let huge = vec![b'x'; 100_000];
        let names: [&[u8]; 6] =
            [b"", b"\0\xff", b"a:b{c}", "🦀\u{202e}".as_bytes(), b"\r\nDEL *\r\n", &huge];
        for name in names {
            for who in [Subject::secret(name), Subject::text(name)] {
                let attempt = begin(lockout, &who).await.unwrap();
                assert_eq!(lockout.fail(attempt).await.unwrap().attempts_left(), 4);
                lockout.lock(&who, Duration::MAX).await.unwrap();
                assert!(lockout.status(&who).await.unwrap().is_locked());
            }
        }
        for name in ["", "a b", "a:b", "{}", &"x".repeat(65)] {
            assert!(Lockout::new(&guard.redis, name, policy()).is_err(), "{name}");
        }
    })
    .await;
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Begin,
    Fail(usize),
    Succeed(usize),
    Cancel(usize),
    Lock,
    Unlock,
}

/// What both say of every step is the same.
#[tokio::test(flavor = "multi_thread")]
async fn memory_and_redis_are_of_one_mind() {
    let server = RedisServer::start().await;
    let healthy = Guard::at(&server.url()).ready().await;
    let degraded = Guard::at("redis://127.0.0.1:1/");
    let step = prop_oneof![
        6 => Just(Step::Begin),
        5 => any::<usize>().prop_map(Step::Fail),
        1 => any::<usize>().prop_map(Step::Succeed),
        1 => any::<usize>().prop_map(Step::Cancel),
        1 => Just(Step::Lock),
        2 => Just(Step::Unlock),
    ];
    let steps = proptest::collection::vec(step, 1..40);
    let mut runner = TestRunner::new(Config::default());
    for round in 0..40 {
        let who = Subject::text(format!("round {round}"));
        let steps = steps.new_tree(&mut runner).unwrap().current();
        let mut stories = Vec::new();
        for guard in [&healthy, &degraded] {
            stories.push(story(&guard.lockout, &who, &steps).await);
        }
        assert_eq!(stories[0], stories[1], "{steps:?}");
    }
}

async fn story(lockout: &Lockout, who: &Subject, steps: &[Step]) -> Vec<(bool, bool, u32, bool)> {
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut told = Vec::new();
    for step in steps {
        let take = |attempts: &mut Vec<Attempt>, which: usize| {
            (!attempts.is_empty()).then(|| attempts.remove(which % attempts.len()))
        };
        let mut admitted = false;
        match *step {
            Step::Begin => {
                if let Ok(attempt) = begin(lockout, who).await {
                    admitted = true;
                    attempts.push(attempt);
                }
            }
            Step::Fail(which) => {
                if let Some(attempt) = take(&mut attempts, which) {
                    lockout.fail(attempt).await.unwrap();
                }
            }
            Step::Succeed(which) => {
                if let Some(attempt) = take(&mut attempts, which) {
                    lockout.succeed(attempt).await.unwrap();
                }
            }
            Step::Cancel(which) => {
                if let Some(attempt) = take(&mut attempts, which) {
                    lockout.cancel(attempt).await.unwrap();
                }
            }
            Step::Lock => drop(lockout.lock(who, WINDOW).await.unwrap()),
            Step::Unlock => drop(lockout.unlock(who).await.unwrap()),
        }
        let standing = lockout.status(who).await.unwrap().value;
        let waits = standing.retry_after() > Duration::ZERO;
        told.push((admitted, standing.is_locked(), standing.attempts_left(), waits));
    }
    told
}
