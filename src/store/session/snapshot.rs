//! What a client carries so that its session goes on without Redis.

use serde::{Deserialize, Serialize};

use super::{
    expiry::Times,
    id::SessionId,
    record::{Changes, Field, Record},
};

/// A copy of the parts of a session that were declared fit for it, as of when Redis last verified
/// them, and what was changed since without Redis.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    id: [u8; 16],
    /// Stands for the data that Redis held when it verified this, or last held before this began
    /// without it; 0: this instance had not met Redis.
    pub(crate) epoch: u64,
    /// The version that Redis verified; 0: a session that began in an outage.
    pub(crate) version: u64,
    /// When Redis verified it (or when it began in an outage). No re-issue changes that.
    pub(crate) verified: u64,
    pub(crate) times: Times,
    /// Until when Redis keeps the record if nobody touches it there.
    pub(crate) stored_until: u64,
    pub(crate) subject: Option<String>,
    pub(crate) parts: Vec<Part>,
    pub(crate) gaps: Gaps,
    /// Raised by every change without Redis, so that an older copy is known as such.
    pub(crate) stamp: u32,
    /// Made without Redis, on top of `version`.
    pub(crate) changes: Changes,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) key: String,
    pub(crate) version: u64,
    pub(crate) json: String,
}

/// What is in the record and not in the snapshot.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Gaps {
    /// Nothing: a key that is not here has no value.
    None,
    /// Keys that were not declared, and these declared ones for want of room.
    Some { declared: u32, left_out: Vec<String> },
}

/// What is known of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known<'a> {
    Value(&'a str),
    Nothing,
    /// Only Redis could say.
    Unknown,
}

impl<'a> From<Option<&'a str>> for Known<'a> {
    fn from(json: Option<&'a str>) -> Self {
        json.map_or(Self::Nothing, Self::Value)
    }
}

impl Snapshot {
    /// The parts of `record` that are declared, the most important first.
    pub(crate) fn of(
        id: SessionId,
        record: &Record,
        declared: &Declared,
        epoch: u64,
        verified: u64,
    ) -> Self {
        let part = |field: Field<'_>| {
            let Field { key, version, json } = field;
            Some(Part { key: key.to_owned(), version, json: json?.to_owned() })
        };
        let parts: Vec<Part> = match declared.everything {
            true => record.fields().filter_map(part).collect(),
            false => declared.keys.iter().filter_map(|key| part(record.field(key)?)).collect(),
        };
        let live = record.fields().filter(|field| field.json.is_some()).count();
        let gaps = if parts.len() == live { Gaps::None } else { declared.gaps(Vec::new()) };
        Self {
            epoch,
            version: record.version,
            verified,
            stored_until: record.times.until(),
            parts,
            gaps,
            ..Self::new_offline(id, record.times, record.subject().map(str::to_owned))
        }
    }

    /// A session that begins without Redis.
    pub(crate) fn new_offline(id: SessionId, times: Times, subject: Option<String>) -> Self {
        Self {
            id: id.to_bytes(),
            epoch: 0,
            version: 0,
            verified: times.created,
            times,
            stored_until: times.created,
            subject,
            parts: Vec::new(),
            gaps: Gaps::None,
            stamp: 0,
            changes: Changes::default(),
        }
    }

    pub(crate) fn id(&self) -> SessionId {
        SessionId::from_bytes(self.id)
    }

    /// Nothing that is in the record is missing here.
    pub(crate) fn is_complete(&self) -> bool {
        self.gaps == Gaps::None
    }

    pub(crate) fn get(&self, key: &str, declared: &Declared) -> Known<'_> {
        if let Some(json) = self.changes.values.get(key) {
            return json.as_deref().into();
        }
        if let Some(part) = self.parts.iter().find(|part| part.key == key) {
            return Known::Value(&part.json);
        }
        match &self.gaps {
            Gaps::None => Known::Nothing,
            Gaps::Some { declared: then, left_out } => {
                let was_declared = *then == declared.fingerprint && declared.contains(key);
                let is_left_out = left_out.iter().any(|left| left == key);
                if was_declared && !is_left_out { Known::Nothing } else { Known::Unknown }
            }
        }
    }

    /// Leaves out the least important part. `false`: there is none left.
    pub(crate) fn shorten(&mut self, declared: &Declared) -> bool {
        let Some(part) = self.parts.pop() else { return false };
        match &mut self.gaps {
            Gaps::Some { left_out, .. } => left_out.push(part.key),
            Gaps::None => self.gaps = declared.gaps(vec![part.key]),
        }
        true
    }
}

