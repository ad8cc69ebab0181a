//! The sessions of a subject.

use std::cmp::Reverse;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{backlog::IN_FLIGHT, id::SessionName, record::Record, store::SessionStore};
use crate::Error;

/// One of a subject's sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// What to call it, in [`SessionStore::revoke`] for one.
    pub name: SessionName,
    /// When it began, in milliseconds since 1970.
    pub created: u64,
    /// When it was last used, to a fifth of the idle lifetime.
    pub last_used: u64,
    /// When it ends if it is not used any more.
    pub expires: u64,
}

impl SessionStore {
    /// The sessions of this subject, the one used last first.
    ///
    /// # Errors
    ///
    /// [`Error::is_unavailable`] while Redis is away.
    pub async fn list(&self, subject: &str) -> Result<Vec<SessionInfo>, Error> {
        let inner = &*self.inner;
        let names = inner.records.listed(SessionName::of(subject.as_bytes())).await?;
        let records = stream::iter(names)
            .map(|name| async move {
                Ok::<_, Error>(inner.records.load(name).await?.map(|record| (name, record)))
            })
            .buffer_unordered(IN_FLIGHT);
        let all: Vec<Option<(SessionName, Record)>> = records.try_collect().await?;
        let live = all.into_iter().flatten().filter(|(name, record)| {
            record.subject() == Some(subject)
                && !inner.memory.has_ended(*name)
                && !inner.memory.is_revoked(Some(subject), record.times.created)
        });
        let mut list: Vec<_> = live
            .map(|(name, record)| SessionInfo {
                name,
                created: record.times.created,
                last_used: record.times.touched,
                expires: record.times.until(),
            })
            .collect();
        list.sort_by_key(|info| (Reverse(info.last_used), info.name));
        Ok(list)
    }
}
