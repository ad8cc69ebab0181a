//! What a limited route tells its clients: the `RateLimit` headers.

use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::retry_after::whole_seconds_up;
use crate::store::rate::{Decision, Policy};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");
const X_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Which headers are put on every answer of a limited route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderStyle {
    /// `RateLimit-Policy` and `RateLimit`, as in the IETF's `draft-ietf-httpapi-ratelimit-headers` (the
    /// default): one item for each window.
    #[default]
    Draft,
    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset` (seconds from now until all is back), of the tightest
    /// window.
    XRateLimit,
    /// Both.
    Both,
    /// None. A refusal still says `Retry-After`.
    None,
}

impl HeaderStyle {
    /// Puts the headers for this decision, one on this policy, in place of any that an inner service has set. For the
    /// share of an instance these are the share's numbers: what is in force.
    pub(crate) fn apply(self, policy: &Policy, decision: &Decision, headers: &mut HeaderMap) {
        if matches!(self, Self::Draft | Self::Both) {
            headers.insert(POLICY, value(policy.labels().line.clone()));
            headers.insert(STATE, state(policy, decision));
        }
        if matches!(self, Self::XRateLimit | Self::Both) {
            let tightest = policy.levels(decision).nth(decision.tightest());
            let (limit, reset) =
                tightest.map_or((0, 0), |level| (level.limit, seconds(level.reset_after)));
            headers.insert(X_LIMIT, number(u64::from(limit)));
            headers.insert(X_REMAINING, number(u64::from(decision.remaining())));
            headers.insert(X_RESET, number(reset));
        }
    }
}

/// Room for one item beyond its prefix: two numbers and what is between them.
const ITEM: usize = 10 + 3 + 20 + 2;

fn state(policy: &Policy, decision: &Decision) -> HeaderValue {
    let labels = &policy.labels().each;
    let room = labels.iter().map(|label| label.prefix.len() + ITEM).sum();
    let mut line = Vec::with_capacity(room);
    for (label, level) in labels.iter().zip(policy.levels(decision)) {
        if !line.is_empty() {
            line.extend_from_slice(b", ");
        }
        line.extend_from_slice(label.prefix.as_bytes());
        push_number(&mut line, u64::from(level.remaining));
        line.extend_from_slice(b";t=");
        push_number(&mut line, seconds(level.next_after));
    }
    value(line.into())
}

/// Unlike a wait that a client is told to wait, this may be nothing: all is there.
fn seconds(wait: Duration) -> u64 {
    if wait.is_zero() { 0 } else { whole_seconds_up(wait) }
}

fn number(number: u64) -> HeaderValue {
    HeaderValue::from(number)
}

/// All that is written here is visible ASCII; were it not, the header would be empty rather than the answer
/// lost.
fn value(line: Bytes) -> HeaderValue {
    HeaderValue::from_maybe_shared(line).unwrap_or(HeaderValue::from_static(""))
}

fn push_number(line: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut from = digits.len() - 1;
    for (index, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        from = index;
        if number == 0 {
            break;
        }
    }
    line.extend_from_slice(digits.get(from..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rate::{Quota, decide};
    use proptest::prelude::*;
    use std::num::NonZeroU32;

    fn after(policy: &Policy, cost: u32, style: HeaderStyle) -> Vec<String> {
        let decision = decide(policy.windows(), &[], 0, cost);
        let mut headers = HeaderMap::new();
        headers.insert(STATE, HeaderValue::from_static("an inner service's"));
        style.apply(policy, &decision, &mut headers);
        let mut lines: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().expect("ASCII")))
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn as_in_the_contract() {
        let policy = Policy::from(Quota::per_minute(100));
        let expected =
            ["ratelimit-policy: \"default\";q=100;w=60", "ratelimit: \"default\";r=99;t=1"];
        assert_eq!(after(&policy, 1, HeaderStyle::default()), expected);
    }

    #[test]
    fn several_windows_are_several_items() {
        let hour = Quota::per_hour(10).with_name("hour");
        let policy = Policy::from([Quota::per_second(10).with_name("burst"), hour]);
        assert_eq!(
            after(&policy, 10, HeaderStyle::Both),
            [
                "ratelimit-policy: \"burst\";q=10;w=1, \"hour\";q=10;w=3600",
                "ratelimit: \"burst\";r=0;t=1, \"hour\";r=0;t=360",
                "x-ratelimit-limit: 10",
                "x-ratelimit-remaining: 0",
                "x-ratelimit-reset: 3600",
            ]
        );
    }

    #[test]
    fn the_policy_in_force_is_shown() {
        let share = Policy::from(Quota::per_minute(100)).share(NonZeroU32::new(4).expect("four"));
        let expected =
            ["ratelimit-policy: \"default\";q=25;w=60", "ratelimit: \"default\";r=24;t=3"];
        assert_eq!(after(&share, 1, HeaderStyle::Draft), expected);
    }

    #[test]
    fn nothing_spent_and_nothing_shown() {
        let policy = Policy::from(Quota::per_minute(100));
        let peek = ["x-ratelimit-limit: 100", "x-ratelimit-remaining: 100", "x-ratelimit-reset: 0"];
        assert_eq!(after(&policy, 0, HeaderStyle::XRateLimit)[1..], peek);
        assert_eq!(after(&policy, 1, HeaderStyle::None), ["ratelimit: an inner service's"]);
    }

    proptest! {
        #[test]
        fn numbers_are_written_as_by_format(n in any::<u64>()) {
            for n in [n, 0, 9, 10, u64::MAX] {
                let mut line = Vec::new();
                push_number(&mut line, n);
                prop_assert_eq!(line, n.to_string().into_bytes());
            }
        }

        #[test]
        fn any_name_makes_a_header(name in "\\PC{0,80}") {
            let policy = Policy::from([Quota::per_second(1).with_name(name.clone()), Quota::per_day(1).with_name(name)]);
            let line = value(policy.labels().line.clone());
            prop_assert_eq!(line.as_bytes().iter().filter(|byte| **byte == b'"').count(), 4);
        }
    }
}
