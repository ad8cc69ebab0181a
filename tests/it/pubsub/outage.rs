//! Redis is gone, hung, restarted or cut off: what is said here goes on, and nobody subscribes again.

use std::time::{Duration, Instant};

use evenkeel::store::pubsub::{Delivery, Reach};

use super::{
    Instance, PATIENCE, eventually, heard_again, next, quiet,
    support::{Fault, FaultProxy, RedisServer},
    until, word,
};
use crate::guards::away;

async fn pair(server: &RedisServer) -> (Instance, Instance) {
    (Instance::at(&server.url()).ready().await, Instance::at(&server.url()).ready().await)
}

/// Everybody in the room, on both instances, hears everybody again, with one gap each.
async fn whole_again(
    a: &Instance,
    b: &Instance,
    subscribers: [&mut super::Subscriber<bytes::Bytes>; 2],
) {
    let [on_a, on_b] = subscribers;
    for (from, to) in [(b, on_a), (a, on_b)] {
        let words = heard_again(from, to).await;
        let gaps = words.iter().filter(|word| *word == "gap Unknown").count();
        assert_eq!(gaps, 1, "{words:?}");
        assert_eq!(to.reach(), Reach::AllInstances);
    }
}

#[tokio::test]
async fn killed_and_restarted() {
    let server = RedisServer::start().await;
    let (a, b) = pair(&server).await;
    let mut on_a = a.channel("room").subscribe().await;
    let mut on_b = b.channel("room").subscribe().await;
    server.kill();
    away(&a.redis).await;
    away(&b.redis).await;
    let began = Instant::now();
    for n in 0..100 {
        assert_eq!(a.publish("room", &n.to_string()).await, Delivery::LocalOnly { local: 1 });
    }
    // Without Redis nothing waits for it: not even one time-out of half a second.
    assert!(began.elapsed() < PATIENCE / 4, "{:?}", began.elapsed());
    let words = until(&mut on_a, "99").await;
    assert_eq!(words[0], "this instance");
    assert_eq!(words.len(), 101, "{words:?}");
    assert_eq!(until(&mut on_b, "this instance").await.len(), 1);
    quiet(&mut on_b).await;
    let mut later = a.channel("later").subscribe().await;
    assert_eq!(word(next(&mut later).await), "this instance");
    assert_eq!(a.metric(&["redis_fallback_hits_total", "pubsub"]), 100);
    server.restart_empty().await;
    for instance in [&a, &b] {
        crate::guards::available(&instance.redis).await;
    }
    let words = until(&mut on_a, "all instances").await;
    assert_eq!(words, ["gap Unknown", "all instances"]);
    assert_eq!(until(&mut on_b, "all instances").await, ["gap Unknown", "all instances"]);
    assert_eq!(until(&mut later, "all instances").await, ["gap Unknown", "all instances"]);
    let _ = b.publish("room", "back").await;
    assert_eq!(until(&mut on_a, "back").await, ["back"]);
    assert_eq!(until(&mut on_b, "back").await, ["back"]);
}

#[tokio::test]
async fn stopped_and_woken_up() {
    let server = RedisServer::start().await;
    let (a, b) = pair(&server).await;
    let mut on_a = a.channel("room").subscribe().await;
    let mut on_b = b.channel("room").subscribe().await;
    server.freeze();
    away(&a.redis).await;
    away(&b.redis).await;
    assert_eq!(a.publish("room", "alone").await, Delivery::LocalOnly { local: 1 });
    assert!(until(&mut on_a, "alone").await.contains(&"this instance".to_owned()));
    server.thaw();
    whole_again(&a, &b, [&mut on_a, &mut on_b]).await;
}

#[tokio::test]
async fn restarted_at_once_with_nobody_talking() {
    let server = RedisServer::start().await;
    let (a, b) = pair(&server).await;
    let mut on_a = a.channel("room").subscribe().await;
    let mut on_b = b.channel("room").subscribe().await;
    server.restart_empty().await;
    assert!(until(&mut on_a, "gap Unknown").await.len() <= 2);
    assert!(until(&mut on_b, "gap Unknown").await.len() <= 2);
    for (from, to) in [(&b, &mut on_a), (&a, &mut on_b)] {
        let words = heard_again(from, to).await;
        assert!(words.iter().all(|word| word == "all instances"), "{words:?}");
    }
}

