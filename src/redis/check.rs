//! What one connection says about the server behind it.

use std::time::Duration;

use deadpool_redis::redis::{Cmd, FromRedisValue, InfoDict, RedisError, Value, cmd};
use futures_util::future::join;
use tokio::time::Instant;

use super::{
    classify,
    conn::{Conn, Reply, Request},
};
use crate::health::{Fault, FaultClass};

/// What was seen over one connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) latency: Duration,
    /// Writes are known to be gone without a try.
    pub(super) writes_gone: Option<Fault>,
}

impl Seen {
    /// Of several connections, the one that is worst off speaks for all.
    pub(super) fn worse(self, other: Self) -> Self {
        Self {
            latency: self.latency.max(other.latency),
            writes_gone: self.writes_gone.or(other.writes_gone),
        }
    }
}

/// The worst of several answers; a fault is worse than any answer.
pub(super) fn worst(answers: Vec<Result<Seen, Fault>>) -> Result<Seen, Fault> {
    answers.into_iter().reduce(|one, other| Ok(one?.worse(other?))).unwrap_or(Err(Fault::HANG))
}

/// Asks over `conn`, with a PING and with a read of `key`: PING alone hides much, see the table in
/// `docs/health.md`.
pub(super) async fn check(mut conn: Conn, key: &str) -> Result<Seen, Fault> {
    let mut reader = conn.clone();
    let (ping, mut get) = (cmd("PING"), cmd("GET"));
    get.arg(key);
    let began = Instant::now();
    let timed_ping = async { (answer(&mut conn, &ping).await, began.elapsed()) };
    let ((pinged, latency), got) = join(timed_ping, answer(&mut reader, &get)).await;
    let writes_gone = match pinged {
        Ok(()) => None,
        Err(error) => match classify::credentials(&error).or_else(|| classify::of_error(&error)) {
            // While saving fails, PING is refused and reads are not.
            Some(fault) if fault.class() == FaultClass::WritesGone => Some(fault),
            Some(fault) => return Err(fault),
            None => None,
        },
    };
    // NOPERM is no fault here: a user without the right to read this key can still read others.
    match got.err().and_then(|error| classify::of_error(&error)) {
        Some(fault) => Err(fault),
        None => Ok(Seen { latency, writes_gone }),
    }
}

async fn answer(conn: &mut Conn, cmd: &Cmd) -> Result<(), RedisError> {
    match conn.send(Request::Command(cmd)).await? {
        Reply::One(Value::ServerError(error)) => Err(error.into()),
        _ => Ok(()),
    }
}

/// Which server process it is. A server may keep either to itself, which is no fault.
#[derive(Debug, Default)]
pub(super) struct ServerInfo {
    pub(super) run_id: Option<String>,
    pub(super) version: Option<String>,
}

pub(super) async fn server_info(mut conn: Conn) -> ServerInfo {
    let mut info = cmd("INFO");
    info.arg("server");
    let Ok(Reply::One(value)) = conn.send(Request::Command(&info)).await else {
        return ServerInfo::default();
    };
    match InfoDict::from_redis_value(value) {
        Ok(info) => ServerInfo { run_id: info.get("run_id"), version: info.get("redis_version") },
        Err(_) => ServerInfo::default(),
    }
}
