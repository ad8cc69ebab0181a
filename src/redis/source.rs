//! Where connections come from: servers, or the manager of a pool.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use deadpool_redis::redis::RedisResult;
#[cfg(feature = "cluster")]
use deadpool_redis::redis::cluster::ClusterClient;

#[cfg(feature = "sentinel")]
use super::sentinels::Sentinels;
use super::{
    conn::Conn,
    pool::Pool,
    server::Server,
    target::{Target, prepare_tls},
    topology::Topology,
};
use crate::{Error, health::WeakMonitor};

/// Makes connections.
pub(super) enum Source {
    Server(Box<Server>),
    #[cfg(feature = "sentinel")]
    Sentinels(Box<Sentinels>),
    #[cfg(feature = "cluster")]
    Cluster(Box<ClusterClient>),
    Pool(Pool),
}

impl Source {
    /// Connections lead to `target`. One that is lost is reported to `monitor` at once, where the
    /// protocol allows it.
    pub(super) fn at(
        target: &Target,
        connect_timeout: Duration,
        monitor: &Arc<OnceLock<WeakMonitor>>,
    ) -> Result<Self, Error> {
        prepare_tls(&target.url);
        match target.url.topology() {
            Topology::Standalone => {
                let server = Server::new(target, connect_timeout, monitor)?;
                Ok(Self::Server(Box::new(server)))
            }
            #[cfg(feature = "sentinel")]
            Topology::Sentinel => {
                let sentinels = Sentinels::new(target, connect_timeout);
                Ok(Self::Sentinels(Box::new(sentinels)))
            }
            #[cfg(feature = "cluster")]
            Topology::Cluster => Ok(Self::Cluster(Box::new(target.cluster()?))),
            #[cfg(not(all(feature = "sentinel", feature = "cluster")))]
            _ => Err(Error::config("the feature for this topology is not enabled")),
        }
    }

    pub(super) fn topology(&self) -> Topology {
        match self {
            Self::Server(_) => Topology::Standalone,
            #[cfg(feature = "sentinel")]
            Self::Sentinels(_) => Topology::Sentinel,
            #[cfg(feature = "cluster")]
            Self::Cluster(_) => Topology::Cluster,
            Self::Pool(pool) => pool.topology(),
        }
    }

    /// A new connection. Takes as long as it takes: the caller has the deadline.
    pub(super) async fn connect(&self) -> RedisResult<Conn> {
        match self {
            Self::Server(server) => server.connect().await,
            #[cfg(feature = "sentinel")]
            Self::Sentinels(sentinels) => sentinels.connect().await,
            #[cfg(feature = "cluster")]
            Self::Cluster(client) => client.get_async_connection().await.map(Conn::Cluster),
            Self::Pool(pool) => pool.connect().await,
        }
    }
}
