//! One connection that listens for many: what it listens to changes while it lives.

use std::{collections::HashSet, sync::Arc, time::Duration};

use deadpool_redis::redis::{
    Msg,
    aio::{PubSubSink, PubSubStream},
};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    time::sleep,
};

use super::{
    follow::{Follower, Following, Loss, within},
    handle::Redis,
    listener::{Next, drain, listening_connection, next_message, not_over_a_pool},
};
use crate::Error;

/// Names in one command, at most.
const PER_COMMAND: usize = 512;

/// What can be listened to: by its full name in Redis.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Topic {
    Channel(Arc<str>),
    Pattern(Arc<str>),
}

/// For whom is listened. Called by one task, in the order in which things happen.
pub(crate) trait Audience: Send + Sync + 'static {
    /// A message of a channel, for one topic that it belongs to.
    fn message(&self, topic: &Topic, channel: &str, payload: &[u8]);
    /// Redis has acknowledged these: what is published on them from now on is heard.
    fn acknowledged(&self, topics: &[Topic]);
    /// Nothing is heard any more, or not yet.
    fn lost(&self, loss: Loss);
    /// Nothing will ever be heard again.
    fn ended(&self);
}

/// What is to be listened to, and what of it Redis has acknowledged. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Relay {
    shared: Arc<Shared>,
}

struct Shared {
    redis: Redis,
    topics: Mutex<Topics>,
    /// For the task: the topics are not what they were.
    changed: Notify,
    /// For those who wait: Redis has acknowledged some.
    acknowledgements: watch::Sender<()>,
    patience: Duration,
}

#[derive(Default)]
struct Topics {
    wanted: HashSet<Topic>,
    /// By the connection in use.
    acknowledged: HashSet<Topic>,
}

impl Relay {
    /// Listens to nothing yet.
    ///
    /// # Errors
    ///
    /// The handle is over an application's own pool, whose connections cannot listen.
    pub(crate) fn new(redis: &Redis) -> Result<Self, Error> {
        if redis.inner.listeners.is_none() {
            return Err(not_over_a_pool());
        }
        let shared = Shared {
            redis: redis.clone(),
            topics: Mutex::default(),
            changed: Notify::new(),
            acknowledgements: watch::Sender::new(()),
            patience: redis.inner.probe_timeout,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Listens for as long as the result lives, and the monitor runs.
    pub(crate) fn listen<A: Audience>(&self, audience: Arc<A>) -> Following {
        let listening = Listening { shared: Arc::clone(&self.shared), audience };
        self.shared.redis.follow(Arc::new(listening))
    }

    pub(crate) fn want(&self, topic: Topic) {
        self.shared.topics.lock().wanted.insert(topic);
        self.shared.changed.notify_one();
    }

    pub(crate) fn leave(&self, topic: &Topic) {
        self.shared.topics.lock().wanted.remove(topic);
        self.shared.changed.notify_one();
    }

    pub(crate) fn is_acknowledged(&self, topic: &Topic) -> bool {
        self.shared.topics.lock().acknowledged.contains(topic)
    }

    /// Waits until Redis has acknowledged this topic, or is known to be away; no longer than the
    /// probe timeout. Whether it has.
    pub(crate) async fn wait_acknowledged(&self, topic: &Topic) -> bool {
        let monitor = self.shared.redis.monitor();
        let (mut status, mut acks) = (monitor.watch(), self.shared.acknowledgements.subscribe());
        let acknowledged =
            async { while !self.is_acknowledged(topic) && acks.changed().await.is_ok() {} };
        if !monitor.can_read() {
            monitor.request_probe();
        }
        tokio::select! {
            biased;
            () = acknowledged => {}
            _ = status.wait_for(|_| !monitor.can_read()) => {}
            () = sleep(self.shared.patience) => {}
        }
        self.is_acknowledged(topic)
    }
}

struct Listening<A: Audience> {
    shared: Arc<Shared>,
    audience: Arc<A>,
}

impl<A: Audience> Drop for Listening<A> {
    fn drop(&mut self) {
        self.shared.topics.lock().acknowledged.clear();
        self.audience.ended();
    }
}

impl<A: Audience> Listening<A> {
    fn deliver(&self, message: &Msg) {
        let Ok(channel) = message.get_channel::<String>() else { return };
        let pattern = message.get_pattern::<Option<String>>().ok().flatten();
        let topic = match pattern {
            Some(pattern) => Topic::Pattern(pattern.into()),
            None => Topic::Channel(channel.as_str().into()),
        };
        self.audience.message(&topic, &channel, message.get_payload_bytes());
    }

    /// Tells Redis what is to be listened to and what not any more.
    async fn settle(&self, sink: &mut PubSubSink) -> Result<(), Error> {
        let (joined, left) = self.shared.topics.lock().take_changes();
        let (channels, patterns) = by_kind(&left);
        for names in channels.chunks(PER_COMMAND) {
            sink.unsubscribe(names).await?;
        }
        for names in patterns.chunks(PER_COMMAND) {
            sink.punsubscribe(names).await?;
        }
        let (channels, patterns) = by_kind(&joined);
        for names in channels.chunks(PER_COMMAND) {
            sink.subscribe(names).await?;
        }
        for names in patterns.chunks(PER_COMMAND) {
            sink.psubscribe(names).await?;
        }
        self.audience.acknowledged(&joined);
        self.shared.topics.lock().acknowledged.extend(joined);
        self.shared.acknowledgements.send_replace(());
        Ok(())
    }
}

impl Topics {
    fn is_settled(&self) -> bool {
        self.wanted == self.acknowledged
    }

    /// What is new, and what has gone: that counts as not acknowledged from now on.
    fn take_changes(&mut self) -> (Vec<Topic>, Vec<Topic>) {
        let joined = self.wanted.difference(&self.acknowledged).cloned().collect();
        let left: Vec<Topic> = self.acknowledged.difference(&self.wanted).cloned().collect();
        self.acknowledged.retain(|topic| self.wanted.contains(topic));
        (joined, left)
    }
}

/// The names of channels, and of patterns.
fn by_kind(topics: &[Topic]) -> (Vec<&str>, Vec<&str>) {
    let (mut channels, mut patterns) = (Vec::new(), Vec::new());
    for topic in topics {
        match topic {
            Topic::Channel(name) => channels.push(&**name),
            Topic::Pattern(name) => patterns.push(&**name),
        }
    }
    (channels, patterns)
}

impl<A: Audience> Follower for Listening<A> {
    const NAME: &'static str = "channels";

    type Link = (PubSubSink, PubSubStream);

    async fn connect(&self, redis: &Redis) -> Result<Self::Link, Error> {
        listening_connection(redis).await
    }

    async fn resync(&self, (sink, _): &mut Self::Link) -> Result<(), Error> {
        within(self.shared.patience, self.settle(sink)).await
    }

    async fn next(&self, link: &mut Self::Link, wait: Duration) -> Result<(), Error> {
        if self.shared.topics.lock().is_settled() {
            let changed = self.shared.changed.notified();
            match next_message(link, wait, changed).await? {
                Next::Message(message) => self.deliver(&message),
                Next::Answered => return Ok(()),
                Next::Interrupted => self.settle(&mut link.0).await?,
            }
        } else {
            self.settle(&mut link.0).await?;
        }
        drain(&mut link.1, |message| self.deliver(&message));
        Ok(())
    }

    fn lost(&self, loss: Loss) {
        self.shared.topics.lock().acknowledged.clear();
        self.audience.lost(loss);
    }
}
