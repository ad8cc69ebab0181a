//! Settings from the environment. Those of Redis are the library's: `REDIS_URL` and the like.

use std::{io::IsTerminal, net::SocketAddr, path::PathBuf, time::Duration};

use evenkeel::{
    Error, jobs::Jobs, layer::client_key::TrustedProxies, redis::RedisConfig, store::rate::Quota,
    telemetry::Metrics,
};
use tracing_subscriber::EnvFilter;

use crate::env::{var, var_with};

pub(crate) struct Settings {
    /// `LISTEN_ADDR`
    pub(crate) listen_addr: SocketAddr,
    /// `DATABASE_PATH`
    pub(crate) database_path: PathBuf,
    /// `RATE_LIMIT`
    pub(crate) rate_limit: Quota,
    /// `TRUSTED_PROXIES`
    pub(crate) trusted_proxies: TrustedProxies,
    /// `SESSION_COOKIES`: `insecure`, which has to be asked for.
    pub(crate) insecure_cookies: bool,
    /// `SESSION_KEYS`, as they stand there; tokens are signed with keys that are derived from them.
    pub(crate) session_keys: Option<String>,
    /// `JOB_INTERVAL`
    pub(crate) job_interval: Duration,
    /// `METRICS`; the handle of Redis has them, too.
    pub(crate) metrics: Option<Metrics>,
    pub(crate) redis: RedisConfig,
    /// `RUST_LOG`
    log: EnvFilter,
}

impl Settings {
    /// The error names the variable, its value and the accepted form.
    pub(crate) fn from_env() -> Result<Self, Error> {
        let mut redis = RedisConfig::from_env()?;
        let metrics = var_with("METRICS", "on or off", on_or_off)?
            .unwrap_or(true)
            .then(|| Metrics::prometheus(redis.service_name(), redis.instance_id()));
        if let Some(metrics) = &metrics {
            redis = redis.with_metrics(metrics.clone());
        }
        let listen_addr = var("LISTEN_ADDR", "an address and a port, as 127.0.0.1:3000")?
            .unwrap_or(SocketAddr::from(([127, 0, 0, 1], 3000)));
        Ok(Self {
            listen_addr,
            insecure_cookies: var_with("SESSION_COOKIES", "secure or insecure", insecure)?
                .unwrap_or(false),
            database_path: var("DATABASE_PATH", "the path of a file, or :memory:")?
                .unwrap_or_else(|| std::env::temp_dir().join("gateway.sqlite3")),
            rate_limit: var("RATE_LIMIT", "count/period, as 100/60s")?
                .unwrap_or(Quota::per_minute(100)),
            trusted_proxies: var(
                "TRUSTED_PROXIES",
                "networks and addresses separated by commas, as 10.0.0.0/8,192.0.2.7",
            )?
            .unwrap_or_default(),
            job_interval: var_with(
                "JOB_INTERVAL",
                "a time from 10ms to 366days, as 30s",
                job_interval,
            )?
            .unwrap_or(Duration::from_secs(30)),
            session_keys: var("SESSION_KEYS", "text")?,
            metrics,
            redis,
            log: var_with(
                "RUST_LOG",
                "a level, as info, or a list, as evenkeel=debug,warn",
                |text| EnvFilter::try_new(text).ok(),
            )?
            .unwrap_or_else(|| EnvFilter::new("info")),
        })
    }

    /// The log goes to standard error; standard output is for the greeting.
    pub(crate) fn start_log(&self) {
        tracing_subscriber::fmt()
            .with_env_filter(self.log.clone())
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .init();
    }
}

fn on_or_off(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "on" | "true" | "1" => Some(true),
        "off" | "false" | "0" => Some(false),
        _ => None,
    }
}

fn insecure(text: &str) -> Option<bool> {
    match text.trim() {
        "insecure" => Some(true),
        "secure" => Some(false),
        _ => None,
    }
}

/// What a job can have for its period.
fn job_interval(text: &str) -> Option<Duration> {
    humantime::parse_duration(text.trim()).ok().filter(|it| Jobs::PERIODS.contains(it))
}
