//! The choice for requests without a key.

/// What becomes of a request that the [key](super::ClientKey) finds nothing in. (Where the peer's
/// address is missing, see [`MissingAddress`](super::MissingAddress).)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MissingKey {
    /// All such requests share one budget (the default). The log tells of the first.
    #[default]
    Shared,
    /// It is admitted, and not counted.
    Allow,
    /// It is refused: 400, or gRPC's `INVALID_ARGUMENT`.
    Refuse,
}
