//! The handle that an application makes, and everything it can ask of it.

use std::{
    fmt,
    future::Future,
    sync::{Arc, OnceLock},
    time::Duration,
};

use deadpool_redis::redis::{Cmd, FromRedisValue};
use tokio::{
    runtime::Handle,
    sync::watch,
    task::AbortHandle,
    time::{Instant, timeout},
};

use super::{
    call::{Bound, Guarded},
    classify,
    config::RedisConfig,
    connection::Connection,
    connections::{SharedConnection, SharedConnections},
    epoch::Epoch,
    hedge::hedged,
    listen::Listeners,
    metrics::{CacheUsage, CommandMetrics},
    pool::Pool,
    probe::RedisProbe,
    recovery::register,
    registry::Registry,
    rights::Need,
    shared::{Caller, Inner},
    source::Source,
    topology::Topology,
};
use crate::{
    Error, ErrorKind, Served,
    health::{Fault, FaultClass, HealthMonitor, Recovery, Registration, Stage, WeakMonitor},
    telemetry::{Feature, Metrics},
};

/// Redis, guarded. Cheap to clone; one for a process and server.
///
/// It keeps a few connections, shares them among all callers, and watches over them with its
/// [`monitor`](Self::monitor). Nothing that is asked of it waits longer than the deadline in its
/// settings.
///
/// # When Redis is down
///
/// [`new`](Self::new) works all the same and returns at once; commands are refused at once and
/// without I/O; the monitor finds Redis again by itself.
///
/// ```no_run
/// use evenkeel::redis::{Redis, RedisConfig};
///
/// # async fn run() -> Result<(), evenkeel::Error> {
/// let redis = Redis::new(RedisConfig::from_env()?)?;
/// if !redis.monitor().is_available() {
///     println!("starting without Redis");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Redis {
    pub(super) inner: Arc<Inner>,
    epoch: Epoch,
    /// Keeps the step that reads the epoch registered.
    _epoch_step: Arc<Registration>,
}

impl Redis {
    /// A handle with these settings. Returns at once: the first connection is made in the
    /// background.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for settings that make no sense, and outside a tokio runtime. Never
    /// because Redis is away.
    pub fn new(config: RedisConfig) -> Result<Self, Error> {
        let monitor = Arc::new(OnceLock::new());
        let (target, timeout) = (config.target()?, config.health.probe_timeout());
        let source = Source::at(&target, timeout, &monitor)?;
        let listeners = Listeners::new(target, timeout);
        Self::start(source, Some(listeners), config, &monitor)
    }

