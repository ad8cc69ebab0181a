//! While Redis serves: each message once, in order, everywhere.

use std::time::Duration;

use bytes::Bytes;
use evenkeel::store::pubsub::{Delivery, Event, Json};
use futures_util::{StreamExt, future::join_all};

use super::{Instance, eventually, next, quiet, support::RedisServer, until, word};

#[tokio::test]
async fn a_thousand_messages_each_once_and_in_order() {
    let server = RedisServer::start().await;
    let (a, b, c) = (
        Instance::at(&server.url()).ready().await,
        Instance::with(&server.url(), |b| b.with_buffer(2_048)).ready().await,
        Instance::with(&server.url(), |b| b.with_buffer(2_048)).ready().await,
    );
    let mut subscribers = Vec::new();
    for instance in [&b, &c, &c] {
        subscribers.push(instance.channel("room").subscribe().await);
    }
    // Many at once: they are published in the order in which they are polled first.
    let room = a.channel("room");
    let published = (0..1_000).map(|n| {
        let (room, n) = (room.clone(), Bytes::from(n.to_string()));
        async move { room.publish(&n).await.unwrap() }
    });
    let published = join_all(published).await;
    let expected: Vec<String> = (0..1_000).map(|n| n.to_string()).collect();
    for subscriber in &mut subscribers {
        assert_eq!(until(subscriber, "999").await, expected);
        quiet(subscriber).await;
    }
    let delivered = published.iter().filter(|delivery| delivery.is_delivered()).count();
    assert_eq!(delivered, 1_000);
    assert_eq!(b.metric(&["pubsub_messages_total", "received"]), 1_000);
    assert_eq!(a.metric(&["pubsub_messages_total", "published"]), 1_000);
}

#[tokio::test]
async fn what_is_published_once_subscribe_has_returned_is_received() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url()).ready().await;
    let b = Instance::at(&server.url()).ready().await;
    for round in 0..1_000 {
        let channel = format!("room:{round}");
        let mut subscriber = a.channel(&channel).subscribe().await;
        let delivery = b.publish(&channel, "hello").await;
        assert_eq!(delivery, Delivery::Delivered { local: 0, remote: 1 });
        assert_eq!(word(next(&mut subscriber).await), "hello");
    }
    // None of those channels is listened to any more.
    let left = eventually(Duration::from_secs(20), async || {
        server.query::<Vec<String>>(&["PUBSUB", "CHANNELS"]).await.unwrap().is_empty()
    });
    assert!(left.await);
    assert_eq!(a.metric(&["pubsub_subscriptions"]), 0);
}

#[tokio::test]
async fn here_at_once_and_never_twice() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url()).ready().await;
    let b = Instance::at(&server.url()).ready().await;
    let mut here = a.channel("room").subscribe().await;
    let mut matching = a.pubsub.pattern("r?om").unwrap().subscribe().await;
    let mut other = a.channel("other").subscribe().await;
    let mut there = b.channel("room").subscribe().await;
    let delivery = a.publish("room", "hello").await;
    assert_eq!(delivery, Delivery::Delivered { local: 2, remote: 1 });
    for subscriber in [&mut here, &mut matching, &mut there] {
        assert_eq!(word(next(subscriber).await), "hello");
        quiet(subscriber).await;
    }
    quiet(&mut other).await;
    let _ = b.publish("room", "again").await;
    for subscriber in [&mut here, &mut matching, &mut there] {
        assert_eq!(word(next(subscriber).await), "again");
        quiet(subscriber).await;
    }
}

#[tokio::test]
async fn a_pattern_says_which_channel_and_names_are_no_patterns() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url()).ready().await;
    let b = Instance::at(&server.url()).ready().await;
    let mut all = a.pubsub.pattern::<Bytes>("room:*").unwrap().subscribe().await;
    let mut starred = a.channel("room:*").subscribe().await;
    let _ = b.publish("room:1", "one").await;
    let _ = a.publish("room:2", "two").await;
    let _ = b.publish("room:*", "star").await;
    for (channel, text) in [("room:1", "one"), ("room:2", "two"), ("room:*", "star")] {
        let Event::Message(message) = next(&mut all).await else { panic!("no message") };
        assert_eq!((&*message.channel, &message.value[..]), (channel, text.as_bytes()));
    }
    assert_eq!(word(next(&mut starred).await), "star");
    quiet(&mut starred).await;
}

#[tokio::test]
async fn values_travel_as_json_and_as_a_stream() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url()).ready().await;
    let b = Instance::at(&server.url()).ready().await;
    let numbers = a.pubsub.channel::<Json<Vec<u8>>>("numbers").unwrap().subscribe().await;
    let channel = b.pubsub.channel::<Json<Vec<u8>>>("numbers").unwrap();
    for n in 0..3 {
        assert!(channel.publish(&Json(vec![n; 3])).await.unwrap().is_delivered());
    }
    let events: Vec<_> = numbers.into_stream().take(3).collect().await;
    for (n, event) in (0..).zip(events) {
        let Event::Message(message) = event else { panic!("{event:?}") };
        assert_eq!(message.value, Json(vec![n; 3]));
    }
}

#[tokio::test]
async fn a_slow_subscriber_lags_alone_and_goes_on() {
    let server = RedisServer::start().await;
    let a = Instance::with(&server.url(), |b| b.with_buffer(16)).ready().await;
    let mut slow = a.channel("room").subscribe().await;
    let mut fast = a.channel("room").subscribe().await;
    for n in 0..100 {
        let _ = a.publish("room", &n.to_string()).await;
        assert_eq!(word(next(&mut fast).await), n.to_string());
    }
    assert_eq!(word(next(&mut slow).await), "lagged 84");
    assert_eq!(until(&mut slow, "99").await.len(), 16);
    let _ = a.publish("room", "on").await;
    assert_eq!(word(next(&mut slow).await), "on");
    assert_eq!(a.metric(&["pubsub_lagged_total"]), 84);
}

#[tokio::test]
async fn a_subscriber_ends_with_redis_and_in_no_other_way() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url()).ready().await;
    let mut before = a.channel("room").subscribe().await;
    let _ = a.publish("room", "last").await;
    a.redis.shutdown().await;
    assert_eq!(word(next(&mut before).await), "last");
    let end = async { while before.recv().await.is_some() {} };
    tokio::time::timeout(super::PATIENCE, end).await.expect("an end");
    let mut after = a.channel("room").subscribe().await;
    let first = after.recv().await;
    assert!(matches!(first, None | Some(Event::Mode(_))), "{first:?}");
}
