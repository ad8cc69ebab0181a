//! Logging out: one session, or all of a subject.
//!
//! An end is remembered here and the replay guarded *before* the await in which Redis is told: a
//! client that goes away in the middle drops the future, and the replay tells Redis in its place.

use futures_util::future::join_all;

use super::{
    ending::Ending,
    id::{SessionId, SessionName},
    metrics::{Operation::Delete, Outcome},
    seal,
    sessions::Sessions,
    standing::Standing,
    store::{Inner, SessionStore},
    tombstones::Tombstone,
};
use crate::{Error, Served, Source, store::replay::Guard, units::wall_millis};

/// Sessions that one request may end.
const MOST_SHOWN: usize = 16;

impl SessionStore {
    /// Ends one session for good. Its client finds itself logged out.
    ///
    /// # When Redis is down
    ///
    /// It is refused on this instance at once, and in Redis as soon as that is back:
    /// [`Source::Memory`].
    pub async fn revoke(&self, name: SessionName) -> Served<()> {
        let until = wall_millis().saturating_add(self.inner.memory.longest_lifetime());
        self.inner.end_session(name, Ending { until, standing: Standing::Established }).await
    }

    /// Ends all sessions of this subject that have begun by now: "log me out everywhere". Returns
    /// how many there were, as far as Redis knows.
    ///
    /// # When Redis is down
    ///
    /// They are refused on this instance at once, and in Redis as soon as that is back:
    /// [`Source::Memory`], and 0.
    pub async fn revoke_all(&self, subject: &str) -> Served<usize> {
        let inner = &*self.inner;
        let subject = SessionName::of(subject.as_bytes());
        let now = wall_millis();
        let until = now.saturating_add(inner.memory.longest_lifetime());
        let tombstone = Tombstone { at: now, until };
        inner.memory.ended().subjects.insert(subject, tombstone);
        let unless_pushed = inner.replay.guard();
        let connection = &mut inner.redis.connection();
        let pushed = inner.push_subject(connection, subject, tombstone, None).await;
        inner.conclude(unless_pushed, pushed)
    }
}

impl Sessions {
    /// Ends the session of this id. `ending`: what is known of it, where anything vouches for it.
    ///
    /// # Errors
    ///
    /// Nobody vouches for the id, Redis cannot be asked, and too many such are noted here already.
    pub(crate) async fn end(&self, id: SessionId, ending: Option<Ending>) -> Result<(), Error> {
        match ending {
            Some(ending) => {
                self.end_session(id.name(), ending).await;
                Ok(())
            }
            None => self.end_unverified(id.name()).await,
        }
    }

    /// Ends every session that a client has shown: one that was loaded, ids, and snapshots with the
    /// names of their cookies.
    ///
    /// # Errors
    ///
    /// One of them may live on: nobody vouches for it, and there is no room to remember it; the
    /// others have ended. Or more are shown than one client can have; then none has.
    pub(crate) async fn end_all(
        &self,
        loaded: Option<(SessionId, Option<Ending>)>,
        shown: Vec<SessionId>,
        sealed: &[(&str, &str)],
    ) -> Result<(), Error> {
        let mut all: Vec<(SessionId, Option<Ending>)> = loaded.into_iter().collect();
        for (cookie, sealed) in sealed {
            if let (Some(snapshot), _) = seal::open(&self.keys, cookie, sealed) {
                all.push((snapshot.id(), Some(Ending::of_snapshot(&snapshot))));
            }
        }
        all.extend(shown.into_iter().map(|id| (id, None)));
        // What is vouched for first: of an id that is named twice it is known then.
        all.sort_by_key(|(_, ending)| ending.is_none());
        let mut named: Vec<(SessionId, Option<Ending>)> = Vec::new();
        for (id, ending) in all {
            if named.iter().any(|(other, _)| *other == id) {
                continue;
            }
            if named.len() == MOST_SHOWN {
                // None of them, then: the client is told that it is still logged in.
                return Err(self.unavailable());
            }
            named.push((id, ending));
        }
        // Side by side: each is noted before the first await, in which the client may go away.
        let ended = join_all(named.into_iter().map(|(id, ending)| self.end(id, ending)));
        ended.await.into_iter().collect()
    }
}

impl Inner {
    async fn end_session(&self, name: SessionName, ending: Ending) -> Served<()> {
        self.insert_tombstone(name, ending);
        let unless_pushed = self.replay.guard();
        let pushed = self.push_session(&mut self.redis.connection(), name).await;
        self.conclude(unless_pushed, pushed.map(drop))
    }

    /// Ends a session that nobody vouches for. It is noted here only if Redis has it or does not
    /// answer: a stranger can name as many as it likes.
    async fn end_unverified(&self, name: SessionName) -> Result<(), Error> {
        let (now, stands) = (wall_millis(), self.memory.longest_lifetime());
        let tombstone = Tombstone { at: now, until: now.saturating_add(stands) };
        let unless_pushed = self.replay.guard();
        // Dropped before the guard, which arms: what it notes is pushed.
        let mut unanswered = Unanswered { inner: self, name, tombstone, is_answered: false };
        let connection = &mut self.redis.connection();
        let deleted = self.records.delete(connection, name, stands, false, None).await;
        unanswered.is_answered = true;
        match deleted {
            Ok(was_there) => {
                unless_pushed.settled();
                if was_there {
                    self.memory.ended().insert_pushed(name, tombstone, Standing::Established);
                }
                let outcome = if was_there { Outcome::Ok } else { Outcome::Absent };
                self.metrics.count(Delete, outcome);
                Ok(())
            }
            Err(error) if self.memory.claim(name, tombstone) => {
                self.conclude(unless_pushed, Err::<(), _>(error));
                Ok(())
            }
            Err(error) => {
                self.metrics.count(Delete, Outcome::Unavailable);
                Err(error)
            }
        }
    }

    /// Counts, and lets the replay tell Redis what it was not told now.
    fn conclude<T: Default>(
        &self,
        unless_pushed: Guard<'_, Self>,
        pushed: Result<T, Error>,
    ) -> Served<T> {
        match pushed {
            Ok(value) => {
                unless_pushed.settled();
                self.metrics.count(Delete, Outcome::Ok);
                Served::new(value, Source::Redis)
            }
            Err(_) => {
                self.metrics.count(Delete, Outcome::Stateless);
                self.switch.answer_from_memory(T::default())
            }
        }
    }
}

/// Notes an end when the client goes away before Redis has answered.
struct Unanswered<'a> {
    inner: &'a Inner,
    name: SessionName,
    tombstone: Tombstone,
    is_answered: bool,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            // Without room it is as if the client had gone away before it asked.
            self.inner.memory.claim(self.name, self.tombstone);
        }
    }
}
