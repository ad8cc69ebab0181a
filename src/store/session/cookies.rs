//! What a client is given with a response.

use std::borrow::Cow;

use super::{
    high_water_marks::KnownCookie,
    id::SessionId,
    seal,
    sessions::Sessions,
    snapshot::Snapshot,
    standing::Standing,
    state::{Origin, SessionState},
};
use crate::units::wall_millis;

/// The values of the two cookies, where they are to be set.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ResponseCookies {
    /// A new id.
    pub(crate) id: Option<SessionId>,
    /// A snapshot, sealed.
    pub(crate) snapshot: Option<String>,
    /// For how long the client is to keep them, in ms.
    pub(crate) max_age: u64,
}

impl Sessions {
    /// What the client is to be given. Nothing, when the session has ended meanwhile.
    pub(crate) fn response_cookies(&self, state: &SessionState) -> ResponseCookies {
        let ended = |id: &SessionId| self.memory.has_ended(id.name());
        let Some((id, times)) = state.id.filter(|id| !ended(id)).zip(state.times()) else {
            return ResponseCookies::default();
        };
        let snapshot = match &state.origin {
            _ if !state.outdated.snapshot => None,
            Origin::None => None,
            Origin::Redis(record) => Some(Cow::Owned(Snapshot::of(
                id,
                record,
                &self.rules.declared,
                self.epoch(),
                state.verified,
            ))),
            Origin::Snapshot(snapshot) => Some(Cow::Borrowed(&**snapshot)),
        };
        let cookie = snapshot.and_then(|snapshot| {
            let (version, epoch) = (snapshot.version, snapshot.epoch);
            let cookie =
                seal::seal(&self.keys, &self.rules.cookie, snapshot, &self.rules.declared)?;
            if let Origin::Redis(record) = &state.origin {
                let marks = self.memory.marks(Standing::of_record(record));
                let known =
                    KnownCookie { hash: marks.hash(&cookie), verified: state.verified, epoch };
                marks.set_cookie(id.name(), version, known);
            }
            Some(cookie)
        });
        ResponseCookies {
            id: state.outdated.id.then_some(id),
            snapshot: cookie,
            max_age: times.ends.saturating_sub(wall_millis()),
        }
    }
}
