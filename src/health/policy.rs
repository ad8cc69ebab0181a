//! (what is known, what was seen, when) → what is known next. Pure: no clock, no I/O; times are
//! durations since the monitor's start and chance comes from a seed.

mod answers;
mod outage;
mod seen;

use std::{ops::Range, time::Duration};

use rand::{RngExt, rngs::StdRng};

use super::{
    Fault, FaultClass, ProbeAnswer, ProbeOptions, State, Via, Writes,
    schedule::{Backoff, jittered},
};

/// Between attempts that only ask a server that is there.
const PATIENT: Duration = Duration::from_secs(1);
/// Between two probes that requests ask for: over half a second, so that thousands of requests make
/// few probes; under one, so that they have Redis back within a second; and as near to that as can
/// be: the longer the interval, the fewer of many instances ask in the same instant.
const REQUESTED_EVERY: Range<f64> = 0.85..0.95;

/// The policy's numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) op_timeout: Duration,
    pub(crate) probe_timeout: Duration,
    pub(crate) probe_interval: Duration,
    pub(crate) backoff: Backoff,
    pub(crate) startup_attempts: u32,
}

/// What the monitor has to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// ProbeOptions, at this time.
    Probe(Duration, ProbeOptions),
    /// Run the recovery steps.
    Recover,
    /// Nothing before this time.
    Rest(Duration),
}

/// What is known. Everything that is published derives from it.
#[derive(Debug)]
pub(crate) struct Policy {
    rules: Rules,
    rng: StdRng,
    state: State,
    writes: bool,
    /// Why the state is not `Connected`, or why writes are gone.
    cause: Option<Fault>,
    last_fault: Option<(Fault, Duration)>,
    since: Duration,
    verified: Option<Duration>,
    response_time: Option<Duration>,
    forced_until: Option<Duration>,
    /// Was it ever connected?
    reached: bool,
    recovering: bool,
    /// What the probe that began recovery said of writes.
    pending_writes: bool,
    attempts: u32,
    reconnect_attempts: u64,
    late: u8,
    /// A write went unanswered once: asked again before it is believed.
    silent: bool,
    successes: u32,
    successes_needed: u32,
    /// When the last outage ended.
    up_since: Option<Duration>,
    outages: u64,
    outage_since: Option<Duration>,
    degraded: Duration,
    next_probe: Duration,
    /// When requests may next have a probe. Drawn once a probe: the least of many draws would be no
    /// spread at all.
    next_requested: Duration,
    via: Via,
    probes: u64,
    last_fresh: Duration,
    in_flight: Option<ProbeOptions>,
}
impl Policy {
    pub(crate) fn new(rules: Rules, rng: StdRng) -> Self {
        Self {
            rules,
            rng,
            state: State::Connecting,
            writes: false,
            cause: None,
            last_fault: None,
            since: Duration::ZERO,
            verified: None,
            response_time: None,
            forced_until: None,
            reached: false,
            recovering: false,
            pending_writes: true,
            attempts: 0,
            reconnect_attempts: 0,
            late: 0,
            silent: false,
            successes: 0,
            successes_needed: 1,
            up_since: None,
            outages: 0,
            outage_since: None,
            degraded: Duration::ZERO,
            next_probe: Duration::ZERO,
            next_requested: Duration::ZERO,
            via: Via::Renew,
            probes: 0,
            last_fresh: Duration::ZERO,
            in_flight: None,
        }
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    pub(crate) fn reads(&self) -> bool {
        self.state == State::Connected
    }

    pub(crate) fn writes(&self) -> bool {
        self.reads() && self.writes
    }

    pub(crate) fn forced(&self) -> bool {
        self.forced_until.is_some()
    }

    pub(crate) fn cause(&self) -> Option<Fault> {
        self.cause
    }

    pub(crate) fn facts(&self) -> Facts {
        Facts {
            since: self.since,
            verified: self.verified,
            last_fault: self.last_fault,
            response_time: self.response_time,
            attempts: self.attempts,
            reconnect_attempts: self.reconnect_attempts,
            outages: self.outages,
            outage_since: self.outage_since,
            degraded: self.degraded,
            next_probe: self.next_probe,
        }
    }

    /// Was it ever connected?
    pub(crate) fn reached(&self) -> bool {
        self.reached
    }

    /// The answer to the probe that was sent still counts.
    pub(crate) fn awaits_answer(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Connections are worth keeping through this outage.
    pub(crate) fn keeps_connections(&self) -> bool {
        self.via == Via::Kept
    }

    pub(crate) fn next(&self) -> Next {
        if let Some(until) = self.forced_until {
            return Next::Rest(until);
        }
        if self.recovering {
            return Next::Recover;
        }
        Next::Probe(self.next_probe, self.probe_options())
    }

    fn probe_options(&self) -> ProbeOptions {
        let late_after = match self.cause.map(Fault::class) {
            Some(FaultClass::Slow) if self.state != State::Connected => self.rules.op_timeout / 2,
            _ => self.rules.op_timeout,
        };
        ProbeOptions {
            via: self.via,
            write: self.state != State::Connected
                || !self.writes
                || self.silent
                || self.probes % 2 == 1,
            late_after,
            deadline: self.deadline(),
        }
    }

    /// A connection that is idle is given no longer than a command would have; with the
    /// verification that follows it, that makes one probe timeout. While writes are gone, the one
    /// to try them on may have to be made. New connections for all may take as long again to be
    /// made.
    fn deadline(&self) -> Duration {
        let Rules { op_timeout, probe_timeout, .. } = self.rules;
        match (self.state, self.via) {
            (State::Connected, Via::Kept) if self.writes => op_timeout.min(probe_timeout),
            (State::Suspect, _) => probe_timeout.saturating_sub(op_timeout).max(op_timeout),
            (_, Via::Renew) => probe_timeout * 2,
            _ => probe_timeout,
        }
    }
}

/// The numbers that go with a state.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    pub(crate) since: Duration,
    pub(crate) verified: Option<Duration>,
    pub(crate) last_fault: Option<(Fault, Duration)>,
    pub(crate) response_time: Option<Duration>,
    pub(crate) attempts: u32,
    pub(crate) reconnect_attempts: u64,
    pub(crate) outages: u64,
    pub(crate) outage_since: Option<Duration>,
    pub(crate) degraded: Duration,
    pub(crate) next_probe: Duration,
}

#[cfg(test)]
#[path = "policy_tests/mod.rs"]
mod tests;
