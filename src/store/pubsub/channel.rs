//! A channel, and a pattern of channels.

use std::{fmt, marker::PhantomData, sync::Arc};

use super::{event::Delivery, handle::Handle, payload::Payload, subscriber::Subscriber};
use crate::{Error, redis::Topic};

/// A channel of messages of one type, made by [`PubSub::channel`](super::PubSub::channel). Cheap to
/// clone.
pub struct Channel<T> {
    handle: Arc<Handle>,
    name: Arc<str>,
    topic: Topic,
    _value: PhantomData<fn() -> T>,
}

impl<T> Clone for Channel<T> {
    fn clone(&self) -> Self {
        Self::of(Arc::clone(&self.handle), Arc::clone(&self.name), self.topic.clone())
    }
}

impl<T> Channel<T> {
    pub(super) fn of(handle: Arc<Handle>, name: Arc<str>, topic: Topic) -> Self {
        Self { handle, name, topic, _value: PhantomData }
    }

    /// Its name, as the application calls it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<T: Payload> Channel<T> {
    /// Publishes: to the subscribers of this process at once, to those of other instances through
    /// Redis. All of them hear the messages of one process on one channel in one order.
    ///
    /// A future that is dropped before its end publishes all the same, once it was polled.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for a value that has no bytes, or too many
    /// of them ([`with_max_message_bytes`](super::PubSubBuilder::with_max_message_bytes)); nobody
    /// has heard it then. Never because Redis is away.
    ///
    /// # When Redis is down
    ///
    /// [`LocalOnly`](Delivery::LocalOnly), at once. Nothing is kept for later: other instances
    /// learn that they missed something, and how many messages, from the next one that reaches
    /// them.
    pub async fn publish(&self, value: &T) -> Result<Delivery, Error> {
        self.handle.hub.publish(&self.topic, &self.name, value.to_bytes()?).await
    }

    /// Subscribes. What is published anywhere after this has returned is received.
    ///
    /// # When Redis is down
    ///
    /// It returns at once, or when the outage is known, at the latest after the probe timeout. What
    /// is published in this process is received; the first event is [`Mode`](super::Event::Mode).
    pub async fn subscribe(&self) -> Subscriber<T> {
        let hub = Arc::clone(&self.handle.hub);
        Subscriber::begin(hub, self.topic.clone(), &self.name).await
    }
}

impl<T> fmt::Debug for Channel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("name", &self.name).finish_non_exhaustive()
    }
}

/// All channels whose names match a pattern, made by [`PubSub::pattern`](super::PubSub::pattern).
/// Cheap to clone.
pub struct Pattern<T> {
    handle: Arc<Handle>,
    pattern: Arc<str>,
    topic: Topic,
    _value: PhantomData<fn() -> T>,
}

impl<T> Clone for Pattern<T> {
    fn clone(&self) -> Self {
        Self::of(Arc::clone(&self.handle), Arc::clone(&self.pattern), self.topic.clone())
    }
}

impl<T> Pattern<T> {
    pub(super) fn of(handle: Arc<Handle>, pattern: Arc<str>, topic: Topic) -> Self {
        Self { handle, pattern, topic, _value: PhantomData }
    }
}

impl<T: Payload> Pattern<T> {
    /// Subscribes, as [`Channel::subscribe`] does. One subscriber of a channel and one of a pattern
    /// that matches it each receive a message.
    pub async fn subscribe(&self) -> Subscriber<T> {
        let hub = Arc::clone(&self.handle.hub);
        Subscriber::begin(hub, self.topic.clone(), &self.pattern).await
    }
}

impl<T> fmt::Debug for Pattern<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pattern").field("pattern", &self.pattern).finish_non_exhaustive()
    }
}
