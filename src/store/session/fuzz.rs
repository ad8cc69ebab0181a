//! The reader of records apart from everything around it, for the fuzz targets of this crate.

use super::{
    expiry::Times,
    merge::merge,
    record::{Changes, Field, Head, Record},
};

/// Reads these bytes as Redis might answer them, asks everything of what was read, and changes it.
/// Whether they are a record.
///
/// # Panics
///
/// What was read is not what is written again.
pub fn read_record(bytes: &[u8]) -> bool {
    let Some(record) = Record::read(bytes.to_vec()) else { return false };
    assert!(record.fields().count() <= bytes.len() / 16, "more fields than there is room for");
    // It may be one that was made here, of the same parts.
    let again = Record::new(record.head(), record.fields());
    assert!(again.fields().eq(record.fields()) && again.subject() == record.subject());

    let values = record.fields().map(|field| (format!("{}+", field.key), None)).collect();
    let changes = Changes { values, expiry: Some((1, 2)) };
    let merged = merge(&again, &record, &changes).record.and_then(|merged| {
        let read = Record::read(merged.value().to_vec())?;
        (read.fields().count() >= record.fields().count()).then_some(read)
    });
    assert!(merged.is_some(), "what was merged is read again, and lost no key");
    true
}

/// A record to begin from.
pub fn any_record() -> Vec<u8> {
    let times = Times { created: 1, touched: 2, idle: 3, ends: 4 };
    let head = Head { version: 7, times, is_restored: true, subject: Some("alice") };
    let fields = [("a", None), ("b", Some("1")), ("c", Some("{\"d\":\"e\"}"))];
    let fields = fields.map(|(key, json)| Field { key, version: 5, json });
    Record::new(head, fields.into_iter()).value().to_vec()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bent_records_are_read_or_refused(at: prop::sample::Index, byte: u8) {
            prop_assert!(read_record(&any_record()));
            let mut bent = any_record();
            let at = at.index(bent.len());
            bent[at] = byte;
            read_record(&bent);
        }
    }
}
