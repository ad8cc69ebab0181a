//! What a subscriber is told, and how far a message went.

use std::sync::Arc;

use tokio::time::Instant;

/// How far a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use = "it may have reached this instance alone"]
pub enum Delivery {
    /// To the subscribers here, and to Redis.
    Delivered {
        /// Subscribers in this process.
        local: usize,
        /// Other connections that Redis handed it to, as its `PUBLISH` counts them: one for each
        /// instance that listens, and whoever else does. In a cluster those of a single node, so 0
        /// means nothing there.
        remote: u64,
    },
    /// To the subscribers here. Redis is away, or did not answer in time: then others may have
    /// heard it all the same.
    LocalOnly {
        /// Subscribers in this process.
        local: usize,
    },
}

impl Delivery {
    /// Redis has taken it.
    pub const fn is_delivered(self) -> bool {
        matches!(self, Self::Delivered { .. })
    }

    /// Subscribers in this process that it was handed to.
    pub const fn local(self) -> usize {
        let (Self::Delivered { local, .. } | Self::LocalOnly { local }) = self;
        local
    }
}

/// Whose messages a subscriber gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Those of all instances.
    AllInstances,
    /// Those of this instance: Redis is away.
    ThisInstance,
}

/// How many messages are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Missed {
    /// This many, all of one publisher.
    Exactly(u64),
    /// Nobody can say; perhaps none.
    Unknown,
}

/// A stretch of time whose messages may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// What was published later than this may be missing; what comes after the gap is complete.
    pub since: Instant,
    /// How many messages that are.
    pub missed: Missed,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message<T> {
    /// The name of the channel that it was published on, as the application calls it.
    pub channel: Arc<str>,
    /// What was published.
    pub value: T,
}

/// What happens at a [`Subscriber`](super::Subscriber).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<T> {
    /// A message.
    Message(Message<T>),
    /// This subscriber was slow, and this many messages and other events were dropped. Those of
    /// other subscribers were not.
    Lagged(u64),
    /// Messages of other instances may be missing.
    Gap(Gap),
    /// Whose messages it gets from now on.
    Mode(Reach),
}
