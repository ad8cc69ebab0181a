//! What Redis has not been told of failed attempts and locks, and how it is told: raised there,
//! never lowered.

use super::{
    law::{Change, State},
    memory::LocalStates,
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
    type Item = (String, State);

    fn mark_lost(&self, continuity: Continuity) {
        if continuity != Continuity::Kept {
            self.local.mark_pending();
        }
    }

    fn due(&self, cursor: &mut usize) -> Option<Vec<(String, State)>> {
        let part = *cursor;
        *cursor += 1;
        self.local.pending(part)
    }

    /// An attempt has a random number, so what is told twice counts once.
    async fn push(
        &self,
        connection: &mut Connection,
        (subject, state): (String, State),
    ) -> Result<Pushed, Error> {
        let merge = Change::Merge(state);
        let answer = self.remote.apply(connection, &subject, &merge, self.local.now()).await?;
        let Change::Merge(state) = merge else { return Ok(Pushed::NONE) };
        self.local.confirm(&subject, &state, answer);
        Ok(Pushed::APPLIED)
    }
}
