//! Do writes work? A heartbeat is written to a key of this instance's, over a connection of its
//! own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use deadpool_redis::redis::{FromRedisValue, Pipeline, ServerError, Value};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    classify,
    conn::{Conn, Reply, Request},
    heartbeats::Heartbeats,
    hedge::hedged,
    rights::{self, Rights},
    source::Source,
};
use crate::health::{Fault, FaultClass, ProbeOptions, Writes};

/// How long Redis keeps a heartbeat. Longer than most outages, so that it tells after one whether
/// the data is still there.
const KEPT_FOR: Duration = Duration::from_secs(60 * 60);

/// KEYS: the heartbeat's. ARGV: the heartbeat, and its life in milliseconds. What features do is
/// done in scripts, by the clock of Redis: where that is refused they do not work, whatever a plain
/// SET says.
const SCRIPT: &str = "redis.call('TIME') return redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])";

/// The connection in use.
#[derive(Clone)]
struct ProbeConn {
    conn: Conn,
    /// The heartbeat that it found was compared with the last one written.
    compared: bool,
}

/// Writes the heartbeats. A write that hangs blocks its connection, so the probe never uses a
/// shared one.
pub(super) struct WriteProbe {
    source: Arc<Source>,
    key: String,
    heartbeats: Arc<Heartbeats>,
    rights: Arc<Rights>,
    next: AtomicU64,
    in_use: Mutex<Option<ProbeConn>>,
}

impl WriteProbe {
    pub(super) fn new(source: &Arc<Source>, namespace: &str, instance: &str) -> Self {
        Self {
            source: Arc::clone(source),
            // A documented name, which access rules of servers contain.
            key: format!("{namespace}:canary:{instance}"),
            heartbeats: Arc::default(),
            rights: Arc::default(),
            next: 1.into(),
            in_use: Mutex::default(),
        }
    }

    pub(super) fn heartbeats(&self) -> &Arc<Heartbeats> {
        &self.heartbeats
    }

    pub(super) fn rights(&self) -> &Arc<Rights> {
        &self.rights
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Drops the connection, which is of no more use.
    pub(super) fn close(&self) {
        self.in_use.lock().take();
    }

    /// Tries a write. A connection that was lost since the last one, or is silent, says nothing
    /// about writes: it is made anew, once.
    ///
    /// The connection stays in its place meanwhile, because a probe whose read fails drops this
    /// future half way.
    pub(super) async fn ask(&self, options: ProbeOptions) -> Writes {
        // The probe that this belongs to is cut off at its deadline: a silence is to be reported
        // before.
        let end = Instant::now() + options.deadline.mul_f64(0.8);
        let in_use = self.in_use.lock().clone();
        if let Some(in_use) = in_use {
            let time_for_another =
                end.saturating_duration_since(Instant::now()) > options.late_after * 2;
            match self.write(in_use, options, end).await {
                // It may be this connection that is dead, as others are.
                Some(Writes::Gone(Fault::WRITES_HANG)) if time_for_another => {}
                Some(writes) => return writes,
                None => {}
            }
        }
        match timeout(options.deadline / 2, hedged(|| self.source.connect())).await {
            Ok(Ok(conn)) => {
                let fresh = ProbeConn { conn, compared: false };
                *self.in_use.lock() = Some(fresh.clone());
                self.write(fresh, options, end).await.unwrap_or(Writes::Unknown)
            }
            Ok(Err(_)) | Err(_) => Writes::Unknown,
        }
    }

    /// `None`: the connection was lost.
    async fn write(
        &self,
        mut probe: ProbeConn,
        options: ProbeOptions,
        end: Instant,
    ) -> Option<Writes> {
        let heartbeat = self.next.fetch_add(1, Ordering::Relaxed);
        let request = self.get_and_set(heartbeat);
        let conn = probe.conn.clone();
        let sending = probe.conn.send(Request::Pipeline(&request, 0, 2));
        let end = end.min(Instant::now() + options.late_after);
        let answers = match timeout_at(end, sending).await {
            Ok(Ok(Reply::Many(answers))) => answers,
            Ok(Ok(Reply::One(_)) | Err(_)) => {
                self.close();
                return None;
            }
            Err(_elapsed) => {
                self.close();
                return Some(Writes::Gone(Fault::WRITES_HANG));
            }
        };
        let [found, answer] = answers.as_slice() else { return None };
        if !probe.compared && !matches!(found, Value::ServerError(_)) {
            self.heartbeats.compare(u64::from_redis_value_ref(found).ok());
            probe.compared = true;
            *self.in_use.lock() = Some(probe);
        }
        let Value::ServerError(error) = answer else {
            self.heartbeats.confirm(heartbeat);
            let missing = self.missing_right(&conn, None, end).await;
            return Some(missing.map_or(Writes::Work, Writes::Gone));
        };
        let fault = classify::of_server(error.code(), error.details());
        Some(match fault {
            Some(fault) if fault.class() == FaultClass::WritesGone => Writes::Gone(fault),
            Some(fault) if fault.class() == FaultClass::WrongNode => {
                // The name may lead elsewhere by now: this connection never will.
                self.close();
                Writes::Gone(fault)
            }
            Some(_) => Writes::Unknown,
            // Not allowed to. Where no feature writes, it is the next command that finds out.
            None => self
                .missing_right(&conn, Some(error), end)
                .await
                .map_or(Writes::Unknown, Writes::Gone),
        })
    }

    /// The right that features lack, by its name; `error` is what the write met. What is not
    /// answered by `end` is as it was.
    async fn missing_right(
        &self,
        conn: &Conn,
        error: Option<&ServerError>,
        end: Instant,
    ) -> Option<Fault> {
        let Ok(named) = timeout_at(end, self.rights.check(conn, &self.key)).await else {
            return self.rights.missing();
        };
        let unnamed = || error.filter(|error| rights::is_refusal(error)).map(Rights::unnamed);
        let missing = named.or_else(unnamed).filter(|_| self.rights.are_needed());
        self.rights.set_missing(missing);
        missing
    }

    fn get_and_set(&self, heartbeat: u64) -> Pipeline {
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.cmd("GET").arg(&self.key);
        let life = KEPT_FOR.as_millis() as u64;
        if self.rights.are_needed() {
            pipeline.cmd("EVAL").arg(SCRIPT).arg(1).arg(&self.key).arg(heartbeat).arg(life);
        } else {
            pipeline.cmd("SET").arg(&self.key).arg(heartbeat).arg("PX").arg(life);
        }
        pipeline
    }
}
