//! A concurrency limit: how many, under which name, and how long a lease lasts.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::Error;
use crate::store::rate::clean_name;

const LEASE: Duration = Duration::from_secs(30);
const SHORTEST_LEASE: Duration = Duration::from_secs(1);
const LONGEST_LEASE: Duration = Duration::from_secs(86_400);

/// How many requests of one subject may be in flight at a time, over all instances.
///
/// ```
/// use evenkeel::store::concurrency::InFlight;
///
/// const REPORTS: InFlight = InFlight::at_most(10); // `at_most(0)` would not compile here
/// assert_eq!(REPORTS.with_name("reports").limit().get(), 10);
/// assert!(InFlight::new(0).is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFlight {
    limit: NonZeroU32,
    name: Cow<'static, str>,
    lease: Duration,
}

impl InFlight {
    /// At most so many.
    ///
    /// # Panics
    ///
    /// When `limit` is 0: while the service is being built, or compiled where this is a `const`.
    #[allow(clippy::panic, reason = "while the service is being built, as documented")]
    pub const fn at_most(limit: u32) -> Self {
        match NonZeroU32::new(limit) {
            Some(limit) => Self::of(limit),
            None => panic!("a concurrency limit of 0 admits nothing"),
        }
    }

    /// [`at_most`](Self::at_most) for values from outside.
    ///
    /// # Errors
    ///
    /// When `limit` is 0.
    pub fn new(limit: u32) -> Result<Self, Error> {
        let limit = NonZeroU32::new(limit);
        limit.map(Self::of).ok_or_else(|| Error::config("a concurrency limit of 0 admits nothing"))
    }

    const fn of(limit: NonZeroU32) -> Self {
        Self { limit, name: Cow::Borrowed("concurrency"), lease: LEASE }
    }

    /// The name in metrics and in Redis keys. Limits that must count apart need different names;
    /// those of one name should agree on their lease. Cleaned like
    /// [`Quota::with_name`](crate::store::rate::Quota::with_name). Default: `concurrency`.
    #[must_use]
    pub fn with_name(self, name: impl Into<Cow<'static, str>>) -> Self {
        Self { name: clean_name(name.into()), ..self }
    }

    /// How long the requests of a process that was killed go on being counted. Requests may last
    /// longer than that: their leases are renewed. From one second to one day. Default: 30 s.
    #[must_use]
    pub fn with_lease(self, lease: Duration) -> Self {
        Self { lease: lease.clamp(SHORTEST_LEASE, LONGEST_LEASE), ..self }
    }

    /// How many.
    pub const fn limit(&self) -> NonZeroU32 {
        self.limit
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How long a lease lasts.
    pub const fn lease(&self) -> Duration {
        self.lease
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused_or_bounded() {
        assert!(InFlight::new(0).is_err_and(|error| error.to_string().contains("admits nothing")));
        assert!(std::panic::catch_unwind(|| InFlight::at_most(0)).is_err());
        let limit = InFlight::at_most(u32::MAX);
        assert_eq!(limit.clone().with_lease(Duration::ZERO).lease(), SHORTEST_LEASE);
        assert_eq!(limit.with_lease(Duration::MAX).lease(), LONGEST_LEASE);
    }

    #[test]
    fn a_name_cannot_break_out_of_its_key() {
        let name = InFlight::at_most(1).with_name("a:{b}\r\n").name().to_owned();
        assert!(!name.contains([':', '{', '}', '\r', '\n']), "{name}");
    }
}
