//! One or several quotas under one name.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::label::{self, Label, Labels};
use super::law::{Decision, MAX_WINDOWS};
use super::quota::{Quota, QuotaError, clean, shorten};
use super::verdict::RateVerdict;
use super::window::Window;

/// The share of an instance never gets smaller than this part of the limit.
const MOST_INSTANCES: u32 = 10_000;

/// What a subject may do: one quota, or several at once, of which all must have room.
///
/// A request that one window refuses consumes nothing from the others. Cheap to clone (one `Arc`).
///
/// # Examples
///
/// ```
/// use evenkeel::store::rate::{RatePolicy, Quota};
///
/// let one = RatePolicy::from(Quota::per_minute(100));
/// let two = RatePolicy::from([Quota::per_second(10), Quota::per_hour(1_000)]).with_name("api");
/// let read: RatePolicy = "10/1s, 1000/1h".parse()?;
/// assert_eq!(one.name(), "default");
/// assert_eq!(two.version(), read.version());
/// # Ok::<(), evenkeel::store::rate::QuotaError>(())
/// ```
///
/// No windows, or more than [`MAX_WINDOWS`] of them, do not compile:
///
/// ```compile_fail
/// # use evenkeel::store::rate::{RatePolicy, Quota};
/// let none: [Quota; 0] = [];
/// let policy = RatePolicy::from(none);
/// ```
#[derive(Clone)]
pub struct RatePolicy(Arc<Inner>);

struct Inner {
    name: Cow<'static, str>,
    version: u64,
    space: u64,
    quotas: Box<[Quota]>,
    whole: Box<[Window]>,
    /// What is in force: `whole`, or the share of one instance.
    windows: Box<[Window]>,
    labels: Labels,
    /// Name and version, as they stand in keys.
    stem: Box<str>,
    share: u32,
    /// The share that was asked for last: it hardly ever changes, and making one costs several
    /// allocations.
    shared: ArcSwapOption<RatePolicy>,
}

impl RatePolicy {
    /// A policy of the windows given, for lists that are known only when the program runs.
    ///
    /// # Errors
    ///
    /// When there is no quota, or more than [`MAX_WINDOWS`].
    pub fn new(quotas: impl IntoIterator<Item = Quota>) -> Result<Self, QuotaError> {
        let quotas: Vec<Quota> = quotas.into_iter().take(MAX_WINDOWS + 1).collect();
        match quotas.len() {
            0 => Err(QuotaError("a policy needs at least one quota".into())),
            1..=MAX_WINDOWS => Ok(Self::build(None, quotas.into(), 1)),
            _ => Err(QuotaError("a policy can hold at most 4 quotas".into())),
        }
    }

    /// The name in metrics, in Redis keys, and in front of the names of unnamed windows. Default:
    /// the name of the only quota, else `default`. Cleaned like [`Quota::with_name`]. Two policies
    /// that share a Redis and must count apart need different names.
    #[must_use]
    pub fn with_name(self, name: impl Into<Cow<'static, str>>) -> Self {
        Self::build(Some(clean(name.into())), self.0.quotas.clone(), self.0.share)
    }

    /// What one of `instances` instances enforces by itself: the rate and the burst divided,
    /// rounded down, a burst of at least 1 (so the instances together never admit more than the
    /// limit, or one each). The name and the version stay, so the same subject is found.
    #[must_use]
    pub(crate) fn share(&self, instances: NonZeroU32) -> Self {
        let share = instances.get().min(MOST_INSTANCES);
        if share == self.0.share {
            return self.clone();
        }
        Self::build(Some(self.0.name.clone()), self.0.quotas.clone(), share)
    }

    /// [`share`](Self::share) for the hot path: hands out the one that was made last.
    #[inline]
    pub(crate) fn with_share<R>(&self, instances: NonZeroU32, look: impl FnOnce(&Self) -> R) -> R {
        if instances.get() == self.0.share {
            return look(self);
        }
        if let Some(share) = &*self.0.shared.load()
            && share.0.share == instances.get()
        {
            return look(share);
        }
        let share = Arc::new(self.share(instances));
        self.0.shared.store(Some(Arc::clone(&share)));
        look(&share)
    }

