//! Items of a run, one by one.

use std::{fmt::Display, future::Future, panic::AssertUnwindSafe};

use futures_util::FutureExt;

/// What became of the items of a run. See [`Run::each`](super::Run::each).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "items that failed are only counted here"]
pub struct ItemCounts {
    /// Items that were done.
    pub done: u64,
    /// Items that failed or panicked: set aside.
    pub failed: u64,
    /// The rest was left, because the run is to end.
    pub interrupted: bool,
}

/// Why an item was set aside.
pub(super) enum Poisoned {
    Failed(String),
    Panicked,
}

/// One item: an error or a panic of it ends nothing but it.
pub(super) async fn one<T, Fut, E>(item: T, work: &mut impl FnMut(T) -> Fut) -> Result<(), Poisoned>
where
    Fut: Future<Output = Result<(), E>>,
    E: Display,
{
    let work = AssertUnwindSafe(async { work(item).await.map_err(|error| error.to_string()) });
    match work.catch_unwind().await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Poisoned::Failed(error)),
        Err(_panic) => Err(Poisoned::Panicked),
    }
}
