//! The events that are known here to be full: a rush costs neither Redis nor the database anything.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::{
    clock::Clock,
    memory::{BoundedMap, Decaying, Id, IdHasher},
    units::micros,
};

/// Releases are counted in so many places, each for a part of the events.
const PLACES: usize = 64;

pub(super) struct SoldOut {
    events: BoundedMap<Entry>,
    hasher: IdHasher,
    clock: Clock,
    kept_for: u64,
    /// Releases that were heard of, so that none is missed between the question and its answer.
    released: [AtomicU64; PLACES],
    /// Which entries count: those of the last round.
    round: AtomicU64,
}

struct Entry {
    left: AtomicU64,
    until: AtomicU64,
    round: AtomicU64,
}

impl Decaying for Entry {
    fn expires_at(&self) -> u64 {
        self.until.load(Ordering::Relaxed)
    }
}

/// What was heard of when an event was asked about.
#[derive(Clone, Copy)]
pub(super) struct Begun {
    id: Id,
    released: u64,
    round: u64,
}

impl SoldOut {
    pub(super) fn new(capacity: usize, kept_for: Duration) -> Self {
        Self {
            events: BoundedMap::new(capacity),
            hasher: IdHasher::random(),
            clock: Clock::here(),
            kept_for: micros(kept_for),
            released: std::array::from_fn(|_| AtomicU64::new(0)),
            round: AtomicU64::new(0),
        }
    }

    fn place(&self, id: Id) -> &AtomicU64 {
        &self.released[id.low() as usize % PLACES]
    }

    #[inline]
    fn id(&self, event: &str) -> Id {
        self.hasher.id(0, event.as_bytes())
    }

    /// What is left, if that is known to be less than `seats`.
    #[inline]
    pub(super) fn refuses(&self, event: &str, seats: u32) -> Option<u64> {
        let round = self.round.load(Ordering::Acquire);
        let left = self.events.with(self.id(event), |entry| {
            let counts = entry.until.load(Ordering::Acquire) > self.clock.micros()
                && entry.round.load(Ordering::Relaxed) == round;
            counts.then(|| entry.left.load(Ordering::Relaxed))
        });
        left.flatten().filter(|left| *left < u64::from(seats))
    }

    /// To be called before the event is asked about.
    pub(super) fn begin(&self, event: &str) -> Begun {
        let id = self.id(event);
        let released = self.place(id).load(Ordering::Acquire);
        Begun { id, released, round: self.round.load(Ordering::Acquire) }
    }

    /// There is no more than this left, unless a release was heard of since `begun`.
    pub(super) fn remember(&self, begun: Begun, left: u64) {
        let is_stale = self.place(begun.id).load(Ordering::Acquire) != begun.released;
        if is_stale || self.kept_for == 0 {
            return;
        }
        let now = self.clock.micros();
        let until = now.saturating_add(self.kept_for);
        let make = || Entry {
            left: AtomicU64::new(left),
            until: AtomicU64::new(until),
            round: AtomicU64::new(begun.round),
        };
        let set = |entry: &Entry| {
            entry.left.store(left, Ordering::Relaxed);
            entry.round.store(begun.round, Ordering::Relaxed);
            entry.until.store(until, Ordering::Release);
        };
        // None can be pinned, so there is room.
        let _ = self.events.get_or_insert(begun.id, now, make, set, |_| false);
        // A release that was heard of between the look above and the entry has not seen it.
        if self.place(begun.id).load(Ordering::Acquire) != begun.released {
            self.forget(begun.id);
        }
    }

    /// Seats of the event were released.
    pub(super) fn release(&self, event: &str) {
        let id = self.id(event);
        self.place(id).fetch_add(1, Ordering::AcqRel);
        self.forget(id);
    }

    fn forget(&self, id: Id) {
        self.events.with(id, |entry| entry.until.store(0, Ordering::Release));
    }

    /// Releases may have gone unheard.
    pub(super) fn clear(&self) {
        self.round.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn is_remembered_until_a_release_is_heard_or_a_second_has_passed() {
        let sold_out = SoldOut::new(100, SECOND);
        let begun = sold_out.begin("hall");
        assert_eq!(sold_out.refuses("hall", 1), None);
        sold_out.remember(begun, 2);
        assert_eq!(sold_out.refuses("hall", 3), Some(2));
        assert_eq!((sold_out.refuses("hall", 2), sold_out.refuses("other", 3)), (None, None));
        tokio::time::advance(SECOND).await;
        assert_eq!(sold_out.refuses("hall", 3), None);

        sold_out.remember(sold_out.begin("hall"), 0);
        assert_eq!(sold_out.refuses("hall", 1), Some(0));
        sold_out.release("hall");
        assert_eq!(sold_out.refuses("hall", 1), None);
        sold_out.remember(sold_out.begin("hall"), 0);
        sold_out.clear();
        assert_eq!(sold_out.refuses("hall", 1), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_asked_before_a_release_is_not_remembered_after_it() {
        let sold_out = SoldOut::new(100, SECOND);
        let begun = sold_out.begin("hall");
        sold_out.release("hall");
        sold_out.remember(begun, 0);
        assert_eq!(sold_out.refuses("hall", 1), None);
        let begun = sold_out.begin("hall");
        sold_out.clear();
        sold_out.remember(begun, 0);
        assert_eq!(sold_out.refuses("hall", 1), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_events_is_bounded() {
        let sold_out = SoldOut::new(100, SECOND);
        for event in 0..10_000 {
            sold_out.remember(sold_out.begin(&event.to_string()), 0);
        }
        assert!(sold_out.events.len() <= 100);
    }
}
