//! The handle.

use std::{
    fmt,
    future::Future,
    sync::{Arc, OnceLock},
    time::Duration,
};

use deadpool_redis::redis::{Cmd, FromRedisValue};
use tokio::{runtime::Handle, sync::watch, task::AbortHandle, time::Instant};

use super::{
    Connection, Pool,
    call::Caller,
    classify,
    connection::Bound,
    epoch::Epoch,
    lanes::{Lane, Lanes},
    meter::Meter,
    probe::RedisProbe,
    registry::Registry,
    source::Source,
};
use crate::{
    Error, ErrorKind, Served,
    health::{Fault, FaultClass, HealthMonitor, Recovery, Registration, Stage, WeakMonitor},
    redis::{RedisConfig, Topology},
    telemetry::Metrics,
};

/// Redis, guarded. Cheap to clone; one for a process and server.
///
/// It keeps a few connections, shares them among all callers, and watches over them with its
/// [`monitor`](Self::monitor). Nothing that is asked of it waits longer than the deadline in its settings.
///
/// # When Redis is down
///
/// [`new`](Self::new) works all the same and returns at once; commands are refused at once and without I/O; the
/// monitor finds Redis again by itself.
///
/// ```no_run
/// use evenkeel::{redis::{Redis, RedisConfig}};
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
    inner: Arc<Inner>,
    /// Keeps the step that reads the epoch registered.
    _epoch: Arc<Registration>,
}

pub(super) struct Inner {
    pub(super) monitor: HealthMonitor,
    pub(super) lanes: Arc<Lanes>,
    pub(super) meter: Arc<Meter>,
    pub(super) topology: Topology,
    pub(super) db: i64,
    source: Arc<Source>,
    epoch: Epoch,
    namespace: String,
    service: String,
    instance: String,
    metrics: Metrics,
    registry: Registry,
    /// Counts recoveries.
    recoveries: watch::Sender<u64>,
    runtime: Handle,
    pub(super) op_timeout: Duration,
    probe_timeout: Duration,
    probe_interval: Duration,
}

impl Redis {
    /// A handle with these settings. Returns at once: the first connection is made in the background.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for settings that make no sense, and outside a tokio runtime. Never because Redis is away.
    pub fn new(config: RedisConfig) -> Result<Self, Error> {
        let monitor = Arc::new(OnceLock::new());
        let source = Source::at(&config.url, config.health.probe_timeout(), &monitor)?;
        Self::start(source, config, &monitor)
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
    /// The handle opens connections of its own with the pool's manager. A connection that is lost while nothing is sent
    /// is noticed by the next probe, where [`new`](Self::new) notices it at once; and where many commands are under way, each
    /// costs about twice the processor time, because only the connections of [`new`](Self::new) (without TLS) gather them into
    /// few writes.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_pool(pool: impl Into<Pool>, config: RedisConfig) -> Result<Self, Error> {
        Self::start(Source::Pool(pool.into()), config, &OnceLock::new())
    }

    fn start(
        source: Source,
        config: RedisConfig,
        watcher: &OnceLock<WeakMonitor>,
    ) -> Result<Self, Error> {
        let runtime = Handle::try_current()
            .map_err(|_| Error::config("Redis needs a tokio runtime: make it within one"))?;
        let source = Arc::new(source);
        let lanes = Arc::new(Lanes::default());
        let meter = Arc::new(Meter::new(&config.metrics));
        let probe = RedisProbe::new(&source, &lanes, &meter, &config);
        let beats = probe.beats();
        let monitor = HealthMonitor::start(probe, &config.health, &config.metrics)?;
        let _ = watcher.set(monitor.downgrade());
        let epoch = Epoch::new(&config.namespace, beats);
        let db = config.url.nodes.first().map_or(0, |node| node.redis_settings().db());
        let inner = Arc::new(Inner {
            monitor,
            lanes,
            meter,
            topology: source.topology(),
            db,
            source,
            epoch: epoch.clone(),
            namespace: config.namespace,
            service: config.service,
            instance: config.instance,
            metrics: config.metrics,
            registry: Registry::default(),
            recoveries: watch::Sender::default(),
            runtime,
            op_timeout: config.health.op_timeout(),
            probe_timeout: config.health.probe_timeout(),
            probe_interval: config.health.probe_interval(),
        });
        let recoveries = inner.recoveries.clone();
        let epoch = register(&inner, Stage::Epoch, "epoch", move |connection, recovery| {
            recoveries.send_modify(|count| *count += 1);
            epoch.clone().establish(connection, recovery)
        });
        Ok(Self { inner, _epoch: Arc::new(epoch) })
    }

    /// Is Redis there? What the layers ask.
    pub fn monitor(&self) -> &HealthMonitor {
        &self.inner.monitor
    }

    /// A connection for any command of the client. Costs no I/O.
    pub fn connection(&self) -> Connection {
        self.connect_as(Caller::Request, self.inner.op_timeout)
    }

    fn connect_as(&self, caller: Caller, deadline: Duration) -> Connection {
        Connection { redis: Arc::clone(&self.inner), lane: None, caller, deadline }
    }

