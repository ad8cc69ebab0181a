//! What reads a channel.

use std::{fmt, marker::PhantomData, sync::Arc};

use futures_core::Stream;
use futures_util::stream;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::Instant,
};

use super::{
    event::{Event, Message, Reach},
    hub::Hub,
    local::Item,
    payload::Payload,
};
use crate::redis::Topic;

/// The messages of a channel, or of all channels that match a pattern. Dropping it ends the
/// subscription.
///
/// It ends (with `None`) after [`Redis::shutdown`](crate::redis::Redis::shutdown), or when the last
/// [`PubSub`](super::PubSub) of its kind is dropped, and in no other way.
#[must_use = "the subscription ends when this is dropped"]
pub struct Subscriber<T> {
    hub: Arc<Hub>,
    topic: Topic,
    receiver: Receiver<Item>,
    /// What the reader was told.
    reach: Reach,
    /// To be told first.
    first: Option<Reach>,
    has_ended: bool,
    _value: PhantomData<fn() -> T>,
}

impl<T: Payload> Subscriber<T> {
    /// Returns when Redis has acknowledged, or when it is known to be away.
    pub(super) async fn begin(hub: Arc<Hub>, topic: Topic, name: &Arc<str>) -> Self {
        let began = Instant::now();
        let begun = hub.enter(&topic, name);
        // From here on a drop ends it.
        let mut subscriber = Self {
            receiver: begun.receiver,
            reach: Reach::AllInstances,
            first: None,
            has_ended: begun.has_ended,
            hub,
            topic,
            _value: PhantomData,
        };
        if !begun.has_ended && !subscriber.hub.relay.wait_acknowledged(&subscriber.topic).await {
            let reach = subscriber.hub.note_unacknowledged(&subscriber.topic, began);
            subscriber.first = Some(reach).filter(|reach| *reach == Reach::ThisInstance);
        }
        subscriber
    }

    /// The next event; `None` at the end. Cancel-safe.
    ///
    /// A message that is not one of `T` is counted and passed over.
    pub async fn recv(&mut self) -> Option<Event<T>> {
        loop {
            if let Some(reach) = self.first.take()
                && let Some(event) = self.mode(reach)
            {
                return Some(event);
            }
            if self.has_ended {
                return None;
            }
            let event = match self.receiver.recv().await {
                Ok(Item::Message { channel, payload }) => self.message(channel, &payload),
                Ok(Item::Gap(gap)) => Some(Event::Gap(gap)),
                Ok(Item::Mode(reach)) => self.mode(reach),
                Ok(Item::End) | Err(RecvError::Closed) => {
                    self.has_ended = true;
                    None
                }
                Err(RecvError::Lagged(missed)) => {
                    self.hub.metrics.lagged.add(missed);
                    // A mode may have been among what is lost.
                    self.first = Some(self.hub.reach(&self.topic));
                    Some(Event::Lagged(missed))
                }
            };
            if event.is_some() {
                return event;
            }
        }
    }

    /// The events as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Event<T>> + Send {
        stream::unfold(self, async |mut subscriber| {
            let event = subscriber.recv().await?;
            Some((event, subscriber))
        })
    }

    fn message(&self, channel: Arc<str>, payload: &bytes::Bytes) -> Option<Event<T>> {
        let Some(value) = T::from_bytes(payload) else {
            self.hub.metrics.unreadable.add(1);
            return None;
        };
        Some(Event::Message(Message { channel, value }))
    }

    /// `None`: that is known.
    fn mode(&mut self, reach: Reach) -> Option<Event<T>> {
        let is_new = std::mem::replace(&mut self.reach, reach) != reach;
        is_new.then_some(Event::Mode(reach))
    }
}

impl<T> Subscriber<T> {
    /// Whose messages it gets at the moment.
    pub fn reach(&self) -> Reach {
        self.hub.reach(&self.topic)
    }
}

impl<T> Drop for Subscriber<T> {
    fn drop(&mut self) {
        self.hub.leave(&self.topic);
    }
}

impl<T> fmt::Debug for Subscriber<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber").field("reach", &self.reach()).finish_non_exhaustive()
    }
}
