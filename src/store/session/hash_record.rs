//! Records in the form before: a hash. They are read, and become one value when they are next
//! written.

use std::collections::BTreeMap;

use super::{
    expiry::Times,
    record::{Field, Head, Record},
};

const KEY: &str = "k:";

impl Record {
    /// Reads the hash; a pair that is no text is `None`. `None`: it is not a record of ours.
    pub(super) fn from_hash(
        hash: impl IntoIterator<Item = Option<(String, String)>>,
    ) -> Option<Self> {
        const NUMBERS: [&str; 5] = ["v", "c", "t", "i", "a"];
        let (mut numbers, mut subject, mut is_restored) = ([None; 5], None, false);
        let mut fields = BTreeMap::new();
        for pair in hash {
            let (mut name, value) = pair?;
            if name.starts_with(KEY) {
                name.drain(..KEY.len());
                fields.insert(name, value);
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
        let head = Head { version: version?, times, is_restored, subject: subject.as_deref() };
        let fields: Option<Vec<Field<'_>>> =
            fields.iter().map(|(key, value)| field(key, value)).collect();
        let mut record = Self::new(head, fields?.into_iter());
        record.is_hash = true;
        Some(record)
    }
}

/// `<version>:<json>`; nothing after the colon: removed.
fn field<'a>(key: &'a str, value: &'a str) -> Option<Field<'a>> {
    let (version, json) = value.split_once(':')?;
    Some(Field {
        key,
        version: version.parse().ok()?,
        json: Some(json).filter(|json| !json.is_empty()),
    })
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
        let record = Record::from_hash(hash(&all)).unwrap();
        assert_eq!((record.version, record.subject()), (3, Some("alice")));
        assert!(!record.is_restored);
        let restored = Record::from_hash(hash(&[&all[..], &[("r", "1")]].concat())).unwrap();
        assert!(restored.is_restored);
        assert_eq!(record.get("v"), Some("{\"a\":\"1:2\"}"));
        assert_eq!((record.get("old"), record.field("old").unwrap().version), (None, 3));
        for missing in ["v", "c", "t", "i", "a"] {
            let some: Vec<_> = meta.iter().copied().filter(|(name, _)| *name != missing).collect();
            assert!(Record::from_hash(hash(&some)).is_none(), "{missing}");
        }
        let mut binary = hash(&meta);
        binary.push(None);
        assert!(Record::from_hash(binary).is_none());
        for bad in ["", "x", ":1", "-1:1"] {
            let mut all = meta.to_vec();
            all.push(("k:a", bad));
            assert!(Record::from_hash(hash(&all)).is_none(), "{bad}");
        }
    }
}
