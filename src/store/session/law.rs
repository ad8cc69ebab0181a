//! When a snapshot is believed, as pure functions.

use std::time::Duration;

use super::{expiry::millis, snapshot::Snapshot};

/// Clocks of instances may differ by so much.
const SKEW: u64 = 60_000;

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

/// Data that was written in this time (both ends included, ms of the wall clock) may have been lost, though most was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LossWindow {
    pub(super) from: u64,
    pub(super) to: u64,
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
    let is_fresh = now <= snapshot.verified.saturating_add(millis(max_offline_age))
        && snapshot.verified <= now.saturating_add(SKEW)
        && (cutoff == 0 || snapshot.verified > cutoff);
    // Redis may know of a later use.
    let is_in_use = snapshot.times.until() > now;
    if is_fresh && is_in_use { Offline::Honoured } else { Offline::CannotJudge }
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
    let may_be_lost = loss_windows
        .iter()
        .any(|loss_window| (loss_window.from..=loss_window.to).contains(&snapshot.verified));
    // It was used on without Redis, where it ran out meanwhile. Had it been deleted, a tombstone would say so.
    let ran_out = snapshot.times.touched > snapshot.verified && snapshot.stored_until <= now;
    if never_stored || other_data || may_be_lost || ran_out {
        Missing::Restored
    } else {
        Missing::DependsOnEpoch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::session::{
        expiry::{Expiry, Times},
        id::SessionId,
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
        let missing = |snapshot: &Snapshot, loss_windows: &[LossWindow], cutoff| {
            missing(snapshot, now, Some(7), loss_windows, cutoff)
        };
        let stored = snapshot();
        assert_eq!(missing(&stored, &[], 0), Missing::DependsOnEpoch);
        let mut born_offline = stored.clone();
        born_offline.version = 0;
        assert_eq!(missing(&born_offline, &[], 0), Missing::Restored);
        let mut lost = stored.clone();
        lost.epoch = 6;
        assert_eq!(missing(&lost, &[], 0), Missing::Restored);
        let loss_window = |from, to| [LossWindow { from: from * SECOND, to: to * SECOND }];
        assert_eq!(missing(&stored, &loss_window(990, 1_000), 0), Missing::Restored);
        assert_eq!(missing(&stored, &loss_window(1_001, 1_010), 0), Missing::DependsOnEpoch);
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
}
