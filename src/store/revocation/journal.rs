//! Revocations as records for the journal.

use std::time::{Duration, UNIX_EPOCH};

use super::{clock::Until, shard::Entry, token::Digest};
use crate::store::JournalRecord;

pub(super) const FEATURE: &str = "revocation";

pub(super) fn write(entry: Entry) -> JournalRecord {
    let key = format!("{:032x}", u128::from_be_bytes(*entry.digest.as_bytes()));
    let until = entry.until.unix();
    let value = format!("{until}:{}", entry.cut_off);
    JournalRecord::new(FEATURE, key, value, UNIX_EPOCH + Duration::from_secs(until))
}

/// What is not readable is said, and left out.
pub(super) fn read(records: &[JournalRecord]) -> Vec<Entry> {
    let entries: Vec<_> = records.iter().filter_map(read_one).collect();
    let unreadable = records.len() - entries.len();
    if unreadable > 0 {
        tracing::error!(unreadable, "some saved revocations cannot be read");
    }
    entries
}

fn read_one(record: &JournalRecord) -> Option<Entry> {
    let digest = u128::from_str_radix(&record.key, 16).ok()?.to_be_bytes();
    let (until, cut_off) = record.value.split_once(':')?;
    Some(Entry {
        digest: Digest::from_bytes(digest),
        until: Until::from_unix(until.parse().ok()?),
        cut_off: cut_off.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_the_rest_left_out() {
        let entries = [
            Entry {
                digest: Digest::from_bytes([0; 16]),
                until: Until::from_unix(1_900_000_000),
                cut_off: 0,
            },
            Entry {
                digest: Digest::from_bytes([0xff; 16]),
                until: Until::from_unix(1_900_000_001),
                cut_off: 1_800_000_000_123,
            },
        ];
        let mut records: Vec<_> = entries.into_iter().map(write).collect();
        records.push(JournalRecord::new(FEATURE, "no digest", "1:2", UNIX_EPOCH));
        records.push(JournalRecord::new(FEATURE, "ff", "12", UNIX_EPOCH));
        assert_eq!(read(&records), entries);
    }
}
