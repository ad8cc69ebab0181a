//! The registry: an instrument and its labels on one side, an atomic on the other.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{Histogram, export::Export, family::Family, names::Instrument};
use crate::striped::Striped;

/// Counts and measures; cheap to clone. Clones count together.
///
/// [`Metrics::new`] counts for nobody; `Metrics::global` (feature `otel`) feeds the application's OpenTelemetry
/// pipeline; `Metrics::prometheus` (feature `prometheus`) renders the text that Prometheus scrapes.
///
/// ```
/// use evenkeel::telemetry::Metrics;
///
/// let metrics = Metrics::new();
/// # let _ = metrics.clone();
/// ```
///
/// # When Redis is down
///
/// Nothing changes: counting and collecting never touch Redis.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Inner>);

#[derive(Default)]
struct Inner {
    counters: Families<Counter>,
    gauges: Families<Gauge>,
    histograms: Families<Histogram>,
    export: Export,
}

type Families<T> = Mutex<HashMap<&'static str, Arc<Family<T>>>>;
type Label<'a> = (&'static str, &'a str);

/// Counts events. It is striped, so that threads that count the same thing do not wait for each other's cache line.
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

type Read = Arc<dyn Fn() -> Option<f64> + Send + Sync>;

/// Reads a value when somebody asks. Where several read for the same labels, the newest that still lives is believed.
#[derive(Clone, Default)]
pub(super) struct Gauge(Arc<Mutex<Vec<Read>>>);

impl Gauge {
    /// `None`: what was read is gone.
    #[cfg_attr(not(feature = "otel"), allow(dead_code))]
    pub(super) fn value(&self) -> Option<f64> {
        let readers = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        readers.iter().rev().find_map(|read| read())
    }

    fn add(&self, read: Read) {
        let mut readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        readers.retain(|read| read().is_some());
        readers.push(read);
    }
}

impl Metrics {
    /// Counts, and nobody reads it.
    pub fn new() -> Self {
        Self::default()
    }

    #[cfg(feature = "otel")]
    pub(super) fn exporting(export: Export) -> Self {
        Self(Arc::new(Inner { export, ..Inner::default() }))
    }

    /// The counter of this instrument with these labels: the same labels, the same counter.
    pub(crate) fn counter(&self, what: &'static Instrument, labels: &[Label<'_>]) -> Counter {
        let family = family(&self.0.counters, what, |family| {
            for values in what.zeros {
                family.series(values, |_| Counter::default());
            }
            self.0.export.counters(family);
        });
        family.series(&values(what, labels), |_| Counter::default())
    }

    /// Reads `read` when somebody collects; from when it returns `None`, the series is gone.
    pub(crate) fn gauge(
        &self,
        what: &'static Instrument,
        labels: &[Label<'_>],
        read: impl Fn() -> Option<f64> + Send + Sync + 'static,
    ) {
        if self.0.export.is_nobody() {
            return;
        }
        let family = family(&self.0.gauges, what, |family| self.0.export.gauges(family));
        family.series(&values(what, labels), |_| Gauge::default()).add(Arc::new(read));
    }

    /// The histogram of this instrument with these labels: the same labels, the same histogram.
    pub(crate) fn histogram(&self, what: &'static Instrument, labels: &[Label<'_>]) -> Histogram {
        let family = family(&self.0.histograms, what, |_| ());
        family.series(&values(what, labels), |values| self.0.export.histogram(what, values))
    }

    /// All there is, as Prometheus scrapes it; `None` where nothing is made for Prometheus.
    pub(crate) fn exposition(&self) -> Option<String> {
        let histograms = || {
            let families = self.0.histograms.lock().unwrap_or_else(PoisonError::into_inner);
            families.values().cloned().collect()
        };
        self.0.export.render(histograms)
    }

    /// Is there an [`exposition`](Self::exposition)?
    pub(crate) fn is_exposed(&self) -> bool {
        self.0.export.is_rendered()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("export", &self.0.export).finish_non_exhaustive()
    }
}

/// The family of an instrument; `begin` is run on a new one.
fn family<T: Clone>(
    families: &Families<T>,
    what: &'static Instrument,
    begin: impl FnOnce(&Arc<Family<T>>),
) -> Arc<Family<T>> {
    let mut families = families.lock().unwrap_or_else(PoisonError::into_inner);
    let family = families.entry(what.name).or_insert_with(|| {
        let family = Arc::new(Family::new(what));
        begin(&family);
        family
    });
    Arc::clone(family)
}

/// The labels' values in the order of their declaration.
fn values<'a>(what: &Instrument, labels: &[Label<'a>]) -> Vec<&'a str> {
    debug_assert!(
        what.labels.len() == labels.len()
            && what.labels.iter().zip(labels).all(|(declared, (given, _))| declared == given),
        "{}: declared with {:?}, used with {labels:?}",
        what.name,
        what.labels,
    );
    labels.iter().map(|(_, value)| *value).collect()
}
