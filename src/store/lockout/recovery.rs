//! Tells Redis what was seen without it: raised there, never lowered.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    law::{Change, State},
    store::Inner,
};
use crate::{
    Error,
    health::{Continuity, Recovery},
    redis::Connection,
};

/// Merges under way at once.
const AT_ONCE: usize = 32;

impl Inner {
    /// The recovery step. An attempt has a random number, so what is told twice counts once.
    pub(super) async fn recover(
        &self,
        connection: Connection,
        recovery: Recovery,
    ) -> Result<(), Error> {
        let all = recovery.continuity() != Continuity::Kept;
        let mut part = 0;
        while let Some(owed) = self.floor.owed(part, all) {
            let merges = owed.into_iter().map(|(subject, state)| {
                let mut connection = connection.clone();
                async move { self.merge(&mut connection, &subject, state).await }
            });
            stream::iter(merges).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
            part += 1;
        }
        Ok(())
    }

    pub(super) async fn merge(
        &self,
        connection: &mut Connection,
        subject: &str,
        state: State,
    ) -> Result<(), Error> {
        let merge = Change::Merge(state.clone());
        match self.remote.judge(connection, subject, &merge, self.floor.now()).await {
            Ok(answer) => {
                self.floor.settle(subject, &state, answer);
                self.meter.merged.add(1);
                Ok(())
            }
            Err(error) if error.is_unavailable() => Err(error),
            // One that Redis does not take blocks no other.
            Err(error) => {
                self.meter.not_merged.add(1);
                tracing::warn!(%error, "Redis does not take what a lockout knows of a subject");
                Ok(())
            }
        }
    }
}
