//! What a layer that may have to ask Redis decides of a request.

use std::future::Future;

use super::disposition::{Disposition, Note};
use crate::layer::request_head::RequestHead;
use crate::store::Step;

/// The rules of a layer.
pub trait Decide: Send + Sync + 'static {
    /// What Redis has to be asked where nobody here can decide.
    type Question: Send + 'static;
    /// What is told of a decision.
    type Note: Note + 'static;

    /// The first step, without I/O.
    fn decide(&self, head: &RequestHead<'_>) -> Step<Disposition<Self::Note>, Self::Question>;

    /// The second, only for a question: what Redis says, or what is decided because it says
    /// nothing.
    fn ask(&self, question: Self::Question)
    -> impl Future<Output = Disposition<Self::Note>> + Send;
}
