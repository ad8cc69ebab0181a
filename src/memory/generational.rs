//! A cache in two generations: what is used stays, and forgetting costs nothing.

use std::{collections::HashMap, hash::Hash, mem};

/// A map of at most `bound` entries that forgets those that were not put in again for the longest
/// time.
///
/// New entries go to the young generation; when that is full it becomes the old one, and what was
/// in the old one is forgotten. So no entry outlives `bound` newer ones.
#[derive(Debug)]
pub(crate) struct GenerationalCache<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Eq + Hash, V> GenerationalCache<K, V> {
    /// Empty, for at most `bound` entries (at least 2).
    pub(crate) fn new(bound: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half: (bound / 2).max(1) }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// If it is among the youngest already: putting it in again would change nothing.
    #[cfg_attr(not(feature = "session"), allow(dead_code))]
    pub(crate) fn get_young(&self, key: &K) -> Option<&V> {
        self.young.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.young.get_mut(key).or_else(|| self.old.get_mut(key))
    }

    /// Takes it out.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let old = self.old.remove(key);
        self.young.remove(key).or(old)
    }

    /// Puts it in, as the youngest. Returns what was forgotten for it.
    pub(crate) fn put(&mut self, key: K, value: V) -> impl Iterator<Item = V> + use<K, V> {
        let replaced = self.old.remove(&key);
        let mut forgotten = HashMap::new();
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            let full = mem::take(&mut self.young);
            forgotten = mem::replace(&mut self.old, full);
        }
        let replaced = self.young.insert(key, value).or(replaced);
        forgotten.into_values().chain(replaced)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_what_was_not_used_and_keeps_to_its_bound() {
        let mut cache = GenerationalCache::new(10);
        for n in 0..1_000 {
            let forgotten = cache.put(n, n).count();
            assert!(forgotten <= 5);
            let _ = cache.put(0, n);
            assert_eq!(cache.get_young(&0), Some(&n));
            assert!(cache.len() <= 10);
            for kept in (n - 3).max(0)..=n {
                assert!(cache.get(&kept).is_some(), "{kept} of {n}");
            }
            assert_eq!(cache.get(&0), Some(&n));
        }
        assert_eq!(cache.get(&900), None);
        assert_eq!(cache.remove(&999), Some(999));
        assert_eq!((cache.remove(&999), cache.get(&999)), (None, None));
    }

    #[test]
    fn the_young_are_those_that_putting_in_again_leaves_as_they_are() {
        let mut cache = GenerationalCache::new(4);
        for n in 0..3 {
            let _ = cache.put(n, n);
        }
        assert_eq!((cache.get_young(&0), cache.get(&0)), (None, Some(&0)));
        assert_eq!(cache.get_young(&2), Some(&2));
        let _ = cache.put(0, 0);
        assert_eq!(cache.get_young(&0), Some(&0));
    }
}
