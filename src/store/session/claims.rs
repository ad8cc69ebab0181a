//! Ids that were logged out while nothing proved that there was such a session: Redis is to say.

use std::collections::HashMap;

use super::{id::SessionName, tombstones::Tombstone};

/// A stranger can make up as many as it likes, so they are few, none pushes out another, and each
/// ends as soon as Redis has judged it.
pub(super) struct Claims {
    all: HashMap<SessionName, Tombstone>,
    capacity: usize,
    /// Redis has lost data since the first of them: what it does not know may have been there.
    is_data_lost: bool,
}

impl Claims {
    pub(super) fn new(capacity: usize) -> Self {
        Self { all: HashMap::new(), capacity, is_data_lost: false }
    }

    pub(super) fn contains(&self, name: SessionName) -> bool {
        self.all.contains_key(&name)
    }

    /// `false`: there is no room for it.
    pub(super) fn insert(&mut self, name: SessionName, claim: Tombstone) -> bool {
        let has_room = self.all.len() < self.capacity || self.contains(name);
        if has_room {
            self.all.insert(name, claim);
        }
        has_room
    }

    /// Redis has judged this claim; one of the same id that was made since stays.
    pub(super) fn settle(&mut self, name: SessionName, claim: Tombstone) {
        if self.all.get(&name).is_some_and(|known| known.at <= claim.at) {
            self.all.remove(&name);
        }
        if self.all.is_empty() {
            self.is_data_lost = false;
        }
    }

    pub(super) fn mark_lost(&mut self) {
        self.is_data_lost = !self.all.is_empty();
    }

    pub(super) fn is_data_lost(&self) -> bool {
        self.is_data_lost
    }

    /// All of them. What could not live any longer is left out for good.
    pub(super) fn due(&mut self, now: u64) -> impl Iterator<Item = (SessionName, Tombstone)> {
        self.all.retain(|_, claim| claim.until > now);
        self.all.iter().map(|(name, claim)| (*name, *claim))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_ended_when_judged() {
        let name = |n: u64| SessionName::of(&n.to_le_bytes());
        let claim = |at| Tombstone { at, until: 100 };
        let mut claims = Claims::new(3);
        assert_eq!(
            [0, 1, 2, 3].map(|n| claims.insert(name(n), claim(n))),
            [true, true, true, false]
        );
        assert!(claims.insert(name(0), claim(9)), "it is there already");
        claims.mark_lost();
        claims.settle(name(0), claim(0));
        claims.settle(name(1), claim(1));
        assert!(claims.contains(name(0)) && !claims.contains(name(1)) && claims.is_data_lost());
        assert_eq!(claims.due(99).count(), 2);
        assert_eq!(claims.due(100).count(), 0);
        assert!(claims.insert(name(3), claim(3)));
        claims.settle(name(3), claim(3));
        assert!(!claims.is_data_lost());
        claims.mark_lost();
        assert!(!claims.is_data_lost(), "there was none");
    }
}
