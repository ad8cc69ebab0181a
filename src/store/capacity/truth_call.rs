//! Asks the truth: bounded in time, and whatever the closure does.

use std::{future::Future, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;
use tokio::time::timeout;

use super::failure::{BookingError, CapacityError};

/// The closure's answer.
pub(super) async fn ask<T, E, Fut>(
    limit: Duration,
    closure: impl FnOnce() -> Fut,
) -> Result<T, CapacityError<E>>
where
    Fut: Future<Output = Result<T, BookingError<E>>>,
{
    // The closure itself may panic, too.
    let asked = AssertUnwindSafe(async { closure().await }).catch_unwind();
    match timeout(limit, asked).await {
        Ok(Ok(answer)) => answer.map_err(CapacityError::from),
        Ok(Err(_panic)) => Err(CapacityError::Panicked),
        Err(_elapsed) => Err(CapacityError::TimedOut),
    }
}
