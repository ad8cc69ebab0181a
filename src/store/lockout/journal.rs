//! Locks as records for the journal. The wall clock is what two lives of a process have in common.

use std::time::{Duration, SystemTime};

use super::law::State;
use crate::store::JournalRecord;

pub(super) const FEATURE: &str = "lockout";

/// A lock that ends at `until`; one that has ended takes the place of one that was lifted.
pub(super) fn write(
    name: &str,
    subject: &str,
    until: SystemTime,
    consecutive_locks: u32,
) -> JournalRecord {
    let since = until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let value = format!("{}:{consecutive_locks}", since.as_millis());
    JournalRecord::new(FEATURE, format!("{name}:{subject}"), value, until)
}

/// The locks of the lockout `name` that have not ended, at `now` of a clock of this process.
pub(super) fn read(name: &str, records: &[JournalRecord], now: u64) -> Vec<(String, State)> {
    records.iter().filter_map(|record| read_one(name, record, now)).collect()
}

fn read_one(name: &str, record: &JournalRecord, now: u64) -> Option<(String, State)> {
    let subject = record.key.strip_prefix(name)?.strip_prefix(':')?;
    let (until, consecutive_locks) = record.value.split_once(':')?;
    let until = SystemTime::UNIX_EPOCH + Duration::from_millis(until.parse().ok()?);
    let left = until.duration_since(SystemTime::now()).ok().filter(|left| !left.is_zero())?;
    let left = super::policy::millis(left);
    let state = State {
        locked_until: now.saturating_add(left),
        consecutive_locks: consecutive_locks.parse().ok()?,
        ..State::default()
    };
    Some((subject.to_owned(), state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_read_back_with_the_time_that_is_left() {
        let until = SystemTime::now() + Duration::from_secs(60);
        let records = [
            write("login", "alice", until, 2),
            write("login", "lifted", SystemTime::UNIX_EPOCH, 0),
            write("other", "bob", until, 1),
            JournalRecord::new(FEATURE, "login:broken", "soon", until),
        ];
        let read = read("login", &records, 1_000);
        let [(subject, state)] = read.as_slice() else { panic!("{read:?}") };
        assert_eq!((subject.as_str(), state.consecutive_locks), ("alice", 2));
        assert!((60_000..=61_000).contains(&state.locked_until), "{state:?}");
    }
}
