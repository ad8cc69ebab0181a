//! Names and messages of somebody who means it, and of others on the same Redis.

use bytes::Bytes;
use evenkeel::{
    ErrorKind,
    redis::{Pool, Redis, RedisConfig, deadpool_redis},
    store::pubsub::{Json, PubSub},
};

use super::{Instance, eventually, next, quiet, support::RedisServer, until, word};

#[tokio::test]
async fn names_that_are_none_are_refused() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url());
    for name in ["", "a\nb", "\0", &"x".repeat(257)] {
        assert_eq!(a.pubsub.channel::<Bytes>(name).unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(a.pubsub.pattern::<Bytes>(name).unwrap_err().kind(), ErrorKind::Invalid);
    }
    for name in ["room:42", "{tag}:a b", "ключ", "*", &"x".repeat(256)] {
        let mut subscriber = a.channel(name).subscribe().await;
        let _ = a.publish(name, "heard").await;
        assert_eq!(until(&mut subscriber, "heard").await.last().unwrap(), "heard", "{name}");
    }
}

#[tokio::test]
async fn junk_of_a_foreign_publisher_is_counted_and_passed_over() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url()).ready().await;
    let b = Instance::at(&server.url()).ready().await;
    let mut numbers = a.pubsub.channel::<Json<u64>>("room").unwrap().subscribe().await;
    let mut operator = server.connect().await.unwrap();
    for junk in [&b""[..], b"junk", b"ekp1", b"ekp1\0\0\0\0\0\0\0\0", &[0xff; 64], &[b'x'; 1 << 20]]
    {
        let publish = redis::cmd("PUBLISH").arg("evenkeel:pubsub:room").arg(junk).to_owned();
        assert_eq!(publish.query_async::<u64>(&mut operator).await.unwrap(), 1);
    }
    // Of the right form, and no number; and one that is too long.
    let _ = b.publish("room", "no number").await;
    let mut long = b"ekp1".to_vec();
    long.resize(1 << 20, b'1');
    let publish = redis::cmd("PUBLISH").arg("evenkeel:pubsub:room").arg(long).to_owned();
    publish.query_async::<u64>(&mut operator).await.unwrap();
    let room = b.pubsub.channel::<Json<u64>>("room").unwrap();
    assert!(room.publish(&Json(7)).await.unwrap().is_delivered());
    let evenkeel::store::pubsub::Event::Message(message) = next(&mut numbers).await else {
        panic!("no message")
    };
    assert_eq!(message.value, Json(7));
    assert_eq!(a.metric(&["pubsub_messages_total", "unreadable"]), 8);
    assert_eq!(a.metric(&["pubsub_gaps_total"]), 0);
}

#[tokio::test]
async fn a_message_that_is_too_long_reaches_nobody() {
    let server = RedisServer::start().await;
    let a = Instance::with(&server.url(), |b| b.with_max_message_bytes(10)).ready().await;
    let mut here = a.channel("room").subscribe().await;
    let error = a.channel("room").publish(&Bytes::from_static(b"eleven long")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    quiet(&mut here).await;
    let _ = a.publish("room", "ten bytes!").await;
    assert_eq!(word(next(&mut here).await), "ten bytes!");
}

#[tokio::test]
async fn ten_thousand_channels_come_and_go() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url()).ready().await;
    let mut subscribers = Vec::new();
    for batch in 0..10 {
        let names: Vec<String> = (0..1_000).map(|n| format!("room:{batch}:{n}")).collect();
        let channels: Vec<_> = names.iter().map(|name| a.channel(name)).collect();
        let begun = channels.iter().map(|channel| channel.subscribe());
        subscribers.extend(futures_util::future::join_all(begun).await);
    }
    assert_eq!(a.metric(&["pubsub_subscriptions"]), 10_000);
    let listened: Vec<String> = server.query(&["PUBSUB", "CHANNELS"]).await.unwrap();
    assert_eq!(listened.len(), 10_000);
    drop(subscribers);
    let left = eventually(super::PATIENCE, async || {
        server.query::<Vec<String>>(&["PUBSUB", "CHANNELS"]).await.unwrap().is_empty()
    });
    assert!(left.await);
    assert_eq!(a.metric(&["pubsub_subscriptions"]), 0);
}

#[tokio::test]
async fn an_own_pool_cannot_listen_and_says_so() {
    let server = RedisServer::start().await;
    let pool = deadpool_redis::Config::from_url(server.url());
    let pool = pool.create_pool(Some(deadpool_redis::Runtime::Tokio1)).unwrap();
    let config = RedisConfig::new(server.url().parse().unwrap());
    let redis = Redis::with_pool(Pool::from(pool), config).unwrap();
    assert_eq!(PubSub::new(&redis).unwrap_err().kind(), ErrorKind::Config);
}
