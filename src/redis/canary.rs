//! Do writes work? A key of our own is written over a connection of its own.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use deadpool_redis::redis::{FromRedisValue, Pipeline, Value};
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    classify,
    hedge::hedged,
    lanes::{Conn, Reply, Request},
    source::Source,
};
use crate::health::{Fault, FaultClass, ProbeOptions, Writes};

/// How long a beat is kept: longer than most outages, so that it can be told afterwards whether the data is still there.
const KEPT_FOR: Duration = Duration::from_secs(60 * 60);

/// What became of the beats over a change of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gap {
    /// The beat of this moment was still there.
    KeptUntil(Instant),
    /// The last beat was gone, or older.
    Lost,
}

/// The beats that Redis has confirmed.
#[derive(Debug, Default)]
pub(super) struct Beats {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    last: Option<(u64, Instant)>,
    gap: Option<Gap>,
    run_id: Option<String>,
    /// The run id at the last recovery, as far as it was said.
    settled: Option<Option<String>>,
}

impl Beats {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was found over all changes of connections since [`settle`](Self::settle).
    pub(super) fn gap(&self) -> Option<Gap> {
        self.known().gap
    }

    /// The server process that the connections lead to, if it said.
    pub(super) fn set_run_id(&self, run_id: Option<String>) {
        self.known().run_id = run_id;
    }

    /// The server process is the one that was there at the last [`settle`](Self::settle).
    pub(super) fn is_same_process(&self) -> bool {
        let known = self.known();
        known.run_id.is_some() && known.settled == Some(known.run_id.clone())
    }

    /// It is another one, or has lost data: the recovery steps have to run. `false` before they ever did.
    pub(super) fn is_restarted(&self) -> bool {
        let known = self.known();
        match (&known.settled, &known.run_id) {
            (None, _) => false,
            (Some(Some(before)), Some(now)) => before != now,
            _ => known.gap == Some(Gap::Lost),
        }
    }

    /// What became of the data is known and told.
    pub(super) fn settle(&self) {
        let mut known = self.known();
        known.settled = Some(known.run_id.clone());
        known.gap = None;
    }

    fn confirmed(&self, beat: u64) {
        self.known().last = Some((beat, Instant::now()));
    }

    /// A new connection finds this beat. What was lost once stays lost.
    fn found(&self, held: Option<u64>) {
        let mut known = self.known();
        let Some((beat, at)) = known.last else { return };
        let kept = held >= Some(beat);
        known.gap = Some(match known.gap {
            Some(Gap::KeptUntil(earlier)) if kept => Gap::KeptUntil(earlier.min(at)),
            None if kept => Gap::KeptUntil(at),
            _ => Gap::Lost,
        });
    }
}

/// The canary's connection.
#[derive(Clone)]
struct Held {
    conn: Conn,
    /// Was the beat that it found compared with the last one written?
    compared: bool,
}

/// Writes the beats. A write that hangs blocks its connection, so that is never one that others share.
pub(super) struct Canary {
    source: Arc<Source>,
    key: String,
    beats: Arc<Beats>,
    next: AtomicU64,
    held: Mutex<Option<Held>>,
}

impl Canary {
    pub(super) fn new(source: &Arc<Source>, namespace: &str, instance: &str) -> Self {
        Self {
            source: Arc::clone(source),
            key: format!("{namespace}:canary:{instance}"),
            beats: Arc::default(),
            next: 1.into(),
            held: Mutex::default(),
        }
    }

    pub(super) fn beats(&self) -> &Arc<Beats> {
        &self.beats
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// The connection is of no more use.
    pub(super) fn close(&self) {
        self.held().take();
    }

    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tries a write. A connection that was lost since the last beat, or is silent, says nothing: it is made anew, once.
    ///
    /// The connection stays in its place meanwhile: a probe whose read fails gives this up half way.
    pub(super) async fn beat(&self, ask: ProbeOptions) -> Writes {
        // The probe that this belongs to is cut off at its deadline: a silence is to be told before.
        let end = Instant::now() + ask.deadline.mul_f64(0.8);
        let held = self.held().clone();
        if let Some(held) = held {
            let enough = end.saturating_duration_since(Instant::now()) > ask.late_after * 2;
            match self.write(held, ask, end).await {
                // It may be this connection that is dead, as others are.
                Some(Writes::Gone(Fault::WRITES_HANG)) if enough => {}
                Some(writes) => return writes,
                None => {}
            }
        }
        match timeout(ask.deadline / 2, hedged(|| self.source.connect())).await {
            Ok(Ok(conn)) => {
                let held = Held { conn, compared: false };
                *self.held() = Some(held.clone());
                self.write(held, ask, end).await.unwrap_or(Writes::Unknown)
            }
            Ok(Err(_)) | Err(_) => Writes::Unknown,
        }
    }

    /// `None`: the connection was lost.
    async fn write(&self, mut held: Held, ask: ProbeOptions, end: Instant) -> Option<Writes> {
        let beat = self.next.fetch_add(1, Ordering::Relaxed);
        let request = self.look_and_set(beat);
        let sending = held.conn.send(Request::Pipeline(&request, 0, 2));
        let end = end.min(Instant::now() + ask.late_after);
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
        if !held.compared && !matches!(found, Value::ServerError(_)) {
            self.beats.found(u64::from_redis_value_ref(found).ok());
            held.compared = true;
            *self.held() = Some(held);
        }
        let Value::ServerError(error) = answer else {
            self.beats.confirmed(beat);
            return Some(Writes::Work);
        };
        let fault = classify::of_server(error.code(), error.details());
        Some(match fault {
            Some(fault) if fault.class() == FaultClass::WritesGone => Writes::Gone(fault),
            Some(fault) if fault.class() == FaultClass::WrongNode => {
                // The name may lead elsewhere by now: this connection never will.
                self.close();
                Writes::Gone(fault)
            }
            // Not allowed to, or about more than writes: the reads that are asked beside say so.
            _ => Writes::Unknown,
        })
    }

    fn look_and_set(&self, beat: u64) -> Pipeline {
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.cmd("GET").arg(&self.key);
        pipeline.cmd("SET").arg(&self.key).arg(beat).arg("PX").arg(KEPT_FOR.as_millis() as u64);
        pipeline
    }
}
