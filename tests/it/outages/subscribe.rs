//! Subscriptions: they go on whatever becomes of the connection, and no gap is silent.

use std::time::{Duration, Instant};

use evenkeel::{
    Error, ErrorKind,
    health::State,
    redis::{Message, Pool, Redis, RedisConfig, Subscription, SubscriptionEvent, deadpool_redis},
};
use tokio::time::timeout;

use super::{
    LONG, SLACK, World,
    support::{Fault, FaultProxy, RedisServer, eventually},
    world::health,
};

/// A connection that has died silently is noticed within this.
const NOTICED: Duration = Duration::from_millis(1_500);

async fn next(subscription: &mut Subscription) -> SubscriptionEvent {
    let event = timeout(LONG, subscription.recv()).await.expect("an event");
    event.expect("a subscription that goes on")
}

async fn message(subscription: &mut Subscription) -> Message {
    match next(subscription).await {
        SubscriptionEvent::Message(message) => message,
        other => panic!("{other:?} in place of a message"),
    }
}

/// Reads on until the gap, which nothing but `Disconnected` may stand before.
async fn gap(subscription: &mut Subscription) {
    loop {
        match next(subscription).await {
            SubscriptionEvent::Disconnected => {}
            SubscriptionEvent::Gap { .. } => return,
            other => panic!("{other:?} before the gap"),
        }
    }
}

async fn publish(server: &RedisServer, channel: &str, payload: &str) -> u64 {
    server.query(&["PUBLISH", channel, payload]).await.unwrap()
}

async fn news(redis: &Redis) -> Subscription {
    redis.subscribe(["news"]).await.unwrap()
}

#[tokio::test]
async fn what_is_published_after_subscribing_arrives() {
    let world = World::up().await;
    let mut operator = world.server.connect().await.unwrap();
    for round in 0..200 {
        let mut subscription = world.redis.subscribe(["news", "weather"]).await.unwrap();
        assert!(subscription.is_connected());
        let receivers: u64 = redis::cmd("PUBLISH")
            .arg("weather")
            .arg(round)
            .query_async(&mut operator)
            .await
            .unwrap();
        assert_eq!(receivers, 1);
        let message = message(&mut subscription).await;
        assert_eq!((message.channel.as_str(), message.pattern), ("weather", None));
        assert_eq!(message.payload, round.to_string().into_bytes());
        drop(subscription);
        let gone = eventually(LONG, || async {
            let list: String =
                world.server.query(&["CLIENT", "LIST", "TYPE", "pubsub"]).await.unwrap();
            list.is_empty()
        });
        assert!(gone.await, "dropped subscriptions leave no connection");
    }
}

#[tokio::test]
async fn patterns_match_and_bytes_come_as_they_are() {
    let world = World::up().await;
    let mut subscription = world.redis.psubscribe(["news.*"]).await.unwrap();
    let mut operator = world.server.connect().await.unwrap();
    let bytes = [0, 159, 146, 150, 13, 10];
    let publish = redis::cmd("PUBLISH").arg("news.today").arg(&bytes[..]).to_owned();
    let _: u64 = publish.query_async(&mut operator).await.unwrap();
    let message = message(&mut subscription).await;
    assert_eq!(message.channel, "news.today");
    assert_eq!(message.pattern.as_deref(), Some("news.*"));
    assert_eq!(message.payload, bytes);
}