/// The keys that may travel in a snapshot, in the order of their importance.
#[derive(Debug, Clone, Default)]
pub(crate) struct Declared {
    keys: Vec<String>,
    /// Two deployments may declare different keys.
    fingerprint: u32,
    /// Whatever there is.
    everything: bool,
}

impl Declared {
    pub(crate) fn new(keys: Vec<String>) -> Self {
        // FNV-1a: it tells lists apart, and nobody gains by a collision.
        let bytes = keys.iter().flat_map(|key| key.bytes().chain([0]));
        let fingerprint = bytes
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        Self { keys, fingerprint, everything: false }
    }

    /// Every key may travel.
    #[cfg(feature = "tower-sessions")]
    pub(crate) fn everything() -> Self {
        Self { everything: true, ..Self::default() }
    }

    pub(crate) fn contains(&self, key: &str) -> bool {
        self.everything || self.keys.iter().any(|declared| declared == key)
    }

    fn gaps(&self, left_out: Vec<String>) -> Gaps {
        Gaps::Some { declared: self.fingerprint, left_out }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::session::{expiry::Expiry, record::Head};

    fn record(pairs: &[(&str, Option<&str>)]) -> Record {
        let times = Times::beginning(1_000, Expiry::default());
        let head = Head { version: 3, times, is_restored: false, subject: None };
        let field = |&(key, json)| Field { key, version: 2, json };
        Record::new(head, pairs.iter().map(field))
    }

    fn declared(keys: &[&str]) -> Declared {
        Declared::new(keys.iter().map(|key| key.to_string()).collect())
    }

    #[test]
    fn only_declared_keys_travel_and_the_rest_is_unknown() {
        let id = SessionId::random();
        let declared = declared(&["b", "a", "none"]);
        let record =
            record(&[("a", Some("1")), ("b", Some("2")), ("gone", None), ("secret", Some("3"))]);
        let snapshot = Snapshot::of(id, &record, &declared, 7, 9);
        let keys: Vec<_> = snapshot.parts.iter().map(|part| part.key.as_str()).collect();
        assert_eq!(keys, ["b", "a"]);
        assert_eq!(snapshot.get("a", &declared), Known::Value("1"));
        assert_eq!(snapshot.get("none", &declared), Known::Nothing);
        assert_eq!(snapshot.get("secret", &declared), Known::Unknown);
        // Another deployment declares more: what it was not asked for is not known.
        let more = self::declared(&["b", "a", "none", "secret"]);
        assert_eq!(snapshot.get("secret", &more), Known::Unknown);
        assert_eq!(snapshot.get("none", &more), Known::Unknown);
    }

    #[test]
    fn what_holds_everything_says_so() {
        let declared = declared(&["a", "b"]);
        let record = record(&[("a", Some("1")), ("b", Some("2")), ("gone", None)]);
        let mut snapshot = Snapshot::of(SessionId::random(), &record, &declared, 7, 9);
        assert!(snapshot.is_complete());
        assert_eq!(snapshot.get("whatever", &declared), Known::Nothing);
        assert!(snapshot.shorten(&declared));
        assert!(!snapshot.is_complete());
        assert_eq!(snapshot.get("b", &declared), Known::Unknown);
        assert_eq!(snapshot.get("a", &declared), Known::Value("1"));
        assert!(snapshot.shorten(&declared) && !snapshot.shorten(&declared));
    }
}
