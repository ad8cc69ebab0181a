//! What is known of each job, for `GET /jobs` and the health page.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use serde::{Serialize, Serializer};
use tokio::time::Instant;

use super::outcome::{Outcome, SkipReason};

/// What is known of a job on this instance. Serialized it is an entry of the gateway's `GET /jobs`:
///
/// ```json
/// {"name":"sync-seats","interval":30.0,
///  "last":{"at":"2026-11-20T12:00:00.000Z","outcome":"ran","seconds":0.1},
///  "lastSkip":{"at":"2026-11-20T11:59:30.000Z","reason":"not-mine"},
///  "next":"2026-11-20T12:00:30.000Z","holder":true}
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct JobStatus {
    /// The name that the job was given.
    #[serde(serialize_with = "text")]
    pub name: Arc<str>,
    /// The period; serialized in seconds.
    #[serde(serialize_with = "seconds")]
    pub interval: Duration,
    /// The last run that has ended here.
    pub last: Option<LastRun>,
    /// The last tick that was skipped here.
    pub last_skip: Option<LastSkip>,
    /// When the job is due next; `None` after a shutdown.
    #[serde(serialize_with = "moment_or_null")]
    pub next: Option<SystemTime>,
    /// This instance took the last tick, as far as it knows: always so where each instance runs the
    /// job, and `false` while Redis is away where one does.
    pub holder: bool,
    /// A run is under way here.
    #[serde(skip)]
    pub is_running: bool,
    /// Keys of the job that were found in Redis and were not ours (a lease without an end, a value
    /// of another type), and have been replaced.
    #[serde(skip)]
    pub replaced: u64,
}

/// A run that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LastRun {
    /// When it began.
    #[serde(serialize_with = "moment")]
    pub at: SystemTime,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took; serialized in seconds.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub took: Duration,
}

/// A tick that was skipped.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LastSkip {
    /// When.
    #[serde(serialize_with = "moment")]
    pub at: SystemTime,
    /// Why.
    pub reason: SkipReason,
}

/// Serde knows `Arc` only with a feature of its own.
fn text<S: Serializer>(text: &Arc<str>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(text)
}

fn moment<S: Serializer>(at: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    let at = (*at).max(SystemTime::UNIX_EPOCH);
    to.collect_str(&humantime::format_rfc3339_millis(at))
}

fn moment_or_null<S: Serializer>(at: &Option<SystemTime>, to: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => moment(at, to),
        None => to.serialize_none(),
    }
}

/// To the millisecond.
fn seconds<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64((span.as_secs_f64() * 1e3).round() / 1e3)
}

/// The part of it that changes: written by the job's runner, read by whoever asks.
pub(super) struct JobState {
    name: Arc<str>,
    interval: Duration,
    changing: Mutex<Changing>,
}

#[derive(Debug, Clone, Copy)]
struct Changing {
    last: Option<LastRun>,
    last_skip: Option<LastSkip>,
    next: Option<Instant>,
    holder: bool,
    is_running: bool,
    replaced: u64,
}

impl JobState {
    pub(super) fn new(name: &str, interval: Duration, holder: bool, next: Instant) -> Self {
        let changing = Changing {
            last: None,
            last_skip: None,
            next: Some(next),
            holder,
            is_running: false,
            replaced: 0,
        };
        Self { name: name.into(), interval, changing: Mutex::new(changing) }
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn set_last(&self, outcome: Outcome, took: Duration) {
        let now = SystemTime::now();
        let at = now.checked_sub(took).unwrap_or(now);
        self.changing.lock().last = Some(LastRun { at, outcome, took });
    }

    pub(super) fn set_skip(&self, reason: SkipReason) {
        self.changing.lock().last_skip = Some(LastSkip { at: SystemTime::now(), reason });
    }

    pub(super) fn set_next(&self, next: Option<Instant>) {
        self.changing.lock().next = next;
    }

    pub(super) fn set_holder(&self, holder: bool) {
        self.changing.lock().holder = holder;
    }

    pub(super) fn set_running(&self, is_running: bool) {
        self.changing.lock().is_running = is_running;
    }

    pub(super) fn add_replaced(&self, more: u64) {
        self.changing.lock().replaced += more;
    }

    pub(super) fn status(&self) -> JobStatus {
        let changing = *self.changing.lock();
        let (now, wall) = (Instant::now(), SystemTime::now());
        let at = |next: Instant| wall.checked_add(next.saturating_duration_since(now));
        JobStatus {
            name: Arc::clone(&self.name),
            interval: self.interval,
            last: changing.last,
            last_skip: changing.last_skip,
            next: changing.next.and_then(at),
            holder: changing.holder,
            is_running: changing.is_running,
            replaced: changing.replaced,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_the_contract_says() {
        let state = JobState::new("sync-seats", Duration::from_secs(30), true, Instant::now());
        let json = |state: &JobState| serde_json::to_value(state.status()).unwrap();
        let fresh = json(&state);
        assert_eq!(fresh["name"], "sync-seats");
        assert_eq!(fresh["interval"], 30.0);
        assert!(fresh["last"].is_null() && fresh["lastSkip"].is_null());
        assert_eq!(fresh.as_object().unwrap().len(), 6, "{fresh}");
        state.set_last(Outcome::TimedOut, Duration::from_millis(1_500));
        for (reason, word) in [
            (SkipReason::RedisAway, "redis-away"),
            (SkipReason::NotMine, "not-mine"),
            (SkipReason::StillRunning, "still-running"),
        ] {
            state.set_skip(reason);
            assert_eq!(json(&state)["lastSkip"]["reason"], word);
            assert_eq!(reason.as_str(), word);
        }
        let now = json(&state);
        assert_eq!(now["last"]["outcome"], "timed_out");
        assert_eq!(now["last"]["seconds"], 1.5);
        for at in [&now["last"]["at"], &now["lastSkip"]["at"], &now["next"]] {
            assert!(humantime::parse_rfc3339(at.as_str().unwrap()).is_ok(), "{at}");
        }
        assert_eq!(now["holder"], true);
        state.set_next(None);
        assert!(json(&state)["next"].is_null());
    }
}
