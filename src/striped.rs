//! Values that many threads write to, a copy for each of a few threads, so that they do not share a
//! cache line.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use crossbeam_utils::CachePadded;

/// A few copies of one value (a striped counter, if it is a number). Each thread uses
/// [its own](Self::local), as long as there are no more threads than copies; beyond that some share
/// one, so a copy has to be something that several threads may use at once. Whoever reads goes over
/// [all](Self::iter). Clones are the same copies.
#[derive(Debug)]
pub(crate) struct Striped<T>(Arc<[CachePadded<T>]>);

impl<T: Default> Default for Striped<T> {
    fn default() -> Self {
        Self((0..stripes()).map(|_| CachePadded::default()).collect())
    }
}

impl<T> Clone for Striped<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Striped<T> {
    /// The copy for this thread.
    #[inline]
    pub(crate) fn local(&self) -> &T {
        thread_local! {
            static INDEX: usize = {
                static NEXT: AtomicUsize = AtomicUsize::new(0);
                NEXT.fetch_add(1, Ordering::Relaxed)
            };
        }
        // The number of copies is a power of two: a mask in place of a division.
        &self.0[INDEX.with(|index| *index) & (self.0.len() - 1)]
    }

    /// All copies.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|stripe| &**stripe)
    }
}

/// Twice the processors, so that a runtime's workers have one each beside whoever else counts now
/// and then.
fn stripes() -> usize {
    static STRIPES: OnceLock<usize> = OnceLock::new();
    *STRIPES.get_or_init(|| {
        let processors = std::thread::available_parallelism().map_or(4, usize::from);
        (2 * processors).next_power_of_two().clamp(4, 32)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::{Barrier, atomic::AtomicU64},
        thread,
    };

    #[test]
    fn nothing_is_lost_however_many_threads_come_and_go() {
        // More than there are stripes.
        const THREADS: usize = 80;
        const ROUNDS: usize = 5;
        const EACH: usize = 10_000;
        let count = Striped::<AtomicU64>::default();
        for _ in 0..ROUNDS {
            let all_there = Barrier::new(THREADS);
            thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| {
                        all_there.wait();
                        for _ in 0..EACH {
                            count.local().fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            });
        }
        let sum: u64 = count.iter().map(|stripe| stripe.load(Ordering::Relaxed)).sum();
        assert_eq!(sum, (THREADS * ROUNDS * EACH) as u64);
    }

    #[test]
    fn threads_are_spread_over_the_stripes_and_stay_where_they_are() {
        let count = Striped::<AtomicU64>::default();
        for _ in 0..stripes() * 4 {
            thread::scope(|scope| {
                scope.spawn(|| {
                    assert!(std::ptr::eq(count.local(), count.local()));
                    count.local().fetch_add(1, Ordering::Relaxed);
                });
            });
        }
        let used = count.iter().filter(|stripe| stripe.load(Ordering::Relaxed) > 0).count();
        assert!(used > stripes() / 2, "{used} of {}", stripes());
    }
}
