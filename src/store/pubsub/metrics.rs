//! What is counted of messages.

use crate::telemetry::{Counter, Metrics, names};

pub(super) struct PubSubMetrics {
    pub(super) published: Counter,
    pub(super) received: Counter,
    /// Heard on a channel of ours, and none of ours, too long, or not of the type asked for.
    pub(super) unreadable: Counter,
    pub(super) gaps: Counter,
    pub(super) lagged: Counter,
}

impl PubSubMetrics {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let messages =
            |direction| metrics.counter(names::PUBSUB_MESSAGES, &[("direction", direction)]);
        Self {
            published: messages("published"),
            received: messages("received"),
            unreadable: messages("unreadable"),
            gaps: metrics.counter(names::PUBSUB_GAPS, &[]),
            lagged: metrics.counter(names::PUBSUB_LAGGED, &[]),
        }
    }
}
