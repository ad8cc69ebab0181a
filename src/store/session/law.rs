//! When a record or a snapshot is believed, as pure functions.

use std::time::Duration;

use super::{
    expiry::SKEW,
    record::{Changes, Record},
    snapshot::Snapshot,
};
use crate::units::millis;

/// What is to be done about a session that Redis has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Served,
    /// It was ended here, or may be among those whose end was forgotten here before Redis was told,
    /// or Redis came back older than what was seen here.
    Refused,
    /// Redis came back older than what it had verified for the client.
    Restored,
}

/// What this instance knows of a session that Redis has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// All sessions of its subject were ended here after it began.
    pub(super) is_revoked: bool,
    /// What was last used until then may have been ended here without Redis knowing.
    pub(super) pending_cutoff: u64,
    /// The highest version that was seen here.
    pub(super) newest: Option<u64>,
}

/// What a snapshot is worth while Redis cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offline {
    Honoured,
    /// The session has ended, whatever Redis would say.
    Over,
    /// Only Redis could say.
    CannotJudge,
}

/// What is to be done about a session that Redis does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// It was deleted, or has ended.
    Refused,
    /// Redis has lost it.
    Restored,
    /// It was deleted, if Redis still holds the data that it held then.
    DependsOnEpoch,
}

/// A time (both ends included, ms of the wall clock) from which written data may have been lost,
/// though most was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LossWindow {
    pub(super) from: u64,
    pub(super) to: u64,
}

/// Redis has this record, and the client shows this snapshot of it.
pub(super) fn found(record: &Record, snapshot: Option<&Snapshot>, seen: Seen) -> Found {
    // Refused at most: what is only suspected is not deleted.
    if seen.is_revoked || record.times.touched <= seen.pending_cutoff {
        return Found::Refused;
    }
    // Before what was seen here: the client's copy may be just that. If it is older, it is not
    // restored.
    if snapshot.is_some_and(|snapshot| snapshot.version > record.version) {
        return Found::Restored;
    }
    if seen.newest.is_some_and(|newest| newest > record.version) {
        return Found::Refused;
    }
    Found::Served
}

/// A copy that Redis verified then, when it held the data of this epoch, needs no re-issue.
pub(super) fn is_recent(
    (verified, epoch): (u64, u64),
    now: u64,
    current_epoch: Option<u64>,
    refresh: Duration,
) -> bool {
    Some(epoch) == current_epoch && verified.saturating_add(millis(refresh)) > now
}

/// Without Redis. `cutoff`: what was verified until then is not believed.
pub(super) fn offline(
    snapshot: &Snapshot,
    now: u64,
    max_offline_age: Duration,
    cutoff: u64,
) -> Offline {
    if snapshot.times.ends <= now {
        return Offline::Over;
    }
    let is_believed = is_within_age(snapshot, now, max_offline_age)
        && (cutoff == 0 || snapshot.verified > cutoff);
    // Redis may know of a later use.
    let is_in_use = snapshot.times.until() > now;
    if is_believed && is_in_use { Offline::Honoured } else { Offline::CannotJudge }
}

/// Redis verified it no longer ago than is allowed: it may stand for its session, without Redis and
/// where Redis has lost the record.
pub(super) fn is_within_age(snapshot: &Snapshot, now: u64, max_offline_age: Duration) -> bool {
    now <= snapshot.verified.saturating_add(millis(max_offline_age))
        && snapshot.verified <= now.saturating_add(SKEW)
}

/// Redis answered that there is no record. `epoch`: of the data that it held at the last recovery.
pub(super) fn missing(
    snapshot: &Snapshot,
    now: u64,
    epoch: Option<u64>,
    loss_windows: &[LossWindow],
    cutoff: u64,
) -> Missing {
    let is_over = snapshot.times.until() <= now;
    if is_over || (cutoff != 0 && snapshot.verified <= cutoff) {
        return Missing::Refused;
    }
    let never_stored = snapshot.version == 0;
    let other_data = epoch != Some(snapshot.epoch);
    let may_be_lost =
        loss_windows.iter().any(|window| (window.from..=window.to).contains(&snapshot.verified));
    // It was used on without Redis, where it ran out meanwhile. Had it been deleted, a tombstone
    // would say so.
    let ran_out = snapshot.times.touched > snapshot.verified && snapshot.stored_until <= now;
    if never_stored || other_data || may_be_lost || ran_out {
        Missing::Restored
    } else {
        Missing::DependsOnEpoch
    }
}

