//! What a hostile or careless caller asks for.

use evenkeel::{ErrorKind, Source};

use super::{support::RedisServer, *};

#[tokio::test(flavor = "multi_thread")]
async fn names_and_numbers_that_make_no_sense_are_refused_before_anybody_is_asked() {
    let database = Database::new();
    let a = Instance::at("redis://127.0.0.1:1", &database);
    let long = "x".repeat(257);
    for (event, seats) in [("hall", 0), ("", 1), (&*long, 1)] {
        let error = a.reserve(event, seats).await.unwrap_err();
        let CapacityError::Invalid(error) = error else { panic!("{error}") };
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    for id in ["", &long] {
        assert_eq!(RequestId::given(id).unwrap_err().kind(), ErrorKind::Invalid);
    }
    for token in ["", "x", &"F".repeat(32), &"0".repeat(33), &"\u{1f980}".repeat(8)] {
        assert_eq!(Token::parse(token).unwrap_err().kind(), ErrorKind::Invalid);
    }
    assert_eq!(database.asked(), 0);
    for name in ["", "a b", "{x}", &"n".repeat(65)] {
        assert_eq!(Capacity::new(&a.redis, name).unwrap_err().kind(), ErrorKind::Config);
    }
}

/// Events are apart, whatever they are called.
#[tokio::test(flavor = "multi_thread")]
async fn names_of_events_never_run_into_each_other() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url(), &Database::new()).ready().await;
    let long = ["a", "b"].map(|end| format!("{}{end}", "x".repeat(255)));
    let names = ["a", "a}", "{a}", "a:b", "+a", "*1", "a\0", "\r\n", "\u{1f980}", "%61"];
    let all: Vec<&str> = names.into_iter().chain(long.iter().map(String::as_str)).collect();
    for (n, event) in all.iter().enumerate() {
        a.token(event, n as u32 + 1).await;
    }
    for (n, event) in all.iter().enumerate() {
        assert_eq!(a.remaining(event).await, Some(HALL - n as u64 - 1), "{event:?}");
    }
}

/// A closure that lies: it grants more than there are, or contradicts itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_truth_that_makes_no_sense_breaks_nothing() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url(), &Database::new()).ready().await;
    let lies = [
        Occupancy::new(0, 0),
        Occupancy::new(5, u64::MAX),
        Occupancy::new(u64::MAX, 0),
        Occupancy::new(1 << 60, 3),
        Occupancy::new(100, 0),
    ];
    for lie in lies {
        let request = RequestId::fresh();
        for booking in [Booking::Taken(lie), Booking::Full(lie)] {
            let told = a
                .seats
                .reserve("hall", 1, &request, async |_| Ok::<_, BookingError<io::Error>>(booking));
            let told = told.await.unwrap();
            assert_ne!(told.source, Source::Database, "{lie:?}");
        }
        server.flushall().await;
    }
    a.token("yard", 1).await;
}