#[tokio::test]
async fn silence_on_the_listening_connection_alone_is_noticed() {
    let mut world = World::up().await;
    let mut subscription = news(&world.redis).await;
    let before = world.history().len();
    // Quiet is not dead.
    let quiet = timeout(NOTICED * 2, subscription.recv()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    world.proxy.set(Fault::HoldUsersOf("SUBSCRIBE".to_owned())).await;
    let began = Instant::now();
    publish(&world.server, "news", "lost").await;
    assert_eq!(next(&mut subscription).await, SubscriptionEvent::Disconnected);
    let noticed = began.elapsed();
    assert!(noticed < NOTICED + SLACK, "noticed after {noticed:?}");
    assert_eq!(world.monitor().state(), State::Connected);
    match next(&mut subscription).await {
        SubscriptionEvent::Gap { since } => {
            let gap = since.elapsed();
            assert!(gap >= noticed && gap < noticed + NOTICED + SLACK, "{gap:?} {noticed:?}");
        }
        other => panic!("{other:?}"),
    }
    assert!(subscription.is_connected());
    publish(&world.server, "news", "heard").await;
    assert_eq!(message(&mut subscription).await.payload, b"heard");
    assert_eq!(world.history().len(), before, "{:?}", world.history());
}

#[tokio::test]
async fn a_connection_that_is_killed_is_made_again() {
    let world = World::up().await;
    let mut subscription = news(&world.redis).await;
    for round in 0..20 {
        let began = Instant::now();
        let killed: u64 = world.server.query(&["CLIENT", "KILL", "TYPE", "pubsub"]).await.unwrap();
        assert_eq!(killed, 1);
        gap(&mut subscription).await;
        let took = began.elapsed();
        assert!(took < Duration::from_millis(200) + SLACK, "round {round}: {took:?}");
        publish(&world.server, "news", "again").await;
        assert_eq!(message(&mut subscription).await.payload, b"again");
    }
    assert!(world.monitor().is_available());
}

#[tokio::test]
async fn a_server_that_ends_each_subscription_is_not_hammered() {
    let world = World::up().await;
    let subscription = news(&world.redis).await;
    let mut operator = world.server.connect().await.unwrap();
    let (began, mut killed) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(3) {
        let kill = redis::cmd("CLIENT").arg(&["KILL", "TYPE", "pubsub"]).to_owned();
        killed += kill.query_async::<u64>(&mut operator).await.unwrap();
    }
    // 0.1 + 0.1 + 0.2 + 0.4 + 0.8 + 1.6 s.
    assert!((2..=6).contains(&killed), "{killed} connections in 3 s");
    assert!(eventually(LONG, async || subscription.is_connected()).await);
}

#[tokio::test]
async fn goes_on_over_a_restart_of_redis() {
    let world = World::up().await;
    let mut subscription = news(&world.redis).await;
    publish(&world.server, "news", "before").await;
    world.server.restart_empty().await;
    assert_eq!(message(&mut subscription).await.payload, b"before");
    gap(&mut subscription).await;
    publish(&world.server, "news", "after").await;
    assert_eq!(message(&mut subscription).await.payload, b"after");
}

/// Whatever became of the listening connection: by now it may lead to a server that nobody writes
/// to.
#[tokio::test]
async fn an_outage_is_a_gap_though_the_connection_lived_through_it() {
    let world = World::up().await;
    let mut subscription = news(&world.redis).await;
    let refused = "LOADING Redis is loading the dataset in memory".to_owned();
    world.proxy.set(Fault::ErrorReplyTo { command: "GET".to_owned(), error: refused }).await;
    let _ = world.redis.query::<Option<u8>>(redis::cmd("GET").arg("key")).await;
    world.reaches(State::Disconnected).await;
    world.proxy.set(Fault::Pass).await;
    gap(&mut subscription).await;
    publish(&world.server, "news", "after").await;
    assert_eq!(message(&mut subscription).await.payload, b"after");
}

#[tokio::test]
async fn never_fails_because_redis_is_away() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    proxy.set(Fault::BlackHole).await;
    let config = RedisConfig::new(proxy.url().parse().unwrap()).with_health(health());
    let redis = Redis::new(config).unwrap();
    let began = Instant::now();
    let mut subscription = news(&redis).await;
    assert!(began.elapsed() < SLACK, "{:?}", began.elapsed());
    assert!(!subscription.is_connected());
    assert_eq!(next(&mut subscription).await, SubscriptionEvent::Disconnected);
    proxy.set(Fault::Pass).await;
    gap(&mut subscription).await;
    publish(&server, "news", "at last").await;
    assert_eq!(message(&mut subscription).await.payload, b"at last");
}

#[tokio::test]
async fn a_black_hole_while_subscribing_is_waited_for_no_longer_than_a_probe() {
    let world = World::up().await;
    world.proxy.set(Fault::BlackHole).await;
    let began = Instant::now();
    let mut subscription = news(&world.redis).await;
    assert!(began.elapsed() < Duration::from_millis(600) + SLACK, "{:?}", began.elapsed());
    assert_eq!(next(&mut subscription).await, SubscriptionEvent::Disconnected);
    world.proxy.set(Fault::Pass).await;
    gap(&mut subscription).await;
}

#[tokio::test]
async fn shutdown_ends_it_and_nothing_else() {
    let world = World::up().await;
    let mut subscription = news(&world.redis).await;
    world.redis.shutdown().await;
    assert_eq!(timeout(LONG, subscription.recv()).await.unwrap(), None);
    assert_eq!(timeout(LONG, subscription.recv()).await.unwrap(), None);
    let mut late = news(&world.redis).await;
    assert_eq!(timeout(LONG, late.recv()).await.unwrap(), Some(SubscriptionEvent::Disconnected));
    assert_eq!(timeout(LONG, late.recv()).await.unwrap(), None);
}

