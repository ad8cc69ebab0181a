//! The gate of one event, and what it makes of the database's answers.

use std::{future::Future, pin::pin, task::Poll};

use evenkeel::Source;

use super::{support::RedisServer, *};

async fn instance(server: &RedisServer) -> Instance {
    Instance::at(&server.url(), &Database::new()).ready().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_is_the_databases_and_the_gate_refuses_the_rest() {
    let server = RedisServer::start().await;
    let a = instance(&server).await;
    assert_eq!(a.remaining("hall").await, None);
    a.token("hall", 60).await;
    assert_eq!(a.remaining("hall").await, Some(40));
    let refused = a.reserve("hall", 41).await.unwrap();
    assert_eq!(refused.value, CapacityVerdict::Full { left: 40 });
    a.token("hall", 40).await;
    let asked = a.database.asked();
    for n in [1, 100] {
        let refused = a.reserve("hall", n).await.unwrap();
        assert_eq!(refused.value, FULL);
    }
    let never = a.reserve("hall", 101).await.unwrap();
    assert!(matches!(never.value, CapacityVerdict::Full { .. } | CapacityVerdict::TooMany { .. }));
    assert_eq!(a.database.asked(), asked, "the gate is there to spare the database");
    assert_eq!(a.database.taken("hall"), HALL);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_there_are_never_fit() {
    let server = RedisServer::start().await;
    let a = instance(&server).await;
    for _ in 0..2 {
        let verdict = a.reserve("hall", 101).await.unwrap();
        assert_eq!(verdict.value, CapacityVerdict::TooMany { capacity: HALL });
        assert_eq!(verdict.source, Source::Redis);
    }
    assert_eq!(
        a.reserve("hall", u32::MAX).await.unwrap().value,
        CapacityVerdict::TooMany { capacity: HALL }
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_twice_is_one_reservation_also_when_all_is_sold() {
    let server = RedisServer::start().await;
    let database = Database::new();
    let a = Instance::at(&server.url(), &database).ready().await;
    let b = Instance::at(&server.url(), &database).ready().await;
    let request = RequestId::given("r1").unwrap();
    let CapacityVerdict::Granted { token, is_repeated: false, .. } =
        a.reserve_as("hall", 3, &request).await.unwrap().value
    else {
        panic!("not granted")
    };
    for instance in [&a, &b] {
        let again = instance.reserve_as("hall", 3, &request).await.unwrap().value;
        assert_eq!(again, CapacityVerdict::Granted { token, left: 97, is_repeated: true });
        assert_eq!(a.remaining("hall").await, Some(97), "the gate has taken them twice");
    }
    b.token("hall", 97).await;
    assert_eq!(b.reserve("hall", 1).await.unwrap().value, FULL);
    for instance in [&a, &b] {
        let again = instance.reserve_as("hall", 3, &request).await.unwrap().value;
        assert_eq!(again, CapacityVerdict::Granted { token, left: 0, is_repeated: true });
        let other = RequestId::given("r2").unwrap();
        assert_eq!(instance.reserve_as("hall", 1, &other).await.unwrap().value, FULL);
    }
    assert_eq!(database.taken("hall"), HALL);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_releases_its_seats_once_and_only_those_of_its_event() {
    let server = RedisServer::start().await;
    let a = instance(&server).await;
    let three = a.token("hall", 3).await;
    let two = a.token("hall", 2).await;
    assert_eq!(a.release("yard", &three).await, ReleaseVerdict::Unknown { left: HALL });
    assert_eq!(a.remaining("hall").await, Some(95));
    assert_eq!(a.release("hall", &three).await, ReleaseVerdict::Released { seats: 3, left: 98 });
    for _ in 0..2 {
        assert_eq!(a.release("hall", &three).await, ReleaseVerdict::Unknown { left: 98 });
        assert_eq!(a.remaining("hall").await, Some(98));
    }
    let unknown = Token::parse(&"0".repeat(32)).unwrap();
    assert_eq!(a.release("hall", &unknown).await, ReleaseVerdict::Unknown { left: 98 });
    a.release("hall", &two).await;
    assert_eq!(a.remaining("hall").await, Some(HALL));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_certainly_failed_is_given_back_and_what_may_have_happened_stays_taken() {
    let server = RedisServer::start().await;
    let database = Database::new();
    let short = |builder: CapacityBuilder| builder.with_timeout(Duration::from_millis(200));
    let a = Instance::with(&server.url(), &database, short).ready().await;
    a.token("hall", 1).await;
    for (mood, left) in [
        (Mood::Refuses, 99),
        (Mood::LosesAnswers, 98),
        (Mood::Hangs, 97),
        (Mood::Panics, 96),
        (Mood::Refuses, 96),
    ] {
        database.is(mood);
        let error = a.reserve("hall", 1).await.unwrap_err();
        assert_eq!(error.is_outcome_unknown(), mood != Mood::Refuses, "{error}");
        assert_eq!(a.remaining("hall").await, Some(left), "{mood:?}");
    }
    database.is(Mood::Works);
    let taken = database.taken("hall");
    assert_eq!(taken, 4);

    // A release of which nobody knows: the gate is given up, and the database asked.
    let token = a.token("hall", 1).await;
    database.is(Mood::LosesAnswers);
    let released =
        a.seats.release("hall", &token, async |event, token| database.cancel(event, token).await);
    assert!(released.await.unwrap_err().is_outcome_unknown());
    let given_up = async || a.remaining("hall").await.is_none();
    assert!(support::eventually(crate::guards::PATIENCE, given_up).await);
    database.is(Mood::Works);
    a.token("hall", 96).await;
    assert_eq!(a.reserve("hall", 1).await.unwrap().value, FULL);
}

/// What the database said before a release is too little after it, whoever writes it to the gate.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_from_before_a_release_does_not_lower_the_gate() {
    let server = RedisServer::start().await;
    let a = instance(&server).await;
    for is_known in [false, true] {
        let token = a.token("hall", 100).await;
        if is_known {
            // Too high, so that the database is asked.
            let mend = Truth { event: "hall".to_owned(), occupancy: Occupancy::new(HALL, 0) };
            let mend = futures_util::stream::iter([Ok::<_, io::Error>(mend)]);
            assert_eq!(a.seats.reconcile(mend).await.mended, 1);
        } else {
            server.flushall().await;
        }
        let request = RequestId::fresh();
        let overtaken = a.seats.reserve("hall", 1, &request, async |ask| {
            let booking = a.database.book(ask).await;
            a.release("hall", &token).await;
            booking
        });
        assert_eq!(overtaken.await.unwrap().value, FULL);
        assert_ne!(a.remaining("hall").await, Some(0), "known: {is_known}");
        let bought = a.token("hall", 100).await;
        a.release("hall", &bought).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_goes_away_leaves_its_seats_taken() {
    let server = RedisServer::start().await;
    let a = instance(&server).await;
    a.token("hall", 1).await;
    a.database.is(Mood::Hangs);
    {
        let mut gone = pin!(a.reserve("hall", 5));
        let limit = sleep(Duration::from_secs(1));
        tokio::pin!(limit);
        std::future::poll_fn(|cx| match gone.as_mut().poll(cx) {
            Poll::Ready(_) => panic!("it hangs"),
            Poll::Pending => limit.as_mut().poll(cx),
        })
        .await;
    }
    assert_eq!(a.remaining("hall").await, Some(94));
    // A release that goes away gives up the gate.
    a.database.is(Mood::Works);
    let token = a.token("hall", 1).await;
    a.database.is(Mood::Hangs);
    let gone = a.release("hall", &token);
    assert!(tokio::time::timeout(Duration::from_millis(300), gone).await.is_err());
    let given_up = async || a.remaining("hall").await.is_none();
    assert!(support::eventually(crate::guards::PATIENCE, given_up).await);
}

/// What stands in place of a gate, and is none.
#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_is_none_gives_way() {
    let server = RedisServer::start().await;
    let a = instance(&server).await;
    a.token("hall", 1).await;
    let keys: Vec<String> = server.query(&["KEYS", "*:capacity:seats:*{hall}"]).await.unwrap();
    let [key] = &keys[..] else { panic!("{keys:?}") };
    let strange: [&[&str]; 6] = [
        &["HSET", key, "left", "-5"],
        &["HSET", key, "left", "101"],
        &["HSET", key, "left", "many"],
        &["HSET", key, "left", "1.5"],
        &["HSET", key, "capacity", "1e300"],
        &["SET", key, "hall"],
    ];
    for (n, command) in strange.iter().enumerate() {
        server.cli(command).await.unwrap();
        assert_eq!(a.remaining("hall").await, None, "{command:?}");
        server.cli(command).await.unwrap();
        a.token("hall", 1).await;
        let left = HALL - 2 - n as u64;
        assert_eq!(a.remaining("hall").await, Some(left), "{command:?}");
        let replaced = crate::guards::metric(&a.metrics, &["gate_replaced"]);
        assert_eq!(replaced, n as u64 + 1, "{command:?}");
    }
    server.cli(&["DEL", key]).await.unwrap();
    a.token("hall", 1).await;
    assert_eq!(a.remaining("hall").await, Some(HALL - 8));
}

/// A gate is believed for its lifetime and no longer: a hold that ends is seen then at the latest.
#[tokio::test(flavor = "multi_thread")]
async fn a_gate_has_an_end() {
    let server = RedisServer::start().await;
    let database = Database::new();
    let brief = |builder: CapacityBuilder| {
        let builder = builder.with_timeout(Duration::from_millis(100));
        builder.with_gate_lifetime(Duration::from_millis(500)).with_hold(Duration::from_secs(7))
    };
    let a = Instance::with(&server.url(), &database, brief).ready().await;
    a.token("hall", 100).await;
    assert_eq!(a.reserve("hall", 1).await.unwrap().value, FULL);
    // The hold has ended.
    database.0.rows.lock().unwrap().clear();
    let sold_again = async || a.reserve("hall", 1).await.unwrap().is_granted();
    assert!(support::eventually(crate::guards::PATIENCE, sold_again).await);
    let request = RequestId::fresh();
    let hold = a.seats.reserve("hall", 1, &request, async |ask| {
        assert_eq!(ask.hold, Some(Duration::from_secs(7)));
        database.book(ask).await
    });
    assert!(hold.await.unwrap().is_granted());
}

/// Five seconds of contention, and nobody goes past Redis.
#[tokio::test(flavor = "multi_thread")]
async fn contention_is_not_an_outage() {
    let server = RedisServer::start().await;
    let database = Database::new();
    database.takes(Duration::from_millis(20));
    let a = Arc::new(Instance::at(&server.url(), &database).ready().await);
    let until = tokio::time::Instant::now() + Duration::from_secs(5);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let a = Arc::clone(&a);
        tasks.spawn(async move {
            while tokio::time::Instant::now() < until {
                let verdict = a.reserve("hall", 1).await.unwrap();
                assert_ne!(verdict.source, Source::Database);
                if let CapacityVerdict::Granted { token, .. } = verdict.value {
                    a.release("hall", &token).await;
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    assert_eq!(a.redis.monitor().status().outages, 0);
    assert_eq!(database.taken("hall"), 0);
    assert!(a.remaining("hall").await.is_none_or(|left| left == HALL));
}
