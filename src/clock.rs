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

/// A monotonic clock. Threads agree to within a microsecond.
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
    origin: std::time::Instant,
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
            origin: std::time::Instant::now(),
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
        // 584 years.
        let nanos = self.origin.elapsed().as_nanos() as u64;
        ANCHOR.set(Anchor { raw, nanos });
        nanos
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
    async fn the_counter_goes_with_the_system_clock() {
        let clock = Clock::here();
        assert!(matches!(clock, Clock::Counter(_)));
        let (system, began) = (std::time::Instant::now(), clock.micros());
        let mut last = began;
        while system.elapsed() < Duration::from_millis(50) {
            let before = system.elapsed().as_micros() as u64;
            let now = clock.micros() - began;
            let after = system.elapsed().as_micros() as u64;
            // Measured from two origins that are not the same moment: a microsecond each for rounding.
            assert!(
                (before.saturating_sub(2)..=after + 50).contains(&now),
                "{before} {now} {after}"
            );
            assert!(now + began + 1 >= last, "{now} after {last}");
            last = now + began;
        }
    }

    #[test]
    fn threads_agree() {
        let counter = Counter::of_process();
        let first = counter.nanos();
        let second = std::thread::spawn(|| Counter::of_process().nanos()).join().unwrap();
        let third = counter.nanos();
        assert!(first <= second + 1_000 && second <= third + 1_000, "{first} {second} {third}");
    }

    #[test]
    fn a_counter_that_jumps_is_not_believed() {
        let counter = Counter::of_process();
        for raw in [0, u64::MAX] {
            let before = counter.origin.elapsed().as_nanos() as u64;
            ANCHOR.set(Anchor { raw, nanos: u64::MAX / 2 });
            let now = counter.nanos();
            let after = counter.origin.elapsed().as_nanos() as u64;
            assert!((before..=after).contains(&now), "{before} {now} {after}");
        }
    }
}
