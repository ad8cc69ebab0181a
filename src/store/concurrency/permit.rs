//! What an admitted request holds, and what a refused one is told.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::leases::Leases;
use super::memory::Holder;
use crate::store::rate::DecisionSource;

/// How many requests of a subject were in flight when one was judged, and who said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occupancy {
    pub(super) in_flight: u32,
    pub(super) limit: NonZeroU32,
    pub(super) source: DecisionSource,
}

impl Occupancy {
    /// How many there were, one that was admitted included.
    pub const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// How many there may be: of all instances, or when [degraded](Self::is_degraded) of this one.
    pub const fn limit(&self) -> NonZeroU32 {
        self.limit
    }

    /// Who says so.
    pub const fn source(&self) -> DecisionSource {
        self.source
    }

    /// Judged without Redis, on this instance's share of the limit.
    pub const fn is_degraded(&self) -> bool {
        matches!(self.source, DecisionSource::Memory)
    }
}

/// As many requests are in flight as there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} requests are in flight already", .0.in_flight)]
pub struct Busy(pub(super) Occupancy);

impl Busy {
    /// How many there are.
    pub const fn occupancy(&self) -> Occupancy {
        self.0
    }
}

/// Admitted, or not.
pub(crate) type Admission = Result<Permit, Busy>;

/// The right to be in flight, until it is dropped. Giving it back costs no I/O here: Redis is told
/// in the background.
#[must_use = "what is dropped is not in flight any more"]
pub struct Permit {
    place: Place,
    occupancy: Occupancy,
}

impl Permit {
    pub(super) const fn new(place: Place, occupancy: Occupancy) -> Self {
        Self { place, occupancy }
    }

    /// How many were in flight when this one was admitted.
    pub const fn occupancy(&self) -> Occupancy {
        self.occupancy
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("holder", &self.place.holder)
            .field("occupancy", &self.occupancy)
            .finish_non_exhaustive()
    }
}

/// Whether Redis knows of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Registered {
    /// Not by having been asked to admit it.
    No,
    /// It was asked to admit it, and has not answered.
    InDoubt,
    /// It has admitted it.
    Yes,
}

/// A place that a request takes, or may have taken. Leaves nothing behind, wherever it is dropped.
pub(super) struct Place {
    pub(super) leases: Arc<Leases>,
    pub(super) key: Arc<str>,
    pub(super) holder: Holder,
    pub(super) registered: Registered,
}

impl Drop for Place {
    fn drop(&mut self) {
        let told = self.leases.table.remove(&self.key, self.holder);
        if told || self.registered != Registered::No {
            let in_doubt = self.registered == Registered::InDoubt;
            self.leases.release(&self.key, self.holder, in_doubt);
        }
    }
}
