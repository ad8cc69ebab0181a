//! What decides while Redis is away: the choices.

/// What decides while Redis is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutagePolicy {
    /// This instance, in memory, on its share of the limit (the default).
    #[default]
    Local,
    /// Nobody: everything is admitted and nothing is counted. For limits that are a courtesy.
    Allow,
    /// Nobody: everything is refused, with 503 and not 429. For limits that must not be exceeded by
    /// one.
    Deny,
}
