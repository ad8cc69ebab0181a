//! Makes connections that receive messages.

use std::sync::atomic::{AtomicUsize, Ordering};

#[cfg(feature = "sentinel")]
use deadpool_redis::redis::sentinel::{SentinelClient, SentinelServerType};
use deadpool_redis::redis::{Client, ErrorKind, ProtocolVersion, RedisResult, aio::PubSub};

#[cfg(feature = "sentinel")]
use super::pool::{behind_sentinels, sentinels};
use super::{source::tuned, topology::Topology, url::RedisUrl};

/// Makes them for one URL. They speak RESP2, in which every server can send messages.
pub(super) struct Listeners {
    url: RedisUrl,
    next: AtomicUsize,
}

impl Listeners {
    pub(super) fn new(url: &RedisUrl) -> Self {
        Self { url: url.clone(), next: AtomicUsize::new(0) }
    }

    /// A new connection. Takes as long as it takes: the caller has the deadline.
    pub(super) async fn connect(&self) -> RedisResult<PubSub> {
        let client = match self.url.topology() {
            #[cfg(feature = "sentinel")]
            Topology::Sentinel => self.master().await?,
            // In a cluster each node sends what is published on any: one after the other is tried.
            Topology::Standalone | Topology::Cluster => {
                let next = self.next.fetch_add(1, Ordering::Relaxed);
                let node = self.url.nodes.iter().cycle().nth(next % self.url.nodes.len().max(1));
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

    /// The server that the sentinels call master now.
    #[cfg(feature = "sentinel")]
    async fn master(&self) -> RedisResult<Client> {
        let (sentinels, behind) = (sentinels(&self.url), behind_sentinels(&self.url).into());
        let kind = SentinelServerType::Master;
        SentinelClient::build(sentinels, self.url.master.clone(), Some(behind), kind)?
            .async_get_client()
            .await
    }
}
