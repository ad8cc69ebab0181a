//! Who reads what was counted.

use std::sync::Arc;

use super::{Counter, Histogram, family::Family, names::Instrument, series::Gauge};

#[derive(Debug, Default)]
pub(super) enum Export {
    #[default]
    Nobody,
    /// The application's own pipeline.
    #[cfg(feature = "otel")]
    Global(super::otel::Instruments),
    /// Our own, rendered for Prometheus.
    #[cfg(feature = "prometheus")]
    Prometheus(super::prometheus::Exposition),
}

impl Export {
    pub(super) const fn is_nobody(&self) -> bool {
        matches!(self, Self::Nobody)
    }

    /// Is there a text for Prometheus?
    pub(super) const fn is_rendered(&self) -> bool {
        match self {
            #[cfg(feature = "prometheus")]
            Self::Prometheus(_) => true,
            _ => false,
        }
    }

    /// The text for Prometheus.
    pub(super) fn render(
        &self,
        histograms: impl FnOnce() -> Vec<Arc<Family<Histogram>>>,
    ) -> Option<String> {
        match self {
            #[cfg(feature = "prometheus")]
            Self::Prometheus(exposition) => Some(exposition.render(&histograms())),
            _ => {
                let _ = histograms;
                None
            }
        }
    }

    /// Offers a family of counters to who reads.
    pub(super) fn counters(&self, family: &Arc<Family<Counter>>) {
        match self {
            Self::Nobody => {
                let _ = family;
            }
            #[cfg(feature = "otel")]
            Self::Global(instruments) => instruments.counters(family),
            #[cfg(feature = "prometheus")]
            Self::Prometheus(exposition) => exposition.instruments().counters(family),
        }
    }

    /// Offers a family of gauges to who reads.
    pub(super) fn gauges(&self, family: &Arc<Family<Gauge>>) {
        match self {
            Self::Nobody => {
                let _ = family;
            }
            #[cfg(feature = "otel")]
            Self::Global(instruments) => instruments.gauges(family),
            #[cfg(feature = "prometheus")]
            Self::Prometheus(exposition) => exposition.instruments().gauges(family),
        }
    }

    /// A histogram that reaches who reads.
    pub(super) fn histogram(&self, what: &'static Instrument, values: &[&str]) -> Histogram {
        match self {
            #[cfg(feature = "otel")]
            Self::Global(instruments) => instruments.histogram(what, values),
            _ => {
                let _ = values;
                Histogram::new(what)
            }
        }
    }
}
