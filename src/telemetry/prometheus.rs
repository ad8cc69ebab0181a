//! Our own reader: a pipeline that ends in the text that Prometheus scrapes.

use std::{collections::HashSet, fmt, sync::Arc};

use opentelemetry::{Key, KeyValue, metrics::MeterProvider};
use opentelemetry_sdk::{Resource, metrics::SdkMeterProvider};
use prometheus::{
    Registry, TextEncoder,
    proto::{Bucket, Histogram as Points, LabelPair, Metric, MetricFamily, MetricType},
};

use super::{
    counter::Counter,
    export::Export,
    family::{Family, Values},
    gauge::Gauge,
    histogram::Histogram,
    names::Instrument,
    otel::{Instruments, scope},
    registry::Metrics,
};

impl Metrics {
    /// Counts for Prometheus: [`render`](Self::render) gives the text. The labels `service` and
    /// `instance` stand on every line of it. This is a pipeline of its own and leaves
    /// OpenTelemetry's global provider alone.
    ///
    /// ```
    /// use evenkeel::telemetry::Metrics;
    ///
    /// let metrics = Metrics::prometheus("gateway", "gateway-1");
    /// assert_eq!(metrics.render(), "", "nothing has been counted yet");
    /// ```
    pub fn prometheus(service: impl Into<String>, instance: impl Into<String>) -> Self {
        match Exposition::new(service.into(), instance.into()) {
            Ok(exposition) => Self::exporting(exposition),
            Err(error) => {
                tracing::error!(%error, "metrics will not be shown");
                Self::new()
            }
        }
    }

    /// All there is, in Prometheus' text format 0.0.4. Empty unless these metrics were made by
    /// [`prometheus`](Self::prometheus).
    pub fn render(&self) -> String {
        self.exposition().unwrap_or_default()
    }
}

/// A pipeline from our atomics to the text.
pub(super) struct Exposition {
    instruments: Instruments,
    registry: Registry,
    /// `service` and `instance`.
    labels: [LabelPair; 2],
    /// Shuts the pipeline down when it is dropped.
    _provider: SdkMeterProvider,
}

impl Exposition {
    fn new(service: String, instance: String) -> Result<Self, impl fmt::Display> {
        let registry = Registry::new();
        let on_every_line: HashSet<Key> = ["service", "instance"].map(Key::from_static_str).into();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .with_resource_selector(on_every_line)
            .scope_info_enabled(false)
            .without_target_info()
            .build();
        exporter.map(|exporter| {
            let labels = [label("service", &service), label("instance", &instance)];
            let resource = Resource::builder_empty()
                .with_attributes([
                    KeyValue::new("service", service),
                    KeyValue::new("instance", instance),
                ])
                .build();
            let provider =
                SdkMeterProvider::builder().with_reader(exporter).with_resource(resource).build();
            let instruments = Instruments(provider.meter_with_scope(scope()));
            Self { instruments, registry, labels, _provider: provider }
        })
    }

    fn family(&self, family: &Family<Histogram>) -> Option<MetricFamily> {
        let what = family.instrument;
        let mut series = family.all();
        series.sort_by(|(a, _), (b, _)| a.cmp(b));
        let points = |(values, histogram): (Values, Histogram)| {
            let mut metric = Metric::default();
            metric.set_label(self.labels_of(what, &values));
            metric.set_histogram(points(what, &histogram)?);
            Some(metric)
        };
        let metrics: Vec<Metric> = series.into_iter().filter_map(points).collect();
        if metrics.is_empty() {
            return None;
        }
        let mut written = MetricFamily::default();
        written.set_name(format!("{}_seconds", what.name));
        written.set_help(what.help.to_owned());
        written.set_field_type(MetricType::HISTOGRAM);
        written.set_metric(metrics);
        Some(written)
    }

    fn labels_of(&self, what: &Instrument, values: &Values) -> Vec<LabelPair> {
        let own = what.labels.iter().zip(values).map(|(name, value)| label(name, value));
        own.chain(self.labels.iter().cloned()).collect()
    }
}

impl Export for Exposition {
    fn add_counters(&self, family: &Arc<Family<Counter>>) {
        self.instruments.add_counters(family);
    }

    fn add_gauges(&self, family: &Arc<Family<Gauge>>) {
        self.instruments.add_gauges(family);
    }

    /// One of our own, which [`text`](Self::text) reads: why, says [`Histogram`].
    fn histogram(&self, what: &'static Instrument, _: &[&str]) -> Histogram {
        Histogram::new(what)
    }

    /// What OpenTelemetry has gathered, and these histograms.
    fn text(&self, histograms: &[Arc<Family<Histogram>>]) -> Option<String> {
        let mut families = self.registry.gather();
        families.extend(histograms.iter().filter_map(|family| self.family(family)));
        families.sort_by(|a, b| a.name().cmp(b.name()));
        let mut text = String::new();
        if let Err(error) = TextEncoder::new().encode_utf8(&families, &mut text) {
            tracing::error!(%error, "metrics could not be written in full");
        }
        Some(text)
    }

    fn has_text(&self) -> bool {
        true
    }
}

impl fmt::Debug for Exposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exposition").field("labels", &self.labels).finish_non_exhaustive()
    }
}

fn points(what: &Instrument, histogram: &Histogram) -> Option<Points> {
    let snapshot = histogram.snapshot()?;
    let cumulative = snapshot.buckets.iter().scan(0, |sum, count| {
        *sum += count;
        Some(*sum)
    });
    let bucket = |(bound, count): (&f64, u64)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(count);
        bucket
    };
    let mut points = Points::default();
    points.set_bucket(what.bounds.iter().zip(cumulative).map(bucket).collect());
    points.set_sample_count(snapshot.count());
    points.set_sample_sum(snapshot.sum);
    Some(points)
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name(name.to_owned());
    label.set_value(value.to_owned());
    label
}