    /// A new connection of the caller's own, for commands that wait (`BLPOP`) or that change the connection
    /// (`WATCH`, `SELECT`). `deadline` is the longest wait for one command on it; it should exceed
    /// what the command itself is told to wait. It is closed with its last clone.
    ///
    /// # Errors
    ///
    /// [`Error::is_unavailable`] while Redis is away, or when no connection can be had within the probe timeout.
    pub async fn dedicated(&self, deadline: Duration) -> Result<Connection, Error> {
        let inner = &self.inner;
        if !inner.monitor.can_read() {
            inner.monitor.request_probe();
            return Err(inner.monitor.unavailable());
        }
        let made = tokio::time::timeout(inner.probe_timeout, inner.source.connect()).await;
        let conn = match made {
            Ok(Ok(conn)) => conn,
            Ok(Err(error)) => {
                let fault = classify::of_connecting(&error);
                return Err(Error::new(ErrorKind::Connection, fault.to_string()).with_fault(fault));
            }
            Err(_elapsed) => {
                return Err(Error::new(ErrorKind::Timeout, "no connection to Redis in time"));
            }
        };
        let mut connection = self.connect_as(Caller::Owner, deadline);
        connection.lane = Some(Bound::to(Lane::new(conn)));
        Ok(connection)
    }

    /// Sends one command, see [`Connection::query`].
    ///
    /// # Errors
    ///
    /// See [`Connection::query`].
    pub async fn query<T: FromRedisValue>(&self, cmd: &Cmd) -> Result<T, Error> {
        self.connection().query(cmd).await
    }

    /// Sends one command; while Redis does not serve, the answer is `default`, see [`Connection::query_or`].
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

    /// Runs `step` each time Redis answers again, before it is announced as available, with a connection that works
    /// by then already. See [`HealthMonitor::on_recovery`].
    pub fn on_recovery<F, Fut>(&self, stage: Stage, name: &'static str, step: F) -> Registration
    where
        F: Fn(Connection, Recovery) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Error>> + Send + 'static,
    {
        register(&self.inner, stage, name, step)
    }

    /// Stands for the data that Redis held at the last recovery; another number after data was lost. `None` before the
    /// first connection.
    #[cfg_attr(not(feature = "session"), allow(dead_code))]
    pub(crate) fn epoch(&self) -> Option<u64> {
        self.inner.epoch.known()
    }

    /// Asks whether that data is still there. Where it was taken away under a live connection (`FLUSHALL`), the monitor is
    /// told, which brings everything up to date as after an outage.
    #[cfg_attr(not(feature = "session"), allow(dead_code))]
    pub(crate) async fn keeps_its_data(&self) -> Result<bool, Error> {
        let (monitor, since) = (&self.inner.monitor, Instant::now());
        let admission = monitor.admit();
        let kept = self.inner.epoch.still_stands(&mut self.connection()).await?;
        if !kept {
            monitor.report(admission, Fault::new(FaultClass::Recovery, "data lost"), since);
            monitor.request_probe();
        }
        Ok(kept)
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

    /// Between probes while all is well.
    pub(crate) fn probe_interval(&self) -> Duration {
        self.inner.probe_interval
    }

    /// The longest wait for one command.
    #[allow(dead_code)]
    pub(crate) fn op_timeout(&self) -> Duration {
        self.inner.op_timeout
    }

    /// The longest wait for one probe, or for a connection.
    #[allow(dead_code)]
    pub(crate) fn probe_timeout(&self) -> Duration {
        self.inner.probe_timeout
    }

    /// Changes with each recovery, when it begins.
    #[allow(dead_code)]
    pub(crate) fn recoveries(&self) -> watch::Receiver<u64> {
        self.inner.recoveries.subscribe()
    }

    /// Where things are counted.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// The one `T` of this handle and its clones, from `make` when nobody uses one yet. It is held weakly, so it may
    /// hold the handle. `make` may ask for values of other types.
    #[allow(dead_code)]
    pub(crate) fn shared<T: Send + Sync + 'static>(&self, make: impl FnOnce() -> Arc<T>) -> Arc<T> {
        self.inner.registry.get_or_make(make)
    }

    /// Runs `task` on the runtime that the handle was made in, also when called from outside of one (in a `Drop`).
    #[allow(dead_code)]
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        self.inner.runtime.spawn(task).abort_handle()
    }

    /// Ends the monitor and closes every connection. Returns when that is done.
    pub async fn shutdown(&self) {
        self.inner.monitor.shutdown().await;
        self.inner.lanes.close();
    }
}

/// The step holds the handle weakly: the monitor holds the step, and the handle the monitor.
fn register<F, Fut>(inner: &Arc<Inner>, stage: Stage, name: &'static str, step: F) -> Registration
where
    F: Fn(Connection, Recovery) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Error>> + Send + 'static,
{
    let weak = Arc::downgrade(inner);
    inner.monitor.on_recovery(stage, name, move |recovery| {
        let running = weak.upgrade().map(|redis| {
            let deadline = redis.probe_timeout;
            let connection = Connection { redis, lane: None, caller: Caller::Recovery, deadline };
            step(connection, recovery)
        });
        async move {
            let Some(running) = running else { return Ok(()) };
            running.await.map_err(unlike_a_mishap)
        }
    })
}

/// That Redis went away is no mishap of the step, even where no fault was seen.
fn unlike_a_mishap(error: Error) -> Error {
    if error.fault().is_none() && error.is_unavailable() {
        let fault = crate::health::Fault::new(FaultClass::Recovery, "interrupted");
        return error.with_fault(fault);
    }
    error
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
