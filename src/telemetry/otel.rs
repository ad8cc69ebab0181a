//! The application's OpenTelemetry pipeline as a reader: its instruments over our atomics.

use std::sync::{Arc, OnceLock, Weak};

use opentelemetry::{
    InstrumentationScope, KeyValue, global,
    metrics::{AsyncInstrument, Meter},
};

use super::{
    counter::Counter, export::Export, family::Family, gauge::Gauge, histogram::Histogram,
    names::Instrument, registry::Metrics,
};

impl Metrics {
    /// Instruments on OpenTelemetry's global meter provider, with the names and labels of this
    /// crate. Counters and gauges are observed when the application's pipeline collects; histograms
    /// are recorded into its instruments (about 60 ns a value).
    ///
    /// Set the provider **before** the first call: the first call fixes it, and every later one
    /// returns the same.
    ///
    /// ```
    /// use evenkeel::telemetry::Metrics;
    ///
    /// // opentelemetry::global::set_meter_provider(provider);
    /// let metrics = Metrics::global();
    /// # let _ = metrics;
    /// ```
    pub fn global() -> Self {
        static GLOBAL: OnceLock<Metrics> = OnceLock::new();
        let make = || Self::on(global::meter_with_scope(scope()));
        GLOBAL.get_or_init(make).clone()
    }

    pub(super) fn on(meter: Meter) -> Self {
        Self::exporting(Instruments(meter))
    }
}

pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("evenkeel").with_version(env!("CARGO_PKG_VERSION")).build()
}

/// A meter to make instruments on.
#[derive(Debug)]
pub(super) struct Instruments(pub(super) Meter);

// The pipeline keeps every callback for as long as it lives; so callbacks hold weak references.
impl Export for Instruments {
    fn add_counters(&self, family: &Arc<Family<Counter>>) {
        let what = family.instrument;
        let family: Weak<Family<Counter>> = Arc::downgrade(family);
        self.0
            .u64_observable_counter(what.name)
            .with_description(what.help)
            .with_unit(what.unit)
            .with_callback(move |observer| {
                let Some(family) = family.upgrade() else { return };
                for (values, counter) in family.all() {
                    observer.observe(counter.value(), &attributes(what, &values));
                }
            })
            .build();
    }

    fn add_gauges(&self, family: &Arc<Family<Gauge>>) {
        let what = family.instrument;
        let family: Weak<Family<Gauge>> = Arc::downgrade(family);
        let observe = move |observer: &dyn AsyncInstrument<f64>| {
            let Some(family) = family.upgrade() else { return };
            for (values, gauge) in family.all() {
                if let Some(value) = gauge.value() {
                    observer.observe(value, &attributes(what, &values));
                }
            }
        };
        if what.monotonic {
            let counter = self.0.f64_observable_counter(what.name);
            let counter = counter.with_description(what.help).with_unit(what.unit);
            counter.with_callback(observe).build();
        } else {
            let gauge = self.0.f64_observable_gauge(what.name);
            let gauge = gauge.with_description(what.help).with_unit(what.unit);
            gauge.with_callback(observe).build();
        }
    }

    fn histogram(&self, what: &'static Instrument, values: &[&str]) -> Histogram {
        let histogram = self
            .0
            .f64_histogram(what.name)
            .with_description(what.help)
            .with_unit(what.unit)
            .with_boundaries(what.bounds.to_vec())
            .build();
        let attributes = attributes(what, values);
        Histogram::recorded_by(move |duration| {
            histogram.record(duration.as_secs_f64(), &attributes);
        })
    }
}

fn attributes<S: AsRef<str>>(what: &Instrument, values: &[S]) -> Vec<KeyValue> {
    let pair = |(name, value): (&&'static str, &S)| KeyValue::new(*name, value.as_ref().to_owned());
    what.labels.iter().zip(values).map(pair).collect()
}
