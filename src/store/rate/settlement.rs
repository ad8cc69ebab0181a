//! Settling up: what was admitted without Redis is charged to it, once.
//!
//! Each charge carries a mark that Redis keeps beside the subject: a charge whose answer was lost
//! is sent again under the same mark, and not counted twice. A charge that Redis refuses (an error
//! about that one key) is drawn up anew by the next pass.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::backends::Backends;
use super::memory::Owed;
use crate::Error;
use crate::health::{Continuity, Stage};
use crate::redis::Connection;
use crate::store::replay::{Backlog, Pushed};
use crate::telemetry::Feature;

pub(super) struct Settlement {
    backends: Arc<Backends>,
    /// In front of every mark: no other limiter, here or elsewhere, has this name.
    name: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Charges that may have reached Redis, by number: kept until it has answered.
    in_doubt: BTreeMap<u64, Arc<Owed>>,
    /// How many charges have been drawn up.
    numbered: u64,
    /// How often Redis has lost data; up to which time all was restored; which the pass under way
    /// restores.
    losses: u64,
    restored: u64,
    restoring: u64,
    /// The pass under way will not have restored everything.
    is_refused: bool,
}

/// One charge.
pub(super) struct Charge {
    number: u64,
    owed: Arc<Owed>,
}

impl Settlement {
    pub(super) fn new(backends: &Arc<Backends>) -> Self {
        Self {
            backends: Arc::clone(backends),
            name: format!("{:016x}", rand::random::<u64>()),
            state: Mutex::default(),
        }
    }

    /// Redis has answered, one way or another.
    fn answered(&self, number: u64, is_refused: bool) {
        let mut state = self.state.lock();
        state.in_doubt.remove(&number);
        state.is_refused |= is_refused;
    }

    async fn charge(&self, connection: &mut Connection, charge: &Charge) -> Result<Pushed, Error> {
        let Backends { remote, memory, .. } = &*self.backends;
        // Not when it is answered: then nobody is refused here for longer than there.
        let asked = self.backends.now();
        let due = charge.owed.charge_at(asked);
        if !due.is_due() && !due.is_known() {
            return Ok(Pushed::NONE);
        }
        let mark = format!("{}:{}", self.name, charge.number);
        let bucket = charge.owed.bucket();
        let (is_new, debts) = remote.charge(connection, bucket, &due, &mark).await?;
        memory.settle(&charge.owed, asked, &debts);
        Ok(if is_new { Pushed::APPLIED } else { Pushed::DISCARDED })
    }
}

impl Backlog for Settlement {
    const STAGE: Option<Stage> = Some(Stage::Counters);
    const NAME: &'static str = "rate limits";
    const FEATURE: Feature = Feature::RateLimit;
    const PASS_LIMIT: Option<Duration> = Some(Duration::from_secs(2));

    type Item = Charge;

    fn mark_lost(&self, continuity: Continuity) {
        if continuity != Continuity::Kept {
            self.state.lock().losses += 1;
        }
    }

    /// First what is in doubt, so that it is settled before its subject's further debts are drawn
    /// up; then the table, part by part.
    fn due(&self, cursor: &mut usize) -> Option<Vec<Charge>> {
        let mut state = self.state.lock();
        if *cursor == 0 {
            *cursor = 1;
            (state.restoring, state.is_refused) = (state.losses, false);
            let again = state.in_doubt.iter();
            let again = again.map(|(number, owed)| Charge { number: *number, owed: owed.clone() });
            return Some(again.collect());
        }
        let Backends { memory, .. } = &*self.backends;
        let (now, instances) = (self.backends.now(), self.backends.instances());
        let is_lost = state.restoring != state.restored;
        let Some(owed) = memory.owed(*cursor - 1, now, instances, is_lost) else {
            if !state.is_refused {
                state.restored = state.restoring;
            }
            return None;
        };
        *cursor += 1;
        let numbered = owed.into_iter().map(|owed| {
            state.numbered += 1;
            Charge { number: state.numbered, owed: Arc::new(owed) }
        });
        Some(numbered.collect())
    }

    async fn push(&self, connection: &mut Connection, charge: Charge) -> Result<Pushed, Error> {
        // In doubt before the await, wherever that is cut off.
        self.state.lock().in_doubt.insert(charge.number, Arc::clone(&charge.owed));
        let pushed = self.charge(connection, &charge).await;
        match &pushed {
            Err(error) if error.is_unavailable() => {}
            answer => self.answered(charge.number, answer.is_err()),
        }
        pushed
    }
}
