//! A pool that the application has, or that stands for a URL of several servers.

use std::{fmt, time::Duration};

use deadpool::managed::Manager as _;
#[cfg(feature = "cluster")]
use deadpool_redis::cluster;
use deadpool_redis::redis::{RedisResult, aio::MultiplexedConnection};
#[cfg(feature = "sentinel")]
use deadpool_redis::sentinel;

#[cfg(any(feature = "sentinel", feature = "cluster"))]
use super::url::RedisUrl;
use super::{conn::Conn, topology::Topology};
#[cfg(any(feature = "sentinel", feature = "cluster"))]
use crate::Error;

/// Our deadlines rule; the client's own only has to be out of the way.
const NEVER: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A pool that the application has already.
///
/// Only its manager is used, to make connections that the handle keeps: the pool's size and its own
/// users are not touched.
#[derive(Clone)]
#[non_exhaustive]
pub enum Pool {
    /// One server.
    Standalone(deadpool_redis::Pool),
    /// A master found through sentinels.
    #[cfg(feature = "sentinel")]
    Sentinel(sentinel::Pool),
    /// A Redis Cluster.
    #[cfg(feature = "cluster")]
    Cluster(cluster::Pool),
}

impl From<deadpool_redis::Pool> for Pool {
    fn from(pool: deadpool_redis::Pool) -> Self {
        Self::Standalone(pool)
    }
}

#[cfg(feature = "sentinel")]
impl From<sentinel::Pool> for Pool {
    fn from(pool: sentinel::Pool) -> Self {
        Self::Sentinel(pool)
    }
}

#[cfg(feature = "cluster")]
impl From<cluster::Pool> for Pool {
    fn from(pool: cluster::Pool) -> Self {
        Self::Cluster(pool)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pool").field(&self.topology().as_str()).finish()
    }
}

impl Pool {
    pub(super) fn topology(&self) -> Topology {
        match self {
            Self::Standalone(_) => Topology::Standalone,
            #[cfg(feature = "sentinel")]
            Self::Sentinel(_) => Topology::Sentinel,
            #[cfg(feature = "cluster")]
            Self::Cluster(_) => Topology::Cluster,
        }
    }

    /// A new connection. Takes as long as it takes: the caller has the deadline.
    pub(super) async fn connect(&self) -> RedisResult<Conn> {
        match self {
            Self::Standalone(pool) => pool.manager().create().await.map(without_timeout),
            #[cfg(feature = "sentinel")]
            Self::Sentinel(pool) => pool.manager().create().await.map(without_timeout),
            #[cfg(feature = "cluster")]
            Self::Cluster(pool) => pool.manager().create().await.map(Conn::Cluster),
        }
    }
}

#[cfg(feature = "sentinel")]
impl Pool {
    pub(super) fn of_sentinels(url: &RedisUrl) -> Result<Self, Error> {
        let kind = sentinel::SentinelServerType::Master;
        let (sentinels, behind) = (sentinels(url), Some(behind_sentinels(url)));
        let manager = sentinel::Manager::new(sentinels, url.master.clone(), behind, kind)
            .map_err(|error| unusable(&error))?;
        sentinel::Pool::builder(manager).build().map(Self::Sentinel).map_err(|_| unbuildable())
    }
}

#[cfg(feature = "cluster")]
impl Pool {
    pub(super) fn of_cluster(url: &RedisUrl) -> Result<Self, Error> {
        let manager =
            cluster::Manager::new(url.nodes.clone(), false).map_err(|error| unusable(&error))?;
        cluster::Pool::builder(manager).build().map(Self::Cluster).map_err(|_| unbuildable())
    }
}

/// How the sentinels of `url` are reached. They have no databases to select.
#[cfg(feature = "sentinel")]
pub(super) fn sentinels(url: &RedisUrl) -> Vec<deadpool_redis::redis::ConnectionInfo> {
    let without_db = |node: &deadpool_redis::redis::ConnectionInfo| {
        node.clone().set_redis_settings(node.redis_settings().clone().set_db(0))
    };
    url.nodes.iter().map(without_db).collect()
}

/// How the servers behind the sentinels of `url` are reached.
#[cfg(feature = "sentinel")]
pub(super) fn behind_sentinels(url: &RedisUrl) -> sentinel::SentinelNodeConnectionInfo {
    let Some(node) = url.nodes.first() else {
        return sentinel::SentinelNodeConnectionInfo::default();
    };
    let tls = matches!(node.addr(), deadpool_redis::redis::ConnectionAddr::TcpTls { .. });
    let settings = node.redis_settings();
    sentinel::SentinelNodeConnectionInfo {
        tls_mode: tls.then_some(sentinel::TlsMode::Secure),
        redis_connection_info: Some(deadpool_redis::RedisConnectionInfo {
            db: settings.db(),
            username: settings.username().map(str::to_owned),
            password: settings.password().map(str::to_owned),
            protocol: deadpool_redis::ProtocolVersion::RESP2,
        }),
    }
}

/// The client's message is about the address alone, but may quote it.
#[cfg(any(feature = "sentinel", feature = "cluster"))]
fn unusable(error: &deadpool_redis::redis::RedisError) -> Error {
    Error::config(format!("the address of Redis is not usable: {}", error.category()))
}

#[cfg(any(feature = "sentinel", feature = "cluster"))]
fn unbuildable() -> Error {
    Error::config("the pool of connections cannot be built")
}

/// The client's own timeout gives way to ours.
fn without_timeout(mut connection: MultiplexedConnection) -> Conn {
    connection.set_response_timeout(NEVER);
    Conn::Multiplexed(connection, None)
}
