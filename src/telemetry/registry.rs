//! The registry: an instrument and its labels on one side, what counts on the other.

use std::{collections::HashMap, fmt, sync::Arc};

use parking_lot::Mutex;

use super::{
    counter::Counter, export::Export, family::Family, gauge::Gauge, histogram::Histogram,
    names::Instrument,
};

/// Counts and measures; cheap to clone. Clones count together.
///
/// [`Metrics::new`] counts for nobody; `Metrics::global` (feature `otel`) feeds the application's
/// OpenTelemetry pipeline; `Metrics::prometheus` (feature `prometheus`) renders the text that
/// Prometheus scrapes.
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
    /// `None`: nobody reads.
    export: Option<Box<dyn Export>>,
}

type Families<T> = Mutex<HashMap<&'static str, Arc<Family<T>>>>;
type Label<'a> = (&'static str, &'a str);

impl Metrics {
    /// Counts, and nobody reads it.
    pub fn new() -> Self {
        Self::default()
    }

    #[cfg(feature = "otel")]
    pub(super) fn exporting(export: impl Export + 'static) -> Self {
        Self(Arc::new(Inner { export: Some(Box::new(export)), ..Inner::default() }))
    }

    /// The counter of this instrument with these labels: the same labels, the same counter.
    pub(crate) fn counter(&self, instrument: &'static Instrument, labels: &[Label<'_>]) -> Counter {
        let family = family(&self.0.counters, instrument, |family| {
            for values in instrument.zeros {
                family.series(values, |_| Counter::default());
            }
            if let Some(export) = &self.0.export {
                export.add_counters(family);
            }
        });
        family.series(&values(instrument, labels), |_| Counter::default())
    }

    /// Reads `read` when somebody collects; from when it returns `None`, the series is gone. Of a
    /// monotonic instrument, `read` must never return less than before.
    pub(crate) fn gauge(
        &self,
        instrument: &'static Instrument,
        labels: &[Label<'_>],
        read: impl Fn() -> Option<f64> + Send + Sync + 'static,
    ) {
        let Some(export) = &self.0.export else { return };
        let family = family(&self.0.gauges, instrument, |family| export.add_gauges(family));
        family.series(&values(instrument, labels), |_| Gauge::default()).add_source(read);
    }

    /// The histogram of this instrument with these labels: the same labels, the same histogram.
    pub(crate) fn histogram(
        &self,
        instrument: &'static Instrument,
        labels: &[Label<'_>],
    ) -> Histogram {
        let family = family(&self.0.histograms, instrument, |_| ());
        family.series(&values(instrument, labels), |values| match &self.0.export {
            Some(export) => export.histogram(instrument, values),
            None => Histogram::new(instrument),
        })
    }

    /// All there is, as Prometheus scrapes it; `None` where nothing is made for Prometheus.
    pub(crate) fn exposition(&self) -> Option<String> {
        let export = self.0.export.as_ref()?;
        // Copied out: the text is made without the lock.
        let histograms: Vec<_> = self.0.histograms.lock().values().cloned().collect();
        export.text(&histograms)
    }

    /// Is there an [`exposition`](Self::exposition)?
    pub(crate) fn is_exposed(&self) -> bool {
        self.0.export.as_ref().is_some_and(|export| export.has_text())
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
    instrument: &'static Instrument,
    begin: impl FnOnce(&Arc<Family<T>>),
) -> Arc<Family<T>> {
    let mut families = families.lock();
    let family = families.entry(instrument.name).or_insert_with(|| {
        let family = Arc::new(Family::new(instrument));
        begin(&family);
        family
    });
    Arc::clone(family)
}

/// The labels' values in the order of their declaration.
fn values<'a>(instrument: &Instrument, labels: &[Label<'a>]) -> Vec<&'a str> {
    debug_assert!(
        instrument.labels.len() == labels.len()
            && instrument.labels.iter().zip(labels).all(|(declared, (given, _))| declared == given),
        "{}: declared with {:?}, used with {labels:?}",
        instrument.name,
        instrument.labels,
    );
    labels.iter().map(|(_, value)| *value).collect()
}
