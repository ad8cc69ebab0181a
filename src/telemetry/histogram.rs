//! A histogram that costs two additions, from however many threads.
//!
//! Its cells are our own: OpenTelemetry has no histogram that is observed at collection, and its
//! recorded one takes a lock for each value. One value costs 5 ns here, from one thread or two;
//! the crate `prometheus` takes 9 ns, OpenTelemetry 17 to 60 ns, and with two threads that record
//! the same they take 150 to 195 ns. A command's duration is recorded for every command.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::names::{BOUNDS, Instrument};
use crate::striped::Striped;

/// Records how long things take. Clones are one histogram.
#[derive(Clone)]
pub(crate) struct Histogram(Recorder);

#[derive(Clone)]
enum Recorder {
    Cells(Arc<Cells>),
    /// The application's pipeline: the values have to go through its instrument.
    #[cfg_attr(not(feature = "otel"), allow(dead_code))]
    External(Arc<dyn Fn(Duration) + Send + Sync>),
}

impl Histogram {
    pub(super) fn new(instrument: &Instrument) -> Self {
        Self(Recorder::Cells(Arc::new(Cells::new(instrument))))
    }

    /// One whose values `record` takes.
    #[cfg_attr(not(feature = "otel"), allow(dead_code))]
    pub(super) fn recorded_by(record: impl Fn(Duration) + Send + Sync + 'static) -> Self {
        Self(Recorder::External(Arc::new(record)))
    }

    /// Records one duration.
    #[inline]
    pub(crate) fn record(&self, duration: Duration) {
        match &self.0 {
            Recorder::Cells(cells) => cells.record(duration),
            Recorder::External(record) => record(duration),
        }
    }

    /// What was recorded; `None` where somebody else holds it.
    #[cfg(feature = "prometheus")]
    pub(super) fn snapshot(&self) -> Option<Snapshot> {
        match &self.0 {
            Recorder::Cells(cells) => Some(cells.snapshot()),
            Recorder::External(_) => None,
        }
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram").finish_non_exhaustive()
    }
}

/// What a histogram holds at one moment.
#[cfg(feature = "prometheus")]
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Snapshot {
    /// How many there were in each bucket; the last one is for all that is over the highest bound.
    pub(super) buckets: [u64; BOUNDS + 1],
    /// Seconds.
    pub(super) sum: f64,
}

#[cfg(feature = "prometheus")]
impl Snapshot {
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

/// The share of the threads that use this stripe: two cache lines.
#[derive(Default)]
struct Stripe {
    buckets: [AtomicU64; BOUNDS + 1],
    nanoseconds: AtomicU64,
}

struct Cells {
    /// Nanoseconds.
    bounds: [u64; BOUNDS],
    stripes: Striped<Stripe>,
}

impl Cells {
    fn new(instrument: &Instrument) -> Self {
        Self {
            bounds: instrument.bounds.map(|seconds| (seconds * 1e9).round() as u64),
            stripes: Striped::default(),
        }
    }

    #[inline]
    fn record(&self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = self.bounds.partition_point(|bound| *bound < nanoseconds);
        let stripe = self.stripes.local();
        stripe.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        stripe.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    #[cfg(feature = "prometheus")]
    fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let mut nanoseconds = 0_u64;
        for stripe in self.stripes.iter() {
            for (sum, bucket) in snapshot.buckets.iter_mut().zip(&stripe.buckets) {
                *sum += bucket.load(Ordering::Relaxed);
            }
            nanoseconds = nanoseconds.wrapping_add(stripe.nanoseconds.load(Ordering::Relaxed));
        }
        snapshot.sum = Duration::from_nanos(nanoseconds).as_secs_f64();
        snapshot
    }
}

#[cfg(all(test, feature = "prometheus"))]
mod tests {
    use super::{super::names, *};

    #[test]
    fn a_value_at_a_bound_is_within_it_and_nothing_is_lost_between_threads() {
        let histogram = Histogram::new(names::COMMAND_DURATION);
        let each = [
            Duration::ZERO,
            Duration::from_micros(100),
            Duration::from_nanos(100_001),
            Duration::from_secs(5),
            Duration::from_secs(6),
        ];
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    (0..1_000).for_each(|_| each.iter().for_each(|d| histogram.record(*d)))
                });
            }
        });
        let snapshot = histogram.snapshot().unwrap();
        assert_eq!(snapshot.count(), 40_000);
        assert_eq!(snapshot.buckets[0], 16_000);
        assert_eq!(snapshot.buckets[1], 8_000);
        assert_eq!(snapshot.buckets[BOUNDS - 1], 8_000);
        assert_eq!(snapshot.buckets[BOUNDS], 8_000);
        assert!((snapshot.sum - 8_000.0 * 11.000_200_001).abs() < 1e-3);
    }

    #[test]
    fn a_stripe_is_two_cache_lines() {
        assert_eq!(size_of::<Stripe>(), 128);
    }
}