    fn build(name: Option<Cow<'static, str>>, quotas: Box<[Quota]>, share: u32) -> Self {
        let own = if let [only] = &*quotas { only.name() } else { None };
        let name = name
            .unwrap_or_else(|| own.map_or(Cow::Borrowed("default"), |own| Cow::Owned(own.into())));
        let whole: Box<[Window]> = quotas.iter().map(Quota::window).collect();
        let windows: Box<[Window]> = whole.iter().map(|window| window.share(share)).collect();
        let labels = label::all(&name, &quotas, &windows, share);
        let version = version(&quotas);
        Self(Arc::new(Inner {
            space: fnv(version, name.bytes()),
            stem: format!("{name}:{version:016x}").into(),
            name,
            version,
            quotas,
            whole,
            windows,
            labels,
            share,
            shared: ArcSwapOption::empty(),
        }))
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The quotas, as they were given.
    pub fn quotas(&self) -> &[Quota] {
        &self.0.quotas
    }

    /// Changes with every change to a count, period, burst, or the order of windows, and with
    /// nothing else; the same on every instance. Part of the Redis key, so that a new policy starts
    /// afresh rather than misreading what the old one stored.
    pub fn version(&self) -> u64 {
        self.0.version
    }

    /// Among how many instances the limit is divided; 1 unless this came from
    /// [`share`](Self::share).
    pub(crate) fn instances(&self) -> u32 {
        self.0.share
    }

    /// What is left in each window after `verdict`, which must be one on this policy.
    pub fn levels(&self, verdict: &RateVerdict) -> impl Iterator<Item = Level<'_>> {
        let windows = self.share(verdict.instances());
        let windows = windows.0.windows.iter().zip(verdict.decision().debts());
        let levels = self.0.labels.each.iter().zip(windows);
        let levels = levels.map(|(label, (window, debt))| Level::new(label, window, *debt));
        levels.collect::<Vec<_>>().into_iter()
    }

    /// [`levels`](Self::levels) of a decision on the windows in force.
    #[inline]
    pub(crate) fn levels_in_force<'a>(
        &'a self,
        decision: &'a Decision,
    ) -> impl Iterator<Item = Level<'a>> {
        let windows = self.0.windows.iter().zip(decision.debts());
        let levels = self.0.labels.each.iter().zip(windows);
        levels.map(|(label, (window, debt))| Level::new(label, window, *debt))
    }

    #[inline]
    pub(crate) fn windows(&self) -> &[Window] {
        &self.0.windows
    }

    /// The windows of the whole limit, whatever the share.
    pub(crate) fn whole(&self) -> &[Window] {
        &self.0.whole
    }

    /// Name and version, as they stand in keys.
    pub(crate) fn stem(&self) -> &str {
        &self.0.stem
    }

    pub(crate) fn labels(&self) -> &Labels {
        &self.0.labels
    }

    /// A number for name and version: what keeps the subjects of two policies in one table apart.
    #[inline]
    pub(crate) fn space(&self) -> u64 {
        self.0.space
    }
}

/// One window after a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Level<'a> {
    /// The window's name.
    pub name: &'a str,
    /// What a rested subject can spend at once.
    pub limit: u32,
    /// What is left of it.
    pub remaining: u32,
    /// How long until one more is left; zero when all is.
    pub next_after: Duration,
    /// How long until all is left.
    pub reset_after: Duration,
}

impl<'a> Level<'a> {
    fn new(label: &'a Label, window: &Window, debt: u64) -> Self {
        Self {
            name: &label.name,
            limit: window.burst,
            remaining: window.remaining(debt),
            next_after: Duration::from_micros(window.next_after(debt.min(window.tolerance))),
            reset_after: Duration::from_micros(debt),
        }
    }
}

impl From<Quota> for RatePolicy {
    fn from(quota: Quota) -> Self {
        Self::build(None, [quota].into(), 1)
    }
}

impl<const N: usize> From<[Quota; N]> for RatePolicy {
    fn from(quotas: [Quota; N]) -> Self {
        const { assert!(N > 0 && N <= MAX_WINDOWS, "a policy holds 1 to 4 quotas") };
        Self::build(None, quotas.into(), 1)
    }
}

