//! Settings of a health monitor.

use std::time::Duration;

use super::{Backoff, policy::Rules};

/// How a [`HealthMonitor`](crate::health::HealthMonitor) watches. The defaults are made for Redis
/// in the same data centre.
///
/// ```
/// use std::time::Duration;
/// use evenkeel::health::HealthConfig;
///
/// let config = HealthConfig::new("redis").with_op_timeout(Duration::from_millis(50));
/// assert_eq!(config.op_timeout(), Duration::from_millis(50));
/// ```
#[derive(Debug, Clone)]
pub struct HealthConfig {
    name: &'static str,
    op_timeout: Duration,
    probe_timeout: Duration,
    probe_interval: Duration,
    backoff: Backoff,
    startup_attempts: u32,
    step_timeout: Duration,
}

impl HealthConfig {
    /// Defaults, for a dependency of this name.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            op_timeout: Duration::from_millis(100),
            probe_timeout: Duration::from_secs(2),
            probe_interval: Duration::from_secs(5),
            backoff: Backoff::DEFAULT,
            startup_attempts: 20,
            step_timeout: Duration::from_secs(5),
        }
    }

    /// The longest wait for one command; answers later than this are late. Default 100 ms, at least
    /// 1 ms.
    #[must_use]
    pub fn with_op_timeout(mut self, op_timeout: Duration) -> Self {
        self.op_timeout = at_least_a_millisecond(op_timeout);
        self
    }

    /// The longest wait for one probe. Default 2 s, at least 1 ms.
    #[must_use]
    pub fn with_probe_timeout(mut self, probe_timeout: Duration) -> Self {
        self.probe_timeout = at_least_a_millisecond(probe_timeout);
        self
    }

    /// Between probes while all is well, give or take a tenth. Default 5 s, at least 1 ms.
    #[must_use]
    pub fn with_probe_interval(mut self, probe_interval: Duration) -> Self {
        self.probe_interval = at_least_a_millisecond(probe_interval);
        self
    }

    /// Between reconnection attempts. Default 1 s to 15 s.
    #[must_use]
    pub fn with_backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Attempts before the state reads `failed`; attempts go on all the same. Default 20, at least
    /// 1.
    #[must_use]
    pub fn with_startup_attempts(mut self, attempts: u32) -> Self {
        self.startup_attempts = attempts.max(1);
        self
    }

    /// The longest that one recovery step may take. Default 5 s, at least 1 ms.
    #[must_use]
    pub fn with_step_timeout(mut self, step_timeout: Duration) -> Self {
        self.step_timeout = at_least_a_millisecond(step_timeout);
        self
    }

    /// The name in logs and health answers.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// See [`with_op_timeout`](Self::with_op_timeout).
    pub const fn op_timeout(&self) -> Duration {
        self.op_timeout
    }

    /// See [`with_probe_timeout`](Self::with_probe_timeout).
    pub const fn probe_timeout(&self) -> Duration {
        self.probe_timeout
    }

    /// See [`with_probe_interval`](Self::with_probe_interval).
    pub const fn probe_interval(&self) -> Duration {
        self.probe_interval
    }

    pub(crate) const fn step_timeout(&self) -> Duration {
        self.step_timeout
    }

    /// Two intervals with their jitter, and the longest that the probes between them may take.
    pub(crate) fn stale_after(&self) -> Duration {
        (self.probe_interval.mul_f64(1.1) + self.probe_timeout) * 2
    }

    pub(crate) const fn rules(&self) -> Rules {
        Rules {
            op_timeout: self.op_timeout,
            probe_timeout: self.probe_timeout,
            probe_interval: self.probe_interval,
            backoff: self.backoff,
            startup_attempts: self.startup_attempts,
        }
    }
}

fn at_least_a_millisecond(duration: Duration) -> Duration {
    duration.max(Duration::from_millis(1))
}
