//! A master, its replica, and one sentinel that watches them.

use super::server::RedisServer;

/// The name under which the sentinel knows the master.
const NAME: &str = "mymaster";

/// One sentinel (quorum 1), which takes a second to call the master down.
#[derive(Debug)]
pub(crate) struct Sentinel {
    /// The master at the start.
    pub(crate) master: RedisServer,
    /// Its replica at the start.
    pub(crate) replica: RedisServer,
    /// The sentinel itself; `sentinel.url()` is where clients ask.
    pub(crate) sentinel: RedisServer,
}

impl Sentinel {
    /// Starts the three and waits until the sentinel knows master and replica.
    pub(crate) async fn start() -> Sentinel {
        Self::start_with(None, None).await
    }

    /// [`start`](Self::start) with passwords of the servers and of the sentinel itself.
    pub(crate) async fn start_with(servers: Option<&str>, sentinel: Option<&str>) -> Sentinel {
        let with = |password: Option<&str>| match password {
            Some(password) => RedisServer::builder().password(password),
            None => RedisServer::builder(),
        };
        let master = with(servers).start().await;
        let replica = with(servers).start().await;
        replica.replica_of(&master).await;
        let mut builder = with(sentinel);
        let auth = servers.map(|password| format!("sentinel auth-pass {NAME} {password}\n"));
        builder.sentinel = Some(format!(
            "sentinel monitor {NAME} 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds {NAME} 1000\n\
             sentinel failover-timeout {NAME} 4000\n{}",
            master.port(),
            auth.unwrap_or_default()
        ));
        let sentinel = builder.start().await;
        // Looks every 200 ms, not every 10 s, at what the others are. Redis 6 cannot, and is slow.
        let _ = sentinel.cli(&["SENTINEL", "DEBUG", "INFO-PERIOD", "200"]).await;
        let set = Sentinel { master, replica, sentinel };
        set.sentinel.wait_until("the sentinel knows the replica", || set.is_ready()).await;
        set
    }

    /// The name of the master: `mymaster`.
    pub(crate) fn name(&self) -> &'static str {
        NAME
    }

    /// The port of the server that the sentinel calls master now.
    pub(crate) async fn master_port(&self) -> Option<u16> {
        let ask = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME];
        let (_, port): (String, u16) = self.sentinel.query(&ask).await.ok()?;
        Some(port)
    }

    /// Asks the sentinel to make the replica master; returns when it calls it so.
    pub(crate) async fn fail_over(&self) {
        self.sentinel.cli(&["SENTINEL", "FAILOVER", NAME]).await.expect("SENTINEL FAILOVER");
        self.wait_for_failover().await;
    }

    /// Waits until the sentinel calls the replica master (after the master was killed or frozen)
    /// and the replica takes writes.
    pub(crate) async fn wait_for_failover(&self) {
        self.sentinel
            .wait_until("the replica is master", || async {
                let role = self.replica.info_field("replication", "role").await;
                role.as_deref() == Some("master")
                    && self.master_port().await == Some(self.replica.port())
            })
            .await;
    }

    async fn is_ready(&self) -> bool {
        let replicas: Vec<Vec<String>> =
            self.sentinel.query(&["SENTINEL", "REPLICAS", NAME]).await.unwrap_or_default();
        let in_step = |replica: &Vec<String>| {
            let mut pairs = replica.chunks(2);
            pairs.any(|pair| *pair == ["master-link-status", "ok"])
        };
        self.master_port().await == Some(self.master.port())
            && !replicas.is_empty()
            && replicas.iter().all(in_step)
    }
}
