//! What whoever wants seats, or gives some back, is told.

use super::truth::{Occupancy, Token};

/// What became of a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CapacityVerdict {
    /// The seats are reserved: the database says so.
    Granted {
        /// Releases them.
        token: Token,
        /// What is left.
        left: u64,
        /// An earlier request with the same id had made the reservation.
        is_repeated: bool,
    },
    /// They do not fit, now.
    Full {
        /// What is left.
        left: u64,
    },
    /// They never fit: the event has fewer.
    TooMany {
        /// All seats.
        capacity: u64,
    },
}

impl CapacityVerdict {
    pub(super) fn refusal(seats: u32, truth: Occupancy) -> Self {
        match u64::from(seats) > truth.capacity {
            true => Self::TooMany { capacity: truth.capacity },
            false => Self::Full { left: truth.left() },
        }
    }

    /// Whether the seats are reserved.
    pub const fn is_granted(&self) -> bool {
        matches!(self, Self::Granted { .. })
    }
}

/// What became of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReleaseVerdict {
    /// The seats are free again.
    Released {
        /// How many.
        seats: u32,
        /// What is left.
        left: u64,
    },
    /// The event has no such reservation: it was released before, has ended, or never was.
    Unknown {
        /// What is left.
        left: u64,
    },
}

/// What a reconciliation found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[must_use = "it may not have come to its end"]
#[non_exhaustive]
pub struct Reconciled {
    /// Gates that say what the database says, or nothing.
    pub right: u64,
    /// Gates that were set to what the database says, or given up.
    pub mended: u64,
    /// Items that could not be read, or that Redis refused. Their gates are as they were.
    pub failed: u64,
    /// All items were looked at; `false`: Redis went away.
    pub is_complete: bool,
}
