//! The reconciliation: what it finds, mends, and leaves alone.

use futures_util::stream;

use super::{support::RedisServer, *};
use crate::support::{Fault, FaultProxy};

async fn gate_is_low(a: &Instance, event: &str) {
    a.token(event, 1).await;
    // Taken at the gate, and nobody knows whether in the database: it was not.
    let request = RequestId::fresh();
    let lost = a.seats.reserve(event, 9, &request, async |_| {
        Err::<Booking, _>(BookingError::Unknown(io::Error::other("reset")))
    });
    assert!(lost.await.is_err());
    assert_eq!(a.remaining(event).await, Some(90));
}

#[tokio::test(flavor = "multi_thread")]
async fn nine_of_ten_are_mended_when_the_database_fails_on_one() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url(), &Database::new()).ready().await;
    let events: Vec<String> = (0..10).map(|n| format!("hall-{n}")).collect();
    for event in &events {
        gate_is_low(&a, event).await;
    }
    let items = events.iter().enumerate().map(|(n, event)| match n {
        2 => Err(io::Error::other("disk")),
        _ => Ok(a.database.truth(event)),
    });
    let found = a.seats.reconcile(stream::iter(items)).await;
    assert_eq!((found.right, found.mended, found.failed), (0, 9, 1));
    assert!(found.is_complete);
    for (n, event) in events.iter().enumerate() {
        assert_eq!(a.remaining(event).await, Some(if n == 2 { 90 } else { 99 }), "{event}");
    }
}

/// A list that names an event twice, as SCAN may.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_event_twice_is_the_same_event() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url(), &Database::new()).ready().await;
    gate_is_low(&a, "hall").await;
    let truth = || Ok::<_, io::Error>(a.database.truth("hall"));
    let found = a.seats.reconcile(stream::iter([truth(), truth(), truth()])).await;
    assert_eq!((found.right, found.mended, found.failed), (2, 1, 0));
    assert_eq!(a.remaining("hall").await, Some(99));
    // What no gate knows needs no mending, and what is left out stays.
    let unknown = Truth { event: "yard".to_owned(), occupancy: Occupancy::new(HALL, 7) };
    let found = a.seats.reconcile(stream::iter([Ok::<_, io::Error>(unknown)])).await;
    assert_eq!((found.right, found.mended), (1, 0));
    assert_eq!((a.remaining("yard").await, a.remaining("hall").await), (None, Some(99)));
}

/// A row that was read before a release does not lower the gate after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_was_read_before_a_release_is_not_believed() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url(), &Database::new()).ready().await;
    let token = a.token("hall", 100).await;
    let items = stream::once(async {
        let read_before = a.database.truth("hall");
        a.release("hall", &token).await;
        Ok::<_, io::Error>(read_before)
    });
    let found = a.seats.reconcile(items).await;
    assert_eq!(found.mended, 1, "{found:?}");
    assert_eq!(a.remaining("hall").await, None, "given up, not lowered");
    a.token("hall", 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn items_that_make_no_sense_hold_up_no_other() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url(), &Database::new()).ready().await;
    gate_is_low(&a, "hall").await;
    let item = |event: &str| Ok::<_, io::Error>(a.database.truth(event));
    let items = [item(""), item(&"x".repeat(300)), item("hall")];
    let found = a.seats.reconcile(stream::iter(items)).await;
    assert_eq!((found.mended, found.failed, found.is_complete), (1, 2, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_where_redis_goes_and_says_so() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let a = Instance::at(&proxy.url(), &Database::new()).ready().await;
    let proxy = &proxy;
    let items = stream::unfold(0, |n| async move {
        if n == 3 {
            proxy.set(Fault::Refuse).await;
        }
        Some((Ok::<_, io::Error>(Database::new().truth(&n.to_string())), n + 1))
    });
    let found = a.seats.reconcile(items).await;
    assert_eq!((found.right, found.is_complete), (3, false));
    a.away().await;
    let found = a.seats.reconcile(stream::iter([Ok::<_, io::Error>(a.database.truth("x"))])).await;
    assert_eq!((found.right, found.mended, found.is_complete), (0, 0, false));
}
