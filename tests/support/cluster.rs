//! A small Redis Cluster.

use super::launch::RedisServerBuilder;
use super::ports::Port;
use super::server::RedisServer;

const SLOTS: u32 = 16_384;

/// Masters that share the slots; no replicas. Needs Redis 7.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// The nodes, in the order of their slots.
    pub(crate) nodes: Vec<RedisServer>,
    bus_ports: Vec<Port>,
}

impl Cluster {
    /// Starts a cluster of this many masters and waits until all of them call it ok.
    pub(crate) async fn start(nodes: usize) -> Cluster {
        Cluster::start_with(nodes, |builder| builder).await
    }

    /// [`start`](Self::start), with further settings for every node.
    pub(crate) async fn start_with(
        count: usize,
        settings: impl Fn(RedisServerBuilder) -> RedisServerBuilder,
    ) -> Cluster {
        let mut nodes = Vec::new();
        let mut bus_ports = Vec::new();
        for _ in 0..count {
            let bus = Port::take();
            let node = RedisServer::builder()
                .arg("cluster-enabled", "yes")
                .arg("cluster-port", bus.number())
                .arg("cluster-announce-ip", "127.0.0.1")
                .arg("cluster-node-timeout", 2_000);
            nodes.push(settings(node).start().await);
            bus_ports.push(bus);
        }
        let cluster = Cluster { nodes, bus_ports };
        cluster.share_slots().await;
        cluster.meet().await;
        for node in &cluster.nodes {
            node.wait_until("every node says cluster_state:ok", || cluster.is_whole(node)).await;
        }
        cluster
    }

    /// The nodes' addresses.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    async fn share_slots(&self) {
        let count = self.nodes.len() as u32;
        for (index, node) in (0..).zip(&self.nodes) {
            let first = (index * SLOTS / count).to_string();
            let last = ((index + 1) * SLOTS / count - 1).to_string();
            let epoch = (index + 1).to_string();
            node.cli(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await.expect("SET-CONFIG-EPOCH");
            node.cli(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]).await.expect("ADDSLOTSRANGE");
        }
    }

    async fn meet(&self) {
        for (node, bus) in self.nodes.iter().zip(&self.bus_ports).skip(1) {
            let (port, bus) = (node.port().to_string(), bus.number().to_string());
            let meet = ["CLUSTER", "MEET", "127.0.0.1", &port, &bus];
            self.nodes[0].cli(&meet).await.expect("CLUSTER MEET");
        }
    }

    async fn is_whole(&self, node: &RedisServer) -> bool {
        let info: String = node.query(&["CLUSTER", "INFO"]).await.unwrap_or_default();
        let known = format!("cluster_known_nodes:{}\r", self.nodes.len());
        info.contains("cluster_state:ok") && info.contains(&known)
    }
}
