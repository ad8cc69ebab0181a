//! A session as one request holds it.

use super::{
    ending::Ending,
    expiry::{Expiry, Times},
    id::SessionId,
    record::{Changes, Field, Json, Record},
    sessions::Rules,
    snapshot::{Known, Snapshot},
};
use crate::units::wall_millis;

/// What the session stands on.
#[derive(Clone, Default)]
pub(crate) enum Origin {
    /// There is no session (yet).
    #[default]
    None,
    /// Redis has it.
    Redis(Box<Record>),
    /// The client has it, and Redis cannot be asked.
    Snapshot(Box<Snapshot>),
}

/// What the client has to be told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Outdated {
    pub(crate) id: bool,
    pub(crate) snapshot: bool,
}

/// A new id is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// For the same session.
    Cycle,
    /// For the same session, whose user has authenticated: a new lifetime.
    Login,
    /// For a session of somebody else, which begins now and takes over no value.
    Replace,
}

#[derive(Clone, Default)]
pub(crate) struct SessionState {
    /// `None`: there is no session, or it begins with the next change.
    pub(crate) id: Option<SessionId>,
    pub(crate) origin: Origin,
    /// When Redis last vouched for it, in ms of the wall clock.
    pub(crate) verified: u64,
    /// What the client brought that was changed without Redis, and is still to be written.
    pub(crate) offline_changes: Changes,
    /// By this request.
    pub(crate) changes: Changes,
    pub(crate) subject: Option<String>,
    pub(crate) renewal: Option<Renewal>,
    pub(crate) outdated: Outdated,
}

impl SessionState {
    /// No session.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// A session, as it stands on `origin`.
    pub(crate) fn from_origin(id: SessionId, origin: Origin, verified: u64) -> Self {
        let subject = match &origin {
            Origin::None => None,
            Origin::Redis(record) => record.subject().map(str::to_owned),
            Origin::Snapshot(snapshot) => snapshot.subject.clone(),
        };
        Self { id: Some(id), origin, verified, subject, ..Self::default() }
    }

    /// There is one, or there will be.
    pub(crate) fn exists(&self) -> bool {
        self.id.is_some() || self.is_new()
    }

    /// It is to be made.
    pub(crate) fn is_new(&self) -> bool {
        let has_value = self.changes.values.values().any(Option::is_some);
        self.id.is_none() && (has_value || self.subject.is_some())
    }

    /// Redis does not hold all of it.
    pub(crate) fn is_stateless(&self) -> bool {
        matches!(self.origin, Origin::Snapshot(_))
    }

    /// It was put back from a client's copy, and its user has not authenticated since.
    pub(crate) fn is_restored(&self) -> bool {
        matches!(&self.origin, Origin::Redis(record) if record.is_restored)
    }

    /// There is something to write.
    pub(crate) fn is_changed(&self) -> bool {
        !self.changes.is_empty() || !self.offline_changes.is_empty() || self.renewal.is_some()
    }

