//! What was ended here, remembered until nothing could bring it back.

use std::collections::{HashMap, HashSet, VecDeque};

use super::id::SessionName;

/// One that was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tombstone {
    /// When, in ms of the wall clock.
    pub(super) at: u64,
    /// From when on it could not live anyway.
    pub(super) until: u64,
}

/// Ended sessions (or subjects) by name: at most `capacity` of them.
///
/// # At the bound
///
/// The oldest makes room, and [`cutoff`](Self::cutoff) is raised to when it was ended: whatever
/// nobody has verified since is not to be believed without Redis. So none is ever forgotten in
/// favour of a stranger.
#[derive(Debug)]
pub(super) struct Tombstones {
    all: HashMap<SessionName, Tombstone>,
    /// In the order in which they were first ended.
    order: VecDeque<SessionName>,
    /// Redis has not been told.
    pending: HashSet<SessionName>,
    /// When the last one was ended that made room.
    cutoff: u64,
    /// The same of those that Redis had not been told of.
    pending_cutoff: u64,
    capacity: usize,
}

impl Tombstones {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            all: HashMap::new(),
            order: VecDeque::new(),
            pending: HashSet::new(),
            cutoff: 0,
            pending_cutoff: 0,
            capacity: capacity.max(1),
        }
    }

    pub(super) fn get(&self, name: SessionName) -> Option<Tombstone> {
        self.all.get(&name).copied()
    }

    /// What was last verified until then is not to be believed.
    pub(super) fn cutoff(&self) -> u64 {
        self.cutoff
    }

    /// What was last used until then may have been ended without Redis knowing.
    pub(super) fn pending_cutoff(&self) -> u64 {
        self.pending_cutoff
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    fn is_full(&self) -> bool {
        self.all.len() >= self.capacity
    }

    /// Remembers that it was ended, and that Redis has not been told. `true`: another was forgotten
    /// that still counts.
    pub(super) fn insert(&mut self, name: SessionName, tombstone: Tombstone) -> bool {
        let cutoff = self.cutoff;
        let tombstone = match self.get(name) {
            Some(known) => Tombstone {
                at: known.at.max(tombstone.at),
                until: known.until.max(tombstone.until),
            },
            None => {
                self.make_room(tombstone.at);
                self.order.push_back(name);
                tombstone
            }
        };
        self.all.insert(name, tombstone);
        self.pending.insert(name);
        self.cutoff > cutoff
    }

    /// Redis was told of what was ended at `at`; of what was ended later it was not.
    pub(super) fn mark_pushed(&mut self, name: SessionName, at: u64) {
        if self.get(name).is_none_or(|tombstone| tombstone.at <= at) {
            self.pending.remove(&name);
        }
    }

    /// Redis may have lost what was ended at `since` or later.
    pub(super) fn mark_lost(&mut self, since: u64) {
        let lost = self.all.iter().filter(|(_, tombstone)| tombstone.at >= since);
        self.pending.extend(lost.map(|(name, _)| *name));
    }

    /// Those that Redis has not been told of. What could not live any longer is left out for good.
    pub(super) fn due(&mut self, now: u64) -> impl Iterator<Item = (SessionName, Tombstone)> {
        let all = &self.all;
        self.pending.retain(|name| all.get(name).is_some_and(|tombstone| tombstone.until > now));
        self.pending.iter().filter_map(|name| Some((*name, *all.get(name)?)))
    }

    /// What was ended at `was` by this clock was ended at `at` by the clock of Redis.
    pub(super) fn set_ended_at(&mut self, name: SessionName, was: u64, at: u64) {
        if let Some(tombstone) = self.all.get_mut(&name).filter(|known| known.at == was) {
            tombstone.at = at;
        }
    }

    fn make_room(&mut self, now: u64) {
        while self.is_full() {
            let Some(oldest) = self.order.pop_front() else { return };
            let is_pending = self.pending.remove(&oldest);
            if let Some(tombstone) =
                self.all.remove(&oldest).filter(|tombstone| tombstone.until > now)
            {
                self.cutoff = self.cutoff.max(tombstone.at);
                if is_pending {
                    self.pending_cutoff = self.pending_cutoff.max(tombstone.at);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(n: u64) -> SessionName {
        SessionName::of(&n.to_le_bytes())
    }

    #[test]
    fn at_the_bound_a_cutoff_is_raised_and_nothing_is_believed_instead() {
        let mut tombstones = Tombstones::new(10);
        for n in 0..25 {
            tombstones.insert(name(n), Tombstone { at: n, until: 1_000 });
        }
        for n in 0..25 {
            assert!(tombstones.get(name(n)).is_some() || tombstones.cutoff() >= n, "{n}");
        }
        assert_eq!((tombstones.cutoff(), tombstones.pending_cutoff()), (14, 14));
        assert_eq!(tombstones.due(0).count(), 10);
    }

    #[test]
    fn what_redis_knows_is_left_to_redis() {
        let mut tombstones = Tombstones::new(10);
        for n in 0..25 {
            tombstones.insert(name(n), Tombstone { at: n, until: 1_000 });
            tombstones.mark_pushed(name(n), n);
        }
        assert_eq!((tombstones.cutoff(), tombstones.pending_cutoff()), (14, 0));
    }

    #[test]
    fn what_has_ended_anyway_raises_none() {
        let mut tombstones = Tombstones::new(10);
        for n in 0..25 {
            tombstones.insert(name(n), Tombstone { at: n, until: n + 2 });
        }
        assert_eq!(tombstones.cutoff(), 0);
    }

    #[test]
    fn what_redis_knows_is_pushed_again_when_it_may_have_lost_it() {
        let mut tombstones = Tombstones::new(10);
        for n in 0..4 {
            tombstones.insert(name(n), Tombstone { at: n, until: 100 });
        }
        tombstones.mark_pushed(name(0), 0);
        tombstones.mark_pushed(name(2), 2);
        // Ended again meanwhile: that one is still to be pushed.
        tombstones.insert(name(3), Tombstone { at: 9, until: 100 });
        tombstones.mark_pushed(name(3), 3);
        let names = |tombstones: &mut Tombstones| {
            let mut names: Vec<_> = tombstones.due(50).map(|(name, _)| name).collect();
            names.sort();
            names
        };
        let sorted = |of: &[u64]| {
            let mut names: Vec<_> = of.iter().map(|n| name(*n)).collect();
            names.sort();
            names
        };
        assert_eq!(names(&mut tombstones), sorted(&[1, 3]));
        tombstones.mark_lost(2);
        assert_eq!(names(&mut tombstones), sorted(&[1, 2, 3]));
        tombstones.mark_lost(0);
        assert_eq!(names(&mut tombstones), sorted(&[0, 1, 2, 3]));
        assert!(tombstones.due(100).next().is_none() && tombstones.pending.is_empty());
    }

    proptest! {
        #[test]
        fn bounded_and_never_silent(ended in prop::collection::vec((0_u64..40, 0_u64..50), 0..200)) {
            let mut tombstones = Tombstones::new(8);
            for (at, (n, lives)) in ended.iter().enumerate() {
                let at = at as u64;
                tombstones.insert(name(*n), Tombstone { at, until: at + lives });
                prop_assert!(tombstones.all.len() <= 8 && tombstones.order.len() == tombstones.all.len());
                for (earlier, (n, lives)) in ended.iter().enumerate().take(at as usize + 1) {
                    let earlier = earlier as u64;
                    let holds = tombstones.get(name(*n)).is_some_and(|tombstone| tombstone.at >= earlier);
                    prop_assert!(holds || tombstones.cutoff() >= earlier || earlier + lives <= at);
                }
            }
        }
    }
}
