//! Who listens here to what, and what reaches them.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicUsize, atomic::Ordering},
};

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
    locals: HashMap<Topic, Local>,
    sent: Sent,
    has_ended: bool,
}

/// A place among the subscribers of a topic.
pub(super) struct Seat {
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

    pub(super) fn enter(&self, topic: &Topic, name: &Arc<str>) -> Seat {
        let mut state = self.state.lock();
        let has_ended = state.has_ended;
        let local = state.locals.entry(topic.clone()).or_insert_with(|| {
            self.relay.want(topic.clone());
            Local::new(Arc::clone(name), self.buffer)
        });
        let receiver = local.subscribe();
        self.listened_to.store(state.locals.len(), Ordering::Relaxed);
        Seat { receiver, has_ended }
    }

    pub(super) fn leave(&self, topic: &Topic) {
        let mut state = self.state.lock();
        let Some(local) = state.locals.get_mut(topic) else { return };
        local.subscribers -= 1;
        if local.subscribers == 0 {
            state.locals.remove(topic);
            // Under the lock: whoever enters next wants it again, after this.
            self.relay.leave(topic);
            if state.locals.capacity() > 4 * state.locals.len() + 64 {
                state.locals.shrink_to_fit();
            }
        }
        self.listened_to.store(state.locals.len(), Ordering::Relaxed);
    }

    /// Whose messages the subscribers of a topic get.
    pub(super) fn reach(&self, topic: &Topic) -> Reach {
        self.state.lock().locals.get(topic).map_or(Reach::ThisInstance, Local::reach)
    }

    /// Redis has not acknowledged the topic in time. Whose messages its subscribers get.
    pub(super) fn is_unacknowledged(&self, topic: &Topic, since: Instant) -> Reach {
        let mut state = self.state.lock();
        let Some(local) = state.locals.get_mut(topic) else { return Reach::ThisInstance };
        // It may have done so by now: then the gap was told.
        if !self.relay.is_acknowledged(topic) {
            local.is_deaf(since, true);
        }
        local.reach()
    }

    /// Hands a message to the subscribers here, and to the task that brings it to Redis.
    pub(super) async fn publish(&self, name: &Arc<str>, payload: Bytes) -> Result<Delivery, Error> {
        if payload.len() > self.max_message_bytes {
            let most = self.max_message_bytes;
            let error = format!("a message has at most {most} bytes: this has {}", payload.len());
            return Err(Error::new(ErrorKind::Invalid, error));
        }
        self.metrics.published.add(1);
        let topic = self.channel(name);
        // Both under one lock, so that all hear the messages of this process in one order.
        let (local, answer, is_heard_here) = {
            let mut state = self.state.lock();
            let local = state.deliver(&topic, name, &payload);
            let sequence = state.sent.next(name);
            let envelope = Envelope { publisher: self.publisher, sequence, payload: &payload };
            let answer = self.hand_on(&topic, envelope);
            (local, answer, state.is_heard(&topic, name, &self.relay))
        };
        let answer = match answer {
            Some(answer) => answer.await.ok(),
            None => None,
        };
        Ok(match answer {
            Some(Ok(connections)) => {
                let remote = connections.saturating_sub(is_heard_here);
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
            channel: channel.to_string(),
            payload: envelope.to_bytes(),
            answer,
        });
        Some(answered)
    }
}

impl State {
    fn deliver(&self, topic: &Topic, name: &Arc<str>, payload: &Bytes) -> usize {
        let channel = self.locals.get(topic).map_or(0, |local| local.deliver(name, payload));
        channel + self.patterns(name).map(|(_, local)| local.deliver(name, payload)).sum::<usize>()
    }

    /// The patterns that a channel's name matches.
    fn patterns(&self, name: &str) -> impl Iterator<Item = (&Topic, &Local)> {
        self.locals.iter().filter(move |(topic, local)| {
            let is_pattern = matches!(topic, Topic::Pattern(_));
            is_pattern && glob::matches(local.name.as_bytes(), name.as_bytes())
        })
    }

    /// As how many this process' own connection counts for Redis.
    fn is_heard(&self, topic: &Topic, name: &str, relay: &Relay) -> u64 {
        let topics = std::iter::once(topic).chain(self.patterns(name).map(|(topic, _)| topic));
        topics.filter(|topic| relay.is_acknowledged(topic)).count() as u64
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
            if state.locals.get_mut(topic).is_some_and(Local::hears) {
                self.metrics.gaps.add(1);
            }
        }
    }

    fn lost(&self, loss: Loss) {
        let mut state = self.state.lock();
        state.locals.values_mut().for_each(|local| local.is_deaf(loss.since, loss.is_outage));
    }

    fn ended(&self) {
        let mut state = self.state.lock();
        state.has_ended = true;
        state.locals.values().for_each(Local::end);
    }
}
