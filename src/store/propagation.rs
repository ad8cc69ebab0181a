//! Who knows of a change.

/// Who knows of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use = "it may only be noted here"]
pub enum Propagation {
    /// Redis, and so every instance.
    Propagated,
    /// This instance, and its [`Journal`](crate::store::Journal) if it has one. It is pushed to
    /// Redis as soon as that serves, after an outage before it counts as available again.
    Pending,
}

impl Propagation {
    /// Redis knows.
    pub const fn is_propagated(self) -> bool {
        matches!(self, Self::Propagated)
    }
}
