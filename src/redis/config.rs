//! Settings of the Redis handle, and how they are read from the environment.

use std::{fmt, path::PathBuf, time::Duration};

use super::{
    from_env::{backoff, namespace, positive, positive_duration, url},
    pem::PemFiles,
    target::{Login, Target},
    url::RedisUrl,
};
use crate::{
    Error,
    env::{raw, var_with},
    health::HealthConfig,
    telemetry::Metrics,
};

const DURATION: &str = "a duration of at least 1ms, such as 250ms, 5s or 1m";

const NAMESPACE: &str = "1 to 64 letters, digits, or one of . _ -";

/// Where Redis is and how it is used. Every setting has a default, and
/// [`from_env`](Self::from_env) reads them all.
///
/// ```
/// use std::time::Duration;
/// use evenkeel::redis::RedisConfig;
///
/// let config = RedisConfig::new("redis://127.0.0.1:6379".parse()?)
///     .with_namespace("shop")
///     .with_op_timeout(Duration::from_millis(50));
/// # Ok::<(), evenkeel::Error>(())
/// ```
#[derive(Clone)]
pub struct RedisConfig {
    pub(crate) url: RedisUrl,
    pub(super) sentinel_login: Login,
    pub(super) pem_files: PemFiles,
    pub(crate) namespace: String,
    pub(crate) health: HealthConfig,
    pub(crate) connections: usize,
    pub(crate) service: String,
    pub(crate) instance: String,
    pub(crate) metrics: Metrics,
}

impl RedisConfig {
    /// Defaults, for the Redis at this address.
    pub fn new(url: RedisUrl) -> Self {
        Self {
            url,
            sentinel_login: Login::default(),
            pem_files: PemFiles::default(),
            namespace: "evenkeel".to_owned(),
            health: HealthConfig::new("redis"),
            connections: 1,
            service: env!("CARGO_PKG_NAME").to_owned(),
            instance: format!("{:08x}", rand::random::<u32>()),
            metrics: Metrics::default(),
        }
    }

    /// Reads every setting from the environment: `REDIS_URL` or else `REDIS_HOST`, `REDIS_PORT`,
    /// `REDIS_PASSWORD`, `REDIS_DB`; `REDIS_SENTINEL_USERNAME`, `REDIS_SENTINEL_PASSWORD`;
    /// `REDIS_CA_CERT`, `REDIS_CLIENT_CERT`, `REDIS_CLIENT_KEY`;
    /// `REDIS_NAMESPACE`, `REDIS_OP_TIMEOUT`, `REDIS_PROBE_TIMEOUT`,
    /// `REDIS_PROBE_INTERVAL`, `REDIS_BACKOFF`, `REDIS_STARTUP_ATTEMPTS`, `SERVICE_NAME`,
    /// `INSTANCE_ID`. What is not set keeps its default; the address defaults to
    /// `redis://127.0.0.1:6379`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for a value that cannot be read, with the
    /// variable, the value (never a password) and the accepted form.
    pub fn from_env() -> Result<Self, Error> {
        let mut config = Self::new(url()?);
        config.pem_files = PemFiles {
            authority: raw("REDIS_CA_CERT")?.map(PathBuf::from),
            certificate: raw("REDIS_CLIENT_CERT")?.map(PathBuf::from),
            key: raw("REDIS_CLIENT_KEY")?.map(PathBuf::from),
        };
        config.sentinel_login.username = raw("REDIS_SENTINEL_USERNAME")?;
        config.sentinel_login.password = raw("REDIS_SENTINEL_PASSWORD")?;
        if let Some(namespace) = var_with("REDIS_NAMESPACE", NAMESPACE, namespace)? {
            config.namespace = namespace;
        }
        let duration = |name| var_with(name, DURATION, positive_duration);
        let mut health = config.health;
        if let Some(timeout) = duration("REDIS_OP_TIMEOUT")? {
            health = health.with_op_timeout(timeout);
        }
        if let Some(timeout) = duration("REDIS_PROBE_TIMEOUT")? {
            health = health.with_probe_timeout(timeout);
        }
        if let Some(interval) = duration("REDIS_PROBE_INTERVAL")? {
            health = health.with_probe_interval(interval);
        }
        let form = "two durations, the first no longer than the last, such as 1s..15s";
        if let Some(backoff) = var_with("REDIS_BACKOFF", form, backoff)? {
            health = health.with_backoff(backoff);
        }
        let form = "a whole number from 1 to 4294967295";
        if let Some(attempts) = var_with("REDIS_STARTUP_ATTEMPTS", form, positive)? {
            health = health.with_startup_attempts(attempts);
        }
        config.health = health;
        if let Some(service) = raw("SERVICE_NAME")? {
            config.service = service;
        }
        if let Some(instance) = raw("INSTANCE_ID")? {
            config.instance = instance;
        }
        // What does not fit together is found here, where the settings have names.
        config.target()?;
        Ok(config)
    }

