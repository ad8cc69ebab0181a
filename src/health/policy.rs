//! The pure law of the monitor: from what is known, what was seen and when, to what is known next.
//!
//! There is no clock and no I/O here: times are durations since the monitor's start, and chance
//! comes from a seed.

mod answers;
mod events;
mod outage;

use std::{ops::Range, time::Duration};

use rand::{RngExt, rngs::StdRng};
use tokio::time::Instant;

use super::{
    Fault, FaultClass, ProbeAnswer, ProbeOptions, State, Status, Via, Writes,
    schedule::{Backoff, jittered},
};

/// Between attempts at a server that answers, but does not serve.
const ANSWERING_RETRY: Duration = Duration::from_secs(1);
/// Between two probes that requests cause, in seconds. Over half a second, so that thousands of
/// requests cause few probes; under one, so that they have Redis back within a second. It is as
/// near to one as can be: the longer the interval, the fewer of many instances probe in the same
/// instant.
const REQUESTED_INTERVAL: Range<f64> = 0.85..0.95;

/// The settings that the policy goes by.
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
    /// Probe at this time.
    Probe(Duration, ProbeOptions),
    /// Run the recovery steps.
    Recover,
    /// Do nothing before this time.
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
    facts: Facts,
    forced_until: Option<Duration>,
    /// Was it ever connected?
    reached: bool,
    recovering: bool,
    /// What the probe that began the recovery said of writes.
    pending_writes: bool,
    /// Answers in a row that came late.
    late_answers: u8,
    /// A write went unanswered once: it is tried again before writes count as gone.
    write_unanswered: bool,
    /// A write is to be tried with the next probe.
    write_suspected: bool,
    /// Good answers in a row since the last fault, and how many of them end the outage.
    successes: u32,
    successes_needed: u32,
    /// When the last outage ended.
    up_since: Option<Duration>,
    /// When requests may next cause a probe. One draw per probe: if each request drew its own
    /// delay, the smallest would win and all instances would probe together.
    next_requested_probe: Duration,
    /// Over which connection the next probe goes.
    via: Via,
    probes: u64,
    /// When a new connection was last tried.
    last_fresh: Duration,
    /// The probe whose answer still counts.
    in_flight: Option<ProbeOptions>,
}

/// The numbers that go with a state, as [`Status`](super::Status) explains them.
#[derive(Debug, Clone, Copy, Default)]
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

impl Policy {
    pub(crate) fn new(rules: Rules, rng: StdRng) -> Self {
        Self {
            rules,
            rng,
            state: State::Connecting,
            writes: false,
            cause: None,
            facts: Facts::default(),
            forced_until: None,
            reached: false,
            recovering: false,
            pending_writes: true,
            late_answers: 0,
            write_unanswered: false,
            write_suspected: false,
            successes: 0,
            successes_needed: 1,
            up_since: None,
            next_requested_probe: Duration::ZERO,
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

    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Everything that is known, for a monitor that was started at `start`.
    pub(crate) fn status(&self, start: Instant) -> Status {
        let at = |time: Duration| start + time;
        let facts = &self.facts;
        Status {
            state: self.state,
            reads: self.reads(),
            writes: self.writes(),
            forced: self.forced(),
            since: at(facts.since),
            verified: facts.verified.map(at),
            last_fault: facts.last_fault.map(|(fault, time)| (fault, at(time))),
            response_time: facts.response_time,
            retry_count: facts.attempts,
            reconnect_attempts: facts.reconnect_attempts,
            outages: facts.outages,
            outage_since: facts.outage_since.map(at),
            degraded: facts.degraded,
            next_attempt: at(facts.next_probe),
        }
    }

    /// Was it ever connected?
    pub(crate) fn reached(&self) -> bool {
        self.reached
    }

    /// A probe is on its way, and its answer still counts.
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
        Next::Probe(self.facts.next_probe, self.probe_options())
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
                || self.write_unanswered
                || self.write_suspected
                || self.probes % 2 == 1,
            late_after,
            deadline: self.deadline(),
        }
    }

    /// The longest that the next probe may take.
    fn deadline(&self) -> Duration {
        let Rules { op_timeout, probe_timeout, .. } = self.rules;
        match (self.state, self.via) {
            // As long as a command. With the verification that follows a hang, that makes one probe
            // timeout until an idle monitor knows. (While writes are gone, the connection to try
            // them on may have to be made first, so this arm is not for them.)
            (State::Connected, Via::Kept) if self.writes => op_timeout.min(probe_timeout),
            (State::Suspect, _) => probe_timeout.saturating_sub(op_timeout).max(op_timeout),
            // New connections take time to be made.
            (_, Via::Renew) => probe_timeout * 2,
            _ => probe_timeout,
        }
    }
}

#[cfg(test)]
#[path = "policy_tests/mod.rs"]
mod tests;
