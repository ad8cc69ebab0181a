//! What this instance knows of sessions by itself.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use super::{
    claims::Claims,
    expiry::SKEW,
    high_water_marks::{HighWaterMarks, Reconciled},
    id::SessionName,
    law::LossWindow,
    record::Changes,
    snapshot::Snapshot,
    standing::Standing,
    tombstones::{Tombstone, Tombstones},
};

/// Ids that were logged out without proof: a stranger can name as many as it likes.
const CLAIMS: usize = 10_000;
/// In ms.
const LOG_INTERVAL: u64 = 60_000;
/// Restarts that are remembered.
const LOSS_WINDOWS: usize = 16;

pub(super) struct Memory {
    /// Of sessions that Redis knew and that have a subject.
    marks: HighWaterMarks,
    /// Of the others.
    provisional_marks: HighWaterMarks,
    ended: Mutex<Ended>,
    loss_windows: Mutex<Vec<LossWindow>>,
    /// When the log last said that an end was forgotten, in ms of the wall clock.
    overflow_logged: AtomicU64,
    /// The longest that any session lives, in ms.
    longest_lifetime: AtomicU64,
    /// The longest that any copy may be put back after Redis verified it, in ms.
    longest_offline_age: AtomicU64,
}

/// What was ended here.
pub(super) struct Ended {
    /// Sessions that Redis knew and that have a subject.
    pub(super) sessions: Tombstones,
    /// The others.
    pub(super) provisional: Tombstones,
    /// Sessions whose id nobody vouches for: no snapshot proves that there was one.
    pub(super) claims: Claims,
    /// All sessions of a subject.
    pub(super) subjects: Tombstones,
}

impl Ended {
    /// Redis may have lost what was ended at `since` or later.
    pub(super) fn mark_lost(&mut self, since: u64) {
        for tombstones in [&mut self.sessions, &mut self.provisional, &mut self.subjects] {
            tombstones.mark_lost(since);
        }
        self.claims.mark_lost();
    }

    /// Remembers that it was ended. `true`: the end of another was forgotten for it.
    pub(super) fn insert(
        &mut self,
        name: SessionName,
        tombstone: Tombstone,
        standing: Standing,
    ) -> bool {
        match standing {
            Standing::Established => self.sessions.insert(name, tombstone),
            Standing::Provisional => self.provisional.insert(name, tombstone),
        }
    }

    /// When it was ended, and until when that counts.
    pub(super) fn get(&self, name: SessionName) -> Option<Tombstone> {
        let (one, other) = (self.sessions.get(name), self.provisional.get(name));
        let both = one.zip(other).map(|(one, other)| Tombstone {
            at: one.at.max(other.at),
            until: one.until.max(other.until),
        });
        both.or(one).or(other)
    }

    /// Redis was told of what was ended at `at`.
    pub(super) fn mark_pushed(&mut self, name: SessionName, at: u64) {
        self.sessions.mark_pushed(name, at);
        self.provisional.mark_pushed(name, at);
    }

    /// It was ended, and Redis knows.
    pub(super) fn insert_pushed(
        &mut self,
        name: SessionName,
        tombstone: Tombstone,
        standing: Standing,
    ) {
        self.insert(name, tombstone, standing);
        self.mark_pushed(name, tombstone.at);
    }
}

impl Memory {
    pub(super) fn new(capacity: usize) -> Self {
        let ended = Ended {
            sessions: Tombstones::new(capacity),
            provisional: Tombstones::new(capacity),
            claims: Claims::new(CLAIMS.min(capacity)),
            subjects: Tombstones::new(capacity),
        };
        Self {
            marks: HighWaterMarks::new(capacity),
            provisional_marks: HighWaterMarks::new(capacity),
            ended: Mutex::new(ended),
            loss_windows: Mutex::default(),
            overflow_logged: AtomicU64::new(0),
            longest_lifetime: AtomicU64::new(0),
            longest_offline_age: AtomicU64::new(0),
        }
    }

