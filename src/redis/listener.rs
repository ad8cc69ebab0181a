//! What a subscription does with its connection: subscribes, and takes in the messages.

use std::{sync::Arc, time::Duration};

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

impl Follower for Listener {
    const NAME: &'static str = "channels";

    type Link = (PubSubSink, PubSubStream);

    async fn connect(&self, redis: &Redis) -> Result<Self::Link, Error> {
        let Some(listeners) = &redis.inner.listeners else {
            return Err(Error::config("connections of a pool cannot receive messages"));
        };
        match hedged(|| listeners.connect()).await {
            Ok(connection) => Ok(connection.split()),
            Err(error) => Err(classify::connecting_error(&error)),
        }
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

    async fn next(&self, (sink, messages): &mut Self::Link, wait: Duration) -> Result<(), Error> {
        let message = match timeout(wait, messages.next()).await {
            Ok(message) => message,
            // Is it quiet, or dead? Any answer will do, and so will a message.
            Err(_elapsed) => tokio::select! {
                answer = sink.ping::<Value>() => {
                    answer?;
                    return Ok(());
                }
                message = messages.next() => message,
            },
        };
        let Some(message) = message else {
            let closed = Fault::new(FaultClass::Transport, "closed");
            return Err(Error::new(ErrorKind::Connection, closed.to_string()).with_fault(closed));
        };
        self.deliver(message);
        // The client's queue has no bound: what is there already is taken at once.
        while let Some(Some(message)) = messages.next().now_or_never() {
            self.deliver(message);
        }
        Ok(())
    }

    fn lost(&self, loss: Loss) {
        self.mailbox.disconnected(loss.since);
    }
}
