//! One call: admission, deadline, release, classes, evidence.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::{
    classify,
    commands::Nature,
    conn::{Conn, Reply, Request},
    connections::SharedConnection,
    judge::{Judged, Sent, judge},
    metrics::Outcome,
    plan::Plan,
    rights,
    shared::{Caller, Failure, Inner},
    topology::Topology,
};
use crate::{
    Error, ErrorKind,
    health::{Admission, Fault, FaultClass, RequestBudget, State},
};

/// A connection whose calls are guarded: admitted, ended at a deadline, released with an outage,
/// counted, and evidence of what they meet.
#[derive(Clone)]
pub(super) struct Guarded {
    pub(super) redis: Arc<Inner>,
    pub(super) bound: Option<Bound>,
    pub(super) caller: Caller,
    pub(super) deadline: Duration,
}

/// A shared connection with a sender of one's own.
#[derive(Clone)]
pub(super) struct Bound {
    shared: Arc<SharedConnection>,
    conn: Conn,
}

impl Bound {
    pub(super) fn to(shared: Arc<SharedConnection>) -> Self {
        let conn = shared.conn.clone();
        Self { shared, conn }
    }
}

impl Guarded {
    pub(super) async fn call(&mut self, request: Request<'_>) -> Result<Reply, Failure> {
        let began = Instant::now();
        let deadline = began + self.deadline;
        let plan = Plan::of(request);
        let mut admission = match self.admit(plan) {
            Ok(admission) => admission,
            Err(failure) => {
                self.count(plan, Outcome::Skipped, began);
                return Err(failure);
            }
        };
        let mut tries = 0;
        loop {
            let Judged { outcome, fault, lost, result } = judge(self.send(request, deadline).await);
            if let Some(fault) = fault {
                self.report(admission, fault, began);
            }
            if lost && plan.is_repeatable() && tries == 0 {
                tries += 1;
                if let Some(again) = self.readmitted(plan, deadline).await {
                    admission = again;
                    continue;
                }
            }
            self.count(plan, outcome, began);
            let result = result.and_then(|reply| self.permitted(reply));
            if let Ok(reply) = &result {
                self.redis.command_metrics.answered(plan.command, reply);
            }
            return result;
        }
    }

    /// May it be sent at all?
    fn admit(&self, plan: Plan) -> Result<Admission, Failure> {
        let monitor = &self.redis.monitor;
        let admission = monitor.admit();
        if let Some(reason) = self.refusal(plan.nature) {
            return Err(Failure::Own(Error::new(ErrorKind::Invalid, reason)));
        }
        let admitted = match self.caller {
            Caller::Recovery => !admission.is_forced(),
            _ if plan.is_read => admission.can_read(),
            _ => admission.can_write(),
        };
        if !admitted {
            monitor.request_probe();
            return Err(Failure::Own(monitor.unavailable()));
        }
        if self.caller == Caller::Request && RequestBudget::is_exhausted() {
            let message = "this request has waited for Redis once already";
            return Err(Failure::Own(Error::new(ErrorKind::Unavailable, message)));
        }
        Ok(admission)
    }

    /// Why this connection does not take a command of this nature.
    fn refusal(&self, nature: Nature) -> Option<&'static str> {
        match nature {
            Nature::Listens => Some(
                "its messages could never be read here: use Redis::subscribe or Redis::psubscribe",
            ),
            Nature::Blocks | Nature::Binds if self.caller != Caller::Owner => {
                Some("this command needs a connection of its own: Redis::dedicated")
            }
            _ => None,
        }
    }

    async fn send(&mut self, request: Request<'_>, deadline: Instant) -> Sent {
        let Some(Bound { shared, conn }) = self.bound() else { return Sent::NoConnection };
        let mut released = pin!(shared.released());
        tokio::select! {
            biased;
            answer = conn.send(request) => Sent::Answered(answer),
            () = &mut released => Sent::Released,
            () = sleep_until(deadline) => Sent::TimedOut,
        }
    }

    /// The shared connection in use, or another when that one is no longer kept.
    fn bound(&mut self) -> Option<&mut Bound> {
        let stale = self.bound.as_ref().is_none_or(|bound| bound.shared.is_retired());
        if stale && self.caller != Caller::Owner {
            self.bound = self.redis.connections.pick().map(Bound::to);
        }
        self.bound.as_mut()
    }

    /// Evidence for the monitor.
    fn report(&self, admission: Admission, fault: Fault, began: Instant) {
        let redirect = fault.code() == "MOVED" && self.redis.topology == Topology::Cluster;
        if self.caller == Caller::Recovery || redirect {
            return;
        }
        if fault.class() == FaultClass::Hang {
            if self.caller == Caller::Owner {
                return;
            }
            RequestBudget::exhaust();
            // A caller that waits for less than the settings say has not seen a hang.
            if self.deadline < self.redis.op_timeout {
                return;
            }
        }
        self.redis.monitor.report(admission, fault, began);
    }

    /// A refusal for lack of rights is the caller's error, and the monitor finds out whether it is
    /// more. To a recovery step it is a fault of Redis once that is known: the step would
    /// otherwise complain, and Redis would be announced without what it had to write.
    fn permitted(&self, reply: Reply) -> Result<Reply, Failure> {
        let refused = classify::server_error(&reply).is_some_and(rights::is_refusal);
        if !refused {
            return Ok(reply);
        }
        match self.redis.rights.missing().filter(|_| self.caller == Caller::Recovery) {
            Some(fault) => {
                let error = Error::new(ErrorKind::Refused, fault.to_string()).with_fault(fault);
                Err(Failure::Own(error))
            }
            None => {
                self.redis.monitor.verify_writes();
                Ok(reply)
            }
        }
    }

    /// Waits, within the deadline, until it is known whether only a connection was lost.
    async fn readmitted(&self, plan: Plan, deadline: Instant) -> Option<Admission> {
        if self.caller != Caller::Request {
            return None;
        }
        let monitor = &self.redis.monitor;
        let mut watch = monitor.watch();
        let settled = watch.wait_for(|_| monitor.state() != State::Suspect);
        match tokio::time::timeout_at(deadline, settled).await {
            Ok(Ok(_)) => self.admit(plan).ok(),
            Ok(Err(_ended)) => None,
            Err(_elapsed) => {
                RequestBudget::exhaust();
                None
            }
        }
    }

    fn count(&self, plan: Plan, outcome: Outcome, began: Instant) {
        let took: Duration = began.elapsed();
        self.redis.command_metrics.record(plan.command, outcome, took);
    }
}
