//! How much a subject may do: a count per period, and a burst.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::window::Window;
use crate::units::micros;

const SECOND: u64 = 1_000_000;
/// The longest time that a spent burst may take to come back: ten years. Keeps every instant that
/// the Redis script computes an exact integer in a double (2^53 µs is the year 2255).
const HORIZON: u64 = 10 * 365 * 24 * 3600 * SECOND;
const LONGEST_NAME: usize = 64;

const ZERO: &str = "the count of a quota must be at least 1";
const NO_TIME: &str = "the period of a quota must be longer than zero";
const TOO_FAST: &str = "a quota can allow at most one request per microsecond";
const NO_BURST: &str = "the burst of a quota must be at least 1";
const TOO_LONG: &str = "the burst of a quota must come back within ten years";

/// One window of a rate limit: `count` requests per `period`, with a burst of the whole count
/// unless [`with_burst`](Self::with_burst) says otherwise.
///
/// Requests come back evenly (one every period ÷ count, rounded up to a whole microsecond; so a
/// rate of more than about 10 000 a second that does not divide a million runs up to a few percent
/// *below* what was asked, never above). Several windows at once are a
/// [`RatePolicy`](super::RatePolicy).
///
/// # Wrong values
///
/// The constructors for literals ([`per_second`](Self::per_second),
/// [`per_minute`](Self::per_minute), [`per_hour`](Self::per_hour), [`per_day`](Self::per_day),
/// [`with_burst`](Self::with_burst)) panic on a zero, as tower's own `RateLimitLayer` and
/// `tokio::time::interval` do: while the service is being built, or while it is being compiled when
/// the quota is a `const`. For values from outside use [`Quota::new`],
/// [`try_with_burst`](Self::try_with_burst) or `"100/60s".parse()`, which return an error. A
/// `Quota` that exists is sound: nothing can go wrong with it while serving.
///
/// # Examples
///
/// ```
/// use evenkeel::store::rate::Quota;
///
/// const LOGIN: Quota = Quota::per_minute(5); // `per_minute(0)` would not compile here
///
/// let quota = Quota::per_second(10).with_burst(50).with_name("search");
/// assert_eq!(quota.emission_interval().as_millis(), 100);
/// assert_eq!(Quota::per_minute(100), "100/60s".parse()?);
/// # Ok::<(), evenkeel::store::rate::QuotaError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    count: u32,
    period: u64,
    burst: u32,
    name: Option<Cow<'static, str>>,
}

impl Quota {
    /// `count` requests a second.
    ///
    /// # Panics
    ///
    /// When `count` is 0 or above 1 000 000.
    pub const fn per_second(count: u32) -> Self {
        Self::literal(count, SECOND)
    }

    /// `count` requests a minute.
    ///
    /// # Panics
    ///
    /// When `count` is 0 or above 60 million.
    pub const fn per_minute(count: u32) -> Self {
        Self::literal(count, 60 * SECOND)
    }

    /// `count` requests an hour.
    ///
    /// # Panics
    ///
    /// When `count` is 0 or above 3.6 thousand million.
    pub const fn per_hour(count: u32) -> Self {
        Self::literal(count, 3600 * SECOND)
    }

    /// `count` requests a day (of 24 hours, not a calendar's).
    ///
    /// # Panics
    ///
    /// When `count` is 0.
    pub const fn per_day(count: u32) -> Self {
        Self::literal(count, 24 * 3600 * SECOND)
    }

    /// `count` requests per `period` (counted in whole microseconds), for values from outside.
    ///
    /// # Errors
    ///
    /// When `count` is 0, `period` is under a microsecond or over ten years, or the rate is above
    /// one request per microsecond.
    pub fn new(count: u32, period: Duration) -> Result<Self, QuotaError> {
        let period = micros(period);
        match Self::fault(count, period, count) {
            Some(fault) => Err(QuotaError(fault.into())),
            None => Ok(Self { count, period, burst: count, name: None }),
        }
    }

    /// Lets a rested subject spend `burst` at once. Default: the count.
    ///
    /// # Panics
    ///
    /// When `burst` is 0, or so large that it would take more than ten years to come back.
    #[must_use]
    #[allow(clippy::panic, reason = "while the service is being built, as documented")]
    pub const fn with_burst(self, burst: u32) -> Self {
        if let Some(fault) = Self::fault(self.count, self.period, burst) {
            panic!("{}", fault);
        }
        let mut quota = self;
        quota.burst = burst;
        quota
    }