    /// A handle with the settings of the environment, see [`RedisConfig::from_env`].
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new) and [`RedisConfig::from_env`].
    pub fn from_env() -> Result<Self, Error> {
        Self::new(RedisConfig::from_env()?)
    }

    /// A handle over a pool that the application has already. The URL in `config` is only shown.
    ///
    /// The handle opens connections of its own with the pool's manager. Three things differ from
    /// [`new`](Self::new): a connection that is lost while nothing is sent is noticed by the next
    /// probe, not at once; where many commands are in flight, each costs about twice the processor
    /// time, because only the connections of `new` (without TLS) gather them into few writes; and
    /// [`subscribe`](Self::subscribe) is refused.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_pool(pool: impl Into<Pool>, config: RedisConfig) -> Result<Self, Error> {
        Self::start(Source::Pool(pool.into()), None, config, &OnceLock::new())
    }

    fn start(
        source: Source,
        listeners: Option<Listeners>,
        config: RedisConfig,
        watcher: &OnceLock<WeakMonitor>,
    ) -> Result<Self, Error> {
        config.check()?;
        let runtime = Handle::try_current()
            .map_err(|_| Error::config("Redis needs a running tokio runtime"))?;
        let source = Arc::new(source);
        let connections = Arc::new(SharedConnections::default());
        let command_metrics = Arc::new(CommandMetrics::new(&config.metrics));
        let probe = RedisProbe::new(&source, &connections, &command_metrics, &config);
        let epoch = Epoch::new(&config.namespace, probe.heartbeats());
        let (rights, evictions) = (probe.rights(), probe.evictions());
        let monitor = HealthMonitor::start(probe, &config.health, &config.metrics)?;
        let _ = watcher.set(monitor.downgrade());
        let db = config.url.nodes.first().map_or(0, |node| node.redis_settings().db());
        let inner = Arc::new(Inner {
            monitor,
            connections,
            command_metrics,
            topology: source.topology(),
            db,
            source,
            listeners,
            namespace: config.namespace,
            service: config.service,
            instance: config.instance,
            metrics: config.metrics,
            registry: Registry::default(),
            rights,
            evictions,
            recoveries: watch::Sender::default(),
            runtime,
            op_timeout: config.health.op_timeout(),
            probe_timeout: config.health.probe_timeout(),
            probe_interval: config.health.probe_interval(),
        });
        let (recoveries, of_step) = (inner.recoveries.clone(), epoch.clone());
        let step = register(&inner, Stage::Epoch, "epoch", move |connection, recovery| {
            recoveries.send_modify(|count| *count += 1);
            of_step.clone().establish(connection, recovery)
        });
        Ok(Self { inner, epoch, _epoch_step: Arc::new(step) })
    }

    /// Is Redis there? What the layers ask.
    pub fn monitor(&self) -> &HealthMonitor {
        &self.inner.monitor
    }

    /// A connection for any command of the client. Costs no I/O.
    pub fn connection(&self) -> Connection {
        self.guarded(None, Caller::Request, self.inner.op_timeout)
    }

    fn guarded(&self, bound: Option<Bound>, caller: Caller, deadline: Duration) -> Connection {
        Connection(Guarded { redis: Arc::clone(&self.inner), bound, caller, deadline })
    }

    /// A new connection of the caller's own, for commands that wait (`BLPOP`) or that change the
    /// connection (`WATCH`, `SELECT`). `deadline` is the longest wait for one command on it; it
    /// should exceed the time that the command itself waits at most. It is closed with its last
    /// clone.
    ///
    /// It is not for `SUBSCRIBE` and its like, whose messages could not be read:
    /// [`subscribe`](Self::subscribe) is.
    ///
    /// # Errors
    ///
    /// [`Error::is_unavailable`] while Redis is away, or when no connection can be had within the
    /// probe timeout.
    ///
    /// # When Redis is down
    ///
    /// Refused at once. A command that waits on such a connection ends with an error when the
    /// server closes it, and at its deadline when the server is silent. A deadline that passes on
    /// it is no evidence for the monitor: the command may only have waited.
    pub async fn dedicated(&self, deadline: Duration) -> Result<Connection, Error> {
        let inner = &self.inner;
        if !inner.monitor.can_read() {
            inner.monitor.request_probe();
            return Err(inner.monitor.unavailable());
        }
        let conn = match timeout(inner.probe_timeout, hedged(|| inner.source.connect())).await {
            Ok(Ok(conn)) => conn,
            Ok(Err(error)) => return Err(classify::connecting_error(&error)),
            Err(_elapsed) => {
                return Err(Error::new(ErrorKind::Timeout, "no connection to Redis in time"));
            }
        };
        let bound = Bound::to(SharedConnection::new(conn));
        Ok(self.guarded(Some(bound), Caller::Owner, deadline))
    }

    /// Sends one command, see [`Connection::query`].
    ///
    /// # Errors
    ///
    /// See [`Connection::query`].
    pub async fn query<T: FromRedisValue>(&self, cmd: &Cmd) -> Result<T, Error> {
        self.connection().query(cmd).await
    }

    /// Sends one command; while Redis does not serve, the answer is `default`, see
    /// [`Connection::query_or`].
    ///
    /// # Errors
    ///
    /// Only what is about the command itself.
    pub async fn query_or<T: FromRedisValue>(
        &self,
        cmd: &Cmd,
        default: T,
    ) -> Result<Served<T>, Error> {
        self.connection().query_or(cmd, default).await
    }

    /// Runs `step` each time Redis answers again, before it is announced as available, with a
    /// connection that works by then already. See [`HealthMonitor::on_recovery`].
    pub fn on_recovery<F, Fut>(&self, stage: Stage, name: &'static str, step: F) -> Registration
    where
        F: Fn(Connection, Recovery) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Error>> + Send + 'static,
    {
        register(&self.inner, stage, name, step)
    }

    /// The prefix of every key that this crate writes.
    pub fn namespace(&self) -> &str {
        &self.inner.namespace
    }

    /// The name of the service, as in the metrics.
    pub fn service_name(&self) -> &str {
        &self.inner.service
    }

    /// The name of this process, as in the metrics and in Redis.
    pub fn instance_id(&self) -> &str {
        &self.inner.instance
    }

    /// Where this handle counts.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Ends the monitor and every [subscription](Self::subscribe), and closes every connection.
    /// Returns when the connections are closed; from then on commands are refused.
    pub async fn shutdown(&self) {
        self.inner.monitor.shutdown().await;
        self.inner.connections.close();
    }
}

