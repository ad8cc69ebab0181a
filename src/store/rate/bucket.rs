//! What a decision is about: the budget of one subject under one policy.

use super::policy::RatePolicy;
use super::subject::Subject;

#[derive(Clone, Copy)]
pub(crate) struct Bucket<'a> {
    pub(crate) policy: &'a RatePolicy,
    pub(crate) subject: &'a Subject,
}
