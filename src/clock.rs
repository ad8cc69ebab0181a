//! The time of decisions that are made in memory: microseconds, at the price of reading the processor's counter.

use std::{cell::Cell, sync::OnceLock};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    time::Instant,
};

/// How long (nanoseconds) the counter is believed before the system's clock is asked again: a counter that runs at
/// another speed than it was measured at (a virtual machine that moved) cannot put time off by more than a small part of
/// this.
const BELIEVED: u64 = 1_000_000;
/// How far apart (nanoseconds) the two clocks may be read to be taken for the same moment. A thread that is put aside
/// between them does without.
const SAME_MOMENT: u64 = 1_000;

/// A monotonic clock. Threads agree to within two microseconds.
///
/// Tests can pause tokio's time, but only on a runtime of one thread. So this is tokio's clock there, and outside of
/// any runtime; made on a runtime of several threads, it reads the processor's counter (`quanta`, as governor does) and
/// goes by the system's clock once a millisecond: 11 ns instead of 26.
pub(crate) enum Clock {
    Tokio(Instant),
    Counter(&'static Counter),
}

pub(crate) struct Counter {
    quanta: quanta::Clock,
    origin: std::time::Instant, // tokio's would stand still in a test that pauses time
}

/// The same moment on the counter and, in nanoseconds since the origin, on the system's clock.
#[derive(Clone, Copy)]
struct Anchor {
    raw: u64,
    nanos: u64,
}

thread_local! {
    static ANCHOR: Cell<Anchor> = const { Cell::new(Anchor { raw: u64::MAX, nanos: 0 }) };
}

impl Clock {
    /// The clock for where this is called.
    pub(crate) fn here() -> Self {
        match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
            Err(_) | Ok(RuntimeFlavor::CurrentThread) => Self::Tokio(Instant::now()),
            Ok(_) => Self::Counter(Counter::of_process()),
        }
    }

    /// Microseconds since some moment before this clock was made.
    #[inline]
    pub(crate) fn micros(&self) -> u64 {
        match self {
            Self::Counter(counter) => counter.nanos() / 1_000,
            // Half a million years.
            Self::Tokio(origin) => origin.elapsed().as_micros() as u64,
        }
    }
}

impl Counter {
    fn of_process() -> &'static Self {
        static COUNTER: OnceLock<Counter> = OnceLock::new();
        // Measures the counter's speed, which takes the better part of a millisecond.
        COUNTER.get_or_init(|| Self {
            quanta: quanta::Clock::new(),
            origin: std::time::Instant::now(), // not tokio's, see there
        })
    }

    #[inline]
    fn nanos(&self) -> u64 {
        let (raw, anchor) = (self.quanta.raw(), ANCHOR.get());
        if raw >= anchor.raw {
            let since = self.quanta.delta_as_nanos(anchor.raw, raw);
            if since < BELIEVED {
                return anchor.nanos + since;
            }
        }
        self.anchor(raw)
    }

    #[cold]
    fn anchor(&self, raw: u64) -> u64 {
        let nanos = self.system();
        if self.quanta.delta_as_nanos(raw, self.quanta.raw()) < SAME_MOMENT {
            ANCHOR.set(Anchor { raw, nanos });
        }
        nanos
    }

    /// What the system's clock says.
    fn system(&self) -> u64 {
        // 584 years.
        self.origin.elapsed().as_nanos() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn can_be_paused_where_time_can_be() {
        let clock = Clock::here();
        let before = clock.micros();
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert_eq!(clock.micros() - before, 3_600_000_000);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn reads_the_counter_where_time_cannot_be_paused() {
        assert!(matches!(Clock::here(), Clock::Counter(_)));
    }

    #[test]
    fn the_counter_goes_with_the_system_clock() {
        let counter = Counter::of_process();
        let until = counter.system() + 50_000_000;
        let mut last = 0;
        loop {
            let (before, now, after) = (counter.system(), counter.nanos(), counter.system());
            assert!((before - 2_000..=after + 2_000).contains(&now), "{before} {now} {after}");
            assert!(now + 2_000 >= last, "{now} after {last}");
            last = now;
            if now > until {
                break;
            }
        }
    }

    #[test]
    fn threads_agree() {
        let counter = Counter::of_process();
        let first = counter.nanos();
        let second = std::thread::spawn(|| Counter::of_process().nanos()).join().unwrap();
        let third = counter.nanos();
        assert!(first <= second + 2_000 && second <= third + 2_000, "{first} {second} {third}");
    }

    #[test]
    fn a_counter_that_jumps_is_not_believed() {
        let counter = Counter::of_process();
        for raw in [0, u64::MAX] {
            ANCHOR.set(Anchor { raw, nanos: u64::MAX / 2 });
            let (before, now, after) = (counter.system(), counter.nanos(), counter.system());
            assert!((before..=after).contains(&now), "{before} {now} {after}");
        }
    }
}
