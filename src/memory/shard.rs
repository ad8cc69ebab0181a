//! One shard of a [`BoundedMap`](super::BoundedMap): a small open-addressing table behind its own
//! lock.

use super::hash::Id;

/// Places to look at when one has to go: some 40 values.
const SAMPLE: usize = 64;

/// A value that stands for something which decays: a debt, a lease, a count of failures.
pub(crate) trait Decaying {
    /// When nothing is left of it, in the microseconds of the caller's clock: from then on the
    /// value may be forgotten without a trace.
    fn expires_at(&self) -> u64;
}

/// 32 bytes for a value of 16, and aligned so that none straddles two lines of the cache.
#[derive(Debug)]
#[repr(align(32))]
struct Slot<V> {
    id: Id,
    value: V,
}

/// Linear probing in a table that is at most 7/8 full; an entry and its neighbours are one or two
/// cache lines, so finding one costs a single miss however many subjects there are.
#[derive(Debug)]
pub(super) struct Shard<V> {
    slots: Vec<Option<Slot<V>>>,
    len: usize,
}

impl<V> Default for Shard<V> {
    fn default() -> Self {
        Self { slots: Vec::new(), len: 0 }
    }
}

impl<V: Decaying> Shard<V> {
    /// Where a probe for `id` begins: its low bits, scaled to any number of slots.
    fn home(&self, id: Id) -> usize {
        (((id.low() >> 32) * self.slots.len() as u64) >> 32) as usize
    }

    fn after(&self, place: usize) -> usize {
        if place + 1 == self.slots.len() { 0 } else { place + 1 }
    }

    #[inline]
    pub(super) fn get(&self, id: Id) -> Option<&V> {
        let mut place = self.home(id);
        // Ends at a free slot, of which there is always one; an empty table has no slot to look at.
        while let Some(slot) = self.slots.get(place)? {
            if slot.id == id {
                return Some(&slot.value);
            }
            place = self.after(place);
        }
        None
    }

    fn find(&self, id: Id) -> Option<usize> {
        let mut place = self.home(id);
        while let Some(slot) = self.slots.get(place)? {
            if slot.id == id {
                return Some(place);
            }
            place = self.after(place);
        }
        None
    }

    /// Puts in a value that is not there yet. Returns how many that had expired by `stale` were
    /// forgotten on the way.
    pub(super) fn insert(&mut self, id: Id, value: V, stale: u64) -> usize {
        let before = self.len;
        if (self.len + 1) * 8 > self.slots.len() * 7 {
            self.rebuild(stale);
        }
        let forgotten = before - self.len;
        self.put(Slot { id, value });
        forgotten
    }

    fn put(&mut self, slot: Slot<V>) {
        let mut place = self.home(slot.id);
        while let Some(Some(_)) = self.slots.get(place) {
            place = self.after(place);
        }
        if let Some(free) = self.slots.get_mut(place) {
            *free = Some(slot);
            self.len += 1;
        }
    }

    /// Makes the table as large as what has not expired needs, and half as much again.
    fn rebuild(&mut self, now: u64) {
        let old = std::mem::take(&mut self.slots);
        let lives = |slot: &Slot<V>| slot.value.expires_at() > now;
        let live = old.iter().flatten().filter(|slot| lives(slot)).count();
        let room = (live + live / 2 + 2) * 8 / 7 + 1;
        self.slots.resize_with(room, || None);
        self.len = 0;
        for slot in old.into_iter().flatten().filter(lives) {
            self.put(slot);
        }
    }

    /// Forgets what has expired; returns how many.
    pub(super) fn sweep(&mut self, now: u64) -> usize {
        let before = self.len;
        if self.slots.iter().flatten().any(|slot| slot.value.expires_at() <= now) {
            self.rebuild(now);
        }
        before - self.len
    }

    /// The one that expires first among those that are not `pinned`.
    ///
    /// Looks at a few dozen where the new one would stand (the keyed hash has mixed them well), and
    /// further until there is one.
    pub(super) fn first_to_expire(
        &self,
        near: Id,
        now: u64,
        pinned: impl Fn(&V) -> bool,
    ) -> Option<Id> {
        let (before, after) = self.slots.split_at_checked(self.home(near))?;
        let mut first: Option<(u64, Id)> = None;
        for (looked, slot) in after.iter().chain(before).enumerate() {
            if looked % SAMPLE == 0 && looked > 0 && first.is_some() {
                break;
            }
            let Some(slot) = slot else { continue };
            let expires = slot.value.expires_at();
            let is_earlier = first.is_none_or(|(other, _)| expires < other);
            if is_earlier && (expires <= now || !pinned(&slot.value)) {
                first = Some((expires, slot.id));
            }
        }
        first.map(|(_, id)| id)
    }

    /// Takes a value out, and closes the gap so that no probe ends early.
    pub(super) fn remove(&mut self, id: Id) -> Option<V> {
        let mut gap = self.find(id)?;
        let removed = self.slots.get_mut(gap)?.take()?;
        self.len -= 1;
        let mut place = self.after(gap);
        while let Some(Some(slot)) = self.slots.get(place) {
            // It may move into the gap unless its home lies between the gap and itself, going
            // round.
            let home = self.home(slot.id);
            let stays = if gap <= place {
                gap < home && home <= place
            } else {
                gap < home || home <= place
            };
            if !stays {
                self.slots.swap(gap, place);
                gap = place;
            }
            place = self.after(place);
        }
        Some(removed.value)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.slots.iter().flatten().map(|slot| &slot.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    impl Decaying for u64 {
        fn expires_at(&self) -> u64 {
            *self
        }
    }

    proptest! {
        /// Any sequence of operations leaves the shard as a `HashMap` would be.
        #[test]
        fn it_is_a_map(steps in proptest::collection::vec((0u8..3, 0u64..24, 1u64..1000), 1..300)) {
            let (mut shard, mut model) = (Shard::<u64>::default(), HashMap::new());
            for (step, key, value) in steps {
                // Few homes, so that probes collide and go round the end.
                let id = Id([key, (key % 5) << 61 | 0xffff]);
                match step {
                    0 if !model.contains_key(&id) => {
                        let (before, stale) = (model.len(), value % 3 * 100);
                        let forgotten = shard.insert(id, value, stale);
                        // All that had expired, or (where there was room for one more) none.
                        if forgotten > 0 {
                            model.retain(|_, value| *value > stale);
                        }
                        prop_assert_eq!(forgotten, before - model.len());
                        model.insert(id, value);
                    }
                    1 => prop_assert_eq!(shard.remove(id), model.remove(&id)),
                    _ => prop_assert_eq!(shard.get(id).copied(), model.get(&id).copied()),
                }
                prop_assert_eq!(shard.len, model.len());
                let least = model.values().filter(|value| **value % 2 == 0).min();
                let found = shard.first_to_expire(Id([0, 0]), 0, |value| value % 2 == 1);
                prop_assert_eq!(found.and_then(|id| model.get(&id)), least);
            }
            let (now, before) = (500, model.len());
            let gone = shard.sweep(now);
            model.retain(|_, value| *value > now);
            prop_assert_eq!(shard.len, model.len());
            prop_assert_eq!(gone, before - model.len(), "the bound is counted by it");
            for (id, value) in &model {
                prop_assert_eq!(shard.get(*id).copied(), Some(*value));
            }
        }
    }
}