    pub(crate) fn get(&self, key: &str, rules: &Rules) -> Known<'_> {
        if let Some(json) = self.changes.values.get(key) {
            return json.as_deref().into();
        }
        if self.renewal == Some(Renewal::Replace) {
            return Known::Nothing;
        }
        if let Some(json) = self.offline_changes.values.get(key) {
            return json.as_deref().into();
        }
        match &self.origin {
            Origin::None => Known::Nothing,
            Origin::Redis(record) => record.get(key).into(),
            Origin::Snapshot(snapshot) => snapshot.get(key, &rules.declared),
        }
    }

    /// For when it is to be ended. `None`: there is no session.
    pub(crate) fn ending(&self) -> Option<Ending> {
        match &self.origin {
            Origin::None => None,
            Origin::Redis(record) => Some(Ending::of_record(record)),
            Origin::Snapshot(snapshot) => Some(Ending::of_snapshot(snapshot)),
        }
    }

    pub(crate) fn times(&self) -> Option<Times> {
        match &self.origin {
            Origin::None => None,
            Origin::Redis(record) => Some(record.times),
            Origin::Snapshot(snapshot) => Some(snapshot.times),
        }
    }

    /// There is nothing to be written and nothing to be told.
    pub(crate) fn is_idle(&self) -> bool {
        let wants_touch = || self.times().is_some_and(|times| times.wants_touch(wall_millis()));
        !self.is_new()
            && (self.id.is_none()
                || !(self.is_changed() || self.outdated != Outdated::default() || wants_touch()))
    }

    /// The last value counts.
    pub(crate) fn set(&mut self, key: &str, json: Json) {
        self.changes.values.insert(key.to_owned(), json);
    }

    pub(crate) fn set_expiry(&mut self, expiry: Expiry) {
        self.changes.expiry = Some(expiry.in_millis());
    }

    /// A session of somebody else is another session: what the one before has left there goes,
    /// unless `keeps_values`.
    pub(crate) fn set_subject(&mut self, subject: String, keeps_values: bool) {
        let is_same = self.subject.as_deref() == Some(subject.as_str());
        if is_same && !self.is_restored() {
            return;
        }
        let is_replaced = !is_same && self.subject.is_some() && !keeps_values;
        self.subject = Some(subject);
        if is_replaced {
            self.changes = Changes::default();
        }
        if is_replaced && self.id.is_some() {
            self.renewal = Some(Renewal::Replace);
        } else {
            self.renew();
        }
    }

    /// Its user has authenticated.
    pub(crate) fn renew(&mut self) {
        if self.id.is_some() && self.renewal != Some(Renewal::Replace) {
            self.renewal = Some(Renewal::Login);
        }
    }

    pub(crate) fn cycle_id(&mut self) {
        if self.id.is_some() {
            self.renewal.get_or_insert(Renewal::Cycle);
        }
    }

    /// Takes over what came of saving `work`, a copy of this one; what was changed meanwhile stays
    /// to be saved.
    pub(crate) fn settle(&mut self, work: &Self, saved: Self) {
        self.changes.settle(&work.changes);
        if self.renewal == work.renewal {
            self.renewal = saved.renewal;
        }
        if self.subject == work.subject {
            self.subject = saved.subject;
        }
        self.id = saved.id;
        self.origin = saved.origin;
        self.verified = saved.verified;
        self.offline_changes = saved.offline_changes;
        self.outdated = saved.outdated;
    }

    /// Every value as a change, values that were removed without Redis too, for a session that is
    /// moved or rewritten as a whole. `None`: there is no session, or Redis may hold more of it.
    pub(super) fn complete(&self) -> Option<Changes> {
        let (values, on_top) = match &self.origin {
            Origin::Redis(record) => {
                let live =
                    |field: Field<'_>| Some((field.key.to_owned(), Some(field.json?.to_owned())));
                (record.fields().filter_map(live).collect(), &self.offline_changes)
            }
            Origin::Snapshot(snapshot) if snapshot.is_complete() => {
                let values = snapshot.parts.iter();
                let values = values.map(|part| (part.key.clone(), Some(part.json.clone())));
                (values.collect(), &snapshot.changes)
            }
            Origin::None | Origin::Snapshot(_) => return None,
        };
        Some(Changes { values, expiry: None }.then(on_top))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::session::record::Head;

    #[test]
    fn another_subject_is_another_id_and_the_same_is_not() {
        let mut state = SessionState::none();
        state.cycle_id();
        state.set_subject("alice".into(), false);
        assert!(state.is_new() && state.renewal.is_none());
        let mut state = SessionState::from_origin(SessionId::random(), Origin::None, 0);
        state.set_subject("alice".into(), false);
        assert_eq!(state.renewal, Some(Renewal::Login));
        let mut state = SessionState { renewal: None, ..state };
        state.set_subject("alice".into(), false);
        assert_eq!(state.renewal, None);
        state.cycle_id();
        assert_eq!(state.renewal, Some(Renewal::Cycle));
    }

    #[test]
    fn nothing_of_another_subject_is_kept_unless_asked() {
        let rules = Rules::new("sd");
        let one = |state: &SessionState| matches!(state.get("a", &rules), Known::Value("1"));
        let with_value = |subject: Option<&str>| {
            let times = Times::beginning(1_000, Expiry::default());
            let head = Head { version: 1, times, is_restored: false, subject };
            let field = Field { key: "a", version: 1, json: Some("1") };
            let record = Record::new(head, [field].into_iter());
            SessionState::from_origin(SessionId::random(), Origin::Redis(Box::new(record)), 1_000)
        };
        for (before, keeps, kept, renewal) in [
            (None, false, true, Some(Renewal::Login)),
            (Some("alice"), true, true, Some(Renewal::Login)),
            (Some("alice"), false, false, Some(Renewal::Replace)),
            (Some("bob"), false, true, None),
        ] {
            let mut state = with_value(before);
            state.set("b", Some("2".into()));
            state.set_subject("bob".into(), keeps);
            assert_eq!((one(&state), state.renewal), (kept, renewal), "{before:?}, {keeps}");
            assert_eq!(state.changes.is_empty(), !kept, "what was set before goes as well");
            state.cycle_id();
            state.set_subject("carol".into(), true);
            assert_eq!(one(&state), kept, "what is gone stays gone");
        }
    }

    #[test]
    fn what_was_changed_while_saving_stays_to_be_saved() {
        let mut state = SessionState::none();
        state.set("a", Some("1".into()));
        let work = state.clone();
        state.set("a", Some("2".into()));
        state.set("b", Some("3".into()));
        let mut saved = SessionState::from_origin(SessionId::random(), Origin::None, 1);
        saved.outdated.id = true;
        state.settle(&work, saved);
        assert_eq!(state.changes.values.len(), 2);
        assert!(state.outdated.id && state.id.is_some());
        let work = state.clone();
        state.settle(&work, work.clone());
        assert!(state.changes.is_empty());
    }
}
