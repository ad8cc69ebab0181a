//! What was ended here and Redis has not been told: pushed before Redis is announced as available.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    id::SessionName, law::LossWindow, standing::Standing, store::Inner, tombstones::Tombstone,
};
use crate::{
    Error,
    health::{Continuity, Recovery, Stage},
    redis::Connection,
    store::replay::{Backlog, Pushed},
    telemetry::Feature,
    units::{millis, wall_millis},
};

/// Commands that are under way at once when many sessions are looked at or ended.
pub(super) const IN_FLIGHT: usize = 64;
/// What Redis wrote to disk last may be older than its last heartbeat by this, in ms.
const UNWRITTEN: u64 = 1_000;

/// What was ended.
#[derive(Clone, Copy)]
pub(crate) enum Ended {
    Subject,
    Claim,
    Session,
}

impl Backlog for Inner {
    const STAGE: Option<Stage> = Some(Stage::Guards);
    const NAME: &'static str = "sessions";
    const GUARDS: bool = true;
    const FEATURE: Feature = Feature::Session;
    const IN_FLIGHT: usize = IN_FLIGHT;

    type Item = (Ended, SessionName, Tombstone);

    fn mark_lost(&self, continuity: Continuity) {
        self.snapshots.forget_all();
        let now = wall_millis();
        match continuity {
            Continuity::Kept => {}
            Continuity::KeptUntil(at) => {
                let from = now.saturating_sub(millis(at.elapsed())).saturating_sub(UNWRITTEN);
                self.memory.push_loss_window(LossWindow { from, to: now });
                self.memory.ended().mark_lost(from);
            }
            Continuity::Lost => self.memory.ended().mark_lost(0),
        }
    }

    /// A page for each table: what is ended meanwhile would shift any smaller one.
    fn due(&self, cursor: &mut usize) -> Option<Vec<Self::Item>> {
        let mut ended = self.memory.ended();
        let page = *cursor;
        *cursor += 1;
        let (what, table) = match page {
            0 => (Ended::Subject, &mut ended.subjects),
            1 => {
                let claims = ended.claims.due(wall_millis());
                return Some(claims.map(|(name, claim)| (Ended::Claim, name, claim)).collect());
            }
            2 => (Ended::Session, &mut ended.sessions),
            3 => (Ended::Session, &mut ended.provisional),
            _ => return None,
        };
        Some(table.due(wall_millis()).map(|(name, tombstone)| (what, name, tombstone)).collect())
    }

    /// The epochs, before anything may be restored. What keeps Redis from taking them is none of a
    /// recovery's concern: they are told again when a session of another epoch is shown.
    async fn before(&self, connection: &mut Connection, _: &Recovery) -> Result<(), Error> {
        self.epoch();
        if let Err(error) = self.lineage.sync(connection).await {
            tracing::debug!(%error, "the epochs of sessions are not in Redis yet");
        }
        Ok(())
    }

    async fn push(
        &self,
        connection: &mut Connection,
        (what, name, tombstone): Self::Item,
    ) -> Result<Pushed, Error> {
        match what {
            Ended::Subject => {
                self.push_subject(connection, name, tombstone, Some(tombstone.at)).await?;
            }
            Ended::Claim if !self.push_claim(connection, name, tombstone).await? => {
                return Ok(Pushed::DISCARDED);
            }
            Ended::Claim => {}
            Ended::Session => {
                self.push_session(connection, name).await?;
            }
        }
        Ok(Pushed::APPLIED)
    }
}

impl Inner {
    /// Lets Redis judge whether there was a session of this id. What it does not know leaves
    /// nothing behind: it was made up. Only where Redis has lost its data it may have been there,
    /// and a tombstone stands for as long as a copy of it could be put back.
    async fn push_claim(
        &self,
        connection: &mut Connection,
        name: SessionName,
        claim: Tombstone,
    ) -> Result<bool, Error> {
        let is_data_lost = self.memory.ended().claims.is_data_lost();
        // Where there is a record the tombstone stands for as long as that might have lived.
        let stands = self.memory.longest_restorable();
        let was_there = self.records.delete(connection, name, stands, is_data_lost, None).await?;
        let mut ended = self.memory.ended();
        if was_there {
            ended.insert_pushed(name, claim, Standing::Established);
        } else if is_data_lost {
            // Its tombstone is the only trace of it, and may be lost, too.
            ended.insert_pushed(name, claim, Standing::Provisional);
        }
        ended.claims.settle(name, claim);
        Ok(was_there)
    }

    /// Deletes in Redis a session that was ended here. Whether it was there.
    pub(super) async fn push_session(
        &self,
        connection: &mut Connection,
        name: SessionName,
    ) -> Result<bool, Error> {
        let Some(tombstone) = self.memory.ended().get(name) else { return Ok(false) };
        let stands = tombstone.until.saturating_sub(wall_millis());
        let was_there = self.records.delete(connection, name, stands, true, None).await?;
        self.memory.ended().mark_pushed(name, tombstone.at);
        Ok(was_there)
    }

    /// Deletes in Redis all sessions of a subject that had begun at `earlier`, or now. How many
    /// there were.
    ///
    /// Now is what the clock of Redis says: it also stamps the sessions that begin in the next
    /// moment, and those are spared.
    pub(super) async fn push_subject(
        &self,
        connection: &mut Connection,
        subject: SessionName,
        tombstone: Tombstone,
        earlier: Option<u64>,
    ) -> Result<usize, Error> {
        let stands = tombstone.until.saturating_sub(wall_millis()).max(1);
        let (at, names) = self.records.revoke(connection, subject, earlier, stands).await?;
        let ended =
            stream::iter(names)
                .map(|name| {
                    let mut connection = connection.clone();
                    async move {
                        self.records.delete(&mut connection, name, stands, false, Some(at)).await
                    }
                })
                .buffer_unordered(IN_FLIGHT)
                .try_fold(0, |sum, ended| async move { Ok(sum + usize::from(ended)) })
                .await?;
        let mut all = self.memory.ended();
        all.subjects.mark_pushed(subject, tombstone.at);
        if earlier.is_none() {
            all.subjects.set_ended_at(subject, tombstone.at, at);
        }
        Ok(ended)
    }
}
