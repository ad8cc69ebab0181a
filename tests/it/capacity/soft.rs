//! Limits without a database: Redis counts, and while it is away nothing is given out, or a share.

use evenkeel::{Source, store::capacity::SoftCapacity};

use super::{support::RedisServer, *};
use crate::{
    guards::PATIENCE,
    support::{Fault, FaultProxy, eventually},
};

struct Limit {
    redis: Redis,
    limit: SoftCapacity,
}

impl Limit {
    async fn at(url: &str, share: u64, hold: Option<Duration>) -> Self {
        let redis = Redis::new(quick(url, &Metrics::prometheus("test", "a"))).unwrap();
        let builder = SoftCapacity::builder(&redis, "n", 10).with_share_without_redis(share);
        let limit = match hold {
            Some(hold) => builder.with_hold(hold),
            None => builder,
        };
        let limit = limit.build().unwrap();
        available(&redis).await;
        Self { redis, limit }
    }

    async fn verdict(&self, n: u32) -> Served<CapacityVerdict> {
        self.limit.reserve("e", n, &RequestId::fresh()).await.unwrap()
    }

    async fn token(&self, n: u32) -> Token {
        match self.verdict(n).await.value {
            CapacityVerdict::Granted { token, .. } => token,
            refused => panic!("{refused:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_counts_for_all_instances() {
    let server = RedisServer::start().await;
    let a = Limit::at(&server.url(), 0, None).await;
    let b = Limit::at(&server.url(), 0, None).await;
    let request = RequestId::given("r").unwrap();
    let one = a.limit.reserve("e", 6, &request).await.unwrap().value;
    let CapacityVerdict::Granted { token, left: 4, is_repeated: false } = one else {
        panic!("{one:?}")
    };
    let again = b.limit.reserve("e", 6, &request).await.unwrap().value;
    assert_eq!(again, CapacityVerdict::Granted { token, left: 4, is_repeated: true });
    assert_eq!(b.verdict(5).await.value, CapacityVerdict::Full { left: 4 });
    assert_eq!(b.verdict(11).await.value, CapacityVerdict::TooMany { capacity: 10 });
    let four = b.token(4).await;
    let other = a.limit.release("f", &four).await.unwrap().value;
    assert_eq!(other, ReleaseVerdict::Unknown { left: 10 });
    for told in [
        ReleaseVerdict::Released { seats: 6, left: 6 },
        ReleaseVerdict::Unknown { left: 6 },
        ReleaseVerdict::Unknown { left: 6 },
    ] {
        assert_eq!(b.limit.release("e", &token).await.unwrap().value, told);
    }
    // What is not a row is replaced.
    server.cli(&["SET", "evenkeel:soft-capacity:n:{e}", "strange"]).await.unwrap();
    a.token(10).await;
    let mut tasks = tokio::task::JoinSet::new();
    server.flushall().await;
    let (a, b) = (Arc::new(a), Arc::new(b));
    for n in 0..200 {
        let limit = Arc::clone(if n % 2 == 0 { &a } else { &b });
        tasks.spawn(async move { limit.verdict(1).await.value.is_granted() });
    }
    assert_eq!(tasks.join_all().await.into_iter().filter(|granted| *granted).count(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_ends_by_itself() {
    let server = RedisServer::start().await;
    let a = Limit::at(&server.url(), 0, Some(Duration::from_millis(700))).await;
    let token = a.token(10).await;
    assert!(!a.verdict(1).await.value.is_granted());
    // The keys have an end, too: without it the holds have to end one by one.
    for key in ["evenkeel:soft-capacity:n:{e}", "evenkeel:soft-capacity:n:{e}:ends"] {
        assert_eq!(server.query::<u8>(&["PERSIST", key]).await.unwrap(), 1);
    }
    let ended = async || a.verdict(1).await.value.is_granted();
    assert!(eventually(PATIENCE, ended).await);
    let told = a.limit.release("e", &token).await.unwrap().value;
    assert!(matches!(told, ReleaseVerdict::Unknown { .. }), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_nothing_is_given_out_or_the_share_and_redis_is_told() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let none = Limit::at(&proxy.url(), 0, None).await;
    let some = Limit::at(&proxy.url(), 3, None).await;
    let kept = some.token(4).await;
    proxy.set(Fault::BlackHole).await;
    away(&none.redis).await;
    away(&some.redis).await;
    let refused = none.limit.reserve("e", 1, &RequestId::fresh()).await.unwrap_err();
    assert!(refused.is_unavailable());
    assert!(some.limit.release("e", &kept).await.unwrap_err().is_unavailable());

    let request = RequestId::given("r").unwrap();
    let given = some.limit.reserve("e", 2, &request).await.unwrap();
    assert_eq!(given.source, Source::Memory);
    let CapacityVerdict::Granted { token, .. } = given.value else { panic!("{given:?}") };
    let back = some.token(1).await;
    assert_eq!(some.verdict(1).await.value, CapacityVerdict::Full { left: 0 });
    let told = some.limit.release("e", &back).await.unwrap().value;
    assert_eq!(told, ReleaseVerdict::Released { seats: 1, left: 1 });

    proxy.set(Fault::Pass).await;
    for limit in [&none, &some] {
        assert!(limit.redis.monitor().wait_available(PATIENCE).await);
    }
    // 4 before the outage and 2 in it; the one that was given back is not among them.
    assert_eq!(none.verdict(5).await.value, CapacityVerdict::Full { left: 4 });
    let again = none.limit.reserve("e", 2, &request).await.unwrap().value;
    assert_eq!(again, CapacityVerdict::Granted { token, left: 4, is_repeated: true });
    let told = none.limit.release("e", &token).await.unwrap().value;
    assert_eq!(told, ReleaseVerdict::Released { seats: 2, left: 6 });
}
