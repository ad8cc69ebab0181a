//! Who listens here to what, and what reaches them.

use std::sync::{Arc, atomic::AtomicUsize, atomic::Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    sync::{broadcast, mpsc, oneshot},
    time::Instant,
};

use super::{
    envelope::Envelope,
    event::{Delivery, Reach},
    glob,
    local::{Item, Local},
    locals::Locals,
    metrics::PubSubMetrics,
    order::Sent,
    publisher::Outgoing,
};
use crate::{
    Error, ErrorKind,
    redis::{Audience, Loss, Relay, Topic},
    store::switch::Switch,
};

pub(super) struct Hub {
    /// Of this handle in this process.
    pub(super) publisher: u64,
    /// What stands before the name of a channel in Redis.
    pub(super) prefix: String,
    pub(super) buffer: usize,
    pub(super) max_message_bytes: usize,
    pub(super) relay: Relay,
    pub(super) switch: Switch,
    pub(super) outgoing: mpsc::Sender<Outgoing>,
    pub(super) metrics: PubSubMetrics,
    pub(super) state: Mutex<State>,
    /// How many topics there are, for who must not wait for the lock.
    pub(super) listened_to: AtomicUsize,
}

#[derive(Default)]
pub(super) struct State {
    locals: Locals,
    sent: Sent,
    has_ended: bool,
}

/// A subscription that has begun.
pub(super) struct Subscription {
    pub(super) receiver: broadcast::Receiver<Item>,
    /// Nothing will come.
    pub(super) has_ended: bool,
}

impl Hub {
    /// What Redis calls a channel.
    pub(super) fn channel(&self, name: &str) -> Topic {
        Topic::Channel(format!("{}{name}", self.prefix).into())
    }

    /// What Redis calls a pattern.
    pub(super) fn pattern(&self, pattern: &str) -> Topic {
        Topic::Pattern(format!("{}{pattern}", glob::escape(&self.prefix)).into())
    }

    pub(super) fn enter(&self, topic: &Topic, name: &Arc<str>) -> Subscription {
        let mut state = self.state.lock();
        let has_ended = state.has_ended;
        let local = state.locals.get_or_insert(topic, || {
            self.relay.want(topic.clone());
            Local::new(Arc::clone(name), self.buffer)
        });
        let receiver = local.subscribe();
        self.listened_to.store(state.locals.len(), Ordering::Relaxed);
        Subscription { receiver, has_ended }
    }

    pub(super) fn leave(&self, topic: &Topic) {
        let mut state = self.state.lock();
        let Some(local) = state.locals.get_mut(topic) else { return };
        local.subscribers -= 1;
        if local.subscribers == 0 {
            state.locals.remove(topic);
            // Under the lock: whoever enters next wants it again, after this.
            self.relay.leave(topic);
        }
        self.listened_to.store(state.locals.len(), Ordering::Relaxed);
    }

    /// Whose messages the subscribers of a topic get.
    pub(super) fn reach(&self, topic: &Topic) -> Reach {
        self.state.lock().locals.get(topic).map_or(Reach::ThisInstance, Local::reach)
    }

    /// Redis has not acknowledged the topic in time. Whose messages its subscribers get.
    pub(super) fn note_unacknowledged(&self, topic: &Topic, since: Instant) -> Reach {
        let mut state = self.state.lock();
        let Some(local) = state.locals.get_mut(topic) else { return Reach::ThisInstance };
        // It may have done so by now: then the gap was told.
        if !self.relay.is_acknowledged(topic) {
            local.mark_deaf(since, true);
        }
        local.reach()
    }

    /// Hands a message to the subscribers here, and to the task that brings it to Redis.
    pub(super) async fn publish(
        &self,
        topic: &Topic,
        name: &Arc<str>,
        payload: Bytes,
    ) -> Result<Delivery, Error> {
        if payload.len() > self.max_message_bytes {
            let most = self.max_message_bytes;
            let error = format!("a message has at most {most} bytes: this has {}", payload.len());
            return Err(Error::new(ErrorKind::Invalid, error));
        }
        self.metrics.published.add(1);
        // Both under one lock, so that all hear the messages of this process in one order.
        let (local, own, answer) = {
            let mut state = self.state.lock();
            let (mut local, mut own) = (0, 0);
            for (topic, here) in state.locals.matching(topic, name) {
                local += here.deliver(name, &payload);
                own += u64::from(self.relay.is_acknowledged(topic));
            }
            let sequence = state.sent.next(name);
            let envelope = Envelope { publisher: self.publisher, sequence, payload: &payload };
            (local, own, self.hand_on(topic, envelope))
        };
        let answer = match answer {
            Some(answer) => answer.await.ok(),
            None => None,
        };
        Ok(match answer {
            Some(Ok(connections)) => {
                // This process' own connection counts for Redis as well, once for each topic.
                let remote = connections.saturating_sub(own);
                Delivery::Delivered { local, remote }
            }
            other => {
                if let Some(Err(error)) = other {
                    self.switch.log(&error);
                }
                self.switch.record_fallback();
                Delivery::LocalOnly { local }
            }
        })
    }

    fn hand_on(
        &self,
        topic: &Topic,
        envelope: Envelope<'_>,
    ) -> Option<oneshot::Receiver<Result<u64, Error>>> {
        let Topic::Channel(channel) = topic else { return None };
        let permit = self.switch.is_up().then(|| self.outgoing.try_reserve().ok())??;
        let (answer, answered) = oneshot::channel();
        permit.send(Outgoing {
            channel: Arc::clone(channel),
            payload: envelope.to_bytes(),
            answer,
        });
        Some(answered)
    }
}

impl Audience for Hub {
    fn message(&self, topic: &Topic, channel: &str, payload: &[u8]) {
        let Some(envelope) = Envelope::parse(payload) else {
            return self.metrics.unreadable.add(1);
        };
        let Some(name) = channel.strip_prefix(&self.prefix) else { return };
        if envelope.publisher == self.publisher {
            return;
        }
        if envelope.payload.len() > self.max_message_bytes {
            return self.metrics.unreadable.add(1);
        }
        let mut state = self.state.lock();
        let Some(local) = state.locals.get_mut(topic) else { return };
        self.metrics.received.add(1);
        let name = if *local.name == *name { Arc::clone(&local.name) } else { name.into() };
        let payload = Bytes::copy_from_slice(envelope.payload);
        if local.hear((envelope.publisher, envelope.sequence), &name, &payload) {
            self.metrics.gaps.add(1);
        }
    }

    fn acknowledged(&self, topics: &[Topic]) {
        let mut state = self.state.lock();
        for topic in topics {
            if state.locals.get_mut(topic).is_some_and(Local::mark_heard) {
                self.metrics.gaps.add(1);
            }
        }
    }

    fn lost(&self, loss: Loss) {
        let mut state = self.state.lock();
        state.locals.values_mut().for_each(|local| local.mark_deaf(loss.since, loss.is_outage));
    }

    fn ended(&self) {
        let mut state = self.state.lock();
        state.has_ended = true;
        state.locals.values().for_each(Local::end);
    }
}
