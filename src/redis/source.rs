//! Where connections come from: one server, or the manager of a pool.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use deadpool::managed::Manager as _;
#[cfg(feature = "cluster")]
use deadpool_redis::cluster;
use deadpool_redis::redis::{
    AsyncConnectionConfig, ConnectionInfo, ErrorKind, ProtocolVersion, PushInfo, PushKind,
    RedisResult, aio::MultiplexedConnection, io::tcp::TcpSettings,
};
#[cfg(feature = "sentinel")]
use deadpool_redis::sentinel;
use tokio::time::Instant;

use super::{
    coalesce::BATCH,
    conn::Conn,
    connect::connect,
    url::{RedisUrl, Topology},
};
use crate::{
    Error,
    health::{Fault, FaultClass, WeakMonitor},
};

/// Our deadlines rule; the client's own only has to be out of the way.
const NEVER: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A pool that the application has already.
///
/// Only its manager is used, to make connections that the handle keeps: the pool's size and its own users are not touched.
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

    async fn connect(&self) -> RedisResult<Conn> {
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

/// Makes connections.
pub(super) enum Source {
    Server(Box<Server>),
    Pool(Pool),
}

/// One server, and how to talk to it.
pub(super) struct Server {
    resp3: (ConnectionInfo, AsyncConnectionConfig),
    /// For servers before 6.0.
    resp2: (ConnectionInfo, AsyncConnectionConfig),
    is_old: AtomicBool,
}

impl Source {
    /// For this URL. A connection that is lost tells `monitor` at once, where the protocol allows it.
    pub(super) fn at(
        url: &RedisUrl,
        connect_timeout: Duration,
        monitor: &Arc<OnceLock<WeakMonitor>>,
    ) -> Result<Self, Error> {
        prepare_tls(url);
        match url.topology() {
            Topology::Standalone => {
                let server = Server::new(url, connect_timeout, monitor)?;
                Ok(Self::Server(Box::new(server)))
            }
            #[cfg(feature = "sentinel")]
            Topology::Sentinel => Ok(Self::Pool(Pool::Sentinel(sentinel_pool(url)?))),
            #[cfg(feature = "cluster")]
            Topology::Cluster => Ok(Self::Pool(Pool::Cluster(cluster_pool(url)?))),
            #[cfg(not(all(feature = "sentinel", feature = "cluster")))]
            _ => Err(Error::config("the feature for this topology is not enabled")),
        }
    }

    pub(super) fn topology(&self) -> Topology {
        match self {
            Self::Server(_) => Topology::Standalone,
            Self::Pool(pool) => pool.topology(),
        }
    }

    /// A new connection. Takes as long as it takes: the caller has the deadline.
    pub(super) async fn connect(&self) -> RedisResult<Conn> {
        match self {
            Self::Server(server) => server.connect().await,
            Self::Pool(pool) => pool.connect().await,
        }
    }
}

impl Server {
    fn new(
        url: &RedisUrl,
        connect_timeout: Duration,
        monitor: &Arc<OnceLock<WeakMonitor>>,
    ) -> Result<Self, Error> {
        let Some(node) = url.nodes.first() else { return Err(Error::config("no server is named")) };
        let plain = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(connect_timeout))
            .set_response_timeout(None)
            .set_pipeline_buffer_size(BATCH);
        let monitor = Arc::clone(monitor);
        let watchful = plain.clone().set_push_sender(move |push: PushInfo| -> Result<(), ()> {
            if push.kind == PushKind::Disconnection {
                report_loss(&monitor);
            }
            Ok(())
        });
        Ok(Self {
            resp3: (tuned(node, ProtocolVersion::RESP3), watchful),
            resp2: (tuned(node, ProtocolVersion::RESP2), plain),
            is_old: false.into(),
        })
    }

    async fn connect(&self) -> RedisResult<Conn> {
        if !self.is_old.load(Ordering::Relaxed) {
            let (info, config) = &self.resp3;
            match connect(info, config).await {
                Err(error) if error.kind() == ErrorKind::RESP3NotSupported => {
                    self.is_old.store(true, Ordering::Relaxed);
                }
                made => return made,
            }
        }
        let (info, config) = &self.resp2;
        connect(info, config).await
    }
}

fn report_loss(monitor: &OnceLock<WeakMonitor>) {
    if let Some(monitor) = monitor.get().and_then(WeakMonitor::upgrade) {
        let closed = Fault::new(FaultClass::Transport, "closed");
        monitor.report(monitor.admit(), closed, Instant::now());
    }
}

fn tuned(node: &ConnectionInfo, protocol: ProtocolVersion) -> ConnectionInfo {
    let settings = node.redis_settings().clone().set_protocol(protocol);
    node.clone()
        .set_redis_settings(settings)
        .set_tcp_settings(TcpSettings::default().set_nodelay(true))
}

/// The client's message is about the address alone, but may quote it.
#[cfg(any(feature = "sentinel", feature = "cluster"))]
fn unusable(error: &deadpool_redis::redis::RedisError) -> Error {
    Error::config(format!("the address of Redis is not usable: {}", error.category()))
}

#[cfg(feature = "sentinel")]
fn sentinel_pool(url: &RedisUrl) -> Result<sentinel::Pool, Error> {
    let Some(node) = url.nodes.first() else { return Err(Error::config("no sentinel is named")) };
    let tls = matches!(node.addr(), deadpool_redis::redis::ConnectionAddr::TcpTls { .. });
    let settings = node.redis_settings();
    let behind = sentinel::SentinelNodeConnectionInfo {
        tls_mode: tls.then_some(sentinel::TlsMode::Secure),
        redis_connection_info: Some(deadpool_redis::RedisConnectionInfo {
            db: settings.db(),
            username: settings.username().map(str::to_owned),
            password: settings.password().map(str::to_owned),
            protocol: deadpool_redis::ProtocolVersion::RESP2,
        }),
    };
    // Sentinels have no databases to select.
    let sentinels = url.nodes.iter().map(|node| {
        let settings = node.redis_settings().clone().set_db(0);
        node.clone().set_redis_settings(settings)
    });
    let master = url.master.clone();
    let kind = sentinel::SentinelServerType::Master;
    let manager = sentinel::Manager::new(sentinels.collect(), master, Some(behind), kind)
        .map_err(|error| unusable(&error))?;
    sentinel::Pool::builder(manager)
        .build()
        .map_err(|_| Error::config("the pool of connections cannot be built"))
}

#[cfg(feature = "cluster")]
fn cluster_pool(url: &RedisUrl) -> Result<cluster::Pool, Error> {
    let manager =
        cluster::Manager::new(url.nodes.clone(), false).map_err(|error| unusable(&error))?;
    cluster::Pool::builder(manager)
        .build()
        .map_err(|_| Error::config("the pool of connections cannot be built"))
}

/// TLS needs a provider of cryptography for the process, unless the application has chosen one.
#[cfg(feature = "tls")]
fn prepare_tls(url: &RedisUrl) {
    let tls = url
        .nodes
        .iter()
        .any(|node| matches!(node.addr(), deadpool_redis::redis::ConnectionAddr::TcpTls { .. }));
    if tls && rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error: the application was faster.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

#[cfg(not(feature = "tls"))]
fn prepare_tls(_: &RedisUrl) {}