/// Quotas as in [`Quota`]'s text form, separated by commas: `10/1s, 1000/1h`.
impl FromStr for RatePolicy {
    type Err = QuotaError;

    fn from_str(text: &str) -> Result<Self, QuotaError> {
        let quotas: Result<Vec<Quota>, QuotaError> =
            text.split(',').take(MAX_WINDOWS + 1).map(|quota| quota.trim().parse()).collect();
        RatePolicy::new(quotas?)
            .map_err(|error| QuotaError(format!("{error} in {:?}", shorten(text)).into()))
    }
}

impl fmt::Debug for RatePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("RatePolicy");
        debug.field("name", &self.0.name).field("quotas", &self.0.quotas);
        debug.field("instances", &self.0.share).finish()
    }
}

fn version(quotas: &[Quota]) -> u64 {
    let numbers = quotas.iter().flat_map(|quota| {
        let period = quota.period().as_micros() as u64;
        [u64::from(quota.count()), period, u64::from(quota.burst())]
    });
    fnv(0xcbf2_9ce4_8422_2325, numbers.flat_map(u64::to_le_bytes))
}

/// FNV-1a (Fowler, Noll, Vo): the same in every process and release, which `std::hash` does not
/// promise.
fn fnv(from: u64, bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(from, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(policy: &RatePolicy) -> Vec<(&str, u32, u64)> {
        let each = policy.labels().each.iter();
        each.map(|label| (&*label.name, label.count, label.seconds)).collect()
    }

    fn of(instances: u32) -> NonZeroU32 {
        NonZeroU32::new(instances).expect("not zero")
    }

    #[test]
    fn labels_say_what_was_declared() {
        assert_eq!(labels(&Quota::per_minute(100).into()), [("default", 100, 60)]);
        assert_eq!(
            labels(&Quota::per_second(7).with_name("x").into()),
            [("x", 7, 1)],
            "rounding does not show"
        );
        assert_eq!(labels(&Quota::per_minute(100).with_burst(10).into()), [("default", 10, 6)]);
        let two = RatePolicy::from([Quota::per_second(10), Quota::per_hour(90)]);
        assert_eq!(labels(&two), [("default-1s", 10, 1), ("default-1h", 90, 3600)]);
        let same = RatePolicy::from([Quota::per_second(1), Quota::per_second(2)]).with_name("a");
        assert_eq!(labels(&same), [("a-1s", 1, 1), ("a-1s-2", 2, 1)]);
    }

    #[test]
    fn a_share_divides_rate_and_burst() {
        let whole = RatePolicy::from(Quota::per_minute(100));
        let quarter = whole.share(of(4));
        assert_eq!(labels(&quarter), [("default", 25, 60)]);
        assert_eq!((quarter.version(), quarter.whole()), (whole.version(), whole.windows()));
        assert_eq!(quarter.windows()[0].tolerance, whole.windows()[0].tolerance);
        assert_eq!(labels(&quarter.share(of(1))), labels(&whole));
        let tiny = whole.share(of(u32::MAX));
        let tiny = &tiny.windows()[0];
        assert_eq!((tiny.burst, tiny.emission), (1, 6_000_000_000));
    }

    #[test]
    fn counts_of_windows_are_held() {
        assert!(RatePolicy::new([]).is_err());
        assert!(RatePolicy::new(vec![Quota::per_second(1); MAX_WINDOWS]).is_ok());
        assert!(RatePolicy::new(vec![Quota::per_second(1); MAX_WINDOWS + 1]).is_err());
        assert!("1/1s,2/1m".parse::<RatePolicy>().is_ok());
        for text in ["", ",", "1/1s,", "1/s,1/s,1/s,1/s,1/s"] {
            assert!(text.parse::<RatePolicy>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_version_is_fixed_for_ever() {
        // Changing this number forgets every limit in every user's Redis at the upgrade.
        assert_eq!(RatePolicy::from(Quota::per_minute(100)).version(), 0x4c70_88f7_ceae_517e);
    }
}
