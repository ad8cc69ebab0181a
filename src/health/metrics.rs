//! What a monitor's task counts and measures.

use std::time::Duration;

use super::{Fault, FaultClass, ProbeAnswer, State, Transition};
use crate::telemetry::{Counter, Histogram, Metrics, names};

#[derive(Debug)]
pub(super) struct HealthMetrics {
    success: Counter,
    failed: Counter,
    timeout: Counter,
    outages: Counter,
    outage_duration: Histogram,
    detection_latency: Histogram,
}

impl HealthMetrics {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let check = |status| metrics.counter(names::HEALTH_CHECK, &[("status", status)]);
        Self {
            success: check("success"),
            failed: check("failed"),
            timeout: check("timeout"),
            outages: metrics.counter(names::UNAVAILABLE, &[]),
            outage_duration: metrics.histogram(names::OUTAGE_DURATION, &[]),
            detection_latency: metrics.histogram(names::DETECTION_LATENCY, &[]),
        }
    }

    pub(super) fn probed(&self, result: &Result<ProbeAnswer, Fault>) {
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
                    self.detection_latency.record(latency);
                }
            }
            State::Connected => {
                if let Some(outage) = outage {
                    self.outage_duration.record(outage);
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
