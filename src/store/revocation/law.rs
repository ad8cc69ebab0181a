//! The law of revocation: pure, without clock or store.
//!
//! Instants are milliseconds since 1970. A *cut-off* at `c` revokes what was issued before `c`; 0
//! is none.

/// What is known of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RevocationStatus {
    /// Revoked. Final: no later check says otherwise.
    Revoked,
    /// Not revoked: Redis says so, or during an outage a memory that was in step when it began.
    Clear,
    /// Cannot be told without Redis.
    Unknown,
}

/// What becomes of a token whose status is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum UnknownPolicy {
    /// Refused (503): nothing that may be revoked passes.
    #[default]
    Closed,
    /// Admitted, and counted: for tokens that guard little, or live for minutes.
    Open,
}

/// What one place (the local table, or Redis) holds about one token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Lookup {
    /// Its id is listed.
    pub(crate) listed: bool,
    /// The cut-off of its subject.
    pub(crate) subject_cut_off: u64,
    /// The cut-off of everybody.
    pub(crate) global_cut_off: u64,
}

/// Was it issued before the cut-off? What is not known counts as older than everything.
const fn predates(issued_at: Option<u64>, cut_off: u64) -> bool {
    match issued_at {
        Some(at) => at < cut_off,
        None => cut_off > 0,
    }
}

pub(crate) const fn is_revoked(known: Lookup, issued_at: Option<u64>) -> bool {
    known.listed
        || predates(issued_at, known.subject_cut_off)
        || predates(issued_at, known.global_cut_off)
}

/// The status, without Redis, of a token that the local table does not list. `horizon`: the table
/// does not hold all revocations of what was issued before it.
pub(crate) const fn without_redis(
    in_step: bool,
    horizon: u64,
    issued_at: Option<u64>,
) -> RevocationStatus {
    if in_step && !predates(issued_at, horizon) {
        RevocationStatus::Clear
    } else {
        RevocationStatus::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Knowing more never frees a token.
        #[test]
        fn more_knowledge_never_un_revokes(
            listed: bool, subject_cut_off in 0u64..50, global_cut_off in 0u64..50,
            more_listed: bool, more_subject in 0u64..50, more_all in 0u64..50,
            issued_at in proptest::option::of(0u64..50),
        ) {
            let less = Lookup { listed, subject_cut_off, global_cut_off };
            let more = Lookup {
                listed: listed | more_listed,
                subject_cut_off: subject_cut_off.max(more_subject),
                global_cut_off: global_cut_off.max(more_all),
            };
            prop_assert!(!is_revoked(less, issued_at) || is_revoked(more, issued_at));
        }

        /// An older token is never better off.
        #[test]
        fn an_older_token_is_never_better_off(
            subject_cut_off in 0u64..50, global_cut_off in 0u64..50,
            at in 0u64..50, age in 0u64..50, horizon in 0u64..50,
        ) {
            let known = Lookup { listed: false, subject_cut_off, global_cut_off };
            for older in [Some(at.saturating_sub(age)), None] {
                prop_assert!(!is_revoked(known, Some(at)) || is_revoked(known, older));
                let new = without_redis(true, horizon, Some(at));
                let old = without_redis(true, horizon, older);
                prop_assert!(new == RevocationStatus::Clear || old == RevocationStatus::Unknown);
            }
        }

        /// Without Redis nothing is clear on an instance that was not in step.
        #[test]
        fn out_of_step_nothing_is_clear(horizon: u64, issued_at: Option<u64>) {
            prop_assert_eq!(without_redis(false, horizon, issued_at), RevocationStatus::Unknown);
        }
    }

    #[test]
    fn a_cut_off_revokes_what_was_issued_before_it_and_nothing_after() {
        let known = Lookup { subject_cut_off: 100, ..Lookup::default() };
        assert!(is_revoked(known, Some(99)));
        assert!(!is_revoked(known, Some(100)));
        assert!(is_revoked(known, None));
        assert!(!is_revoked(Lookup::default(), None));
    }
}
