//! The heartbeats that this instance has written to Redis, and what they show after a change of
//! connections: is it the same server process, and are the last writes still there?

use parking_lot::Mutex;
use tokio::time::Instant;

/// What became of the heartbeats over a change of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retention {
    /// The heartbeat of this moment was still there.
    KeptUntil(Instant),
    /// The last heartbeat was gone, or older.
    Lost,
}

/// The heartbeats that Redis has confirmed.
#[derive(Debug, Default)]
pub(super) struct Heartbeats(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    last: Option<(u64, Instant)>,
    retention: Option<Retention>,
    run_id: Option<String>,
    /// The run id at the last recovery; the inner `None` where the server did not say.
    settled: Option<Option<String>>,
}

impl Heartbeats {
    /// What was found over all changes of connections since [`settle`](Self::settle).
    pub(super) fn retention(&self) -> Option<Retention> {
        self.0.lock().retention
    }

    /// The server process that the connections lead to, if it said.
    pub(super) fn set_run_id(&self, run_id: Option<String>) {
        self.0.lock().run_id = run_id;
    }

    /// The server process that the connections lead to, if it said.
    pub(super) fn run_id(&self) -> Option<String> {
        self.0.lock().run_id.clone()
    }

    /// The server process is the one that was there at the last [`settle`](Self::settle).
    pub(super) fn is_same_process(&self) -> bool {
        let known = self.0.lock();
        known.run_id.is_some() && known.settled.as_ref() == Some(&known.run_id)
    }

    /// The server process is another one, or has lost data: the recovery steps have to run. `false`
    /// before they ever did.
    pub(super) fn is_restarted(&self) -> bool {
        let known = self.0.lock();
        match (&known.settled, &known.run_id) {
            (None, _) => false,
            (Some(Some(before)), Some(now)) => before != now,
            _ => known.retention == Some(Retention::Lost),
        }
    }

    /// A recovery has dealt with what became of the data.
    pub(super) fn settle(&self) {
        let mut known = self.0.lock();
        known.settled = Some(known.run_id.clone());
        known.retention = None;
    }

    /// Redis has confirmed this heartbeat.
    pub(super) fn confirm(&self, heartbeat: u64) {
        self.0.lock().last = Some((heartbeat, Instant::now()));
    }

    /// A new connection finds this heartbeat in Redis. What was lost once stays lost.
    pub(super) fn compare(&self, held: Option<u64>) {
        let mut known = self.0.lock();
        let Some((last, at)) = known.last else { return };
        let kept = held >= Some(last);
        known.retention = Some(match known.retention {
            Some(Retention::KeptUntil(earlier)) if kept => Retention::KeptUntil(earlier.min(at)),
            None if kept => Retention::KeptUntil(at),
            _ => Retention::Lost,
        });
    }
}