#[tokio::test]
async fn a_slow_reader_learns_how_many_it_missed() {
    let world = World::up().await;
    let mut subscription = world.redis.subscribe(["news"]).with_capacity(8).await.unwrap();
    let mut operator = world.server.connect().await.unwrap();
    for number in 0..1_000_u64 {
        let publish = redis::cmd("PUBLISH").arg("news").arg(number).to_owned();
        let _: u64 = publish.query_async(&mut operator).await.unwrap();
    }
    let (mut read, mut missed) = (0, 0);
    while read + missed < 1_000 {
        match next(&mut subscription).await {
            SubscriptionEvent::Message(message) => {
                let number = read + missed;
                assert_eq!(message.payload, number.to_string().into_bytes());
                read += 1;
            }
            SubscriptionEvent::Lagged { missed: more } => missed += more,
            other => panic!("{other:?}"),
        }
    }
    // Not a message is lost in silence.
    assert!(read >= 8 && missed > 0, "{read} read, {missed} missed");
    publish(&world.server, "news", "in time").await;
    assert_eq!(message(&mut subscription).await.payload, b"in time");
}

#[tokio::test]
async fn a_subscription_that_is_refused_is_tried_again_with_pauses_and_logged_once() {
    let world = World::up().await;
    let error = "NOPERM this user has no permissions".to_owned();
    world.proxy.set(Fault::ErrorReplyTo { command: "SUBSCRIBE".to_owned(), error }).await;
    let before = world.proxy.accepted();
    let mut subscription = news(&world.redis).await;
    assert_eq!(next(&mut subscription).await, SubscriptionEvent::Disconnected);
    tokio::time::sleep(Duration::from_secs(4)).await;
    // 0.1, 0.2, 0.4, 0.8, 1.6 and 3.2 s apart, and the handle's own connections.
    let attempts = world.proxy.accepted() - before;
    assert!((5..=9).contains(&attempts), "{attempts} attempts");
    let warnings = world.logs.at_least(tracing::Level::WARN);
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert!(world.monitor().is_available());
    world.proxy.set(Fault::Pass).await;
    gap(&mut subscription).await;
}

#[tokio::test]
async fn what_cannot_be_subscribed_to_is_an_error_at_once() {
    let world = World::up().await;
    let kind = |result: Result<Subscription, Error>| result.unwrap_err().kind();
    assert_eq!(kind(world.redis.subscribe([""; 0]).await), ErrorKind::Invalid);
    let url = world.server.url();
    let pool = deadpool_redis::Config::from_url(&url).create_pool(None).unwrap();
    let config = RedisConfig::new(url.parse().unwrap()).with_health(health());
    let over_pool = Redis::with_pool(Pool::from(pool), config).unwrap();
    assert!(over_pool.monitor().wait_available(LONG).await);
    let error = over_pool.subscribe(["news"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("Redis::new"), "{error}");
}

#[cfg(feature = "sentinel")]
#[tokio::test]
async fn moves_with_the_master_that_the_sentinels_name() {
    use super::support::{LogCapture, Sentinel};
    let _logs = LogCapture::start();
    let set = Sentinel::start().await;
    let redis =
        super::world::handle(&format!("redis-sentinel://{}/{}", set.sentinel.addr(), set.name()));
    assert!(redis.monitor().wait_available(LONG).await, "{redis:?}");
    let mut subscription = news(&redis).await;
    publish(&set.master, "news", "old").await;
    assert_eq!(message(&mut subscription).await.payload, b"old");
    set.master.kill();
    set.wait_for_failover().await;
    gap(&mut subscription).await;
    assert_eq!(publish(&set.replica, "news", "new").await, 1);
    assert_eq!(message(&mut subscription).await.payload, b"new");
}

#[cfg(feature = "cluster")]
#[tokio::test]
async fn hears_every_node_of_a_cluster_and_goes_on_to_the_next() {
    use super::support::{Cluster, LogCapture};
    let _logs = LogCapture::start();
    let cluster = Cluster::start(3).await;
    let hosts: Vec<_> = cluster.nodes.iter().map(|node| node.addr().to_string()).collect();
    let redis = super::world::handle(&format!("redis-cluster://{}", hosts.join(",")));
    assert!(redis.monitor().wait_available(LONG).await, "{redis:?}");
    let mut subscription = news(&redis).await;
    for (number, node) in cluster.nodes.iter().enumerate() {
        publish(node, "news", &number.to_string()).await;
        assert_eq!(message(&mut subscription).await.payload, number.to_string().into_bytes());
    }
    let mut listening = None;
    for node in &cluster.nodes {
        let list: String = node.query(&["CLIENT", "LIST", "TYPE", "pubsub"]).await.unwrap();
        if !list.is_empty() {
            listening = Some(node);
        }
    }
    let listening = listening.expect("a node that is listened to");
    let killed: u64 = listening.query(&["CLIENT", "KILL", "TYPE", "pubsub"]).await.unwrap();
    assert_eq!(killed, 1);
    gap(&mut subscription).await;
    publish(listening, "news", "still").await;
    assert_eq!(message(&mut subscription).await.payload, b"still");
}
