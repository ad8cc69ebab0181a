//! What a subscription does with its connection: subscribes, and takes in the messages.

use std::{
    future::{Future, pending},
    sync::Arc,
    time::Duration,
};

use deadpool_redis::redis::{
    Msg, Value,
    aio::{PubSubSink, PubSubStream},
};
use futures_util::{FutureExt, StreamExt};
use tokio::time::timeout;

use super::{
    classify,
    follow::{Follower, Loss, within},
    handle::Redis,
    hedge::hedged,
    mailbox::{Mailbox, Message},
};
use crate::{
    Error, ErrorKind,
    health::{Fault, FaultClass},
};

/// What is subscribed to.
#[derive(Debug, Clone)]
pub(super) enum Topics {
    Channels(Vec<String>),
    Patterns(Vec<String>),
}

/// Takes messages from a connection into the mailbox. Dropped with the task that runs it, however
/// that ends: the reader must not wait for ever.
pub(super) struct Listener {
    pub(super) topics: Topics,
    pub(super) mailbox: Arc<Mailbox>,
    /// For the server's acknowledgement.
    pub(super) patience: Duration,
}

impl Listener {
    fn deliver(&self, message: Msg) {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        self.mailbox.message(Message {
            channel: message.get_channel().map(text).unwrap_or_default(),
            pattern: message.get_pattern::<Option<Vec<u8>>>().ok().flatten().map(text),
            payload: message.get_payload_bytes().to_vec(),
        });
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.mailbox.close();
    }
}

pub(super) fn not_over_a_pool() -> Error {
    Error::config(
        "connections of a pool cannot receive messages: \
         use a handle made by Redis::new or Redis::from_env",
    )
}

/// A connection that can listen.
pub(super) async fn listening_connection(
    redis: &Redis,
) -> Result<(PubSubSink, PubSubStream), Error> {
    let Some(listeners) = &redis.inner.listeners else { return Err(not_over_a_pool()) };
    match hedged(|| listeners.connect()).await {
        Ok(connection) => Ok(connection.split()),
        Err(error) => Err(classify::connecting_error(&error)),
    }
}

/// What came first.
pub(super) enum Next {
    Message(Msg),
    /// Nothing came, and the server is there.
    Answered,
    Interrupted,
}

/// Waits for a message; for a sign of life when none comes in `wait`. Before it asks for that it
/// can be interrupted: an answer that nobody waits for would be taken for another's.
pub(super) async fn next_message(
    (sink, messages): &mut (PubSubSink, PubSubStream),
    wait: Duration,
    interrupt: impl Future<Output = ()>,
) -> Result<Next, Error> {
    let message = tokio::select! {
        biased;
        message = timeout(wait, messages.next()) => message,
        () = interrupt => return Ok(Next::Interrupted),
    };
    let message = match message {
        Ok(message) => message,
        // Is it quiet, or dead? Any answer will do, and so will a message.
        Err(_elapsed) => tokio::select! {
            answer = sink.ping::<Value>() => {
                answer?;
                return Ok(Next::Answered);
            }
            message = messages.next() => message,
        },
    };
    match message {
        Some(message) => Ok(Next::Message(message)),
        None => {
            let closed = Fault::new(FaultClass::Transport, "closed");
            Err(Error::new(ErrorKind::Connection, closed.to_string()).with_fault(closed))
        }
    }
}

/// Takes what is there already: the client's queue has no bound.
pub(super) fn drain(messages: &mut PubSubStream, mut deliver: impl FnMut(Msg)) {
    while let Some(Some(message)) = messages.next().now_or_never() {
        deliver(message);
    }
}

impl Follower for Listener {
    const NAME: &'static str = "channels";

    type Link = (PubSubSink, PubSubStream);

    async fn connect(&self, redis: &Redis) -> Result<Self::Link, Error> {
        listening_connection(redis).await
    }

    async fn resync(&self, (sink, _): &mut Self::Link) -> Result<(), Error> {
        within(self.patience, async {
            match &self.topics {
                Topics::Channels(names) => sink.subscribe(names).await?,
                Topics::Patterns(names) => sink.psubscribe(names).await?,
            }
            Ok(())
        })
        .await?;
        // Before the first message is taken: the gap stands in front of what came after it.
        self.mailbox.connected();
        Ok(())
    }

    async fn next(&self, link: &mut Self::Link, wait: Duration) -> Result<(), Error> {
        if let Next::Message(message) = next_message(link, wait, pending()).await? {
            self.deliver(message);
            drain(&mut link.1, |message| self.deliver(message));
        }
        Ok(())
    }

    fn lost(&self, loss: Loss) {
        self.mailbox.disconnected(loss.since);
    }
}
