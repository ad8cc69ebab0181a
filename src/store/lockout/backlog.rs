//! What Redis has not been told of failed attempts and locks, and how it is told: raised there,
//! never lowered.

use super::{
    law::Change,
    memory::{Known, LocalStates},
    redis::Remote,
};
use crate::{
    Error,
    health::{Continuity, Stage},
    redis::Connection,
    store::replay::{Backlog, Pushed},
    telemetry::Feature,
};

pub(super) struct LockoutBacklog {
    pub(super) local: LocalStates,
    pub(super) remote: Remote,
}

impl Backlog for LockoutBacklog {
    const STAGE: Option<Stage> = Some(Stage::Counters);
    const NAME: &'static str = "lockout";
    const GUARDS: bool = true;
    const FEATURE: Feature = Feature::Lockout;

    /// A subject, and what is known of it here.
    type Item = (String, Known);

    fn mark_lost(&self, continuity: Continuity) {
        if continuity != Continuity::Kept {
            self.local.mark_pending();
        }
    }

    fn due(&self, cursor: &mut usize) -> Option<Vec<(String, Known)>> {
        let part = *cursor;
        *cursor += 1;
        self.local.pending(part)
    }

    /// An attempt has a random number, so what is told twice counts once.
    async fn push(
        &self,
        connection: &mut Connection,
        (subject, known): (String, Known),
    ) -> Result<Pushed, Error> {
        let Known { state, as_of } = known;
        let change = match as_of {
            Some(as_of) => Change::Recall(state.clone(), as_of),
            None => Change::Merge(state.clone()),
        };
        let answer = self.remote.apply(connection, &subject, &change, self.local.now()).await?;
        self.local.confirm(&subject, &state, answer);
        Ok(Pushed::APPLIED)
    }
}
