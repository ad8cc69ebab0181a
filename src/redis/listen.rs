//! Makes connections that receive messages.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use deadpool_redis::redis::{Client, ErrorKind, ProtocolVersion, RedisResult, aio::PubSub};

#[cfg(feature = "sentinel")]
use super::sentinels::Sentinels;
use super::{server::tuned, target::Target, topology::Topology};

/// Makes them for one URL. They speak RESP2, in which every server can send messages.
pub(super) struct Listeners {
    target: Target,
    #[cfg(feature = "sentinel")]
    sentinels: Sentinels,
    next: AtomicUsize,
}

impl Listeners {
    #[cfg_attr(not(feature = "sentinel"), expect(unused_variables))]
    pub(super) fn new(target: Target, connect_timeout: Duration) -> Self {
        Self {
            #[cfg(feature = "sentinel")]
            sentinels: Sentinels::new(&target, connect_timeout),
            target,
            next: AtomicUsize::new(0),
        }
    }

    /// A new connection. Takes as long as it takes: the caller has the deadline.
    pub(super) async fn connect(&self) -> RedisResult<PubSub> {
        let url = &self.target.url;
        let client = match url.topology() {
            #[cfg(feature = "sentinel")]
            Topology::Sentinel => self.sentinels.master().await?,
            // In a cluster each node sends what is published on any: one after the other is tried.
            Topology::Standalone | Topology::Cluster => {
                let next = self.next.fetch_add(1, Ordering::Relaxed);
                let node = url.nodes.iter().cycle().nth(next % url.nodes.len().max(1));
                let node = node.ok_or((ErrorKind::InvalidClientConfig, "No server is named"))?;
                Client::open(tuned(node, ProtocolVersion::RESP2))?
            }
            #[cfg(not(feature = "sentinel"))]
            Topology::Sentinel => {
                return Err((ErrorKind::InvalidClientConfig, "Sentinels need a feature").into());
            }
        };
        client.get_async_pubsub().await
    }
}
