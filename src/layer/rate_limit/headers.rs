//! What a limited route tells its clients: the `RateLimit` headers.

use std::cell::RefCell;
use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::retry_after::whole_seconds_up;
use crate::store::rate::{Decision, RatePolicy};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");
const X_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Which headers are put on every answer of a limited route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderStyle {
    /// `RateLimit-Policy` and `RateLimit`, as in the IETF's `draft-ietf-httpapi-ratelimit-headers`
    /// (the default): one item for each window.
    #[default]
    Draft,
    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset` (seconds from now until all is back), of the
    /// tightest window.
    XRateLimit,
    /// Both.
    Both,
    /// None. A refusal still says `Retry-After`.
    None,
}

impl HeaderStyle {
    /// The headers for this decision, one on this policy. For the share of an instance these are
    /// the share's numbers: what is in force.
    pub(super) fn headers(self, policy: &RatePolicy, decision: &Decision) -> Headers {
        let draft = matches!(self, Self::Draft | Self::Both)
            .then(|| (policy_value(policy), state_value(policy, decision)));
        let tightest = matches!(self, Self::XRateLimit | Self::Both).then(|| {
            let tightest = policy.levels_in_force(decision).nth(decision.tightest());
            let (limit, reset) = tightest
                .map_or((0, 0), |level| (u64::from(level.limit), seconds(level.reset_after)));
            [limit, u64::from(decision.remaining()), reset]
        });
        Headers { draft, tightest }
    }
}

/// The headers of one answer.
#[derive(Debug)]
pub(super) struct Headers {
    /// `RateLimit-Policy` and `RateLimit`.
    draft: Option<(HeaderValue, HeaderValue)>,
    /// The numbers of the tightest window: limit, remaining, reset.
    tightest: Option<[u64; 3]>,
}

impl Headers {
    /// Puts them in place of any that an inner service has set.
    pub(super) fn insert_into(self, headers: &mut HeaderMap) {
        if let Some((policy, state)) = self.draft {
            headers.insert(POLICY, policy);
            headers.insert(STATE, state);
        }
        if let Some([limit, remaining, reset]) = self.tightest {
            headers.insert(X_LIMIT, limit.into());
            headers.insert(X_REMAINING, remaining.into());
            headers.insert(X_RESET, reset.into());
        }
    }
}

/// A copy: a value that all threads share would have its reference count changed by each of them
/// twice a request, which costs several times as much.
fn policy_value(policy: &RatePolicy) -> HeaderValue {
    value(&policy.labels().line)
}

fn state_value(policy: &RatePolicy, decision: &Decision) -> HeaderValue {
    thread_local! {
        static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    LINE.with_borrow_mut(|line| {
        line.clear();
        for (label, level) in policy.labels().each.iter().zip(policy.levels_in_force(decision)) {
            if !line.is_empty() {
                line.extend_from_slice(b", ");
            }
            line.extend_from_slice(label.prefix.as_bytes());
            line.extend_from_slice(itoa::Buffer::new().format(level.remaining).as_bytes());
            line.extend_from_slice(b";t=");
            line.extend_from_slice(
                itoa::Buffer::new().format(seconds(level.next_after)).as_bytes(),
            );
        }
        value(line)
    })
}

/// Unlike `Retry-After` this may be 0: all is there.
fn seconds(wait: Duration) -> u64 {
    if wait.is_zero() { 0 } else { whole_seconds_up(wait) }
}

/// All that is written here is visible ASCII; were it not, the header would be empty rather than
/// the answer lost.
fn value(line: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(line).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rate::{Quota, decide};
    use proptest::prelude::*;
    use std::num::NonZeroU32;

    fn after(policy: &RatePolicy, cost: u32, style: HeaderStyle) -> Vec<String> {
        let decision = decide(policy.windows(), &[], 0, cost);
        let mut headers = HeaderMap::new();
        headers.insert(STATE, HeaderValue::from_static("an inner service's"));
        style.headers(policy, &decision).insert_into(&mut headers);
        let mut lines: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().expect("ASCII")))
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn as_in_the_contract() {
        let policy = RatePolicy::from(Quota::per_minute(100));
        let expected =
            ["ratelimit-policy: \"default\";q=100;w=60", "ratelimit: \"default\";r=99;t=1"];
        assert_eq!(after(&policy, 1, HeaderStyle::default()), expected);
    }

    #[test]
    fn several_windows_are_several_items() {
        let hour = Quota::per_hour(10).with_name("hour");
        let policy = RatePolicy::from([Quota::per_second(10).with_name("burst"), hour]);
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
        let share =
            RatePolicy::from(Quota::per_minute(100)).share(NonZeroU32::new(4).expect("four"));
        let expected =
            ["ratelimit-policy: \"default\";q=25;w=60", "ratelimit: \"default\";r=24;t=3"];
        assert_eq!(after(&share, 1, HeaderStyle::Draft), expected);
    }

    #[test]
    fn nothing_spent_and_nothing_shown() {
        let policy = RatePolicy::from(Quota::per_minute(100));
        let peek = ["x-ratelimit-limit: 100", "x-ratelimit-remaining: 100", "x-ratelimit-reset: 0"];
        assert_eq!(after(&policy, 0, HeaderStyle::XRateLimit)[1..], peek);
        assert_eq!(after(&policy, 1, HeaderStyle::None), ["ratelimit: an inner service's"]);
    }

    proptest! {
        #[test]
        fn any_name_makes_a_header(name in "\\PC{0,80}") {
            let (second, day) = (Quota::per_second(1), Quota::per_day(1));
            let policy = RatePolicy::from([second.with_name(name.clone()), day.with_name(name)]);
            let line = policy_value(&policy);
            prop_assert_eq!(line.as_bytes().iter().filter(|byte| **byte == b'"').count(), 4);
        }
    }
}
