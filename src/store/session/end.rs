//! Logging out: one session, or all of a subject.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    expiry::{millis, wall},
    id::{SessionId, SessionName},
    metrics::{Operation::Delete, Outcome},
    record::Record,
    rules::Rules,
    store::{Inner, SessionStore},
    tombstones::Tombstone,
};
use crate::{Error, Served, Source, redis::Connection};

/// Commands that are under way at once when many sessions are looked at or ended.
pub(super) const AT_ONCE: usize = 64;

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
            .buffer_unordered(AT_ONCE);
        let all: Vec<Option<(SessionName, Record)>> = records.try_collect().await?;
        let live = all.into_iter().flatten().filter(|(name, record)| {
            record.subject.as_deref() == Some(subject)
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
        list.sort_by_key(|info| (std::cmp::Reverse(info.last_used), info.name));
        Ok(list)
    }

    /// Ends one session for good. Its client finds itself logged out.
    ///
    /// # When Redis is down
    ///
    /// It is refused on this instance at once, and in Redis as soon as that is back: [`Source::Memory`].
    pub async fn revoke(&self, name: SessionName) -> Served<()> {
        let inner = &*self.inner;
        inner.insert_tombstone(name, wall().saturating_add(inner.memory.longest_lifetime()));
        let done = inner.delete_ended(&mut inner.redis.connection(), name, true).await;
        self.concluded(done.map(|_| ()))
    }

    /// Ends all sessions of this subject that have begun by now: "log me out everywhere". Returns how many there were, as far as
    /// Redis knows.
    ///
    /// # When Redis is down
    ///
    /// They are refused on this instance at once, and in Redis as soon as that is back: [`Source::Memory`], and 0.
    pub async fn revoke_all(&self, subject: &str) -> Served<usize> {
        let inner = &*self.inner;
        let subject = SessionName::of(subject.as_bytes());
        let now = wall();
        let tombstone =
            Tombstone { at: now, until: now.saturating_add(inner.memory.longest_lifetime()) };
        inner.memory.ended().subjects.insert(subject, tombstone);
        let done =
            inner.push_subject(&mut inner.redis.connection(), subject, tombstone, false).await;
        self.concluded(done)
    }

    /// Ends the session of a client that shows this id.
    ///
    /// # Errors
    ///
    /// Nobody vouches for the id, Redis cannot be asked, and too many such are noted here already.
    pub(crate) async fn end(
        &self,
        rules: &Rules,
        id: SessionId,
        sealed: Option<&str>,
        ends: Option<u64>,
    ) -> Result<(), Error> {
        let inner = &*self.inner;
        let name = id.name();
        let vouched = || self.open_snapshot(rules, id, sealed).map(|snapshot| snapshot.times.ends);
        if let Some(ends) = ends.or_else(vouched) {
            inner.insert_tombstone(name, ends);
            let done = inner.delete_ended(&mut inner.redis.connection(), name, true).await;
            self.concluded(done.map(|_| ()));
            return Ok(());
        }
        let stands = inner.memory.longest_lifetime().max(millis(rules.expiry.absolute()));
        let tombstone = Tombstone { at: wall(), until: wall().saturating_add(stands) };
        let deleted =
            inner.records.delete(&mut inner.redis.connection(), name, stands, false, None).await;
        match deleted {
            Ok(true) => {
                let mut ended = inner.memory.ended();
                ended.sessions.insert(name, tombstone);
                ended.sessions.pushed(name, tombstone.at);
                inner.metrics.count(Delete, Outcome::Ok);
            }
            Ok(false) => inner.metrics.count(Delete, Outcome::Absent),
            Err(error) => {
                let is_noted = {
                    let mut ended = inner.memory.ended();
                    let has_room =
                        !ended.unverified.is_full() || ended.unverified.get(name).is_some();
                    if has_room {
                        ended.unverified.insert(name, tombstone);
                    }
                    has_room
                };
                if !is_noted {
                    inner.metrics.count(Delete, Outcome::Unavailable);
                    return Err(error);
                }
                self.concluded(Err::<(), _>(error));
            }
        }
        Ok(())
    }

    /// Counts, and sees to it that what Redis does not know is brought to it.
    fn concluded<T: Default>(&self, done: Result<T, Error>) -> Served<T> {
        let inner = &*self.inner;
        match done {
            Ok(value) => {
                inner.metrics.count(Delete, Outcome::Ok);
                Served::new(value, Source::Redis)
            }
            Err(_) => {
                inner.metrics.count(Delete, Outcome::Stateless);
                inner.push_later(&self.inner);
                inner.switch.from_memory(T::default())
            }
        }
    }
}

impl Inner {
    /// Brings to Redis that all sessions of a subject were ended: earlier, or now, which is what the clock of Redis says: by that
    /// it is told from a session that begins in the next moment.
    pub(super) async fn push_subject(
        &self,
        connection: &mut Connection,
        subject: SessionName,
        tombstone: Tombstone,
        is_earlier: bool,
    ) -> Result<usize, Error> {
        let stands = tombstone.until.saturating_sub(wall()).max(1);
        let earlier = is_earlier.then_some(tombstone.at);
        let (at, names) = self.records.revoke(connection, subject, earlier, stands).await?;
        let ended =
            stream::iter(names)
                .map(|name| {
                    let mut connection = connection.clone();
                    async move {
                        self.records.delete(&mut connection, name, stands, false, Some(at)).await
                    }
                })
                .buffer_unordered(AT_ONCE)
                .try_fold(0, |sum, ended| async move { Ok(sum + usize::from(ended)) })
                .await?;
        let mut all = self.memory.ended();
        all.subjects.pushed(subject, tombstone.at);
        if !is_earlier {
            all.subjects.correct(subject, at);
        }
        Ok(ended)
    }
}
