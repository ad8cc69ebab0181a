//! Subscriptions to channels, which end with the handle and not with a connection.

use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_core::Stream;
use tokio::time::{Instant, sleep};

use super::{
    follow::Following,
    handle::Redis,
    listener::{Listener, Topics, not_over_a_pool},
    mailbox::{Mailbox, SubscriptionEvent},
};
use crate::{Error, ErrorKind};

const DEFAULT_CAPACITY: usize = 1_024;

impl Redis {
    /// Subscribes to these channels, over a connection of the subscription's own. Await the result,
    /// or set its [capacity](Subscribe::with_capacity) first.
    ///
    /// It returns when Redis has acknowledged: what is published from then on is received. Whatever
    /// becomes of the connection, the subscription goes on by itself, and says with a
    /// [`Gap`](SubscriptionEvent::Gap) where messages may be missing. A connection that has died
    /// silently is noticed within 1.3 s (with an `op_timeout` of up to 500 ms, else 0.8 s and one
    /// `op_timeout`), also while commands are answered.
    ///
    /// Redis keeps nothing for a subscriber that is away. After a `Gap`, read what the messages are
    /// about from where it is kept.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] without a channel. [`ErrorKind::Config`] on a handle over an
    /// application's own pool ([`Redis::with_pool`]), whose connections cannot receive messages.
    /// Never because Redis is away.
    ///
    /// # When Redis is down
    ///
    /// It returns at once, or when the outage is known, at the latest after the probe timeout. The
    /// first event is [`Disconnected`](SubscriptionEvent::Disconnected) then; a `Gap` follows as
    /// soon as Redis has acknowledged. The same holds where Redis refuses the subscription
    /// (`NOPERM`), which is logged once and tried again.
    ///
    /// # Topologies
    ///
    /// With sentinels it listens to the server that they call master, and moves with it. In a
    /// cluster it listens to one of the nodes in the URL (each sends what is published on any) and
    /// goes on to the next when that one is lost; a node that is cut off from the other nodes, but
    /// not from here, goes unnoticed. Sharded channels (`SSUBSCRIBE`) are not supported.
    ///
    /// ```no_run
    /// # async fn run(redis: evenkeel::redis::Redis) -> Result<(), evenkeel::Error> {
    /// use evenkeel::redis::SubscriptionEvent;
    ///
    /// let mut prices = redis.subscribe(["prices"]).await?;
    /// while let Some(event) = prices.recv().await {
    ///     match event {
    ///         SubscriptionEvent::Message(message) => println!("{} bytes", message.payload.len()),
    ///         SubscriptionEvent::Disconnected => println!("prices may be old"),
    ///         // `Gap`, `Lagged`
    ///         _ => println!("reading all prices again"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn subscribe(&self, channels: impl IntoIterator<Item = impl Into<String>>) -> Subscribe {
        Subscribe::new(self, Topics::Channels(channels.into_iter().map(Into::into).collect()))
    }

    /// Subscribes to every channel whose name matches one of these patterns (`news.*`). In all else
    /// as [`subscribe`](Self::subscribe).
    ///
    /// A message that matches several of the patterns is received once for each.
    pub fn psubscribe(&self, patterns: impl IntoIterator<Item = impl Into<String>>) -> Subscribe {
        Subscribe::new(self, Topics::Patterns(patterns.into_iter().map(Into::into).collect()))
    }
}

/// A subscription that is about to begin, see [`Redis::subscribe`]: begins when it is awaited.
#[derive(Debug, Clone)]
#[must_use = "nothing is subscribed to before it is awaited"]
pub struct Subscribe {
    redis: Redis,
    topics: Topics,
    capacity: usize,
}

impl Subscribe {
    fn new(redis: &Redis, topics: Topics) -> Self {
        Self { redis: redis.clone(), topics, capacity: DEFAULT_CAPACITY }
    }

    /// How many messages wait for the reader at most. Default 1 024, at least 1. Beyond that (and
    /// beyond 16 MiB of them) the newest are dropped, which the reader learns from
    /// [`Lagged`](SubscriptionEvent::Lagged).
    pub fn with_capacity(mut self, messages: usize) -> Self {
        self.capacity = messages.max(1);
        self
    }

    async fn begin(self) -> Result<Subscription, Error> {
        let (Topics::Channels(names) | Topics::Patterns(names)) = &self.topics;
        if names.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "there is nothing to subscribe to"));
        }
        if self.redis.inner.listeners.is_none() {
            return Err(not_over_a_pool());
        }
        let began = Instant::now();
        let mailbox = Arc::new(Mailbox::new(self.capacity));
        let listener = Listener {
            topics: self.topics,
            mailbox: Arc::clone(&mailbox),
            patience: self.redis.inner.probe_timeout,
        };
        let following = self.redis.follow(Arc::new(listener));
        let monitor = self.redis.monitor();
        if !monitor.can_read() {
            monitor.request_probe();
        }
        let mut watch = monitor.watch();
        tokio::select! {
            () = mailbox.attempted.notified() => {}
            _ = watch.wait_for(|_| !monitor.can_read()) => {}
            () = sleep(self.redis.inner.probe_timeout) => {}
        }
        mailbox.disconnected_unless_acknowledged(began);
        Ok(Subscription { mailbox, _following: following })
    }
}

impl IntoFuture for Subscribe {
    type Output = Result<Subscription, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.begin())
    }
}

/// What is published on some channels, as a stream of [events](SubscriptionEvent). Made by
/// [`Redis::subscribe`] and [`Redis::psubscribe`].
///
/// It ends (with `None`) after [`Redis::shutdown`] and in no other way. Dropping it ends the
/// subscription and closes its connection. It holds the handle, as a [`Connection`] does.
///
/// [`Connection`]: super::Connection
#[must_use = "the subscription ends when this is dropped"]
pub struct Subscription {
    mailbox: Arc<Mailbox>,
    _following: Following,
}

impl Subscription {
    /// The next event; `None` after [`Redis::shutdown`]. Cancel-safe.
    pub async fn recv(&mut self) -> Option<SubscriptionEvent> {
        std::future::poll_fn(|cx| self.mailbox.poll_next(cx)).await
    }

    /// Redis has acknowledged the subscription, over a connection that is not known to be lost.
    pub fn is_connected(&self) -> bool {
        self.mailbox.is_connected()
    }
}

impl Stream for Subscription {
    type Item = SubscriptionEvent;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<SubscriptionEvent>> {
        self.mailbox.poll_next(cx)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}
