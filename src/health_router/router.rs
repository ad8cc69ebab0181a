//! The router's settings, and how they are made.

use std::{borrow::Cow, fmt, future::Future, sync::Arc, time::Duration};

use http::request::Parts;
use serde::Serialize;
use serde_json::Value;

use super::{
    check::{Check, Limits},
    details::CheckDetails,
    paths::{HealthPath, Paths, Route},
};
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
    /// What is shown beside the checks of these names.
    pub(super) check_details: Vec<(Cow<'static, str>, CheckDetails)>,
    pub(super) paths: Paths,
    /// The names of each group's dependencies.
    pub(super) groups: Vec<Vec<Cow<'static, str>>>,
    /// The monitor's dependency is among those that are reported.
    pub(super) shows_redis: bool,
}

impl Settings {
    /// As these, for the dependencies of these names alone.
    pub(super) fn only(&self, names: &[Cow<'static, str>]) -> Self {
        let mut only = self.clone();
        only.checks.retain(|check| names.iter().any(|name| name == check.name()));
        only.shows_redis = names.iter().any(|name| name == self.monitor.name());
        only
    }

    /// What is to be shown beside the check of this name.
    pub(super) fn details_of(&self, name: &str) -> Option<Value> {
        let details = &self.check_details.iter().find(|(of, _)| of == name)?.1;
        details.now()
    }
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
            check_details: Vec::new(),
            paths: Paths::default(),
            groups: Vec::new(),
            shows_redis: true,
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

    /// Shows this beside the check of that name, as its `details` in `/health/dependencies`, to
    /// those who [see details](Self::with_details_if), whether the check succeeds or not: anything
    /// that can be written as JSON. It is asked for each such answer, so it should only read what
    /// is there, and it must hold no secret. Where it panics or cannot be written, there are no
    /// details. The monitor's own entry stays as it is. Default: a check has no details.
    ///
    /// ```
    /// # use evenkeel::{health::HealthMonitor, health_router::HealthRouter};
    /// # #[derive(Clone)] struct Pool;
    /// # impl Pool { async fn ping(&self) -> Result<(), String> { Ok(()) } fn idle(&self) -> u32 { 3 } }
    /// # fn demo(monitor: &HealthMonitor, pool: Pool) -> HealthRouter {
    /// let pinged = pool.clone();
    /// HealthRouter::new(monitor)
    ///     .critical("database", move || {
    ///         let pool = pinged.clone();
    ///         async move { pool.ping().await }
    ///     })
    ///     // "database": {"status": "up", "responseTime": 0.4, "details": {"idle": 3}}
    ///     .with_check_details("database", move || serde_json::json!({ "idle": pool.idle() }))
    /// # }
    /// ```
    #[must_use]
    pub fn with_check_details<T: Serialize>(
        self,
        name: impl Into<Cow<'static, str>>,
        details: impl Fn() -> T + Send + Sync + 'static,
    ) -> Self {
        let (name, details) = (name.into(), CheckDetails::new(details));
        self.set(|settings| {
            settings.check_details.retain(|(other, _)| *other != name);
            settings.check_details.push((name, details));
        })
    }

    /// Serves these metrics under `/metrics`, if they are made for it: those of
    /// `Metrics::prometheus` (feature `prometheus`) are, others change nothing. Default: there is
    /// no such path.
    #[must_use]
    pub fn with_metrics(self, metrics: &Metrics) -> Self {
        let metrics = metrics.is_exposed().then(|| metrics.clone());
        self.set(|settings| settings.metrics = metrics)
    }

    /// Serves a document under this path in place of its own. A path that is in use already now
    /// leads here. Default: the paths of the [module](super).
    #[must_use]
    pub fn with_path(self, document: HealthPath, path: impl Into<Cow<'static, str>>) -> Self {
        let path = path.into();
        self.set(|settings| settings.paths.set(Route::Document(document), path))
    }

    /// Puts this in front of every path that is set by now (`/internal` makes `/internal/health`).
    /// Default: nothing.
    #[must_use]
    pub fn with_prefix(self, prefix: &str) -> Self {
        self.set(|settings| settings.paths.add_prefix(prefix))
    }

    /// Serves, under this path, the document of `/health` for some dependencies alone: those of
    /// these names, the monitor's own among them. Names that nobody has are passed over, so a check
    /// may be added later. Default: there is no group.
    #[must_use]
    pub fn with_group<N: Into<Cow<'static, str>>>(
        self,
        path: impl Into<Cow<'static, str>>,
        names: impl IntoIterator<Item = N>,
    ) -> Self {
        let (path, names) = (path.into(), names.into_iter().map(Into::into).collect());
        self.set(|settings| {
            settings.groups.push(names);
            settings.paths.set(Route::Group(settings.groups.len() - 1), path);
        })
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
