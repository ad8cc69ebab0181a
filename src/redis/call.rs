//! One call: admission, deadline, release, classes, evidence.

use std::{pin::pin, time::Duration};

use deadpool_redis::redis::RedisError;
use tokio::time::{Instant, sleep_until};

use super::{
    classify,
    commands::{self, Command, Nature},
    connection::{Bound, Connection},
    lanes::{Reply, Request},
    meter::Outcome,
};
use crate::{
    Error, ErrorKind,
    health::{Admission, Fault, FaultClass, RequestBudget, State},
    redis::Topology,
};

/// On whose behalf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// A request: admitted by the monitor, and what it meets is evidence.
    Request,
    /// A recovery step: served before Redis is announced; what it meets goes to the monitor with its error.
    Recovery,
    /// Has a connection of its own: may block and bind it.
    Owner,
}

/// Why there is no answer.
pub(super) enum Failure {
    Own(Error),
    Client(RedisError),
}

/// What came of sending.
enum Sent {
    NoLane,
    Answered(Result<Reply, RedisError>),
    Released,
    TimedOut,
}

/// What is known about a request before it is sent.
#[derive(Clone, Copy)]
struct Plan {
    command: Command,
    nature: Nature,
    /// Sending it twice is as good as once.
    repeatable: bool,
}

impl Plan {
    fn of(request: Request<'_>) -> Self {
        match request {
            Request::Command(cmd) => {
                let command = Command::of(cmd);
                let nature = commands::nature(command, cmd);
                Self { command, nature, repeatable: nature == Nature::Read }
            }
            Request::Pipeline(pipeline, ..) => {
                let natures =
                    pipeline.cmd_iter().map(|cmd| commands::nature(Command::of(cmd), cmd));
                let nature = natures.reduce(Nature::with).unwrap_or(Nature::Read);
                let reads = nature == Nature::Read;
                Self { command: Command::PIPELINE, nature, repeatable: reads }
            }
        }
    }
}

impl Connection {
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
                self.tell(admission, fault, began);
            }
            if lost && plan.repeatable && tries == 0 {
                tries += 1;
                if let Some(again) = self.readmitted(plan, deadline).await {
                    admission = again;
                    continue;
                }
            }
            self.count(plan, outcome, began);
            if let Ok(reply) = &result {
                self.redis.meter.answered(plan.command, reply);
            }
            return result;
        }
    }

    /// May it be sent at all?
    fn admit(&self, plan: Plan) -> Result<Admission, Failure> {
        let monitor = &self.redis.monitor;
        let admission = monitor.admit();
        if self.caller != Caller::Owner && matches!(plan.nature, Nature::Blocks | Nature::Binds) {
            return Err(Failure::Own(Error::new(
                ErrorKind::Invalid,
                "this command needs a connection of its own: Redis::dedicated",
            )));
        }
        let admitted = match (self.caller, plan.nature) {
            (Caller::Recovery, _) => !admission.is_forced(),
            (_, Nature::Read) => admission.can_read(),
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

    async fn send(&mut self, request: Request<'_>, deadline: Instant) -> Sent {
        let Some(Bound { lane, conn }) = self.bound() else { return Sent::NoLane };
        let mut released = pin!(lane.released());
        tokio::select! {
            biased;
            answer = conn.send(request) => Sent::Answered(answer),
            () = &mut released => Sent::Released,
            () = sleep_until(deadline) => Sent::TimedOut,
        }
    }

    /// The lane in use, or another when it is no longer kept.
    fn bound(&mut self) -> Option<&mut Bound> {
        let stale = self.lane.as_ref().is_none_or(|bound| bound.lane.is_retired());
        if stale && self.caller != Caller::Owner {
            self.lane = self.redis.lanes.pick().map(Bound::to);
        }
        self.lane.as_mut()
    }

    fn tell(&self, admission: Admission, fault: Fault, began: Instant) {
        let redirect = fault.code() == "MOVED" && self.redis.topology == Topology::Cluster;
        if self.caller == Caller::Recovery || redirect {
            return;
        }
        if fault.class() == FaultClass::Hang {
            if self.caller == Caller::Owner {
                return;
            }
            RequestBudget::exhaust();
            // Who waits for less than the settings say has not seen a hang.
            if self.deadline < self.redis.op_timeout {
                return;
            }
        }
        self.redis.monitor.report(admission, fault, began);
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
        self.redis.meter.record(plan.command, outcome, took);
    }
}

/// What came of it, for everyone who wants to know.
struct Judged {
    outcome: Outcome,
    fault: Option<Fault>,
    /// The connection was lost under it.
    lost: bool,
    result: Result<Reply, Failure>,
}

fn judge(sent: Sent) -> Judged {
    let failed = |outcome, fault, lost, error| Judged {
        outcome,
        fault,
        lost,
        result: Err(Failure::Own(error)),
    };
    match sent {
        Sent::Answered(Ok(reply)) => {
            let error = classify::server_error(&reply);
            // That a script is not known yet is how a script is sent.
            let is_error = error.is_some_and(|error| error.code() != "NOSCRIPT");
            let outcome = if is_error { Outcome::Error } else { Outcome::Ok };
            let fault = error.and_then(|error| classify::of_server(error.code(), error.details()));
            Judged { outcome, fault, lost: false, result: Ok(reply) }
        }
        Sent::Answered(Err(error)) => {
            let fault = classify::of_error(&error);
            let lost = fault.is_some_and(|fault| fault.class() == FaultClass::Transport);
            Judged { outcome: Outcome::Error, fault, lost, result: Err(Failure::Client(error)) }
        }
        Sent::NoLane => {
            let error = Error::new(ErrorKind::Unavailable, "there is no connection to Redis");
            failed(Outcome::Skipped, None, true, error)
        }
        Sent::Released => {
            let error = Error::new(ErrorKind::Connection, "Redis went away before it answered");
            failed(Outcome::Error, None, true, error)
        }
        Sent::TimedOut => {
            let error = Error::new(ErrorKind::Timeout, "no answer from Redis in time")
                .with_fault(Fault::HANG);
            failed(Outcome::Timeout, Some(Fault::HANG), false, error)
        }
    }
}
