//! A connection of its own that listens, supervised: it cannot end but by shutdown, silence on it
//! is noticed, and no gap in what it hears is silent.

use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};

use deadpool_redis::redis::{Value, cmd};
use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{Instant, sleep, timeout},
};

use super::{
    connection::Connection,
    handle::Redis,
    pauses::{Pauses, spread},
};
use crate::{Error, ErrorKind};

/// How long a connection may stay quiet before it has to prove that it is alive.
pub(super) const KEEPALIVE: Duration = Duration::from_millis(800);
/// How long the proof may take. Together with the above: silence is noticed within 1.3 s.
const ANSWER: Duration = Duration::from_millis(500);

/// What is followed, and how. The supervisor calls `connect`, `resync` and then `next` for ever;
/// after any error `lost`, and begins anew.
pub(crate) trait Follower: Send + Sync + 'static {
    /// What is followed, for the log.
    const NAME: &'static str;

    /// The connection; one that answers commands comes from [`own_connection`].
    type Link: Send;

    /// Makes a connection. Given up after the probe timeout.
    fn connect(&self, redis: &Redis) -> impl Future<Output = Result<Self::Link, Error>> + Send;

    /// Catches up with what was missed while there was no connection. When this returns `Ok`,
    /// nothing that comes later is missed. Sets its own deadlines, because it may be long.
    fn resync(&self, link: &mut Self::Link) -> impl Future<Output = Result<(), Error>> + Send;

    /// Waits for up to `wait` for something new, and takes it in. `Ok` means that the server is
    /// known to have been there meanwhile, new or not. It is cut off half a second after `wait` (or
    /// one `op_timeout`, if that is longer), and must leave no command in flight when it returns.
    fn next(
        &self,
        link: &mut Self::Link,
        wait: Duration,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// The connection is lost, or could not be made.
    fn lost(&self, loss: Loss);
}

/// How a connection that listened was lost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Loss {
    /// Redis is away for commands, too; `false`: only this connection is affected.
    pub(crate) is_outage: bool,
    /// The last sign of life. What happened later may have been missed.
    pub(crate) since: Instant,
}

/// Ends the following when it is dropped. Must not be kept inside the follower, which the task
/// holds.
#[derive(Debug)]
#[must_use = "the following ends when this is dropped"]
pub(crate) struct Following(AbortHandle);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How long a command that waits for [`Follower::next`]'s `wait` may take.
fn cut_off(redis: &Redis) -> Duration {
    KEEPALIVE + ANSWER.max(redis.inner.op_timeout)
}

/// A connection of the follower's own, with the deadline that [`Follower::next`] has.
pub(crate) async fn own_connection(redis: &Redis) -> Result<Connection, Error> {
    redis.dedicated(cut_off(redis)).await
}

impl Redis {
    /// Follows from now on, for as long as the result lives and the monitor runs. The follower is
    /// dropped at the end.
    pub(crate) fn follow<F: Follower>(&self, follower: Arc<F>) -> Following {
        let redis = self.clone();
        Following(self.spawn(async move {
            tokio::select! {
                biased;
                () = redis.monitor().ended() => {}
                _ = Supervisor::new(&redis, &*follower).run() => {}
            }
        }))
    }
}

struct Supervisor<'a, F> {
    redis: &'a Redis,
    follower: &'a F,
    recoveries: watch::Receiver<u64>,
    /// The last sign of life.
    heard: Instant,
    /// Something was heard on the connection in use since it had caught up.
    is_of_use: bool,
    pauses: Pauses,
    /// The log says already that following fails.
    warned: bool,
}

impl<'a, F: Follower> Supervisor<'a, F> {
    fn new(redis: &'a Redis, follower: &'a F) -> Self {
        Self {
            redis,
            follower,
            recoveries: redis.inner.recoveries.subscribe(),
            heard: Instant::now(),
            is_of_use: false,
            pauses: Pauses::new(Instant::now()),
            warned: false,
        }
    }

    async fn run(mut self) -> Infallible {
        loop {
            let monitor = self.redis.monitor();
            let mut watch = monitor.watch();
            // An error is impossible: the handle keeps the sender alive.
            let _ = watch.wait_for(|_| monitor.can_read()).await;
            self.recoveries.mark_unchanged();
            self.is_of_use = false;
            let Err(error) = self.listen().await;
            let pause = self.pauses.after(Instant::now(), self.is_of_use);
            let is_outage = !monitor.can_read() || !self.commands_work().await;
            self.follower.lost(Loss { is_outage, since: self.heard });
            self.log(&error);
            sleep(spread(pause)).await;
        }
    }

    async fn listen(&mut self) -> Result<Infallible, Error> {
        let connecting = self.follower.connect(self.redis);
        let mut link = within(self.redis.inner.probe_timeout, connecting).await?;
        self.follower.resync(&mut link).await?;
        self.heard = Instant::now();
        self.warned = false;
        let cut_off = cut_off(self.redis);
        loop {
            tokio::select! {
                biased;
                // The name may lead elsewhere by now, and this connection to a server that nobody
                // writes to.
                _ = self.recoveries.changed() => {
                    return Err(Error::new(ErrorKind::Connection, "Redis was away"));
                }
                next = within(cut_off, self.follower.next(&mut link, KEEPALIVE)) => next?,
            }
            self.heard = Instant::now();
            self.is_of_use = true;
        }
    }

    /// Is it Redis, or only this connection? The answer is evidence for the monitor, too.
    async fn commands_work(&self) -> bool {
        let answer = self.redis.query::<Value>(&cmd("PING")).await;
        !answer.is_err_and(|error| error.is_unavailable())
    }

    fn log(&mut self, error: &Error) {
        if error.is_unavailable() {
            tracing::debug!(%error, "lost the connection that follows {}", F::NAME);
        } else if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(%error, "Redis does not let this instance follow {}", F::NAME);
        }
    }
}

pub(super) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match timeout(limit, work).await {
        Ok(result) => result,
        Err(_elapsed) => Err(Error::new(ErrorKind::Timeout, "no sign of life from Redis in time")),
    }
}
