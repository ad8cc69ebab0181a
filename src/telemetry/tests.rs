//! The exposition, read back as Prometheus would.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    Metrics,
    names::{self, ALL, Instrument},
};

type Labels = BTreeMap<String, String>;

#[derive(Debug, Default)]
struct Exposition {
    help: HashMap<String, String>,
    kinds: HashMap<String, String>,
    samples: Vec<(String, Labels, f64)>,
}

/// Text format 0.0.4, strictly.
fn parse(text: &str) -> Exposition {
    assert!(text.is_empty() || text.ends_with('\n'));
    let mut read = Exposition::default();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help text");
            assert!(read.help.insert(name.to_owned(), help.to_owned()).is_none(), "{line}");
            current = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert_eq!(name, current, "TYPE follows its HELP");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(read.kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}");
        } else {
            let (name, labels, value) = sample(line);
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .filter(|_| read.kinds.get(&current).is_some_and(|kind| kind == "histogram"))
                .find_map(|end| name.strip_suffix(end))
                .unwrap_or(&name);
            assert_eq!(family, current, "a sample stands under its family: {line}");
            read.samples.push((name, labels, value));
        }
    }
    read
}

fn sample(line: &str) -> (String, Labels, f64) {
    let (name, rest) = line.split_once('{').expect("labels on every line");
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
    assert!(name.chars().all(legal), "{line}");
    let mut labels = Labels::new();
    let mut rest = rest;
    loop {
        let (label, after) = rest.split_once("=\"").expect("a label");
        assert!(label.chars().all(legal), "{line}");
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next().expect("an end of the value") {
                (at, '"') => break at,
                (_, '\\') => match chars.next().expect("an escaped character").1 {
                    'n' => value.push('\n'),
                    c => value.push(c),
                },
                (_, c) => value.push(c),
            }
        };
        assert!(labels.insert(label.to_owned(), value).is_none(), "a label twice: {line}");
        match after[end + 1..].strip_prefix(',') {
            Some(more) => rest = more,
            None => {
                let value = after[end + 1..].strip_prefix("} ").expect("a value");
                return (name.to_owned(), labels, value.parse().expect("a number"));
            }
        }
    }
}

impl Exposition {
    fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let fits = |held: &Labels| {
            labels.iter().all(|(name, value)| held.get(*name).is_some_and(|held| held == value))
        };
        let mut found = self.samples.iter().filter(|(held, l, _)| held == name && fits(l));
        let value = found.next().map(|(_, _, value)| *value);
        assert!(found.next().is_none(), "{name} {labels:?} is ambiguous");
        value
    }
}

fn is_histogram(what: &Instrument) -> bool {
    what.bounds.iter().any(|bound| *bound > 0.0)
}

fn is_gauge(what: &Instrument) -> bool {
    !what.monotonic && !is_histogram(what)
}

fn name_in_prometheus(what: &Instrument) -> String {
    match what {
        what if is_histogram(what) => format!("{}_seconds", what.name),
        what if is_gauge(what) => what.name.to_owned(),
        what if what.unit == "s" => format!("{}_seconds_total", what.name),
        what => format!("{}_total", what.name),
    }
}

fn use_everything(metrics: &Metrics) {
    for what in ALL {
        let labels: Vec<_> = what.labels.iter().map(|name| (*name, "a \"b\"\\\nc")).collect();
        if is_histogram(what) {
            let _ = metrics.histogram(what, &labels);
        } else if is_gauge(what) {
            metrics.gauge(what, &labels, || Some(1.0));
        } else if what.unit == "s" {
            metrics.gauge(what, &labels, || Some(0.0));
        } else {
            let _ = metrics.counter(what, &labels);
        }
    }
}

#[test]
fn every_instrument_is_listed_before_its_first_event() {
    let metrics = Metrics::prometheus("shop \"1\"", "pod-7");
    use_everything(&metrics);
    let read = parse(&metrics.render());
    let read_again = parse(&metrics.render());
    assert_eq!(read.samples, read_again.samples, "a collection changes nothing");

    assert_eq!(read.help.len(), ALL.len());
    for what in ALL {
        let name = name_in_prometheus(what);
        assert_eq!(read.help[&name], what.help);
        let kind = if is_histogram(what) {
            "histogram"
        } else if is_gauge(what) {
            "gauge"
        } else {
            "counter"
        };
        assert_eq!(read.kinds[&name], kind);
    }
    let mut seen = HashSet::new();
    for (name, labels, value) in &read.samples {
        assert_eq!(labels["service"], "shop \"1\"", "{name}");
        assert_eq!(labels["instance"], "pod-7", "{name}");
        assert!(labels.keys().all(|label| !label.contains("scope")), "{labels:?}");
        assert!(seen.insert((name, labels)), "{name} {labels:?} twice");
        assert!(*value == 0.0 || name.ends_with("_available") || !name.ends_with("_total"));
    }
    for status in ["success", "failed", "timeout"] {
        assert_eq!(read.value("redis_health_check_total", &[("status", status)]), Some(0.0));
    }
    assert_eq!(read.value("redis_outage_duration_seconds_count", &[]), Some(0.0));
    assert_eq!(read.value("redis_state", &[("state", "a \"b\"\\\nc")]), Some(1.0));
}

