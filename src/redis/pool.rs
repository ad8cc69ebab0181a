//! A pool that the application has.

use std::{fmt, time::Duration};

use deadpool::managed::Manager as _;
#[cfg(feature = "cluster")]
use deadpool_redis::cluster;
use deadpool_redis::redis::{RedisResult, aio::MultiplexedConnection};
#[cfg(feature = "sentinel")]
use deadpool_redis::sentinel;

use super::{conn::Conn, topology::Topology};

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

/// The client's own timeout gives way to ours.
fn without_timeout(mut connection: MultiplexedConnection) -> Conn {
    connection.set_response_timeout(NEVER);
    Conn::Multiplexed(connection, None)
}