    pub(super) fn ended(&self) -> MutexGuard<'_, Ended> {
        self.ended.lock()
    }

    /// It was ended here.
    pub(super) fn has_ended(&self, name: SessionName) -> bool {
        let ended = self.ended();
        ended.get(name).is_some() || ended.claims.contains(name)
    }

    /// All sessions of its subject were ended here after it began.
    pub(super) fn is_revoked(&self, subject: Option<&str>, created: u64) -> bool {
        let Some(subject) = subject else { return false };
        let ended = self.ended();
        if ended.subjects.is_empty() {
            return false;
        }
        let tombstone = ended.subjects.get(SessionName::of(subject.as_bytes()));
        tombstone.is_some_and(|tombstone| created <= tombstone.at)
    }

    /// What was verified until then is not believed without Redis.
    pub(super) fn cutoff(&self, standing: Standing) -> u64 {
        let ended = self.ended();
        let cutoff = ended.sessions.cutoff().max(ended.subjects.cutoff());
        match standing {
            Standing::Established => cutoff,
            Standing::Provisional => cutoff.max(ended.provisional.cutoff()),
        }
    }

    /// What was last used until then may have been ended here without Redis knowing.
    pub(super) fn pending_cutoff(&self, standing: Standing) -> u64 {
        let ended = self.ended();
        match standing {
            Standing::Established => ended.sessions.pending_cutoff(),
            Standing::Provisional => {
                ended.sessions.pending_cutoff().max(ended.provisional.pending_cutoff())
            }
        }
    }

    /// The newest that was seen of sessions of this standing.
    pub(super) fn marks(&self, standing: Standing) -> &HighWaterMarks {
        match standing {
            Standing::Established => &self.marks,
            Standing::Provisional => &self.provisional_marks,
        }
    }

    /// Compares a snapshot with what was seen here, and brings it up to date where that is
    /// possible.
    pub(super) fn reconcile(&self, name: SessionName, snapshot: &mut Snapshot) -> Reconciled {
        match self.has_outgrown(name, snapshot) {
            true => Reconciled::Stale,
            false => self.marks(Standing::of_snapshot(snapshot)).reconcile(name, snapshot),
        }
    }

    /// See [`HighWaterMarks::change`].
    pub(super) fn change(
        &self,
        snapshot: &Snapshot,
        more: &Changes,
        fits: impl FnOnce(&Snapshot) -> bool,
    ) -> Option<Snapshot> {
        let name = snapshot.id().name();
        if self.has_outgrown(name, snapshot) {
            return None;
        }
        self.marks(Standing::of_snapshot(snapshot)).change(name, snapshot, more, fits)
    }

    /// It began without Redis, which knows it since.
    fn has_outgrown(&self, name: SessionName, snapshot: &Snapshot) -> bool {
        let newest = || self.marks.newest(name).map(|(version, _)| version);
        snapshot.version == 0 && newest() > Some(0)
    }

    /// Remembers the end of an id that nobody vouches for. `false`: there is no room for it.
    pub(super) fn claim(&self, name: SessionName, tombstone: Tombstone) -> bool {
        self.ended().claims.insert(name, tombstone)
    }

    /// An end was forgotten, and the log has not said so for a minute.
    pub(super) fn wants_overflow_logged(&self, now: u64) -> bool {
        let last = self.overflow_logged.load(Ordering::Relaxed);
        now.abs_diff(last) >= LOG_INTERVAL
            && self
                .overflow_logged
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Remembers what may have been lost.
    pub(super) fn push_loss_window(&self, window: LossWindow) {
        let mut windows = self.loss_windows.lock();
        if windows.len() == LOSS_WINDOWS {
            windows.remove(0);
        }
        windows.push(window);
    }

    pub(super) fn loss_windows(&self) -> Vec<LossWindow> {
        self.loss_windows.lock().clone()
    }

    /// Some session lives for so long.
    pub(super) fn note_lifetime(&self, millis: u64) {
        self.longest_lifetime.fetch_max(millis, Ordering::Relaxed);
    }

    /// Copies of some sessions are believed for so long.
    pub(super) fn note_offline_age(&self, millis: u64) {
        self.longest_offline_age.fetch_max(millis, Ordering::Relaxed);
    }

    /// No copy of today could be put back after this.
    pub(super) fn longest_restorable(&self) -> u64 {
        self.longest_offline_age.load(Ordering::Relaxed).saturating_add(SKEW)
    }

    pub(super) fn longest_lifetime(&self) -> u64 {
        self.longest_lifetime.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_thousand_marks_and_tombstones_take_at_most_20_mb() {
        const MANY: u64 = 100_000;
        let used = allocation_counter::measure(|| {
            let memory = Memory::new(MANY as usize);
            for n in 0..MANY {
                let name = SessionName::of(&n.to_le_bytes());
                memory.marks.raise(name, n);
                memory.ended().sessions.insert(name, Tombstone { at: n, until: u64::MAX });
            }
            assert!(memory.has_ended(SessionName::of(&7_u64.to_le_bytes())));
            assert_eq!(memory.cutoff(Standing::Established), 0, "all of them are remembered");
            std::mem::forget(memory);
        });
        assert!(used.bytes_current > 0);
        assert!(used.bytes_current < 20_000_000, "{} bytes", used.bytes_current);
    }
}
