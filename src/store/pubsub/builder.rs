//! The handle, and what it can be told.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::{
    channel::{Channel, Pattern},
    handle::Handle,
    hub::Hub,
    metrics::PubSubMetrics,
    publisher::{self, WAITING},
};
use crate::{
    Error, ErrorKind,
    redis::{Redis, Relay},
    store::switch::{Needs, Switch},
    telemetry::{Feature, names},
};

const LONGEST_NAME: usize = 256;
/// What tokio's channel takes.
const LARGEST_BUFFER: usize = 1 << 20;

/// Publish and subscribe over one Redis, with one connection that listens. Cheap to clone; one for
/// a process. See the [module](super) for an example.
#[derive(Clone)]
pub struct PubSub {
    handle: Arc<Handle>,
}

impl PubSub {
    /// With every setting at its default. Returns at once, Redis or no Redis. To be called inside a
    /// tokio runtime.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] on a handle over an application's own pool
    /// ([`Redis::with_pool`]), whose connections cannot receive messages.
    pub fn new(redis: &Redis) -> Result<Self, Error> {
        Self::builder(redis).build()
    }

    /// With settings of its own.
    pub fn builder(redis: &Redis) -> PubSubBuilder {
        PubSubBuilder { redis: redis.clone(), buffer: 256, max_message_bytes: 64 << 10 }
    }

    /// A channel. Instances that share a Redis and a namespace share their channels; what they
    /// publish on one must be of one type. In Redis its name is `{namespace}:pubsub:{name}`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] unless the name has 1 to 256 bytes and no control characters.
    pub fn channel<T>(&self, name: &str) -> Result<Channel<T>, Error> {
        let name = checked(name)?;
        let topic = self.hub().channel(&name);
        Ok(Channel::of(Arc::clone(&self.handle), name, topic))
    }

    /// All channels whose names match `pattern`, as Redis's `PSUBSCRIBE` has it: `*`, `?`, `[a-c]`,
    /// `[^a]`, and `\` before what stands for itself.
    ///
    /// Each pattern is compared with each message, here and in Redis: a few are cheap, thousands
    /// are not.
    ///
    /// # Errors
    ///
    /// As [`channel`](Self::channel).
    pub fn pattern<T>(&self, pattern: &str) -> Result<Pattern<T>, Error> {
        let pattern = checked(pattern)?;
        let topic = self.hub().pattern(&pattern);
        Ok(Pattern::of(Arc::clone(&self.handle), pattern, topic))
    }

    fn hub(&self) -> &Hub {
        &self.handle.hub
    }
}

impl fmt::Debug for PubSub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics = self.hub().listened_to.load(Ordering::Relaxed);
        f.debug_struct("PubSub").field("listened_to", &topics).finish_non_exhaustive()
    }
}

fn checked(name: &str) -> Result<Arc<str>, Error> {
    if name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
        return Err(Error::new(
            ErrorKind::Invalid,
            "a channel's name has 1 to 256 bytes and no control characters",
        ));
    }
    Ok(name.into())
}

/// Builds a [`PubSub`]; nothing is started before `build`.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing before `build`"]
pub struct PubSubBuilder {
    redis: Redis,
    buffer: usize,
    max_message_bytes: usize,
}

impl PubSubBuilder {
    /// How many events each channel keeps for its subscribers in this process, rounded up to a
    /// power of two. Default 256, at least 1. A subscriber that is further behind loses the oldest,
    /// and is told.
    ///
    /// With the [largest message](Self::with_max_message_bytes) it bounds the memory of a channel:
    /// by default 16 MiB.
    pub fn with_buffer(mut self, events: usize) -> Self {
        self.buffer = events.clamp(1, LARGEST_BUFFER);
        self
    }

    /// The largest message, in bytes. Larger ones are refused here, and passed over when somebody
    /// else publishes them. Default 64 KiB.
    pub fn with_max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    /// The handle. Returns at once, Redis or no Redis. To be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// As [`PubSub::new`].
    pub fn build(self) -> Result<PubSub, Error> {
        let Self { redis, buffer, max_message_bytes } = self;
        let relay = Relay::new(&redis)?;
        let (outgoing, waiting) = mpsc::channel(WAITING);
        let hub = Arc::new(Hub {
            publisher: rand::random(),
            prefix: format!("{}:pubsub:", redis.namespace()),
            buffer,
            max_message_bytes,
            switch: Switch::new(&redis, Feature::PubSub, Needs::Reads),
            metrics: PubSubMetrics::new(redis.metrics()),
            outgoing,
            state: Mutex::default(),
            listened_to: AtomicUsize::new(0),
            relay,
        });
        let counted = Arc::downgrade(&hub);
        redis.metrics().gauge(names::PUBSUB_SUBSCRIPTIONS, &[], move || {
            Some(counted.upgrade()?.listened_to.load(Ordering::Relaxed) as f64)
        });
        redis.spawn(publisher::run(redis.clone(), waiting));
        let following = hub.relay.listen(Arc::clone(&hub));
        let need = redis.need_rights(Feature::PubSub);
        Ok(PubSub { handle: Arc::new(Handle { hub, _following: following, _need: need }) })
    }
}
