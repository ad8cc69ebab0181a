//! Puts the gates right, item by item.

use std::{fmt, pin::pin};

use futures_core::Stream;
use futures_util::StreamExt;

use super::{
    store::Capacity,
    truth::{Truth, check},
    verdict::Reconciled,
};

impl Capacity {
    /// Compares the gates with what the database says, and mends those that differ: after unknown
    /// outcomes, ended holds, and changes that the database saw alone. `truths` is what the
    /// database has, an item for each event that is still sold, in any order; gates that it does
    /// not name stay as they are.
    ///
    /// An item that cannot be read counts as failed, and its gate stays as it is. A gate of which
    /// seats were released since the beginning is given up, because its row may have been read
    /// before. The same event twice does no harm. To be run now and then by one instance: a
    /// [job](crate::jobs) with a single runner.
    ///
    /// # When Redis is down
    ///
    /// It ends there, and [says so](Reconciled::is_complete). It can be repeated at any time.
    pub async fn reconcile<S, E>(&self, truths: S) -> Reconciled
    where
        S: Stream<Item = Result<Truth, E>>,
        E: fmt::Display,
    {
        let shared = &*self.inner.shared;
        let (gates, mut connection) = (&shared.touched.gates, shared.redis.connection());
        let mut found = Reconciled::default();
        // Before the first row is read.
        let begun = match shared.switch.redis(gates.now(&mut connection)).await {
            Ok(begun) => begun,
            Err(error) => {
                shared.switch.log(&error);
                return found;
            }
        };
        let mut truths = pin!(truths);
        let mut failure = None;
        while let Some(truth) = truths.next().await {
            let truth = match truth {
                Ok(truth) => truth,
                Err(error) => {
                    found.failed += 1;
                    failure = Some(error.to_string());
                    continue;
                }
            };
            if let Err(error) = check("event", &truth.event) {
                found.failed += 1;
                failure = Some(error.to_string());
                continue;
            }
            let since = shared.touched.since();
            let mended =
                gates.reconcile(&mut connection, &truth.event, since, truth.occupancy, begun);
            match shared.switch.redis(mended).await {
                Ok(true) => found.mended += 1,
                Ok(false) => found.right += 1,
                Err(error) if error.is_unavailable() => return found,
                Err(error) => {
                    found.failed += 1;
                    failure = Some(error.to_string());
                }
            }
        }
        if let Some(failure) = failure {
            let (name, failed) = (&self.inner.name, found.failed);
            tracing::warn!(capacity = %name, failed, failure, "gates could not be reconciled");
        }
        found.is_complete = true;
        found
    }
}