/// What was changed without Redis and is to be written on top of this record, and how many changes
/// are dropped because somebody else has changed the same key in Redis since.
pub(super) fn rebase(record: &Record, snapshot: Snapshot) -> (Changes, u64) {
    let Snapshot { version, mut changes, .. } = snapshot;
    let mut conflicts = 0;
    changes.values.retain(|key, json| {
        // A key that Redis does not have needs no removal.
        let Some(field) = record.field(key) else { return json.is_some() };
        let differs = field.json != json.as_deref();
        let is_newer = field.version > version;
        conflicts += u64::from(is_newer && differs);
        !is_newer && differs
    });
    if record.version > version {
        changes.expiry = None;
    }
    (changes, conflicts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::session::{
        expiry::{Expiry, Times},
        id::SessionId,
        record::{Field, Head},
    };

    const SECOND: u64 = 1_000;
    const HOUR: Duration = Duration::from_secs(3_600);

    /// Verified at 1000 s; idle for 2 h, 10 h in all.
    fn snapshot() -> Snapshot {
        let times = Times::beginning(1_000 * SECOND, Expiry::new(HOUR * 2, HOUR * 10));
        let mut snapshot = Snapshot::new_offline(SessionId::random(), times, None);
        snapshot.version = 1;
        snapshot.epoch = 7;
        snapshot.stored_until = times.until();
        snapshot
    }

    #[test]
    fn believed_for_as_long_as_allowed_after_redis_verified_it() {
        let snapshot = snapshot();
        let at = |second: u64| offline(&snapshot, second * SECOND, HOUR, 0);
        assert_eq!(at(1_000), Offline::Honoured);
        assert_eq!(at(4_600), Offline::Honoured);
        assert_eq!(at(4_601), Offline::CannotJudge);
        assert_eq!(at(940), Offline::Honoured, "clocks differ");
        assert_eq!(at(900), Offline::CannotJudge, "a clock was set back");
        assert_eq!(at(37_000), Offline::Over);
    }

    #[test]
    fn neither_unused_for_too_long_nor_before_a_cutoff() {
        let snapshot = snapshot();
        let long = HOUR * 100;
        assert_eq!(offline(&snapshot, 8_199 * SECOND, long, 0), Offline::Honoured);
        assert_eq!(offline(&snapshot, 8_200 * SECOND, long, 0), Offline::CannotJudge);
        assert_eq!(offline(&snapshot, 1_001 * SECOND, long, 1_000 * SECOND), Offline::CannotJudge);
        assert_eq!(offline(&snapshot, 1_001 * SECOND, long, 999 * SECOND), Offline::Honoured);
    }

    #[test]
    fn a_missing_record_was_deleted_unless_its_data_was_lost() {
        let now = 2_000 * SECOND;
        let missing = |snapshot: &Snapshot, windows: &[LossWindow], cutoff| {
            missing(snapshot, now, Some(7), windows, cutoff)
        };
        let stored = snapshot();
        assert_eq!(missing(&stored, &[], 0), Missing::DependsOnEpoch);
        let mut born_offline = stored.clone();
        born_offline.version = 0;
        assert_eq!(missing(&born_offline, &[], 0), Missing::Restored);
        let mut lost = stored.clone();
        lost.epoch = 6;
        assert_eq!(missing(&lost, &[], 0), Missing::Restored);
        let window = |from, to| [LossWindow { from: from * SECOND, to: to * SECOND }];
        assert_eq!(missing(&stored, &window(990, 1_000), 0), Missing::Restored);
        assert_eq!(missing(&stored, &window(1_001, 1_010), 0), Missing::DependsOnEpoch);
        assert_eq!(missing(&lost, &[], 1_000 * SECOND), Missing::Refused);
    }

    #[test]
    fn used_on_without_redis_beyond_what_redis_kept() {
        let mut snapshot = snapshot();
        snapshot.stored_until = 1_500 * SECOND;
        let at =
            |snapshot: &Snapshot, second: u64| missing(snapshot, second * SECOND, Some(7), &[], 0);
        assert_eq!(at(&snapshot, 1_600), Missing::DependsOnEpoch, "not used since");
        snapshot.times.touched = 1_400 * SECOND;
        assert_eq!(at(&snapshot, 1_499), Missing::DependsOnEpoch);
        assert_eq!(at(&snapshot, 1_500), Missing::Restored);
        assert_eq!(at(&snapshot, 100_000), Missing::Refused);
    }

    /// `fields` are sorted.
    fn record(version: u64, fields: &[(&str, u64, &str)]) -> Record {
        let field = |&(key, version, json)| Field { key, version, json: Some(json) };
        let head = Head { version, times: snapshot().times, is_restored: false, subject: None };
        Record::new(head, fields.iter().map(field))
    }

    #[test]
    fn a_record_is_served_unless_it_was_ended_or_is_older_than_what_was_seen() {
        let seen = Seen { is_revoked: false, pending_cutoff: 0, newest: None };
        let record = record(1, &[]);
        let older = snapshot();
        let mut newer = snapshot();
        newer.version = 2;
        assert_eq!(found(&record, None, seen), Found::Served);
        assert_eq!(found(&record, Some(&older), seen), Found::Served);
        assert_eq!(found(&record, Some(&newer), seen), Found::Restored);
        let seen_newer = Seen { newest: Some(2), ..seen };
        assert_eq!(found(&record, Some(&older), seen_newer), Found::Refused);
        assert_eq!(found(&record, Some(&newer), seen_newer), Found::Restored);
        assert_eq!(found(&record, None, Seen { newest: Some(1), ..seen }), Found::Served);
        let cutoff = |pending_cutoff| Seen { pending_cutoff, ..seen };
        let touched = record.times.touched;
        assert_eq!(found(&record, Some(&newer), cutoff(touched)), Found::Refused);
        assert_eq!(found(&record, None, cutoff(touched - 1)), Found::Served);
        let revoked = Seen { is_revoked: true, ..cutoff(touched) };
        assert_eq!(found(&record, Some(&newer), revoked), Found::Refused);
    }

    #[test]
    fn a_copy_is_recent_for_a_while_in_the_same_epoch() {
        let at = |now, epoch| is_recent((1_000, 7), now, epoch, Duration::from_secs(1));
        assert!(at(1_999, Some(7)));
        assert!(!at(2_000, Some(7)));
        assert!(!at(1_999, Some(8)) && !at(1_999, None));
    }

    #[test]
    fn changes_go_on_top_of_what_nobody_has_changed_since() {
        let mut snapshot = snapshot();
        snapshot.version = 3;
        let changes =
            [("old", "1"), ("same", "2"), ("newer", "3"), ("newer same", "4"), ("new", "5")];
        let json = |json: &str| Some(json.to_owned());
        let mut values: std::collections::BTreeMap<_, _> =
            changes.iter().map(|(key, value)| (key.to_string(), json(value))).collect();
        values.insert("not there".into(), None);
        snapshot.changes = Changes { values, expiry: Some((1, 2)) };
        let fields = [("newer", 4, "0"), ("newer same", 4, "4"), ("old", 3, "0"), ("same", 1, "2")];
        let (changes, conflicts) = rebase(&record(4, &fields), snapshot.clone());
        let keys: Vec<_> = changes.values.keys().map(String::as_str).collect();
        assert_eq!((keys, conflicts), (vec!["new", "old"], 1));
        assert_eq!(changes.expiry, None);
        assert_eq!(rebase(&record(3, &[]), snapshot).0.expiry, Some((1, 2)));
    }
}
