//! The decision: whose permit is asked for, and what follows from the answer.

use std::time::Duration;

use super::applied::Applied;
use crate::layer::client_key::{Extracted, Extraction};
use crate::layer::gate::{Decide, Disposition};
use crate::layer::request_head::RequestHead;
use crate::respond::Refusal;
use crate::store::Step;
use crate::store::concurrency::{Admission, ConcurrencyLimiter};
use crate::store::rate::Subject;

/// Nobody knows when a request will end: the shortest wait that a client can be given.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The settings of a layer.
#[derive(Clone, Debug)]
pub struct ConcurrencyLimitRules {
    pub(super) limiter: ConcurrencyLimiter,
    pub(super) clients: Extraction,
}

impl Decide for ConcurrencyLimitRules {
    /// May one more of this subject be in flight?
    type Question = Subject;
    type Applied = Applied;

    fn decide(&self, head: &RequestHead<'_>) -> Step<Disposition<Applied>, Subject> {
        let subject = match self.clients.extract(head) {
            Extracted::Subject(subject) => subject,
            Extracted::Uncounted => return Step::Decided(Disposition::Pass(None)),
            Extracted::Keyless(refusal) => {
                return Step::Decided(Disposition::Refuse(refusal, None));
            }
        };
        match self.limiter.try_local(&subject) {
            Some(admission) => Step::Decided(conclude(admission)),
            None => Step::Ask(subject),
        }
    }

    async fn ask(&self, subject: Subject) -> Disposition<Applied> {
        conclude(self.limiter.decide_remote(&subject).await)
    }
}

fn conclude(admission: Admission) -> Disposition<Applied> {
    match admission {
        Ok(permit) => Disposition::Pass(Some(Applied::Admitted(permit))),
        Err(busy) => {
            let applied = Applied::Refused(busy.occupancy());
            Disposition::Refuse(Refusal::rate_limited(Some(RETRY_AFTER)), Some(applied))
        }
    }
}