    /// The user name for the sentinels, where it differs from the servers'. Used with
    /// [`with_sentinel_password`](Self::with_sentinel_password) only. Default: none.
    #[must_use]
    pub fn with_sentinel_username(mut self, username: impl Into<String>) -> Self {
        self.sentinel_login.username = Some(username.into());
        self
    }

    /// The password for the sentinels, where it differs from the servers', which stands in the URL.
    /// Default: the sentinels are shown the URL's user and password, and none where they refuse
    /// these.
    #[must_use]
    pub fn with_sentinel_password(mut self, password: impl Into<String>) -> Self {
        self.sentinel_login.password = Some(password.into());
        self
    }

    /// A PEM file with the certificate authorities that the servers' certificates may come from
    /// (feature `tls`). Default: those of the system. Read when the handle is made.
    #[must_use]
    pub fn with_ca_cert(mut self, file: impl Into<PathBuf>) -> Self {
        self.pem_files.authority = Some(file.into());
        self
    }

    /// PEM files with the certificate that this process shows to the servers, leaf first, and its
    /// key (feature `tls`). Default: none is shown. Read when the handle is made.
    #[must_use]
    pub fn with_client_cert(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.pem_files.certificate = Some(certificate.into());
        self.pem_files.key = Some(key.into());
        self
    }

    /// The prefix of every key that the library writes: 1 to 64 letters, digits, or one of `.` `_`
    /// `-`. [`Redis::new`](super::Redis::new) refuses another. Default `evenkeel`.
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// The longest wait for one command. Default 100 ms.
    #[must_use]
    pub fn with_op_timeout(mut self, timeout: Duration) -> Self {
        self.health = self.health.with_op_timeout(timeout);
        self
    }

    /// How Redis is watched.
    #[must_use]
    pub fn with_health(mut self, health: HealthConfig) -> Self {
        self.health = health;
        self
    }

    /// How many connections are shared among all callers. Default 1, at least 1: commands of all
    /// callers are written together, which is faster than spreading them. More connections help
    /// when some answers are so large that others wait behind them.
    #[must_use]
    pub fn with_connections(mut self, connections: usize) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// The `service` label of metrics. Default: this crate's name.
    #[must_use]
    pub fn with_service_name(mut self, service: impl Into<String>) -> Self {
        self.service = service.into();
        self
    }

    /// The `instance` label of metrics, and this process' name in Redis. Default: random.
    #[must_use]
    pub fn with_instance_id(mut self, instance: impl Into<String>) -> Self {
        self.instance = instance.into();
        self
    }

    /// Where to count. Default: nobody reads the counts.
    #[must_use]
    pub fn with_metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// # Errors
    ///
    /// For settings that cannot be used together, and for files that cannot be used.
    pub(super) fn target(&self) -> Result<Target, Error> {
        Target::of(&self.url, &self.sentinel_login, &self.pem_files)
    }

    /// Where Redis is.
    pub const fn url(&self) -> &RedisUrl {
        &self.url
    }

    /// How Redis is watched.
    pub const fn health(&self) -> &HealthConfig {
        &self.health
    }

    /// See [`with_namespace`](Self::with_namespace).
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// See [`with_service_name`](Self::with_service_name).
    pub fn service_name(&self) -> &str {
        &self.service
    }

    /// See [`with_instance_id`](Self::with_instance_id).
    pub fn instance_id(&self) -> &str {
        &self.instance
    }

    /// What a builder method has taken and `from_env` would have refused.
    pub(super) fn check(&self) -> Result<(), Error> {
        namespace(&self.namespace).map(drop).ok_or_else(|| {
            Error::config(format!("namespace {:?}: expected {NAMESPACE}", self.namespace))
        })
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("url", &self.url)
            .field("namespace", &self.namespace)
            .field("health", &self.health)
            .field("connections", &self.connections)
            .field("service", &self.service)
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}
