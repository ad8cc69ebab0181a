//! What this instance knows of sessions by itself.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use super::{
    id::SessionName,
    law::Doubt,
    marks::Marks,
    tombs::{Tomb, Tombs},
};

/// Ids that nobody vouched for and that were logged out all the same: a stranger can name as many as he likes.
const CLAIMS: usize = 10_000;
/// Restarts that are remembered.
const DOUBTS: usize = 16;

pub(super) struct Memory {
    pub(super) marks: Marks,
    ended: Mutex<Ended>,
    doubts: Mutex<Vec<Doubt>>,
    /// The longest that any session lives, in ms.
    longest: AtomicU64,
}

/// What was ended here.
pub(super) struct Ended {
    pub(super) sessions: Tombs,
    /// By an id that nobody vouched for.
    pub(super) claims: Tombs,
    pub(super) subjects: Tombs,
}

impl Ended {
    /// Redis may have lost what was ended at `since` or later.
    pub(super) fn lost(&mut self, since: u64) {
        for tombs in [&mut self.sessions, &mut self.claims, &mut self.subjects] {
            tombs.lost(since);
        }
    }
}

impl Memory {
    pub(super) fn new(bound: usize) -> Self {
        let ended = Ended {
            sessions: Tombs::new(bound),
            claims: Tombs::new(CLAIMS.min(bound)),
            subjects: Tombs::new(bound),
        };
        Self {
            marks: Marks::new(bound),
            ended: Mutex::new(ended),
            doubts: Mutex::default(),
            longest: AtomicU64::new(0),
        }
    }

    pub(super) fn ended(&self) -> MutexGuard<'_, Ended> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It was ended here.
    pub(super) fn has_ended(&self, name: SessionName) -> bool {
        let ended = self.ended();
        ended.sessions.get(name).is_some() || ended.claims.get(name).is_some()
    }

    /// All sessions of its subject were ended here after it began.
    pub(super) fn is_revoked(&self, subject: Option<&str>, created: u64) -> bool {
        let Some(subject) = subject else { return false };
        let ended = self.ended();
        if ended.subjects.is_empty() {
            return false;
        }
        let tomb = ended.subjects.get(SessionName::of(subject.as_bytes()));
        tomb.is_some_and(|tomb| created <= tomb.at)
    }

    /// What was verified until then is not believed without Redis.
    pub(super) fn cutoff(&self) -> u64 {
        let ended = self.ended();
        ended.sessions.cutoff().max(ended.subjects.cutoff())
    }

    /// What was last used until then may have been ended here without Redis knowing.
    pub(super) fn unknown(&self) -> u64 {
        self.ended().sessions.unknown()
    }

    pub(super) fn bury(&self, name: SessionName, tomb: Tomb) {
        self.ended().sessions.bury(name, tomb);
    }

    /// Something was ended that Redis does not know of.
    pub(super) fn has_pending(&self) -> bool {
        let ended = self.ended();
        [&ended.sessions, &ended.claims, &ended.subjects].iter().any(|tombs| tombs.has_pending())
    }

    /// Remembers what may have been lost from then until now.
    pub(super) fn doubt(&self, doubt: Doubt) {
        let mut doubts = self.doubts.lock().unwrap_or_else(PoisonError::into_inner);
        if doubts.len() == DOUBTS {
            doubts.remove(0);
        }
        doubts.push(doubt);
    }

    pub(super) fn doubts(&self) -> Vec<Doubt> {
        self.doubts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Some session lives for so long.
    pub(super) fn lives(&self, millis: u64) {
        self.longest.fetch_max(millis, Ordering::Relaxed);
    }

    pub(super) fn longest(&self) -> u64 {
        self.longest.load(Ordering::Relaxed)
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
                memory.bury(name, Tomb { at: n, until: u64::MAX });
            }
            assert!(memory.has_ended(SessionName::of(&7_u64.to_le_bytes())));
            assert_eq!(memory.cutoff(), 0, "all of them are remembered");
            std::mem::forget(memory);
        });
        assert!(used.bytes_current > 0);
        assert!(used.bytes_current < 20_000_000, "{} bytes", used.bytes_current);
    }
}
