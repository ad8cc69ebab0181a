//! What a policy tells of itself: names, counts and seconds, as they stand in headers.

use std::time::Duration;

use bytes::Bytes;

use super::quota::Quota;
use super::window::Window;

/// What is shown of a policy, written out once.
pub(crate) struct Labels {
    pub(crate) each: Box<[Label]>,
    /// All windows in the form of the IETF's `RateLimit-RatePolicy`: `"default";q=100;w=60`.
    /// Visible ASCII.
    pub(crate) line: Bytes,
}

/// What is shown of one window.
#[derive(Debug)]
pub(crate) struct Label {
    pub(crate) name: Box<str>,
    /// Requests…
    pub(crate) count: u32,
    /// …in so many whole seconds, rounded up.
    pub(crate) seconds: u64,
    /// The beginning of the window's item in `RateLimit`: `"default";r=`.
    pub(crate) prefix: Box<str>,
}

pub(super) fn all(policy: &str, quotas: &[Quota], windows: &[Window], share: u32) -> Labels {
    let mut each: Vec<Label> = Vec::with_capacity(quotas.len());
    for (index, (quota, window)) in quotas.iter().zip(windows).enumerate() {
        let mut name = match (quota.name(), quotas.len()) {
            (Some(name), _) => name.to_owned(),
            (None, 1) => policy.to_owned(),
            (None, _) => format!("{policy}-{}", span(quota.period())),
        };
        if each.iter().any(|other| *other.name == *name) {
            name = format!("{name}-{}", index + 1);
        }
        // The rate as declared, over the time in which the burst comes back: with the default burst
        // exactly count and period.
        let micros = quota.period().as_micros() * u128::from(window.burst) * u128::from(share);
        let seconds = micros.div_ceil(u128::from(quota.count()) * 1_000_000);
        let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
        // Names are visible ASCII without quotes and backslashes, so they need no escapes.
        let prefix = format!("\"{name}\";r=").into();
        each.push(Label { name: name.into(), count: window.burst, seconds, prefix });
    }
    let items: Vec<String> = each
        .iter()
        .map(|Label { name, count, seconds, .. }| format!("\"{name}\";q={count};w={seconds}"))
        .collect();
    Labels { each: each.into(), line: items.join(", ").into() }
}

fn span(period: Duration) -> String {
    let micros = period.as_micros();
    let units = [
        ("d", 86_400_000_000),
        ("h", 3_600_000_000),
        ("m", 60_000_000),
        ("s", 1_000_000),
        ("ms", 1_000),
    ];
    let unit = units.into_iter().find(|(_, size)| micros.is_multiple_of(*size));
    let (unit, size) = unit.unwrap_or(("us", 1));
    format!("{}{unit}", micros / size)
}
