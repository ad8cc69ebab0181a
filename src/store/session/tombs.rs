//! What was ended here, remembered until nothing could bring it back.

use std::collections::{HashMap, HashSet, VecDeque};

use super::id::SessionName;

/// One that was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tomb {
    /// When, in ms of the wall clock.
    pub(super) at: u64,
    /// From when on it could not live anyway.
    pub(super) until: u64,
}

/// Ended sessions (or subjects) by name: at most `bound` of them.
///
/// # At the bound
///
/// The oldest makes room, and [`cutoff`](Self::cutoff) is raised to when it was ended: whatever nobody has verified since is not
/// to be believed without Redis. So none is ever forgotten in favour of a stranger.
#[derive(Debug)]
pub(super) struct Tombs {
    all: HashMap<SessionName, Tomb>,
    /// In the order in which they were first ended.
    order: VecDeque<SessionName>,
    /// Not in Redis yet.
    pending: HashSet<SessionName>,
    cutoff: u64,
    unknown: u64,
    bound: usize,
}

impl Tombs {
    pub(super) fn new(bound: usize) -> Self {
        Self {
            all: HashMap::new(),
            order: VecDeque::new(),
            pending: HashSet::new(),
            cutoff: 0,
            unknown: 0,
            bound: bound.max(1),
        }
    }

    pub(super) fn get(&self, name: SessionName) -> Option<Tomb> {
        self.all.get(&name).copied()
    }

    /// What was last verified until then is not to be believed.
    pub(super) fn cutoff(&self) -> u64 {
        self.cutoff
    }

    /// What was last used until then may have been ended without Redis knowing.
    pub(super) fn unknown(&self) -> u64 {
        self.unknown
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.all.len() >= self.bound
    }

    /// Remembers that it was ended, and that Redis does not know yet.
    pub(super) fn bury(&mut self, name: SessionName, tomb: Tomb) {
        let tomb = match self.get(name) {
            Some(held) => Tomb { at: held.at.max(tomb.at), until: held.until.max(tomb.until) },
            None => {
                self.make_room(tomb.at);
                self.order.push_back(name);
                tomb
            }
        };
        self.all.insert(name, tomb);
        self.pending.insert(name);
    }

    /// Redis knows of what was ended at `at`.
    pub(super) fn pushed(&mut self, name: SessionName, at: u64) {
        if self.get(name).is_none_or(|tomb| tomb.at <= at) {
            self.pending.remove(&name);
        }
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Redis may have lost what was ended at `since` or later.
    pub(super) fn lost(&mut self, since: u64) {
        let lost = self.all.iter().filter(|(_, tomb)| tomb.at >= since);
        self.pending.extend(lost.map(|(name, _)| *name));
    }

    /// Those that Redis does not know of. What has ended anyway needs no pushing any more.
    pub(super) fn due(&mut self, now: u64) -> Vec<(SessionName, Tomb)> {
        let all = &self.all;
        self.pending.retain(|name| all.get(name).is_some_and(|tomb| tomb.until > now));
        self.pending.iter().filter_map(|name| Some((*name, *all.get(name)?))).collect()
    }

    /// By the clock of Redis it was ended then.
    pub(super) fn correct(&mut self, name: SessionName, at: u64) {
        if let Some(tomb) = self.all.get_mut(&name) {
            tomb.at = at;
        }
    }

    fn make_room(&mut self, now: u64) {
        while self.is_full() {
            let Some(oldest) = self.order.pop_front() else { return };
            let is_pending = self.pending.remove(&oldest);
            if let Some(tomb) = self.all.remove(&oldest).filter(|tomb| tomb.until > now) {
                self.cutoff = self.cutoff.max(tomb.at);
                if is_pending {
                    self.unknown = self.unknown.max(tomb.at);
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
        let mut tombs = Tombs::new(10);
        for n in 0..25 {
            tombs.bury(name(n), Tomb { at: n, until: 1_000 });
        }
        for n in 0..25 {
            assert!(tombs.get(name(n)).is_some() || tombs.cutoff() >= n, "{n}");
        }
        assert_eq!((tombs.cutoff(), tombs.unknown()), (14, 14));
        assert_eq!(tombs.due(0).len(), 10);
    }

    #[test]
    fn what_redis_knows_is_left_to_redis() {
        let mut tombs = Tombs::new(10);
        for n in 0..25 {
            tombs.bury(name(n), Tomb { at: n, until: 1_000 });
            tombs.pushed(name(n), n);
        }
        assert_eq!((tombs.cutoff(), tombs.unknown()), (14, 0));
    }

    #[test]
    fn what_has_ended_anyway_raises_none() {
        let mut tombs = Tombs::new(10);
        for n in 0..25 {
            tombs.bury(name(n), Tomb { at: n, until: n + 2 });
        }
        assert_eq!(tombs.cutoff(), 0);
    }

    #[test]
    fn what_redis_knows_is_pushed_again_when_it_may_have_lost_it() {
        let mut tombs = Tombs::new(10);
        for n in 0..4 {
            tombs.bury(name(n), Tomb { at: n, until: 100 });
        }
        tombs.pushed(name(0), 0);
        tombs.pushed(name(2), 2);
        // Ended again meanwhile: that one is still to be pushed.
        tombs.bury(name(3), Tomb { at: 9, until: 100 });
        tombs.pushed(name(3), 3);
        let names = |tombs: &mut Tombs| {
            let mut names: Vec<_> = tombs.due(50).iter().map(|(name, _)| *name).collect();
            names.sort();
            names
        };
        let sorted = |of: &[u64]| {
            let mut names: Vec<_> = of.iter().map(|n| name(*n)).collect();
            names.sort();
            names
        };
        assert_eq!(names(&mut tombs), sorted(&[1, 3]));
        tombs.lost(2);
        assert_eq!(names(&mut tombs), sorted(&[1, 2, 3]));
        tombs.lost(0);
        assert_eq!(names(&mut tombs), sorted(&[0, 1, 2, 3]));
        assert!(tombs.due(100).is_empty() && !tombs.has_pending());
    }

    proptest! {
        #[test]
        fn bounded_and_never_silent(ended in prop::collection::vec((0_u64..40, 0_u64..50), 0..200)) {
            let mut tombs = Tombs::new(8);
            for (at, (n, lives)) in ended.iter().enumerate() {
                let at = at as u64;
                tombs.bury(name(*n), Tomb { at, until: at + lives });
                prop_assert!(tombs.all.len() <= 8 && tombs.order.len() == tombs.all.len());
                for (earlier, (n, lives)) in ended.iter().enumerate().take(at as usize + 1) {
                    let earlier = earlier as u64;
                    let holds = tombs.get(name(*n)).is_some_and(|tomb| tomb.at >= earlier);
                    prop_assert!(holds || tombs.cutoff() >= earlier || earlier + lives <= at);
                }
            }
        }
    }
}
