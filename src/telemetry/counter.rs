//! A counter of events, which is read at the moment of collection.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::striped::Striped;

/// Counts events. It is striped, so that threads that count the same thing do not wait for each
/// other's cache line. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counter(Striped<AtomicU64>);

impl Counter {
    /// Counts so many more.
    #[inline]
    pub(crate) fn add(&self, more: u64) {
        self.0.local().fetch_add(more, Ordering::Relaxed);
    }

    /// How many there were.
    #[cfg_attr(not(feature = "otel"), allow(dead_code))]
    pub(crate) fn value(&self) -> u64 {
        self.0.iter().fold(0, |sum, stripe| sum.wrapping_add(stripe.load(Ordering::Relaxed)))
    }
}