/// For the stores.
impl Redis {
    /// Stands for the data that Redis held at the last recovery; another number after data was
    /// lost. `None` before the first connection.
    #[cfg_attr(not(feature = "session"), allow(dead_code))]
    pub(crate) fn epoch(&self) -> Option<u64> {
        self.epoch.known()
    }

    /// Asks whether that data is still there. Where it was taken away under a live connection
    /// (`FLUSHALL`), that is reported to the monitor, which runs the recovery steps as after an
    /// outage.
    #[cfg_attr(not(feature = "session"), allow(dead_code))]
    pub(crate) async fn keeps_its_data(&self) -> Result<bool, Error> {
        let (monitor, since) = (&self.inner.monitor, Instant::now());
        let admission = monitor.admit();
        let kept = self.epoch.still_stands(&mut self.connection()).await?;
        if !kept {
            monitor.report(admission, Fault::new(FaultClass::Recovery, "data lost"), since);
            monitor.request_probe();
        }
        Ok(kept)
    }

    /// This feature is used over the handle: while Redis refuses what it needs, writes count as
    /// gone.
    pub(crate) fn need_rights(&self, feature: Feature) -> Need {
        let need = self.inner.rights.need(feature);
        self.inner.monitor.verify_writes();
        need
    }

    /// Changes when Redis has dropped keys to make room: what guards may be among them.
    pub(crate) fn evictions(&self) -> watch::Receiver<u64> {
        self.inner.evictions.losses()
    }

    /// The health page shows what this cache does. See [`CacheUsage`].
    #[cfg_attr(not(feature = "cache"), allow(dead_code))]
    pub(crate) fn show_usage(&self, usage: CacheUsage) {
        self.inner.command_metrics.add_cache(usage);
    }

    /// Commands of several keys may be for several servers.
    pub(crate) fn is_cluster(&self) -> bool {
        self.inner.topology == Topology::Cluster
    }

    /// Between probes while all is well.
    pub(crate) fn probe_interval(&self) -> Duration {
        self.inner.probe_interval
    }

    /// The one `T` of this handle and its clones, from `make` when nobody uses one yet. It is held
    /// weakly, so it may hold the handle. `make` may ask for values of other types.
    pub(crate) fn shared<T: Send + Sync + 'static>(&self, make: impl FnOnce() -> Arc<T>) -> Arc<T> {
        self.inner.registry.get_or_make(make)
    }

    /// Runs `task` on the runtime that the handle was made in, also when called from outside of one
    /// (in a `Drop`).
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        self.inner.runtime.spawn(task).abort_handle()
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("namespace", &self.inner.namespace)
            .field("instance", &self.inner.instance)
            .field("monitor", &self.inner.monitor)
            .finish_non_exhaustive()
    }
}
