//! Publish and subscribe: several instances, a real server, and the wire between them.

mod delivery;
mod input;
mod outage;

use std::time::Duration;

use bytes::Bytes;
use evenkeel::{
    redis::Redis,
    store::pubsub::{Channel, Delivery, Event, PubSub, PubSubBuilder, Reach, Subscriber},
    telemetry::Metrics,
};
use tokio::time::timeout;

use crate::{
    guards::{PATIENCE, available, metric, quick},
    support::{self, eventually},
};

/// An instance of a service.
struct Instance {
    redis: Redis,
    pubsub: PubSub,
    metrics: Metrics,
}

impl Instance {
    fn at(url: &str) -> Self {
        Self::with(url, |builder| builder)
    }

    fn with(url: &str, set: impl FnOnce(PubSubBuilder) -> PubSubBuilder) -> Self {
        let metrics = Metrics::prometheus("test", "a");
        let redis = Redis::new(quick(url, &metrics)).unwrap();
        let pubsub = set(PubSub::builder(&redis)).build().unwrap();
        Self { redis, pubsub, metrics }
    }

    async fn ready(self) -> Self {
        available(&self.redis).await;
        self
    }

    fn channel(&self, name: &str) -> Channel<Bytes> {
        self.pubsub.channel(name).unwrap()
    }

    async fn publish(&self, channel: &str, text: &str) -> Delivery {
        self.channel(channel).publish(&Bytes::copy_from_slice(text.as_bytes())).await.unwrap()
    }

    fn metric(&self, words: &[&str]) -> u64 {
        metric(&self.metrics, words)
    }
}

async fn next<T: evenkeel::store::pubsub::Payload>(subscriber: &mut Subscriber<T>) -> Event<T> {
    timeout(PATIENCE, subscriber.recv()).await.expect("an event").expect("it goes on")
}

/// An event, in a word.
fn word(event: Event<Bytes>) -> String {
    match event {
        Event::Message(message) => String::from_utf8(message.value.to_vec()).unwrap(),
        Event::Gap(gap) => format!("gap {:?}", gap.missed),
        Event::Lagged(missed) => format!("lagged {missed}"),
        Event::Mode(Reach::AllInstances) => "all instances".to_owned(),
        Event::Mode(Reach::ThisInstance) => "this instance".to_owned(),
        other => panic!("{other:?}"),
    }
}

/// The events up to this one.
async fn until(subscriber: &mut Subscriber<Bytes>, last: &str) -> Vec<String> {
    let mut words = Vec::new();
    while words.last().is_none_or(|word| word != last) {
        words.push(word(next(subscriber).await));
    }
    words
}

/// Nothing more comes.
async fn quiet(subscriber: &mut Subscriber<Bytes>) {
    let event = timeout(Duration::from_millis(100), subscriber.recv()).await;
    assert!(event.is_err(), "{event:?}");
}

/// Publishes on one until the other hears it. What that one is told before.
async fn heard_again(from: &Instance, to: &mut Subscriber<Bytes>) -> Vec<String> {
    let probe = format!("probe of {:p}", from);
    let mut words = Vec::new();
    let heard = async {
        loop {
            let _ = from.publish("room", &probe).await;
            while let Ok(event) = timeout(Duration::from_millis(20), to.recv()).await {
                let word = word(event.expect("it goes on"));
                if word == probe {
                    return;
                }
                // Their own probes, which they hear directly.
                if !word.starts_with("probe") {
                    words.push(word);
                }
            }
        }
    };
    timeout(PATIENCE, heard).await.expect("the other instance is heard again");
    words
}
