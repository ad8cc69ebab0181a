//! The router's settings, and how they are made.

use std::{borrow::Cow, fmt, future::Future, sync::Arc, time::Duration};

use http::request::Parts;

use super::check::{Check, Limits};
use crate::{health::HealthMonitor, telemetry::Metrics};

/// Answers health probes and, if asked to, serves metrics. See the [module](super) for its paths.
///
/// Cheap to clone; clones share the results of checks.
#[derive(Clone)]
pub struct HealthRouter {
    pub(super) settings: Arc<Settings>,
}

/// What a router was told.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) monitor: HealthMonitor,
    pub(super) redis_critical: bool,
    pub(super) version: Option<Cow<'static, str>>,
    pub(super) checks: Vec<Arc<Check>>,
    pub(super) limits: Limits,
    pub(super) details: Visibility,
    pub(super) metrics: Option<Metrics>,
}

/// Who sees the details?
#[derive(Clone)]
pub(super) enum Visibility {
    Everybody,
    Nobody,
    If(Arc<dyn Fn(&Parts) -> bool + Send + Sync>),
}

impl HealthRouter {
    /// Tells what this monitor knows.
    pub fn new(monitor: &HealthMonitor) -> Self {
        let settings = Settings {
            monitor: monitor.clone(),
            redis_critical: false,
            version: None,
            checks: Vec::new(),
            limits: Limits::DEFAULT,
            details: Visibility::Everybody,
            metrics: None,
        };
        Self { settings: Arc::new(settings) }
    }

    /// The application's version, shown as `version`. Default: `null`.
    #[must_use]
    pub fn with_version(self, version: impl Into<Cow<'static, str>>) -> Self {
        let version = version.into();
        self.set(|settings| settings.version = Some(version))
    }

    /// Redis is critical: while it is down this instance is not ready. Default: it is optional.
    #[must_use]
    pub fn redis_critical(self) -> Self {
        self.set(|settings| settings.redis_critical = true)
    }

    /// Adds a dependency without which this instance cannot do its work: while it is down,
    /// `/health/ready` answers 503.
    ///
    /// The check is run when somebody asks, at most once in
    /// [`with_check_ttl`](Self::with_check_ttl) however many ask, and cut off after
    /// [`with_check_timeout`](Self::with_check_timeout). All checks run at the same time. An error,
    /// a check that takes too long and one that panics all read as `down`. The text of an error
    /// goes to the log, once per change, and never to the client. A check that blocks its thread
    /// belongs into `tokio::task::spawn_blocking`.
    ///
    /// A second check of the same name replaces the first. The monitor's own name is taken; a check
    /// of that name is not shown.
    ///
    /// ```
    /// # use evenkeel::{health::HealthMonitor, health_router::HealthRouter};
    /// # fn demo(monitor: &HealthMonitor) -> HealthRouter {
    /// HealthRouter::new(monitor).critical("ledger", || async {
    ///     tokio::net::TcpStream::connect("ledger:7000").await.map(drop)
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn critical<F, Fut, E>(self, name: impl Into<Cow<'static, str>>, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        self.add(Check::new(name.into(), true, check))
    }

    /// Adds a dependency that can be done without: while it is down, the status is `degraded` and
    /// this instance stays ready. Otherwise as [`critical`](Self::critical).
    #[must_use]
    pub fn optional<F, Fut, E>(self, name: impl Into<Cow<'static, str>>, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        self.add(Check::new(name.into(), false, check))
    }

    /// The longest that a check may take. Default 1 s.
    #[must_use]
    pub fn with_check_timeout(self, timeout: Duration) -> Self {
        self.set(|settings| settings.limits.timeout = timeout)
    }

    /// How long the result of a check is good for. Default 1 s. While a new one is being made, the
    /// last one is shown if it is not older than this and
    /// [`with_check_timeout`](Self::with_check_timeout) together.
    #[must_use]
    pub fn with_check_ttl(self, ttl: Duration) -> Self {
        self.set(|settings| settings.limits.ttl = ttl)
    }

    /// Shows no details to anybody: `/health/dependencies` answers as `/health` does. Default:
    /// everybody sees them.
    #[must_use]
    pub fn without_details(self) -> Self {
        self.set(|settings| settings.details = Visibility::Nobody)
    }

    /// Shows the details to those requests for which `shown` is true; to others
    /// `/health/dependencies` answers as `/health` does. Default: everybody sees them.
    ///
    /// ```
    /// # use evenkeel::{health::HealthMonitor, health_router::HealthRouter};
    /// # fn demo(monitor: &HealthMonitor) -> HealthRouter {
    /// HealthRouter::new(monitor).with_details_if(|parts| parts.headers.contains_key("x-internal"))
    /// # }
    /// ```
    #[must_use]
    pub fn with_details_if(self, shown: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.details = Visibility::If(Arc::new(shown)))
    }

    /// Serves these metrics under `/metrics`, if they are made for it: those of
    /// `Metrics::prometheus` (feature `prometheus`) are, others change nothing. Default: there is
    /// no such path.
    #[must_use]
    pub fn with_metrics(self, metrics: &Metrics) -> Self {
        let metrics = metrics.is_exposed().then(|| metrics.clone());
        self.set(|settings| settings.metrics = metrics)
    }

    fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }

    fn add(self, check: Check) -> Self {
        let own = self.settings.monitor.name();
        if check.name() == own {
            tracing::error!(name = own, "a health check of the monitor's own name is not shown");
            return self;
        }
        self.set(|settings| {
            settings.checks.retain(|other| other.name() != check.name());
            settings.checks.push(Arc::new(check));
        })
    }
}

impl fmt::Debug for HealthRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let checks: Vec<&str> = self.settings.checks.iter().map(|check| check.name()).collect();
        f.debug_struct("HealthRouter")
            .field("monitor", &self.settings.monitor.name())
            .field("redis_critical", &self.settings.redis_critical)
            .field("checks", &checks)
            .finish_non_exhaustive()
    }
}
