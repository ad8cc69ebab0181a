//! What Redis has not been told of failed attempts and locks, and how it is told: raised there,
//! never lowered.

use super::{
    law::{Change, Outcome},
    memory::LocalStates,
    redis::{Known, Remote},
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

impl LockoutBacklog {
    /// Tells Redis what is known of a subject, applies a change there, and takes over the answer.
    pub(super) async fn ask(
        &self,
        connection: &mut Connection,
        subject: &str,
        known: Option<&Known>,
        change: Change,
    ) -> Result<Outcome, Error> {
        let now = self.local.now();
        let answer = self.remote.apply(connection, subject, known, change, now).await?;
        Ok(self.local.adopt(subject, known, answer))
    }
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
        self.ask(connection, &subject, Some(&known), Change::Read).await?;
        Ok(Pushed::APPLIED)
    }
}
