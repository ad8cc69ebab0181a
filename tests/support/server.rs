//! A real Redis server of one test's own.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, RedisResult, Value};
use tempfile::TempDir;

use super::launch::{RedisServerBuilder, Until, launch};
use super::ports::Port;
use super::process::Process;
use super::wait::eventually;

/// How long the kit's own commands may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The name of the kit's own connections, which [`RedisServer::connected_clients`] leaves out.
const OWN_NAME: &str = "evenkeel-test-kit";

/// A `redis-server` with its own port and directory; killed and removed on drop.
#[derive(Debug)]
pub(crate) struct RedisServer {
    settings: RedisServerBuilder,
    port: u16,
    process: Mutex<Option<Process>>,
    dir: TempDir,
    _reserved: Option<Port>,
}

/// A copy of a server's data, from [`RedisServer::save_dump`].
#[derive(Debug, Clone)]
pub(crate) struct Dump(Vec<u8>);

impl RedisServer {
    /// Starts a server on a free port, with nothing kept on disk.
    pub(crate) async fn start() -> RedisServer {
        RedisServer::builder().start().await
    }

    /// Settings for another kind of server.
    pub(crate) fn builder() -> RedisServerBuilder {
        RedisServerBuilder::default()
    }

    pub(super) fn new(
        settings: RedisServerBuilder,
        dir: TempDir,
        port: u16,
        _reserved: Option<Port>,
        process: Process,
    ) -> RedisServer {
        RedisServer { settings, port, process: Mutex::new(Some(process)), dir, _reserved }
    }

