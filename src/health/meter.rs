//! The monitor's instruments.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use super::{Answer, Fault, FaultClass, State, Transition, handle::Shared};
use crate::telemetry::{Counter, Histogram, Metrics, names};

#[derive(Debug)]
pub(super) struct HealthMeter {
    success: Counter,
    failed: Counter,
    timeout: Counter,
    outages: Counter,
    outage: Histogram,
    detection: Histogram,
}

impl HealthMeter {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let check = |status| metrics.counter(names::HEALTH_CHECK, &[("status", status)]);
        Self {
            success: check("success"),
            failed: check("failed"),
            timeout: check("timeout"),
            outages: metrics.counter(names::UNAVAILABLE, &[]),
            outage: metrics.histogram(names::OUTAGE_DURATION, &[]),
            detection: metrics.histogram(names::DETECTION_LATENCY, &[]),
        }
    }

    /// Gauges read the word when somebody asks.
    pub(super) fn watch(&self, metrics: &Metrics, shared: &Arc<Shared>) {
        let gauge = |name, labels: &[(&'static str, &'static str)], read: fn(&Shared) -> bool| {
            let shared: Weak<Shared> = Arc::downgrade(shared);
            metrics.gauge(name, labels, move || {
                shared.upgrade().map(|shared| f64::from(u8::from(read(&shared))))
            });
        };
        gauge(names::AVAILABLE, &[], |shared| shared.word.load().is_available());
        gauge(names::DEGRADED_MODE, &[], |shared| !shared.word.load().is_available());
        gauge(names::CAPABILITY, &[("capability", "reads")], |shared| shared.word.load().reads());
        gauge(names::CAPABILITY, &[("capability", "writes")], |shared| shared.word.load().writes());
        for state in State::SHOWN {
            let shared = Arc::downgrade(shared);
            metrics.gauge(names::STATE, &[("state", state.as_str())], move || {
                let now = shared.upgrade()?.word.load().state();
                Some(f64::from(u8::from(now.as_str() == state.as_str())))
            });
        }
    }

    pub(super) fn probed(&self, result: &Result<Answer, Fault>) {
        match result {
            Ok(_) => self.success.add(1),
            Err(fault) if fault.class() == FaultClass::Hang => self.timeout.add(1),
            Err(_) => self.failed.add(1),
        }
    }

    pub(super) fn transition(
        &self,
        transition: &Transition,
        detection: Option<Duration>,
        outage: Option<Duration>,
    ) {
        match transition.status.state {
            State::Disconnected if transition.from != State::Recovering => {
                if let Some(latency) = detection {
                    self.detection.record(latency);
                }
            }
            State::Connected => {
                if let Some(outage) = outage {
                    self.outage.record(outage);
                }
            }
            _ => {}
        }
    }

    pub(super) fn outages_begun(&self, more: u64) {
        if more > 0 {
            self.outages.add(more);
        }
    }
}
