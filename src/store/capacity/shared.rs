//! What the handle and the follower of a capacity share.

use std::{sync::Arc, time::Duration};

use super::{backlog::Touched, metrics::CapacityMetrics, sold_out::SoldOut};
use crate::{redis::Redis, store::switch::Switch};

pub(super) struct Shared {
    pub(super) redis: Redis,
    pub(super) switch: Switch,
    pub(super) touched: Arc<Touched>,
    pub(super) sold_out: SoldOut,
    pub(super) metrics: CapacityMetrics,
    pub(super) timeout: Duration,
    pub(super) hold: Option<Duration>,
}
