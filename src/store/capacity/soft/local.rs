//! What this instance gives out while Redis is away: its share, counted in memory, and told to
//! Redis before that counts as available again.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::remote::{Order, Remote};
use crate::{
    Error,
    health::{Continuity, Stage},
    redis::Connection,
    store::{
        capacity::{CapacityVerdict, ReleaseVerdict, Token},
        replay::{Backlog, Paging, Pushed},
    },
    telemetry::Feature,
};

pub(super) struct Local {
    pub(super) remote: Remote,
    /// For each event.
    pub(super) share: u64,
    hold: Option<Duration>,
    /// Rows of all events together.
    bound: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    events: HashMap<Arc<str>, Event>,
    rows: usize,
    /// What this pass pushes.
    pass: Paging<Granted>,
}

#[derive(Default)]
struct Event {
    taken: u64,
    /// By the id of the request.
    rows: HashMap<Arc<str>, Row>,
}

struct Row {
    token: Token,
    seats: u32,
    until: Option<Instant>,
}

/// A reservation that was granted here.
pub(super) struct Granted {
    event: Arc<str>,
    request: Arc<str>,
    token: Token,
    seats: u32,
}

impl Local {
    pub(super) fn new(remote: Remote, share: u64, hold: Option<Duration>, bound: usize) -> Self {
        Self { remote, share, hold, bound, state: Mutex::default() }
    }

    pub(super) fn take(
        &self,
        event: &str,
        seats: u32,
        request: &Arc<str>,
        token: Token,
    ) -> CapacityVerdict {
        let state = &mut *self.state.lock();
        let now = Instant::now();
        if let Some(known) = state.events.get_mut(event) {
            state.rows -= known.sweep(now);
            if let Some(row) = known.rows.get(request) {
                let left = self.share.saturating_sub(known.taken);
                return CapacityVerdict::Granted { token: row.token, left, is_repeated: true };
            }
        }
        let taken = state.events.get(event).map_or(0, |event| event.taken);
        let left = self.share.saturating_sub(taken);
        if u64::from(seats) > left || state.rows >= self.bound {
            return CapacityVerdict::Full { left };
        }
        let until = self.hold.map(|hold| now + hold);
        let known = state.events.entry(event.into()).or_default();
        known.taken += u64::from(seats);
        known.rows.insert(Arc::clone(request), Row { token, seats, until });
        state.rows += 1;
        CapacityVerdict::Granted { token, left: left - u64::from(seats), is_repeated: false }
    }

    /// `None`: it was not given out here, or Redis has been told of it.
    pub(super) fn free(&self, event: &str, token: Token) -> Option<ReleaseVerdict> {
        let state = &mut *self.state.lock();
        let known = state.events.get_mut(event)?;
        state.rows -= known.sweep(Instant::now());
        let request = known.rows.iter().find(|(_, row)| row.token == token)?.0.clone();
        let row = known.rows.remove(&request)?;
        known.taken -= u64::from(row.seats);
        state.rows -= 1;
        let left = self.share.saturating_sub(known.taken);
        Some(ReleaseVerdict::Released { seats: row.seats, left })
    }
}

impl Event {
    /// Forgets what has ended. Returns how many rows.
    fn sweep(&mut self, now: Instant) -> usize {
        let (before, taken) = (self.rows.len(), &mut self.taken);
        self.rows.retain(|_, row| {
            let has_ended = row.until.is_some_and(|until| until <= now);
            *taken -= if has_ended { u64::from(row.seats) } else { 0 };
            !has_ended
        });
        before - self.rows.len()
    }
}

impl Backlog for Local {
    const STAGE: Option<Stage> = Some(Stage::Counters);
    const NAME: &'static str = "soft capacities";
    const FEATURE: Feature = Feature::Counter;

    type Item = Granted;

    /// What Redis itself had given out, nobody else knows.
    fn mark_lost(&self, _: Continuity) {}

    fn due(&self, cursor: &mut usize) -> Option<Vec<Granted>> {
        let State { events, rows, pass } = &mut *self.state.lock();
        pass.next(cursor, || {
            let now = Instant::now();
            *rows -= events.values_mut().map(|event| event.sweep(now)).sum::<usize>();
            events.retain(|_, event| !event.rows.is_empty());
            let granted = events.iter().flat_map(|(event, known)| {
                known.rows.iter().map(|(request, row)| Granted {
                    event: Arc::clone(event),
                    request: Arc::clone(request),
                    token: row.token,
                    seats: row.seats,
                })
            });
            granted.collect()
        })
    }

    async fn push(&self, connection: &mut Connection, granted: Granted) -> Result<Pushed, Error> {
        let Granted { event, request, token, seats } = &granted;
        let order = Order { event, request, token: *token, seats: *seats, is_given: true };
        let told = self.remote.take(connection, order).await?;
        if self.free(event, *token).is_none() {
            // Released meanwhile.
            self.remote.free(connection, event, *token).await?;
        }
        let is_new = matches!(told, CapacityVerdict::Granted { is_repeated: false, .. });
        Ok(if is_new { Pushed::APPLIED } else { Pushed::DISCARDED })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::{Redis, RedisConfig};

    const HOLD: Duration = Duration::from_secs(60);

    fn local(share: u64, bound: usize) -> Local {
        let redis = Redis::new(RedisConfig::new("redis://127.0.0.1:1".parse().unwrap())).unwrap();
        Local::new(Remote::new(&redis, "n", 100, Some(HOLD)), share, Some(HOLD), bound)
    }

    fn take(local: &Local, event: &str, seats: u32, request: &str) -> Option<Token> {
        match local.take(event, seats, &request.into(), Token::random()) {
            CapacityVerdict::Granted { token, .. } => Some(token),
            _ => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_is_given_out_once_and_again_when_it_comes_back() {
        let local = local(5, 100);
        let three = take(&local, "e", 3, "r1").unwrap();
        assert_eq!(take(&local, "e", 3, "r1"), Some(three), "a repetition");
        assert_eq!(take(&local, "e", 3, "r2"), None);
        let two = take(&local, "e", 2, "r3").unwrap();
        assert_eq!(local.free("e", three), Some(ReleaseVerdict::Released { seats: 3, left: 3 }));
        assert_eq!((local.free("e", three), local.free("f", two)), (None, None));
        take(&local, "e", 3, "r4").unwrap();
        tokio::time::advance(HOLD).await;
        take(&local, "e", 5, "r5").unwrap();
        let mut cursor = 0;
        let due: Vec<_> = std::iter::from_fn(|| local.due(&mut cursor)).flatten().collect();
        assert_eq!(due.len(), 1, "what has ended is not told");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_events_is_bounded() {
        let local = local(5, 100);
        let given = (0..1_000).filter(|n| take(&local, &n.to_string(), 1, "r").is_some());
        assert_eq!(given.count(), 100);
    }
}
