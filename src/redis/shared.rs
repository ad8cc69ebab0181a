//! What the handle and its connections share.

use std::{sync::Arc, time::Duration};

use deadpool_redis::redis::RedisError;
use tokio::{runtime::Handle, sync::watch};

use super::{
    connections::SharedConnections, evictions::Evictions, listen::Listeners,
    metrics::CommandMetrics, registry::Registry, rights::Rights, source::Source,
    topology::Topology,
};
use crate::{Error, ErrorKind, health::HealthMonitor, telemetry::Metrics};

pub(super) struct Inner {
    pub(super) monitor: HealthMonitor,
    pub(super) connections: Arc<SharedConnections>,
    pub(super) command_metrics: Arc<CommandMetrics>,
    pub(super) topology: Topology,
    pub(super) db: i64,
    pub(super) source: Arc<Source>,
    /// `None` over an application's own pool.
    pub(super) listeners: Option<Listeners>,
    pub(super) namespace: String,
    pub(super) service: String,
    pub(super) instance: String,
    pub(super) metrics: Metrics,
    pub(super) registry: Registry,
    pub(super) rights: Arc<Rights>,
    pub(super) evictions: Arc<Evictions>,
    /// Counts recoveries.
    pub(super) recoveries: watch::Sender<u64>,
    pub(super) runtime: Handle,
    pub(super) op_timeout: Duration,
    pub(super) probe_timeout: Duration,
    pub(super) probe_interval: Duration,
}

/// On whose behalf a command is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// A request: admitted by the monitor, and what it meets is evidence.
    Request,
    /// A recovery step: served before Redis is announced; what it meets goes to the monitor with
    /// its error.
    Recovery,
    /// Has a connection of its own: may block and bind it.
    Owner,
}

/// Why there is no answer.
pub(super) enum Failure {
    Own(Error),
    Client(RedisError),
}

impl From<Failure> for RedisError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Client(error) => error,
            Failure::Own(error) => {
                let kind = match error.kind() {
                    ErrorKind::Timeout => std::io::ErrorKind::TimedOut,
                    ErrorKind::Connection => std::io::ErrorKind::ConnectionAborted,
                    ErrorKind::Invalid => std::io::ErrorKind::InvalidInput,
                    _ => std::io::ErrorKind::NotConnected,
                };
                std::io::Error::new(kind, error).into()
            }
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Client(error) => error.into(),
            Failure::Own(error) => error,
        }
    }
}
