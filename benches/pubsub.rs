//! Messages within an instance, beside `tokio::sync::broadcast`, and between two, beside a bare pair
//! of `PUBLISH` and `SUBSCRIBE`: `cargo bench --bench pubsub`. Starts a `redis-server` of its own.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

#[path = "../tests/support/mod.rs"]
#[allow(dead_code, unused_imports)]
mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use evenkeel::{
    redis::{Redis, RedisConfig},
    store::pubsub::{Channel, Event, PubSub, Subscriber},
};
use futures_util::{StreamExt, future::join_all};
use support::RedisServer;
use tokio::{sync::broadcast, task::JoinHandle};

const SUBSCRIBERS: usize = 100;
const MESSAGES: usize = 2_000;
const ROUNDS: usize = 7;

#[tokio::main(worker_threads = 2)]
async fn main() {
    let server = RedisServer::start().await;
    let payload = Bytes::from(vec![b'x'; 256]);
    let ours = Pair::start(&server).await;
    let mut rows: Vec<(&str, [Vec<f64>; 2])> = vec![
        ("a message to 100 subscribers here, µs", Default::default()),
        ("between instances, one at a time, p50, µs", Default::default()),
        ("between instances, 64 at a time, µs a message", Default::default()),
    ];
    for _ in 0..ROUNDS {
        rows[0].1[0].push(broadcast_here(&payload).await);
        rows[0].1[1].push(ours_here(&server, &payload).await);
        rows[1].1[0].push(bare_latency(&server, &payload).await);
        rows[1].1[1].push(ours.latency(&payload).await);
        rows[2].1[0].push(bare_throughput(&server, &payload).await);
        rows[2].1[1].push(ours.throughput(&payload).await);
    }
    println!("256 bytes, medians of {ROUNDS} rounds: bare, ours, ratio");
    for (name, [bare, ours]) in rows {
        let (bare, ours) = (median(bare), median(ours));
        println!("  {name:<48} {bare:>8.2} {ours:>8.2} {:>6.2}", ours / bare);
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn micros_each(took: Duration, many: usize) -> f64 {
    took.as_secs_f64() * 1e6 / many as f64
}

async fn handle(server: &RedisServer) -> Redis {
    let redis = Redis::new(RedisConfig::new(server.url().parse().unwrap())).unwrap();
    assert!(redis.monitor().wait_available(Duration::from_secs(10)).await);
    redis
}

/// Sends in bursts that no subscriber can lose anything of, and waits for all to have read them.
const BURST: usize = 100;

async fn broadcast_here(payload: &Bytes) -> f64 {
    let sender = broadcast::Sender::new(256);
    let readers: Vec<JoinHandle<()>> = (0..SUBSCRIBERS)
        .map(|_| {
            let mut receiver: broadcast::Receiver<Bytes> = sender.subscribe();
            tokio::spawn(async move {
                for _ in 0..BURST {
                    receiver.recv().await.unwrap();
                }
            })
        })
        .collect();
    let began = Instant::now();
    for _ in 0..BURST {
        sender.send(payload.clone()).unwrap();
        tokio::task::yield_now().await;
    }
    join_all(readers).await;
    micros_each(began.elapsed(), BURST)
}

/// Without Redis: what is measured is the way within the process.
async fn ours_here(server: &RedisServer, payload: &Bytes) -> f64 {
    let redis = handle(server).await;
    let room = PubSub::new(&redis).unwrap().channel::<Bytes>("here").unwrap();
    let mut subscribers = Vec::new();
    for _ in 0..SUBSCRIBERS {
        subscribers.push(room.subscribe().await);
    }
    redis.monitor().force_down("a measurement", Duration::from_secs(60));
    let readers: Vec<JoinHandle<()>> = subscribers
        .into_iter()
        .map(|mut subscriber| tokio::spawn(async move { read(&mut subscriber, BURST).await }))
        .collect();
    let began = Instant::now();
    for _ in 0..BURST {
        let _ = room.publish(payload).await.unwrap();
        tokio::task::yield_now().await;
    }
    join_all(readers).await;
    let took = began.elapsed();
    redis.shutdown().await;
    micros_each(took, BURST)
}

async fn read(subscriber: &mut Subscriber<Bytes>, messages: usize) {
    let mut read = 0;
    while read < messages {
        let event = subscriber.recv().await.unwrap();
        read += usize::from(matches!(event, Event::Message(_)));
    }
}

/// Two instances.
struct Pair {
    here: Channel<Bytes>,
    there: Channel<Bytes>,
}

impl Pair {
    async fn start(server: &RedisServer) -> Self {
        let channel = async || {
            let pubsub = PubSub::builder(&handle(server).await).with_buffer(4_096).build();
            pubsub.unwrap().channel("room").unwrap()
        };
        Self { here: channel().await, there: channel().await }
    }

    async fn latency(&self, payload: &Bytes) -> f64 {
        let mut subscriber = self.there.subscribe().await;
        let mut times = Vec::new();
        for _ in 0..MESSAGES {
            let began = Instant::now();
            let published = self.here.publish(payload);
            let ((), delivery) = tokio::join!(read(&mut subscriber, 1), published);
            assert!(delivery.unwrap().is_delivered());
            times.push(micros_each(began.elapsed(), 1));
        }
        median(times)
    }

    async fn throughput(&self, payload: &Bytes) -> f64 {
        let mut subscriber = self.there.subscribe().await;
        let began = Instant::now();
        let publish = futures_util::stream::iter(0..MESSAGES)
            .map(|_| self.here.publish(payload))
            .buffer_unordered(64)
            .for_each(async |delivery| assert!(delivery.unwrap().is_delivered()));
        tokio::join!(read(&mut subscriber, MESSAGES), publish);
        micros_each(began.elapsed(), MESSAGES)
    }
}

async fn bare(server: &RedisServer) -> (redis::aio::MultiplexedConnection, redis::aio::PubSub) {
    let client = redis::Client::open(server.url()).unwrap();
    let mut listening = client.get_async_pubsub().await.unwrap();
    listening.subscribe("bare").await.unwrap();
    (client.get_multiplexed_async_connection().await.unwrap(), listening)
}

async fn bare_publish(mut connection: redis::aio::MultiplexedConnection, payload: &Bytes) {
    let publish = redis::cmd("PUBLISH").arg("bare").arg(&payload[..]).to_owned();
    assert_eq!(publish.query_async::<u64>(&mut connection).await.unwrap(), 1);
}

async fn bare_latency(server: &RedisServer, payload: &Bytes) -> f64 {
    let (connection, listening) = bare(server).await;
    let mut messages = listening.into_on_message();
    let mut times = Vec::new();
    for _ in 0..MESSAGES {
        let began = Instant::now();
        let published = bare_publish(connection.clone(), payload);
        let (message, ()) = tokio::join!(messages.next(), published);
        assert!(message.is_some());
        times.push(micros_each(began.elapsed(), 1));
    }
    median(times)
}

async fn bare_throughput(server: &RedisServer, payload: &Bytes) -> f64 {
    let (connection, listening) = bare(server).await;
    let messages = listening.into_on_message().take(MESSAGES).count();
    let began = Instant::now();
    let publish = futures_util::stream::iter(0..MESSAGES)
        .map(|_| bare_publish(connection.clone(), payload))
        .buffer_unordered(64)
        .for_each(async |()| {});
    tokio::join!(messages, publish);
    micros_each(began.elapsed(), MESSAGES)
}
