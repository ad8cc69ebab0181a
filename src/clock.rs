//! The clock of decisions that are made in memory: microseconds, for the price of reading the
//! processor's counter.

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    time::Instant,
};

/// A monotonic clock. Threads agree to within two microseconds.
///
/// Tests can pause tokio's time, but only on a runtime of one thread. So this is tokio's clock
/// there, and outside of any runtime. Made on a runtime of several threads, it reads the
/// processor's counter through `quanta`, as governor does: 13 ns instead of 35. `quanta` measures
/// the counter's speed once a process, to within some 40 millionths, so this clock may part from
/// the system's by three seconds a day. What it serves are differences of seconds to hours.
pub(crate) enum Clock {
    Tokio(Instant),
    Counter { quanta: quanta::Clock, origin: u64 },
}

impl Clock {
    /// The clock for where this is called.
    pub(crate) fn here() -> Self {
        match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
            Err(_) | Ok(RuntimeFlavor::CurrentThread) => Self::Tokio(Instant::now()),
            Ok(_) => Self::counter(),
        }
    }

    /// The first call in a process measures the counter's speed, which takes the better part of a
    /// millisecond.
    fn counter() -> Self {
        let quanta = quanta::Clock::new();
        let origin = quanta.raw();
        Self::Counter { quanta, origin }
    }

    /// Microseconds since this clock was made.
    #[inline]
    pub(crate) fn micros(&self) -> u64 {
        match self {
            // Another processor's counter may read a little less than the origin: that is 0.
            Self::Counter { quanta, origin } => {
                quanta.delta_as_nanos(*origin, quanta.raw()) / 1_000
            }
            // Half a million years.
            Self::Tokio(origin) => origin.elapsed().as_micros() as u64,
        }
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
        assert!(matches!(Clock::here(), Clock::Counter { .. }));
    }

    #[test]
    fn the_counter_goes_with_the_system_clock() {
        let clock = Clock::counter();
        let system = std::time::Instant::now();
        let offset = clock.micros();
        // The thread may have been put aside between the two: they are no further apart than this.
        let apart = system.elapsed().as_micros() as u64;
        let mut last = 0;
        loop {
            let before = system.elapsed().as_micros() as u64;
            let now = clock.micros() - offset;
            let after = system.elapsed().as_micros() as u64;
            // A thousandth of 50 ms, and what is cut off below a microsecond.
            let earliest = before.saturating_sub(apart + 52);
            assert!((earliest..=after + 52).contains(&now), "{before} {now} {after} {apart}");
            assert!(now + 2 >= last, "{now} after {last}");
            last = now;
            if now > 50_000 {
                break;
            }
        }
    }

    #[test]
    fn threads_agree() {
        let clock = Clock::counter();
        let first = clock.micros();
        let second = std::thread::scope(|scope| scope.spawn(|| clock.micros()).join().unwrap());
        let third = clock.micros();
        assert!(first <= second + 2 && second <= third + 2, "{first} {second} {third}");
    }
}
