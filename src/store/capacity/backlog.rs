//! The gates that have missed something. They are given up before Redis counts as available again,
//! and never written: what an outage was like only the database knows.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use super::gates::Gates;
use crate::{
    Error,
    health::{Continuity, Recovery, Stage},
    redis::Connection,
    store::replay::{Backlog, Paging, Pushed},
    telemetry::Feature,
};

pub(super) struct Touched {
    pub(super) gates: Gates,
    /// All gates that were seeded before are given up: a moment of Redis's time.
    since: AtomicU64,
    state: Mutex<State>,
    bound: usize,
}

#[derive(Default)]
struct State {
    /// With the moment at which each was last touched.
    events: HashMap<Arc<str>, u64>,
    /// Too many to be told apart, or nobody knows which: all, at this moment.
    all: Option<u64>,
    moment: u64,
    /// What this pass pushes.
    pass: Paging<(Option<Arc<str>>, u64)>,
}

impl Touched {
    pub(super) fn new(gates: Gates, bound: usize) -> Self {
        let state = Mutex::default();
        Self { gates, since: AtomicU64::new(0), state, bound: bound.max(1) }
    }

    /// The gate of this event has missed something.
    pub(super) fn note(&self, event: &str) {
        let mut state = self.state.lock();
        state.moment += 1;
        let moment = state.moment;
        if let Some(noted) = state.events.get_mut(event) {
            *noted = moment;
        } else if state.events.len() < self.bound {
            state.events.insert(event.into(), moment);
        } else {
            state.events.clear();
            state.all = Some(moment);
        }
    }

    fn note_all(&self) {
        let mut state = self.state.lock();
        state.moment += 1;
        state.events.clear();
        state.all = Some(state.moment);
    }

    /// The gate was told of what was noted at `moment`.
    fn settle(&self, event: &str, moment: u64) {
        let mut state = self.state.lock();
        if state.events.get(event).is_some_and(|noted| *noted <= moment) {
            state.events.remove(event);
        }
    }

    fn settle_all(&self, moment: u64) {
        let mut state = self.state.lock();
        if state.all.is_some_and(|noted| noted <= moment) {
            state.all = None;
        }
    }

    pub(super) fn since(&self) -> u64 {
        self.since.load(Ordering::Acquire)
    }

    /// All gates were given up at this moment.
    pub(super) fn learn(&self, since: u64) {
        self.since.fetch_max(since, Ordering::AcqRel);
    }
}

impl Backlog for Touched {
    const STAGE: Option<Stage> = Some(Stage::Reconcile);
    const NAME: &'static str = "capacity gates";
    const FEATURE: Feature = Feature::Counter;

    /// `None`: all.
    type Item = (Option<Arc<str>>, u64);

    fn mark_lost(&self, continuity: Continuity) {
        match continuity {
            // Of another epoch no gate is known.
            Continuity::Kept | Continuity::Lost => {}
            // Which releases are missing nobody knows.
            Continuity::KeptUntil(_) => self.note_all(),
        }
    }

    fn due(&self, cursor: &mut usize) -> Option<Vec<Self::Item>> {
        let State { events, all, pass, .. } = &mut *self.state.lock();
        pass.next(cursor, || {
            let events = events.iter().map(|(event, at)| (Some(Arc::clone(event)), *at));
            events.chain(all.map(|at| (None, at))).collect()
        })
    }

    async fn push(
        &self,
        connection: &mut Connection,
        (event, moment): Self::Item,
    ) -> Result<Pushed, Error> {
        match event {
            Some(event) => {
                self.gates.release(connection, &event, self.since(), None).await?;
                self.settle(&event, moment);
            }
            None => {
                let since = self.gates.give_up(connection).await?;
                self.learn(since);
                self.settle_all(moment);
            }
        }
        Ok(Pushed::APPLIED)
    }

    async fn after(&self, connection: &mut Connection, _: &Recovery) -> Result<(), Error> {
        // Another instance may have given them up unheard.
        let since = self.gates.since(connection).await?;
        self.learn(since);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::redis::{Redis, RedisConfig};

    fn touched(bound: usize) -> Touched {
        let redis = Redis::new(RedisConfig::new("redis://127.0.0.1:1".parse().unwrap())).unwrap();
        Touched::new(Gates::new(&redis, "seats", Duration::from_secs(60)), bound)
    }

    fn all_due(touched: &Touched) -> Vec<(Option<Arc<str>>, u64)> {
        let mut cursor = 0;
        std::iter::from_fn(|| touched.due(&mut cursor)).flatten().collect()
    }

    #[tokio::test]
    async fn each_gate_is_due_once_and_until_its_last_touch_was_told() {
        let touched = touched(1_000);
        for event in 0..600 {
            touched.note(&event.to_string());
        }
        let first = all_due(&touched);
        assert_eq!(first.len(), 600);
        touched.note("3");
        for (event, moment) in &first {
            touched.settle(event.as_deref().unwrap(), *moment);
        }
        let left: Vec<_> = all_due(&touched).into_iter().map(|(event, _)| event).collect();
        assert_eq!(left, [Some("3".into())]);
    }

    #[tokio::test]
    async fn at_the_bound_all_gates_are_given_up() {
        let touched = touched(10);
        for event in 0..11 {
            touched.note(&event.to_string());
        }
        let due: Vec<_> = all_due(&touched).into_iter().map(|(event, _)| event).collect();
        assert_eq!(due, [None]);
    }

    #[tokio::test]
    async fn a_server_with_older_data_gives_up_all_gates_and_a_new_epoch_needs_nothing() {
        let touched = touched(10);
        touched.mark_lost(Continuity::Kept);
        touched.mark_lost(Continuity::Lost);
        assert!(all_due(&touched).is_empty());
        touched.mark_lost(Continuity::KeptUntil(tokio::time::Instant::now()));
        assert_eq!(all_due(&touched).len(), 1);
    }
}