#[tokio::test]
async fn the_listening_connection_is_killed_twenty_times() {
    let server = RedisServer::start().await;
    let (a, b) = pair(&server).await;
    let mut on_a = a.channel("room").subscribe().await;
    for round in 0..20 {
        let killed: u64 = server.query(&["CLIENT", "KILL", "TYPE", "pubsub"]).await.unwrap();
        assert!(killed > 0, "round {round}");
        assert_eq!(until(&mut on_a, "gap Unknown").await, ["gap Unknown"], "round {round}");
        let text = round.to_string();
        assert!(b.publish("room", &text).await.is_delivered());
        assert_eq!(until(&mut on_a, &text).await, [text]);
    }
    assert_eq!(a.metric(&["pubsub_gaps_total"]), 20);
    assert_eq!(a.metric(&["redis_unavailable_total"]), 0);
}

#[tokio::test]
async fn the_listening_connection_alone_is_a_black_hole() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let a = Instance::at(&proxy.url()).ready().await;
    let b = Instance::at(&server.url()).ready().await;
    let mut on_a = a.channel("room").subscribe().await;
    let began = Instant::now();
    proxy.set(Fault::HoldUsersOf("SUBSCRIBE".to_owned())).await;
    let _ = b.publish("room", "lost").await;
    assert!(a.publish("room", "here").await.is_delivered(), "commands go on");
    assert_eq!(until(&mut on_a, "gap Unknown").await, ["here", "gap Unknown"]);
    // Keepalive, its deadline and the first pause.
    assert!(began.elapsed() < Duration::from_millis(1_500) + PATIENCE / 4);
    let _ = b.publish("room", "heard").await;
    assert_eq!(until(&mut on_a, "heard").await, ["heard"]);
}

#[tokio::test]
async fn one_instance_is_cut_off_alone() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let a = Instance::at(&proxy.url()).ready().await;
    let (b, c) = pair(&server).await;
    let mut on_a = a.channel("room").subscribe().await;
    let mut on_b = b.channel("room").subscribe().await;
    let _ = a.publish("room", "first").await;
    assert_eq!(until(&mut on_b, "first").await, ["first"]);
    proxy.set(Fault::Refuse).await;
    away(&a.redis).await;
    for _ in 0..3 {
        assert_eq!(a.publish("room", "alone").await, Delivery::LocalOnly { local: 1 });
    }
    assert_eq!(c.publish("room", "others").await, Delivery::Delivered { local: 0, remote: 1 });
    assert_eq!(until(&mut on_b, "others").await, ["others"]);
    assert_eq!(on_a.reach(), Reach::ThisInstance);
    proxy.set(Fault::Pass).await;
    let back = eventually(PATIENCE, async || on_a.reach() == Reach::AllInstances);
    assert!(back.await);
    let words = until(&mut on_a, "all instances").await;
    assert!(!words.contains(&"others".to_owned()) && words.contains(&"gap Unknown".to_owned()));
    // What A said alone is counted by those who did not hear it.
    let delivered = eventually(PATIENCE, async || a.publish("room", "back").await.is_delivered());
    assert!(delivered.await);
    let words = until(&mut on_b, "back").await;
    assert_eq!(words.len(), 2, "{words:?}");
    assert!(words[0].starts_with("gap Exactly("), "{words:?}");
}

#[tokio::test]
async fn redis_is_away_from_the_start() {
    let server = RedisServer::start().await;
    server.kill();
    let a = Instance::at(&server.url());
    let mut subscriber = a.channel("room").subscribe().await;
    assert_eq!(a.publish("room", "alone").await, Delivery::LocalOnly { local: 1 });
    assert_eq!(until(&mut subscriber, "alone").await, ["this instance", "alone"]);
    server.restart_empty().await;
    assert_eq!(until(&mut subscriber, "all instances").await, ["gap Unknown", "all instances"]);
}
