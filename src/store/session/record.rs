//! A session as Redis holds it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::expiry::Times;

/// A value as JSON, or that there is none any more.
pub(crate) type Json = Option<String>;

/// One value, and the version of the session that last changed it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) version: u64,
    /// `None`: removed. That it was is kept, so that nothing older brings it back.
    pub(crate) json: Json,
}

/// The record. Every change raises `version` by one.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) version: u64,
    pub(crate) times: Times,
    pub(crate) subject: Option<String>,
    /// It was put back from a copy, and its user has not authenticated since.
    pub(crate) is_restored: bool,
    pub(crate) fields: BTreeMap<String, Field>,
}

/// What one request, or an outage, has changed: the last value of each key.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Changes {
    pub(crate) values: BTreeMap<String, Json>,
    /// Another lifetime: idle and absolute, in milliseconds.
    pub(crate) expiry: Option<(u64, u64)>,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty() && self.expiry.is_none()
    }

    /// These changes after those: where both touch a key, `later` counts.
    pub(crate) fn then(mut self, later: &Self) -> Self {
        self.values.extend(later.values.iter().map(|(key, json)| (key.clone(), json.clone())));
        self.expiry = later.expiry.or(self.expiry);
        self
    }

    /// Takes out what `done` has brought to its place; what was changed again meanwhile stays.
    pub(crate) fn settle(&mut self, done: &Self) {
        self.values.retain(|key, json| done.values.get(key) != Some(json));
        if self.expiry == done.expiry {
            self.expiry = None;
        }
    }
}

const KEY: &str = "k:";

impl Record {
    /// Reads the hash; a pair that is no text is `None`. `None`: it is not a record of ours.
    pub(crate) fn read(hash: impl IntoIterator<Item = Option<(String, String)>>) -> Option<Self> {
        const NUMBERS: [&str; 5] = ["v", "c", "t", "i", "a"];
        let (mut numbers, mut subject, mut fields) = ([None; 5], None, BTreeMap::new());
        let mut is_restored = false;
        for pair in hash {
            let (mut name, value) = pair?;
            if name.starts_with(KEY) {
                name.drain(..KEY.len());
                fields.insert(name, Field::read(value)?);
            } else if let Some(at) = NUMBERS.iter().position(|number| *number == name) {
                numbers[at] = value.parse().ok();
            } else if name == "s" {
                subject = Some(value);
            } else if name == "r" {
                is_restored = true;
            }
        }
        let [version, created, touched, idle, ends] = numbers;
        let times = Times { created: created?, touched: touched?, idle: idle?, ends: ends? };
        Some(Self { version: version?, times, subject, is_restored, fields })
    }

    /// Counts the changes as made by `version`.
    pub(crate) fn apply(&mut self, changes: &Changes, version: u64) {
        for (key, json) in &changes.values {
            self.fields.insert(key.clone(), Field { version, json: json.clone() });
        }
        if let Some(expiry) = changes.expiry {
            self.times.set(expiry);
        }
        self.version = version;
    }

    /// The value of this key.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.fields.get(key)?.json.as_deref()
    }
}

impl Field {
    /// `<version>:<json>`; nothing after the colon: removed.
    fn read(mut text: String) -> Option<Self> {
        let (version, _) = text.split_once(':')?;
        let (version, json) = (version.parse().ok()?, version.len() + 1);
        text.drain(..json);
        Some(Self { version, json: Some(text).filter(|json| !json.is_empty()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(pairs: &[(&str, &str)]) -> Vec<Option<(String, String)>> {
        pairs.iter().map(|(name, value)| Some((name.to_string(), value.to_string()))).collect()
    }

    #[test]
    fn reads_its_own_and_nothing_else() {
        let meta = [("v", "3"), ("c", "1"), ("t", "2"), ("i", "3"), ("a", "4"), ("s", "alice")];
        let mut all = meta.to_vec();
        all.extend([("k:v", "2:{\"a\":\"1:2\"}"), ("k:old", "3:")]);
        let record = Record::read(hash(&all)).unwrap();
        assert_eq!((record.version, record.subject.as_deref()), (3, Some("alice")));
        assert!(!record.is_restored);
        let restored = Record::read(hash(&[&all[..], &[("r", "1")]].concat())).unwrap();
        assert!(restored.is_restored);
        assert_eq!(record.get("v"), Some("{\"a\":\"1:2\"}"));
        assert_eq!((record.get("old"), record.fields["old"].version), (None, 3));
        for missing in ["v", "c", "t", "i", "a"] {
            let some: Vec<_> = meta.iter().copied().filter(|(name, _)| *name != missing).collect();
            assert!(Record::read(hash(&some)).is_none(), "{missing}");
        }
        let mut binary = hash(&meta);
        binary.push(None);
        assert!(Record::read(binary).is_none());
        for bad in ["", "x", ":1", "-1:1"] {
            let mut all = meta.to_vec();
            all.push(("k:a", bad));
            assert!(Record::read(hash(&all)).is_none(), "{bad}");
        }
    }

    #[test]
    fn later_changes_count_and_settled_ones_go() {
        let change = |pairs: &[(&str, Option<&str>)]| Changes {
            values: pairs.iter().map(|(k, v)| (k.to_string(), v.map(str::to_owned))).collect(),
            expiry: None,
        };
        let first = change(&[("a", Some("1")), ("b", Some("1"))]);
        let mut both = first.clone().then(&change(&[("b", None), ("c", Some("2"))]));
        assert!(both == change(&[("a", Some("1")), ("b", None), ("c", Some("2"))]));
        both.settle(&first);
        assert!(both == change(&[("b", None), ("c", Some("2"))]));
    }
}
