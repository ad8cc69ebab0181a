//! What a monitor's task waits for: a probe that is in flight, or the recovery steps.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::timeout;

use super::{
    Fault, FaultClass, ProbeAnswer, ProbeOptions, Recovery, probe::DynProbe, shared::Shared,
};

/// A probe or the recovery steps, whichever is in flight: never both, never two.
pub(super) type InFlight = BoxFuture<'static, Outcome>;

pub(super) enum Outcome {
    Probed(Result<ProbeAnswer, Fault>),
    Recovered,
    RecoveryFailed(Fault),
}

/// One probe, cut off at its deadline; a panic in it is a failure of it.
pub(super) fn probe_once(probe: Arc<dyn DynProbe>, options: ProbeOptions) -> InFlight {
    async move {
        // In a block of its own: `probe` may panic before it returns a future.
        let answer = timeout(options.deadline, async { probe.probe(options).await });
        Outcome::Probed(match AssertUnwindSafe(answer).catch_unwind().await {
            Ok(Ok(result)) => result,
            Ok(Err(_elapsed)) => Err(Fault::HANG),
            Err(_panic) => Err(Fault::new(FaultClass::Transport, "panic")),
        })
    }
    .boxed()
}

/// The recovery steps in their order, each bounded in time. A fault of the dependency ends them; an
/// error or a panic of a step's own does not.
pub(super) fn recover(shared: Arc<Shared>, recovery: Recovery, step_timeout: Duration) -> InFlight {
    async move {
        for step in shared.steps.all() {
            let name = step.name;
            let run = timeout(step_timeout, async { step.run(recovery.clone()).await });
            match AssertUnwindSafe(run).catch_unwind().await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => match error.fault() {
                    Some(fault) => return Outcome::RecoveryFailed(fault),
                    None => {
                        tracing::warn!(step = name, %error, "a recovery step set something aside")
                    }
                },
                Ok(Err(_elapsed)) => {
                    tracing::warn!(step = name, ?step_timeout, "a recovery step took too long");
                    return Outcome::RecoveryFailed(Fault::new(FaultClass::Recovery, "timeout"));
                }
                Err(_panic) => tracing::error!(step = name, "a recovery step panicked"),
            }
        }
        recovery.finish();
        Outcome::Recovered
    }
    .boxed()
}