    /// Its port on 127.0.0.1; the same over all restarts.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its address.
    pub(crate) fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// `redis://127.0.0.1:<port>/`, without the password.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}/", self.addr())
    }

    /// `redis://:<password>@127.0.0.1:<port>/`
    pub(crate) fn url_with_password(&self) -> String {
        match &self.settings.password {
            Some(password) => format!("redis://:{password}@{}/", self.addr()),
            None => self.url(),
        }
    }

    /// What the server has logged since it was last started.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("redis.log")).unwrap_or_default()
    }

    // --- its life ---

    /// Whether the process is there (frozen counts as running).
    pub(crate) fn is_running(&self) -> bool {
        self.process.lock().unwrap().as_mut().is_some_and(Process::is_running)
    }

    /// Stops the process as it stands (SIGSTOP): connects succeed, nothing answers.
    pub(crate) fn freeze(&self) {
        self.process.lock().unwrap().as_ref().expect("a running server").freeze();
    }

    /// Lets a frozen process go on.
    pub(crate) fn thaw(&self) {
        self.process.lock().unwrap().as_ref().expect("a running server").thaw();
    }

    /// SIGKILL; returns when the process is gone.
    pub(crate) fn kill(&self) {
        drop(self.take_process());
    }

    /// Ends the process the graceful way; returns when it is gone.
    pub(crate) async fn shutdown(&self) {
        if let Some(process) = self.take_process() {
            process.terminate(PATIENCE).await;
        }
    }

    /// Starts it again (after ending it, if it runs) on the same port. A persistent server has its
    /// data back, another one is empty.
    pub(crate) async fn restart(&self) {
        self.shutdown().await;
        self.start_again(&[], Until::Serving).await;
    }

    /// [`restart`](Self::restart) that returns at the first answer, which may be -LOADING. (With
    /// the setting `key-load-delay`, in microseconds for each key, loading takes a while.)
    pub(crate) async fn restart_loading(&self) {
        self.shutdown().await;
        self.start_again(&[], Until::Answering).await;
    }

    /// Starts it again without any data.
    pub(crate) async fn restart_empty(&self) {
        self.kill();
        self.remove_data();
        self.start_again(&[], Until::Serving).await;
    }

    /// Copies the data as it is now.
    pub(crate) async fn save_dump(&self) -> Dump {
        self.cli(&["SAVE"]).await.expect("SAVE");
        Dump(std::fs::read(self.dump_path()).expect("dump.rdb"))
    }

    /// Starts it again with the data of an earlier [`save_dump`](Self::save_dump).
    pub(crate) async fn restart_from(&self, dump: &Dump) {
        self.kill();
        self.remove_data();
        std::fs::write(self.dump_path(), &dump.0).expect("dump.rdb");
        // With an append-only file the dump would not be read, so that is switched on afterwards.
        self.start_again(&[("appendonly", "no")], Until::Serving).await;
        if self.settings.persistent {
            self.cli(&["CONFIG", "SET", "appendonly", "yes"]).await.expect("appendonly");
            self.wait_until("the append-only file is written", || async {
                let info = self.info("persistence").await.unwrap_or_default();
                info.contains("aof_rewrite_in_progress:0")
                    && info.contains("aof_rewrite_scheduled:0")
            })
            .await;
        }
    }

    // --- what it says ---

    /// Sends one command over a connection of its own, with a timeout of its own.
    pub(crate) async fn cli(&self, command: &[&str]) -> RedisResult<Value> {
        self.query(command).await
    }

    /// [`cli`](Self::cli), with the answer converted.
    pub(crate) async fn query<T: FromRedisValue>(&self, command: &[&str]) -> RedisResult<T> {
        let mut connection = self.connect().await?;
        // Refused while loading or without a password: then it goes without a name.
        let name = redis::cmd("CLIENT").arg("SETNAME").arg(OWN_NAME).to_owned();
        let _: RedisResult<()> = name.query_async(&mut connection).await;
        redis::cmd(command[0]).arg(&command[1..]).query_async(&mut connection).await
    }

    /// A plain connection of the `redis` crate that waits 10 s for anything.
    pub(crate) async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let client = Client::open(self.url_with_password())?;
        client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// `INFO <section>`.
    pub(crate) async fn info(&self, section: &str) -> RedisResult<String> {
        self.query(&["INFO", section]).await
    }

    /// One field of `INFO <section>`; `None` when it is not there or the server does not answer.
    pub(crate) async fn info_field(&self, section: &str, field: &str) -> Option<String> {
        let info = self.info(section).await.ok()?;
        let value = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.map(|value| value.trim_end().to_owned())
    }

    /// How many clients are connected, without replicas and the kit's own connections.
    pub(crate) async fn connected_clients(&self) -> usize {
        let list: String = self.query(&["CLIENT", "LIST"]).await.expect("CLIENT LIST");
        let others = list.lines().filter(|line| {
            let own = line.contains(&format!("name={OWN_NAME} "));
            let peer = line.contains("flags=S") || line.contains("flags=M");
            !own && !peer
        });
        others.count()
    }

    /// How often this command (`ping`, `client|list`) was carried out since the start.
    pub(crate) async fn commands_processed(&self, name: &str) -> u64 {
        let field = format!("cmdstat_{}", name.to_lowercase());
        let Some(calls) = self.info_field("commandstats", &field).await else { return 0 };
        let number = calls.strip_prefix("calls=").and_then(|rest| rest.split(',').next());
        number.and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// Deletes every key.
    pub(crate) async fn flushall(&self) {
        self.cli(&["FLUSHALL"]).await.expect("FLUSHALL");
    }

    // --- its role ---

    /// Makes it a replica of `master` and waits until it has the data.
    pub(crate) async fn replica_of(&self, master: &RedisServer) {
        if let Some(password) = &master.settings.password {
            self.cli(&["CONFIG", "SET", "masterauth", password]).await.expect("masterauth");
        }
        let port = master.port.to_string();
        self.cli(&["REPLICAOF", "127.0.0.1", &port]).await.expect("REPLICAOF");
        self.wait_until("the replica is in step", || async {
            self.info_field("replication", "master_link_status").await.as_deref() == Some("up")
        })
        .await;
    }

    /// Makes it a master.
    pub(crate) async fn promote(&self) {
        self.cli(&["REPLICAOF", "NO", "ONE"]).await.expect("REPLICAOF NO ONE");
    }

    pub(super) async fn wait_until<F, Fut>(&self, what: &str, condition: F)
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = bool>,
    {
        let done = eventually(Duration::from_secs(30), condition).await;
        assert!(done, "not within 30 s: {what}; the server's log:\n{}", self.log());
    }

    fn take_process(&self) -> Option<Process> {
        self.process.lock().unwrap().take()
    }

    async fn start_again(&self, more: &[(&str, &str)], until: Until) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match launch(&self.settings, self.dir.path(), self.port, more, until).await {
                Ok(process) => {
                    *self.process.lock().unwrap() = Some(process);
                    return;
                }
                Err(error) if Instant::now() > deadline => panic!("{error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    fn dump_path(&self) -> std::path::PathBuf {
        self.dir.path().join("dump.rdb")
    }

    fn remove_data(&self) {
        let _ = std::fs::remove_file(self.dump_path());
        let _ = std::fs::remove_file(self.dir.path().join("appendonly.aof"));
        let _ = std::fs::remove_dir_all(self.dir.path().join("appendonlydir"));
    }
}
