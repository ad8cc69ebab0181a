//! What a layer that may have to ask Redis decides of a request.

use std::future::Future;

use super::disposition::{Annotate, Disposition};
use crate::layer::request_head::RequestHead;
use crate::store::Step;

/// The rules of a layer.
pub trait Decide: Send + Sync + 'static {
    /// What Redis has to be asked where nobody here can decide.
    type Question: Send + 'static;
    /// What makes a decision known.
    type Applied: Annotate + 'static;

    /// The first step, without I/O.
    fn decide(&self, head: &RequestHead<'_>) -> Step<Disposition<Self::Applied>, Self::Question>;

    /// The second, only for a question: what Redis says, or what is decided because it says
    /// nothing.
    fn ask(
        &self,
        question: Self::Question,
    ) -> impl Future<Output = Disposition<Self::Applied>> + Send;
}
