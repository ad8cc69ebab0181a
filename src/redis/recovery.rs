//! Recovery steps that are given a connection.

use std::{future::Future, sync::Arc};

use super::{
    call::Guarded,
    connection::Connection,
    shared::{Caller, Inner},
};
use crate::{
    Error,
    health::{Fault, FaultClass, Recovery, Registration, Stage},
};

/// The step holds the handle weakly: the monitor holds the step, and the handle the monitor.
pub(super) fn register<F, Fut>(
    inner: &Arc<Inner>,
    stage: Stage,
    name: &'static str,
    step: F,
) -> Registration
where
    F: Fn(Connection, Recovery) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Error>> + Send + 'static,
{
    let weak = Arc::downgrade(inner);
    inner.monitor.on_recovery(stage, name, move |recovery| {
        let running = weak.upgrade().map(|redis| {
            let deadline = redis.probe_timeout;
            let guarded = Guarded { redis, bound: None, caller: Caller::Recovery, deadline };
            step(Connection(guarded), recovery)
        });
        async move {
            let Some(running) = running else { return Ok(()) };
            running.await.map_err(with_its_fault)
        }
    })
}

/// An error that says only that Redis went away gets a fault: to the monitor an error without one
/// is the step's own.
fn with_its_fault(error: Error) -> Error {
    if error.fault().is_none() && error.is_unavailable() {
        return error.with_fault(Fault::new(FaultClass::Recovery, "interrupted"));
    }
    error
}