#[test]
fn the_names_are_those_of_the_contract() {
    let in_prometheus: Vec<_> = ALL.iter().map(|what| name_in_prometheus(what)).collect();
    for name in [
        "redis_degraded_mode",
        "redis_available",
        "redis_state",
        "redis_capability",
        "redis_health_check_total",
        "redis_unavailable_total",
        "redis_degraded_seconds_total",
        "redis_outage_start_timestamp_seconds",
        "redis_fallback_hits_total",
        "redis_connection_attempts_total",
        "redis_may_evict",
        "redis_outage_duration_seconds",
        "redis_detection_latency_seconds",
        "redis_command_duration_seconds",
        "redis_recovery_replayed_total",
        "rate_limit_decisions_total",
        "session_operations_total",
        "cache_requests_total",
        "cache_loads_total",
        "cache_invalidations_total",
        "cache_entries",
        "cache_bytes",
        "capacity_decisions_total",
        "job_runs_total",
        "job_last_success_timestamp_seconds",
        "lockout_events_total",
        "revocation_checks_total",
        "pubsub_messages_total",
        "pubsub_gaps_total",
        "pubsub_lagged_total",
        "pubsub_subscriptions",
        "presence_members",
    ] {
        assert!(in_prometheus.iter().any(|known| known == name), "{name}");
    }
    assert_eq!(in_prometheus.len(), 32);
}

#[test]
fn what_is_counted_shows() {
    let metrics = Metrics::prometheus("s", "i");
    metrics.counter(names::FALLBACK_HITS, &[("feature", "cache")]).add(2);
    metrics.clone().counter(names::FALLBACK_HITS, &[("feature", "cache")]).add(3);
    let labels = [("command", "GET"), ("outcome", "ok")];
    metrics.histogram(names::COMMAND_DURATION, &labels).record(Duration::from_micros(300));
    metrics.histogram(names::COMMAND_DURATION, &labels).record(Duration::from_secs(60));
    let read = parse(&metrics.render());
    assert_eq!(read.value("redis_fallback_hits_total", &[("feature", "cache")]), Some(5.0));
    let bucket = |le: &str| {
        let labels = [("command", "GET"), ("outcome", "ok"), ("le", le)];
        read.value("redis_command_duration_seconds_bucket", &labels)
    };
    assert_eq!(bucket("0.00025"), Some(0.0));
    assert_eq!(bucket("0.0005"), Some(1.0));
    assert_eq!(bucket("5"), Some(1.0));
    assert_eq!(bucket("+Inf"), Some(2.0));
    let sum = read.value("redis_command_duration_seconds_sum", &labels).unwrap();
    assert!((sum - 60.0003).abs() < 1e-9);
}

#[test]
fn a_gauge_whose_source_is_gone_goes_too_and_the_newest_source_counts() {
    let metrics = Metrics::prometheus("s", "i");
    let alive = Arc::new(AtomicBool::new(true));
    metrics.gauge(names::AVAILABLE, &[], || Some(0.0));
    let source = Arc::clone(&alive);
    metrics.gauge(names::AVAILABLE, &[], move || source.load(Ordering::Relaxed).then_some(1.0));
    assert_eq!(parse(&metrics.render()).value("redis_available", &[]), Some(1.0));
    alive.store(false, Ordering::Relaxed);
    assert_eq!(parse(&metrics.render()).value("redis_available", &[]), Some(0.0));

    let source = Arc::new(0.5);
    let held = Arc::downgrade(&source);
    metrics.gauge(names::PRESENCE_MEMBERS, &[], move || held.upgrade().map(|held| *held));
    assert_eq!(parse(&metrics.render()).value("presence_members", &[]), Some(0.5));
    drop(source);
    assert_eq!(parse(&metrics.render()).value("presence_members", &[]), None);
}

#[test]
fn without_an_exposition_there_is_nothing_to_show() {
    let metrics = Metrics::new();
    use_everything(&metrics);
    assert_eq!(metrics.render(), "");
    assert!(!metrics.is_exposed());
    let counter = metrics.counter(names::UNAVAILABLE, &[]);
    counter.add(1);
    assert_eq!(metrics.counter(names::UNAVAILABLE, &[]).value(), 1);
}

/// The application's own pipeline, whatever stands at its end: here, a registry of its own.
#[test]
fn the_applications_pipeline_gets_everything() {
    let registry = prometheus::Registry::new();
    let exporter = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .scope_info_enabled(false)
        .without_target_info()
        .with_resource_selector(HashSet::from(
            ["service", "instance"].map(opentelemetry::Key::from),
        ))
        .build()
        .unwrap();
    let resource = opentelemetry_sdk::Resource::builder_empty()
        .with_attribute(opentelemetry::KeyValue::new("service", "theirs"))
        .build();
    let provider = opentelemetry_sdk::metrics::SdkMeterProvider::builder()
        .with_reader(exporter)
        .with_resource(resource)
        .build();
    let metrics = Metrics::on(opentelemetry::metrics::MeterProvider::meter(&provider, "test"));
    use_everything(&metrics);
    metrics.counter(names::FALLBACK_HITS, &[("feature", "cache")]).add(5);
    let labels = [("command", "GET"), ("outcome", "ok")];
    metrics.histogram(names::COMMAND_DURATION, &labels).record(Duration::from_micros(300));
    let mut text = String::new();
    prometheus::TextEncoder::new().encode_utf8(&registry.gather(), &mut text).unwrap();
    let read = parse(&text);
    assert_eq!(read.value("redis_fallback_hits_total", &[("feature", "cache")]), Some(5.0));
    assert_eq!(read.value("redis_health_check_total", &[("status", "timeout")]), Some(0.0));
    let bucket = |le| {
        let labels = [("command", "GET"), ("outcome", "ok"), ("le", le), ("service", "theirs")];
        read.value("redis_command_duration_seconds_bucket", &labels)
    };
    assert_eq!((bucket("0.00025"), bucket("0.0005")), (Some(0.0), Some(1.0)));
    assert_eq!(metrics.exposition(), None, "the text is theirs to make");
}