    /// [`with_burst`](Self::with_burst) for values from outside.
    ///
    /// # Errors
    ///
    /// Where `with_burst` would panic.
    pub fn try_with_burst(self, burst: u32) -> Result<Self, QuotaError> {
        match Self::fault(self.count, self.period, burst) {
            Some(fault) => Err(QuotaError(fault.into())),
            None => Ok(Self { burst, ..self }),
        }
    }

    /// The name in the headers and metrics. Default: `default`, or in a policy of several windows
    /// the policy's name and the period. What is not visible ASCII, or one of `" \ : { }`, becomes
    /// `_`; what is longer than 64 characters is cut.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(clean(name.into()));
        self
    }

    /// Requests per period.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// The period.
    pub const fn period(&self) -> Duration {
        Duration::from_micros(self.period)
    }

    /// The most that can be spent at once.
    pub const fn burst(&self) -> u32 {
        self.burst
    }

    /// The name, where one was given.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// How long one request takes to come back.
    pub const fn emission_interval(&self) -> Duration {
        Duration::from_micros(Self::emission(self.count, self.period))
    }

    pub(crate) fn window(&self) -> Window {
        Window::new(Self::emission(self.count, self.period), self.burst)
    }

    const fn emission(count: u32, period: u64) -> u64 {
        period.div_ceil(count as u64)
    }

    #[allow(clippy::panic, reason = "while the service is being built, as documented")]
    const fn literal(count: u32, period: u64) -> Self {
        if let Some(fault) = Self::fault(count, period, count) {
            panic!("{}", fault);
        }
        Self { count, period, burst: count, name: None }
    }

    const fn fault(count: u32, period: u64, burst: u32) -> Option<&'static str> {
        if count == 0 {
            return Some(ZERO);
        }
        if period == 0 {
            return Some(NO_TIME);
        }
        if count as u64 > period {
            return Some(TOO_FAST);
        }
        if burst == 0 {
            return Some(NO_BURST);
        }
        if period > HORIZON
            || Self::emission(count, period).saturating_mul(burst as u64) > 2 * HORIZON
        {
            return Some(TOO_LONG);
        }
        None
    }
}

/// A name that can stand in a header, a metric label and a Redis key.
pub(crate) fn clean(name: Cow<'static, str>) -> Cow<'static, str> {
    let fits = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | ':' | '{' | '}');
    if !name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(fits) {
        return name;
    }
    let clean: String =
        name.chars().take(LONGEST_NAME).map(|c| if fits(c) { c } else { '_' }).collect();
    if clean.is_empty() { Cow::Borrowed("_") } else { Cow::Owned(clean) }
}

/// `count/period`, the period a number and one of `ms`, `s`, `m`, `h`, `d`; the number may be left
/// out: `100/60s`, `5/s`. The burst is the count.
impl FromStr for Quota {
    type Err = QuotaError;

    fn from_str(text: &str) -> Result<Self, QuotaError> {
        let text_of = shorten(text);
        let fault = |why: &str| {
            QuotaError(format!("{why} in {text_of:?}; write count/period, like 100/60s").into())
        };
        let (count, period) = text.split_once('/').ok_or_else(|| fault("no `/`"))?;
        // `u32::from_str` would also take a `+`.
        let digits = Some(count.trim()).filter(|text| !text.starts_with('+'));
        let count = digits.and_then(|digits| digits.parse().ok());
        let count = count.ok_or_else(|| fault("no count from 1 to 4294967295"))?;
        // The number may be left out: `5/s`.
        let one = if period.trim().starts_with(|c: char| c.is_ascii_digit()) { "" } else { "1" };
        let period = crate::env::duration(&format!("{one}{}", period.trim()));
        let period = period.ok_or_else(|| fault("no period with one of ms, s, m, h, d"))?;
        Quota::new(count, period).map_err(|error| fault(&error.0))
    }
}

/// For those who come from `governor` or `tower_governor`: as many at once as its burst, and as
/// much time for all of them as it takes, rounded up to a whole microsecond. The rate is the same,
/// but for the nanoseconds that governor rounds away; it is never above governor's by more than
/// these.
///
/// Fails for more than one request per microsecond, and where a spent burst takes more than ten
/// years to come back.
///
/// ```
/// use std::num::NonZeroU32;
/// use evenkeel::store::rate::Quota;
///
/// let count = NonZeroU32::new(30).unwrap();
/// assert_eq!(Quota::try_from(governor::Quota::per_minute(count)), Ok(Quota::per_minute(30)));
/// ```
impl TryFrom<governor::Quota> for Quota {
    type Error = QuotaError;

