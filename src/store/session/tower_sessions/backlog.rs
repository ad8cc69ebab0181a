//! Sessions that were written without Redis: brought there as soon as it serves again.

use super::copies::Copies;
use crate::{
    Error, ErrorKind,
    health::{Continuity, Stage},
    redis::Connection,
    store::{
        replay::{Backlog, Pushed},
        session::id::SessionId,
    },
    telemetry::Feature,
};

impl Backlog for Copies {
    /// Loaded and saved as by a request, which Redis serves after the recovery.
    const STAGE: Option<Stage> = None;
    const NAME: &'static str = "tower-sessions";
    const FEATURE: Feature = Feature::Session;

    type Item = SessionId;

    /// Whether Redis has lost a session is found out when it is loaded.
    fn mark_lost(&self, _: Continuity) {}

    fn due(&self, cursor: &mut usize) -> Option<Vec<SessionId>> {
        *cursor += 1;
        (*cursor == 1).then(|| self.unwritten())
    }

    async fn push(&self, _: &mut Connection, id: SessionId) -> Result<Pushed, Error> {
        let state = self.load(id).await?;
        let saved = self.store.save(&self.rules, state).await?;
        if saved.is_stateless() {
            return Err(match self.store.monitor().is_available() {
                true => Error::new(ErrorKind::Command, "Redis refuses the session"),
                false => self.store.unavailable(),
            });
        }
        self.keep(id, &saved);
        // The session store counts it, as for a request.
        Ok(Pushed::NONE)
    }
}
