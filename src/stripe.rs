//! Threads that write the same thing, kept off each other's cache lines.

use std::sync::atomic::{AtomicUsize, Ordering};

/// So many places to write to are enough for most; threads beyond share them.
pub(crate) const STRIPES: usize = 8;

/// The number of this thread, from 0, the same for as long as it lives. Taken modulo the number of places, it is where
/// the thread writes.
#[inline]
pub(crate) fn thread() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = THREADS.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.try_with(|number| *number).unwrap_or_default()
}
