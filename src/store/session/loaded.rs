//! What came of loading a session, and how it is counted.

use super::{
    metrics::{
        Operation::{self, Load, Restore},
        Outcome,
    },
    state::SessionState,
    store::Inner,
};
use crate::Error;

pub(super) struct Loaded {
    pub(super) state: SessionState,
    pub(super) operation: Operation,
    pub(super) outcome: Outcome,
    /// Changes that the client brought and that were dropped.
    pub(super) conflicts: u64,
}

impl Loaded {
    /// No session.
    pub(super) fn none(operation: Operation, outcome: Outcome) -> Self {
        Self { state: SessionState::none(), operation, outcome, conflicts: 0 }
    }
}

impl Inner {
    /// Counts it, in the one place for all that can come of it.
    pub(super) fn count(&self, loaded: Result<Loaded, Error>) -> Result<SessionState, Error> {
        let Ok(Loaded { state, operation, outcome, conflicts }) = loaded else {
            self.metrics.count(Load, Outcome::Unavailable);
            return loaded.map(|loaded| loaded.state);
        };
        self.metrics.count(operation, outcome);
        match (operation, outcome) {
            (Restore, Outcome::Ok) => self.metrics.replayed.applied.add(1),
            (_, Outcome::Stateless) => self.switch.record_fallback(),
            _ => {}
        }
        if conflicts > 0 {
            self.metrics.replayed.discarded.add(conflicts);
        }
        Ok(state)
    }
}