    fn try_from(quota: governor::Quota) -> Result<Self, QuotaError> {
        let count = quota.burst_size().get();
        let nanos = quota.replenish_interval().as_nanos() * u128::from(count);
        let micros = u64::try_from(nanos.div_ceil(1_000)).unwrap_or(u64::MAX);
        Self::new(count, Duration::from_micros(micros))
    }
}

pub(super) fn shorten(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Why a quota or a policy could not be made; its `Display` says what is wrong and what would be
/// right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaError(pub(super) Cow<'static, str>);

impl fmt::Display for QuotaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for QuotaError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read() {
        assert_eq!("100/60s".parse(), Ok(Quota::per_minute(100)));
        assert_eq!(" 100 / 1m ".parse(), Ok(Quota::per_minute(100)));
        assert_eq!("5/s".parse(), Ok(Quota::per_second(5)));
        assert_eq!("7/d".parse(), Ok(Quota::per_day(7)));
        assert_eq!("3/250ms".parse::<Quota>().map(|q| q.period()), Ok(Duration::from_millis(250)));
    }

    #[test]
    fn wrong_text_says_what_is_wrong() {
        for text in [
            "",
            "/",
            "100",
            "100/",
            "/60s",
            "0/60s",
            "100/0s",
            "-1/60s",
            "+1/60s",
            "4294967296/60s",
            "100/60",
            "100/60x",
            "100/60S",
            "1e3/60s",
            "100/99999999999999999999s",
            "100/9999d/1",
            "2000000/1s",
            "１/60s",
            "1/99999d",
        ] {
            let error = text.parse::<Quota>().expect_err(text).to_string();
            assert!(error.contains("like 100/60s"), "{error}");
            assert!(error.len() < 200);
        }
    }

    #[test]
    fn wrong_numbers_are_errors() {
        assert!(Quota::new(0, Duration::from_secs(1)).is_err());
        assert!(Quota::new(1, Duration::ZERO).is_err());
        assert!(Quota::new(1, Duration::from_nanos(999)).is_err());
        assert!(Quota::new(1, Duration::MAX).is_err());
        assert!(Quota::new(u32::MAX, Duration::from_secs(1)).is_err());
        assert!(Quota::per_day(1).try_with_burst(0).is_err());
        assert!(Quota::per_day(1).try_with_burst(u32::MAX).is_err());
        assert!(Quota::per_hour(u32::MAX / 2).try_with_burst(u32::MAX).is_ok());
    }

    #[test]
    #[should_panic(expected = "at least 1")]
    fn a_literal_zero_panics_when_built() {
        let _ = Quota::per_minute(0);
    }

    #[test]
    fn the_rate_is_never_above_the_quota() {
        for count in [3, 7, 60, 999, 30_000, 999_999] {
            let window = Quota::per_second(count).window();
            assert!(window.emission * u64::from(count) >= SECOND);
        }
    }

    #[test]
    fn governors_quotas_are_read() {
        use governor::Quota as Theirs;
        let of = |count| std::num::NonZeroU32::new(count).expect("not zero");
        let read = |theirs| Quota::try_from(theirs);
        assert_eq!(read(Theirs::per_second(of(50))), Ok(Quota::per_second(50)));
        assert_eq!(
            read(Theirs::per_second(of(3))),
            Ok(Quota::per_second(3)),
            "333 333 333 ns each"
        );
        let slow = Theirs::with_period(Duration::from_secs(2)).expect("a period");
        let slow = read(slow.allow_burst(of(5))).expect("a quota");
        assert_eq!((slow.burst(), slow.emission_interval()), (5, Duration::from_secs(2)));
        assert!(read(Theirs::per_second(of(u32::MAX))).is_err());
        let years = Theirs::with_period(Duration::from_secs(3 << 30)).expect("a period");
        assert!(read(years.allow_burst(of(u32::MAX))).is_err());
    }

    #[test]
    fn names_are_made_to_fit() {
        assert_eq!(Quota::per_second(1).with_name("größe {x}:\"y\"").name(), Some("gr__e__x___y_"));
        assert_eq!(Quota::per_second(1).with_name("").name(), Some("_"));
        assert_eq!(Quota::per_second(1).with_name("x".repeat(99)).name().map(str::len), Some(64));
    }
}
