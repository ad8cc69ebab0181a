//! Sequence numbers: which message of a publisher it is, and whether one before it is missing.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use tokio::time::Instant;

/// Channels whose numbers a publisher remembers, and publishers whose numbers a listener does.
const REMEMBERED: usize = 10_000;

/// The numbers of one publisher's messages, for each of its channels.
///
/// A channel that was forgotten, or is new, begins at 0, which is a beginning to those who hear it:
/// none before it can be missing.
#[derive(Debug, Default)]
pub(super) struct Sent {
    next: LruMap<Arc<str>, u64>,
}

impl Sent {
    pub(super) fn next(&mut self, channel: &Arc<str>) -> u64 {
        let next = self.next.get_or_insert(channel, 0);
        let sequence = *next;
        *next = sequence.saturating_add(1);
        sequence
    }
}

/// What was heard last of each publisher.
#[derive(Debug, Default)]
pub(super) struct Heard {
    last: LruMap<(u64, Arc<str>), (u64, Option<Instant>)>,
}

/// A hole in what a publisher sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) since: Instant,
    pub(super) missed: u64,
}

impl Heard {
    /// Message `sequence` of this publisher on this channel has come. The hole before it.
    pub(super) fn note(
        &mut self,
        publisher: u64,
        channel: &Arc<str>,
        sequence: u64,
        now: Instant,
    ) -> Option<Hole> {
        let last = self.last.get_or_insert(&(publisher, Arc::clone(channel)), (sequence, None));
        let (was, at) = std::mem::replace(last, (sequence, Some(now)));
        let missed = sequence.saturating_sub(was.saturating_add(1));
        Some(Hole { since: at?, missed }).filter(|hole| hole.missed > 0)
    }

    /// What comes now has nothing before it.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

/// A map of bounded size, in which the one that was asked for longest ago makes room.
#[derive(Debug)]
struct LruMap<K, V> {
    all: HashMap<K, (V, u64)>,
    asked: u64,
}

impl<K, V> Default for LruMap<K, V> {
    fn default() -> Self {
        Self { all: HashMap::new(), asked: 0 }
    }
}

impl<K: Clone + Eq + Hash, V> LruMap<K, V> {
    fn get_or_insert(&mut self, key: &K, value: V) -> &mut V {
        self.asked += 1;
        if self.all.len() >= REMEMBERED && !self.all.contains_key(key) {
            self.make_room();
        }
        let (value, asked) = self.all.entry(key.clone()).or_insert((value, 0));
        *asked = self.asked;
        value
    }

    /// A tenth at once: to find the oldest takes a look at all.
    fn make_room(&mut self) {
        let mut times: Vec<u64> = self.all.values().map(|(_, asked)| *asked).collect();
        let (_, limit, _) = times.select_nth_unstable(REMEMBERED / 10);
        let limit = *limit;
        self.all.retain(|_, (_, asked)| *asked > limit);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn name(n: usize) -> Arc<str> {
        n.to_string().into()
    }

    #[test]
    fn a_hole_is_found_once_and_a_beginning_is_none() {
        let (mut heard, room, began) = (Heard::default(), name(1), Instant::now());
        let mut note = |sequence, second| {
            let hole = heard.note(7, &room, sequence, began + Duration::from_secs(second));
            hole.map(|hole| (hole.missed, (hole.since - began).as_secs()))
        };
        assert_eq!(note(41, 0), None, "it was not listened to before");
        assert_eq!(note(42, 1), None);
        assert_eq!(note(45, 2), Some((2, 1)));
        assert_eq!(note(46, 3), None);
        assert_eq!(note(46, 4), None, "twice");
        assert_eq!(note(0, 5), None, "the publisher has forgotten the channel");
        assert_eq!(note(1, 6), None);
        assert_eq!(heard.note(8, &room, 9, began), None, "another publisher");
        assert_eq!(heard.note(7, &name(2), 9, began), None, "another channel");
        heard.forget();
        assert_eq!(heard.note(7, &room, 9, began), None);
    }

    #[test]
    fn numbers_go_up_by_one_in_each_channel() {
        let mut sent = Sent::default();
        let one: Vec<u64> = (0..3).map(|_| sent.next(&name(1))).collect();
        assert_eq!((one, sent.next(&name(2))), (vec![0, 1, 2], 0));
    }

    #[test]
    fn bounded_and_the_longest_unused_go_first() {
        let mut sent = Sent::default();
        for n in 0..3 * REMEMBERED {
            sent.next(&name(n));
            sent.next(&name(0));
            assert!(sent.next.all.len() <= REMEMBERED);
        }
        assert_eq!(sent.next(&name(3 * REMEMBERED - 1)), 1);
        assert!(sent.next(&name(0)) >= 3 * REMEMBERED as u64);
    }
}
