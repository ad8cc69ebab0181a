//! Threads that write the same thing, kept off each other's cache lines.

use std::{
    cell::Cell,
    marker::PhantomData,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// Places that threads write to, one for each thread that has a seat and one for all others.
///
/// Nobody else writes where a thread has its seat, so it [adds](Seat::add) there with a load and a store, which cost a
/// fifth of one locked addition. Clones are the same places.
#[derive(Debug)]
pub(crate) struct Seats<T>(Arc<[T]>);

/// Where a thread writes. Stays on that thread.
pub(crate) struct Seat<'a, T> {
    pub(crate) place: &'a T,
    is_own: bool,
    _stays: PhantomData<*const ()>,
}

impl<T: Default> Default for Seats<T> {
    fn default() -> Self {
        Self((0..=own_seats()).map(|_| T::default()).collect())
    }
}

impl<T> Clone for Seats<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Seats<T> {
    /// That of this thread.
    #[inline]
    pub(crate) fn mine(&self) -> Seat<'_, T> {
        let seat = seat();
        let (place, is_own) = match self.0.get(seat) {
            Some(place) => (place, seat != SHARED),
            None => (&self.0[SHARED], false),
        };
        Seat { place, is_own, _stays: PhantomData }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }
}

impl<T> Seat<'_, T> {
    /// Adds to one of the numbers in this place.
    #[inline]
    pub(crate) fn add(&self, number: impl FnOnce(&T) -> &AtomicU64, more: u64) {
        let number = number(self.place);
        if self.is_own {
            number.store(number.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
        } else {
            number.fetch_add(more, Ordering::Relaxed);
        }
    }
}

/// The place of those who have no seat.
const SHARED: usize = 0;
/// This thread has not asked for a seat yet.
const UNKNOWN: usize = usize::MAX;

thread_local! {
    static SEAT: Cell<usize> = const { Cell::new(UNKNOWN) };
    /// Gives the seat back when the thread ends.
    static TAKEN: Taken = Taken::new();
}

/// Seats that are taken, a bit for each; the lowest is [`SHARED`].
static TAKEN_SEATS: AtomicU64 = AtomicU64::new(1 << SHARED);

/// Twice the processors, so that a runtime's workers have one each beside whoever else counts now and then.
fn own_seats() -> usize {
    static SEATS: OnceLock<usize> = OnceLock::new();
    *SEATS.get_or_init(|| {
        let processors = std::thread::available_parallelism().map_or(4, usize::from);
        (2 * processors).clamp(4, 32)
    })
}

#[inline]
fn seat() -> usize {
    match SEAT.get() {
        UNKNOWN => sit(),
        seat => seat,
    }
}

#[cold]
fn sit() -> usize {
    TAKEN.try_with(|taken| taken.0).unwrap_or(SHARED)
}

struct Taken(usize);

impl Taken {
    fn new() -> Self {
        let take = |taken: u64| (taken != u64::MAX).then(|| taken | (taken + 1));
        // Acquire: what the one before wrote in this place is seen by the one who sits there now.
        let seat = TAKEN_SEATS.fetch_update(Ordering::Acquire, Ordering::Relaxed, take);
        let seat = seat.map_or(SHARED, |taken| taken.trailing_ones() as usize);
        SEAT.set(seat);
        Self(seat)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        SEAT.set(SHARED);
        if self.0 != SHARED {
            TAKEN_SEATS.fetch_and(!(1 << self.0), Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::Barrier, thread};

    #[test]
    fn nothing_is_lost_however_many_threads_come_and_go() {
        // More than there are bits for.
        const THREADS: usize = 80;
        const ROUNDS: usize = 5;
        const EACH: usize = 10_000;
        let seats = Seats::<AtomicU64>::default();
        for _ in 0..ROUNDS {
            let all_there = Barrier::new(THREADS);
            thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| {
                        all_there.wait();
                        (0..EACH).for_each(|_| seats.mine().add(|place| place, 1));
                    });
                }
            });
        }
        let sum: u64 = seats.iter().map(|place| place.load(Ordering::Relaxed)).sum();
        assert_eq!(sum, (THREADS * ROUNDS * EACH) as u64);
    }

    #[test]
    fn a_seat_is_for_one_thread_and_for_the_next_after_it() {
        let both_there = Barrier::new(2);
        let mine = || {
            let seat = seat();
            both_there.wait();
            seat
        };
        let (first, second) = thread::scope(|scope| {
            let threads = [scope.spawn(mine), scope.spawn(mine)];
            let [first, second] = threads.map(|thread| thread.join().unwrap());
            (first, second)
        });
        assert!(first != second || first == SHARED, "{first} {second}");
        // Far more than there are seats: they are given back.
        let late: Vec<usize> = (0..200).map(|_| thread::spawn(seat).join().unwrap()).collect();
        assert!(late.iter().all(|seat| *seat != UNKNOWN));
        assert!(late.iter().skip(100).any(|seat| *seat != SHARED), "{late:?}");
    }
}
