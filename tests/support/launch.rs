//! Starting a `redis-server`.

use std::io::{Error, ErrorKind};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::ports::Port;
use super::process::Process;
use super::server::RedisServer;

/// How long a server may take to answer for the first time; a loaded machine is slow.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a server is started with.
#[derive(Debug, Clone, Default)]
pub(crate) struct RedisServerBuilder {
    pub(super) args: Vec<(String, String)>,
    pub(super) persistent: bool,
    pub(super) password: Option<String>,
    pub(super) port: Option<u16>,
    /// Lines of a configuration file that makes this a sentinel.
    pub(super) sentinel: Option<String>,
}

impl RedisServerBuilder {
    /// Adds a line of configuration, such as `("maxmemory", "2mb")`.
    #[must_use]
    pub(crate) fn arg(mut self, name: &str, value: impl ToString) -> Self {
        self.args.push((name.into(), value.to_string()));
        self
    }

    /// Keeps data over `restart` and `kill` (an append-only file). Default: nothing is kept.
    #[must_use]
    pub(crate) fn persistent(mut self, persistent: bool) -> Self {
        self.persistent = persistent;
        self
    }

    /// Asks clients for this password. Default: none.
    #[must_use]
    pub(crate) fn password(mut self, password: &str) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Listens on this port. Default: a free one.
    #[must_use]
    pub(crate) fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Starts the server and waits until it serves (an error such as -NOAUTH counts, -LOADING
    /// does not).
    ///
    /// # Panics
    ///
    /// When there is no server program or it does not start; the message holds its log.
    pub(crate) async fn start(self) -> RedisServer {
        let dir = TempDir::with_prefix("evenkeel-redis-").expect("a temporary directory");
        if let Some(lines) = &self.sentinel {
            std::fs::write(dir.path().join("sentinel.conf"), lines).expect("sentinel.conf");
        }
        loop {
            let (number, reserved) = match self.port {
                Some(number) => (number, Port::reserve(number)),
                None => {
                    let port = Port::take();
                    (port.number(), Some(port))
                }
            };
            match launch(&self, dir.path(), number, &[], Until::Serving).await {
                Ok(process) => return RedisServer::new(self, dir, number, reserved, process),
                // Somebody outside the kit took the port in between.
                Err(e) if e.kind() == ErrorKind::AddrInUse && self.port.is_none() => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// When a server counts as started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// It answers, be it -LOADING.
    Answering,
    /// It has loaded its data.
    Serving,
}

/// Starts the server on `port` and waits for it.
pub(super) async fn launch(
    settings: &RedisServerBuilder,
    dir: &Path,
    port: u16,
    more: &[(&str, &str)],
    until: Until,
) -> std::io::Result<Process> {
    let log = dir.join("redis.log");
    let _ = std::fs::remove_file(&log);
    let mut process = Process::spawn(command(settings, dir, port, more), dir)?;
    let started = Instant::now();
    while !is_up(port, until).await {
        let running = process.is_running();
        if !running || started.elapsed() > PATIENCE {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            let taken = log.contains("Address already in use");
            let kind = if taken { ErrorKind::AddrInUse } else { ErrorKind::Other };
            let what = if running { "does not answer" } else { "did not start" };
            return Err(Error::new(kind, format!("{} {what}; its log:\n{log}", program())));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(process)
}

fn command(settings: &RedisServerBuilder, dir: &Path, port: u16, more: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program());
    command.current_dir(dir);
    if settings.sentinel.is_some() {
        command.arg("sentinel.conf");
    }
    let port = port.to_string();
    let dir = dir.to_string_lossy();
    let mut args = vec![
        ("port", port.as_str()),
        ("bind", "127.0.0.1"),
        ("daemonize", "no"),
        ("dir", dir.as_ref()),
        ("logfile", "redis.log"),
    ];
    if settings.sentinel.is_none() {
        let append = if settings.persistent { "yes" } else { "no" };
        // Without delay: replicas of tests must not wait five seconds for their first copy.
        args.extend([("save", ""), ("appendonly", append), ("repl-diskless-sync-delay", "0")]);
        // With `everysec` a write that meets a slow fsync is answered up to two seconds before it
        // is in the file, and a kill then takes it back. What is in the file outlives the process
        // without any fsync.
        args.push(("appendfsync", "no"));
        if has_debug_switch() {
            args.push(("enable-debug-command", "local"));
        }
    }
    if let Some(password) = &settings.password {
        args.extend([("requirepass", password.as_str()), ("masterauth", password)]);
    }
    args.extend(settings.args.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    args.extend(more);
    for (name, value) in args {
        command.arg(format!("--{name}")).arg(value);
    }
    if settings.sentinel.is_some() {
        command.arg("--sentinel");
    }
    command
}

/// Whether a server is there on this port. Asked with DBSIZE, which -LOADING refuses (ECHO, say,
/// is answered even then), so that tests can count PINGs.
async fn is_up(port: u16, until: Until) -> bool {
    let ask = async {
        let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()?;
        socket.write_all(b"DBSIZE\r\n").await.ok()?;
        let mut answer = String::new();
        BufReader::new(socket).read_line(&mut answer).await.ok()?;
        Some(answer)
    };
    match tokio::time::timeout(Duration::from_secs(1), ask).await {
        Ok(Some(answer)) if answer.starts_with("-LOADING") => until == Until::Answering,
        Ok(Some(answer)) => answer.starts_with([':', '-']),
        _ => false,
    }
}

/// `$REDIS_SERVER`, or what is on the path.
fn program() -> &'static str {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Ok(program) = std::env::var("REDIS_SERVER") {
            return program;
        }
        let found =
            ["redis-server", "valkey-server"].into_iter().find(|name| version(name).is_some());
        found.expect("redis-server or valkey-server on the path, or REDIS_SERVER set").into()
    })
}

fn version(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// From Redis 7 on DEBUG must be allowed; before, the setting is unknown.
fn has_debug_switch() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| {
        let version = version(program()).unwrap_or_default();
        let major = version.split("v=").nth(1).and_then(|rest| rest.split('.').next());
        major.and_then(|major| major.parse::<u32>().ok()).is_some_and(|major| major >= 7)
    })
}
