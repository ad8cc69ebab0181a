//! What a reader of the counts has to offer: OpenTelemetry's pipeline is one, our own text another.

use std::{fmt, sync::Arc};

use super::{
    counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, names::Instrument,
};

/// Reads what was counted.
pub(super) trait Export: fmt::Debug + Send + Sync {
    /// Reads these counters from now on, with all series that they will have.
    fn add_counters(&self, family: &Arc<Family<Counter>>);

    /// Reads these gauges from now on, with all series that they will have.
    fn add_gauges(&self, family: &Arc<Family<Gauge>>);

    /// A histogram that reaches this reader, with these values of its labels.
    fn histogram(&self, instrument: &'static Instrument, values: &[&str]) -> Histogram;

    /// Everything as the text that Prometheus scrapes. `histograms` are all that
    /// [`histogram`](Self::histogram) has made. `None`: this reader makes no text.
    fn text(&self, histograms: &[Arc<Family<Histogram>>]) -> Option<String> {
        let _ = histograms;
        None
    }

    /// Does this reader make a text?
    fn has_text(&self) -> bool {
        false
    }
}
