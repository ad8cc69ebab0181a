//! (what is known, what was seen, when) → what is known next. Pure: no clock, no I/O; times are
//! durations since the monitor's start and chance comes from a seed.

use std::{ops::Range, time::Duration};

use rand::{RngExt, rngs::StdRng};

use super::{
    Answer, Ask, Fault, FaultClass, State, Via, Writes,
    schedule::{Backoff, jittered},
};

/// Late answers in a row that make an outage.
const LATE_LIMIT: u8 = 3;
/// Between the successes that a relapsing dependency has to show.
const CONFIRM_EVERY: Duration = Duration::from_millis(50);
/// Between attempts that only ask a server that is there.
const PATIENT: Duration = Duration::from_secs(1);
/// Between two probes that requests ask for: over half a second, so that thousands of requests make few probes; under
/// one, so that they have Redis back within a second; and as near to that as can be: the longer the interval, the fewer of
/// many instances ask in the same instant.
const DEMAND_EVERY: Range<f64> = 0.85..0.95;
/// A relapse is an outage that begins this soon after the last one ended.
const RELAPSE_WITHIN: Duration = Duration::from_secs(60);
/// The most successes that are ever asked for.
const MOST_SUCCESSES: u32 = 8;
/// How often a new connection is tried while all is well.
const FRESH_EVERY: Duration = Duration::from_secs(60);

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
    /// Ask, at this time.
    Probe(Duration, Ask),
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
    /// When requests may next have a probe. Drawn once a probe: the least of many draws would be no spread at all.
    next_demand: Duration,
    via: Via,
    probes: u64,
    last_fresh: Duration,
    asked: Option<Ask>,
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
            next_demand: Duration::ZERO,
            via: Via::Renew,
            probes: 0,
            last_fresh: Duration::ZERO,
            asked: None,
        }
    }

    // What is known.

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
        self.asked.is_some()
    }

    /// Connections are worth keeping through this outage.
    pub(crate) fn keeps_connections(&self) -> bool {
        self.via == Via::Kept
    }

    // What comes next.

    pub(crate) fn next(&self) -> Next {
        if let Some(until) = self.forced_until {
            return Next::Rest(until);
        }
        if self.recovering {
            return Next::Recover;
        }
        Next::Probe(self.next_probe, self.ask())
    }

    fn ask(&self) -> Ask {
        let late_after = match self.cause.map(Fault::class) {
            Some(FaultClass::Slow) if self.state != State::Connected => self.rules.op_timeout / 2,
            _ => self.rules.op_timeout,
        };
        Ask {
            via: self.via,
            write: self.state != State::Connected
                || !self.writes
                || self.silent
                || self.probes % 2 == 1,
            late_after,
            deadline: self.deadline(),
        }
    }

    /// A connection that is idle is given no longer than a command would have; with the verification that
    /// follows it, that makes one probe timeout. While writes are gone, the one to try them on may have to be made. New
    /// connections for all may take as long again to be made.
    fn deadline(&self) -> Duration {
        let Rules { op_timeout, probe_timeout, .. } = self.rules;
        match (self.state, self.via) {
            (State::Connected, Via::Kept) if self.writes => op_timeout.min(probe_timeout),
            (State::Suspect, _) => probe_timeout.saturating_sub(op_timeout).max(op_timeout),
            (_, Via::Renew) => probe_timeout * 2,
            _ => probe_timeout,
        }
    }

    // What is seen.

    /// A probe was sent.
    pub(crate) fn asked(&mut self, ask: Ask, now: Duration) {
        self.asked = Some(ask);
        self.next_demand = now + Duration::from_secs_f64(self.rng.random_range(DEMAND_EVERY));
        self.probes += 1;
        if ask.via == Via::Fresh {
            self.last_fresh = now;
        }
        if matches!(self.state, State::Connecting | State::Disconnected | State::Failed) {
            self.reconnect_attempts += 1;
        }
    }

    /// A request had to go without.
    pub(crate) fn demand(&mut self, now: Duration) {
        let may = match self.state {
            State::Connecting | State::Disconnected | State::Failed => {
                self.cause.map(Fault::class) != Some(FaultClass::Credentials)
            }
            State::Connected => !self.writes,
            State::Suspect | State::Recovering => false,
        };
        if may {
            self.next_probe = self.next_probe.min(self.next_demand.max(now));
        }
    }

    /// A request met a fault.
    pub(crate) fn evidence(&mut self, fault: Fault, now: Duration) {
        if self.state != State::Connected {
            return;
        }
        self.note(fault, now);
        match fault.class() {
            FaultClass::Transport | FaultClass::Hang | FaultClass::Slow => self.doubt(fault, now),
            FaultClass::WrongNode | FaultClass::WritesGone => self.lose_writes(fault, now),
            FaultClass::NotServing
            | FaultClass::Credentials
            | FaultClass::Forced
            | FaultClass::Recovery => self.go_down(fault, now),
        }
    }

    /// A probe ended.
    pub(crate) fn probed(&mut self, result: Result<Answer, Fault>, now: Duration) {
        let Some(ask) = self.asked.take() else { return };
        if self.forced() {
            return;
        }
        match result {
            Ok(answer) if answer.latency > ask.late_after => self.late_answer(answer, now),
            Ok(answer) => self.good_answer(ask, answer, now),
            Err(fault) => self.no_answer(ask, fault, now),
        }
    }

    /// All recovery steps are done.
    pub(crate) fn recovered(&mut self, now: Duration) {
        if !self.recovering || self.forced() {
            return;
        }
        self.recovering = false;
        self.writes = self.pending_writes;
        if self.writes {
            self.cause = None;
        }
        if self.state != State::Connected {
            self.end_outage(now);
            self.reached = true;
        }
        self.enter_connected(now);
    }

    /// A recovery step met a fault: nothing has recovered.
    pub(crate) fn recovery_failed(&mut self, fault: Fault, now: Duration) {
        if !self.recovering || self.forced() {
            return;
        }
        let without_writes =
            matches!(fault.class(), FaultClass::WritesGone | FaultClass::WrongNode);
        let for_want_of_writes = !self.pending_writes && fault.class() == FaultClass::Hang;
        if self.state == State::Connected {
            self.recovering = false;
            self.note(fault, now);
            match fault.class() {
                FaultClass::Recovery => self.lose_writes(fault, now),
                _ => self.evidence(fault, now),
            }
        } else if without_writes {
            self.note(fault, now);
            self.pending_writes = false;
            self.recovered(now);
            self.cause = Some(fault);
        } else if for_want_of_writes {
            self.recovered(now);
        } else {
            self.recovering = false;
            self.note(fault, now);
            self.failed_attempt(fault, now);
        }
    }

    /// Taken away by hand.
    pub(crate) fn force_down(&mut self, until: Duration, now: Duration) {
        self.forced_until = Some(until.max(now));
        self.recovering = false;
        self.note(Fault::FORCED, now);
        self.go_down(Fault::FORCED, now);
    }

    /// Given back by hand, or by the end of its time.
    pub(crate) fn release(&mut self, now: Duration) {
        if self.forced_until.take().is_some() {
            self.next_probe = now;
            self.via = Via::Both;
        }
    }

    // Arms.

    fn note(&mut self, fault: Fault, now: Duration) {
        self.last_fault = Some((fault, now));
    }

    fn enter(&mut self, state: State, now: Duration) {
        if self.state != state {
            self.state = state;
            self.since = now;
        }
    }

    /// In doubt: verify at once, on what we have and afresh.
    fn doubt(&mut self, fault: Fault, now: Duration) {
        self.cause = Some(fault);
        self.recovering = false;
        // `since` belongs to what was announced, and doubt never is.
        self.state = State::Suspect;
        self.asked = None;
        self.via = Via::Both;
        self.next_probe = now;
    }

    fn lose_writes(&mut self, fault: Fault, now: Duration) {
        self.writes = false;
        self.recovering = false;
        self.cause = Some(fault);
        self.asked = None;
        self.via = via_for(fault);
        let chance = self.part(now);
        self.next_probe = now + PATIENT.mul_f64(2.0 * chance);
    }

    fn good_answer(&mut self, ask: Ask, answer: Answer, now: Duration) {
        self.verified = Some(now);
        self.response_time = Some(answer.latency);
        self.late = 0;
        match self.state {
            // It went and came back between two looks: what it lost is made good before it is used.
            State::Connected | State::Suspect if answer.restarted && self.writes => {
                self.begin_outage(now);
                self.begin_recovery(answer.writes, now);
            }
            State::Connected if self.is_first_silence(answer.writes) => {
                self.silent = true;
                self.next_probe = now;
            }
            State::Connected | State::Suspect => {
                self.state = State::Connected;
                self.silent = false;
                self.judge_writes(ask, answer.writes, now);
                self.schedule_idle(now);
            }
            State::Connecting | State::Disconnected | State::Failed | State::Recovering => {
                self.successes += 1;
                if self.successes < self.successes_needed {
                    self.via = Via::Kept;
                    self.next_probe = now + CONFIRM_EVERY;
                    return;
                }
                self.begin_recovery(answer.writes, now);
            }
        }
    }

    fn begin_recovery(&mut self, writes: Writes, now: Duration) {
        self.successes = 0;
        self.silent = false;
        self.recovering = true;
        self.pending_writes = !matches!(writes, Writes::Gone(_));
        self.cause = None;
        if let Writes::Gone(fault) = writes {
            self.cause = Some(fault);
            self.note(fault, now);
        }
        if self.state != State::Connecting {
            self.enter(State::Recovering, now);
        }
    }

    /// One write that is late may have had bad luck.
    fn is_first_silence(&self, writes: Writes) -> bool {
        self.writes && !self.silent && writes == Writes::Gone(Fault::WRITES_HANG)
    }

    /// Writes that come back are announced after the recovery steps: what could not be written
    /// meanwhile comes first.
    fn judge_writes(&mut self, ask: Ask, writes: Writes, now: Duration) {
        let work = match writes {
            Writes::Work => true,
            Writes::Gone(fault) => {
                self.writes = false;
                self.cause = Some(fault);
                self.note(fault, now);
                return;
            }
            // Asked and not allowed to try: the next request that writes finds out.
            Writes::Unknown => self.writes || ask.write,
        };
        if self.writes {
            self.cause = None;
        } else if work {
            self.recovering = true;
            self.pending_writes = true;
        }
    }

    fn late_answer(&mut self, answer: Answer, now: Duration) {
        self.verified = Some(now);
        self.response_time = Some(answer.latency);
        self.note(Fault::SLOW, now);
        match self.state {
            State::Connected | State::Suspect => {
                self.late += 1;
                if self.late >= LATE_LIMIT {
                    self.late = 0;
                    self.go_down(Fault::SLOW, now);
                } else {
                    self.doubt(Fault::SLOW, now);
                }
            }
            State::Connecting | State::Disconnected | State::Failed | State::Recovering => {
                self.failed_attempt(Fault::SLOW, now);
            }
        }
    }

    fn no_answer(&mut self, ask: Ask, fault: Fault, now: Duration) {
        self.note(fault, now);
        match self.state {
            // A new connection could not be had: that alone is no outage. What of the old ones?
            State::Connected if ask.via == Via::Fresh => {
                self.via = Via::Kept;
                self.next_probe = now;
            }
            State::Connected => match fault.class() {
                FaultClass::Transport | FaultClass::Hang => self.doubt(fault, now),
                _ => self.go_down(fault, now),
            },
            State::Suspect => {
                self.verified = Some(now);
                self.go_down(fault, now);
            }
            State::Connecting | State::Disconnected | State::Failed | State::Recovering => {
                self.verified = Some(now);
                self.failed_attempt(fault, now);
            }
        }
    }

    /// An outage begins.
    fn go_down(&mut self, fault: Fault, now: Duration) {
        self.enter(State::Disconnected, now);
        self.begin_outage(now);
        self.recovering = false;
        self.cause = Some(fault);
        self.asked = None;
        self.attempts = 0;
        self.successes = 0;
        self.late = 0;
        self.silent = false;
        self.via = via_for(fault);
        let chance = self.part(now);
        let wait = match fault.class() {
            FaultClass::NotServing | FaultClass::Slow | FaultClass::WrongNode => {
                jittered(PATIENT, &mut self.rng)
            }
            FaultClass::Credentials => jittered(self.rules.backoff.last(), &mut self.rng),
            _ => self.rules.backoff.parting(chance),
        };
        self.next_probe = now + wait;
    }

    /// Many instances meet the same fault in the same instant: here they part. One draw for what is scheduled and for what
    /// requests ask for, because the lesser of two would come too early too often.
    fn part(&mut self, now: Duration) -> f64 {
        let chance = self.rng.random();
        self.next_demand = now + Duration::from_secs_f64(DEMAND_EVERY.end * chance);
        chance
    }

    fn failed_attempt(&mut self, fault: Fault, now: Duration) {
        self.begin_outage(now);
        self.cause = Some(fault);
        self.successes = 0;
        self.via = via_for(fault);
        let wait = match fault.class() {
            FaultClass::NotServing | FaultClass::Slow | FaultClass::WrongNode => PATIENT,
            FaultClass::Credentials => self.rules.backoff.last(),
            _ => self.rules.backoff.delay(self.attempts),
        };
        self.attempts = self.attempts.saturating_add(1);
        self.next_probe = now + jittered(wait, &mut self.rng);
        if self.reached || self.state == State::Disconnected {
            self.enter(State::Disconnected, now);
        } else if self.attempts >= self.rules.startup_attempts {
            self.enter(State::Failed, now);
        } else if self.state == State::Recovering {
            self.enter(State::Connecting, now);
        }
    }

    fn enter_connected(&mut self, now: Duration) {
        self.attempts = 0;
        self.late = 0;
        self.enter(State::Connected, now);
        self.last_fresh = now;
        self.schedule_idle(now);
    }

    fn schedule_idle(&mut self, now: Duration) {
        let wait = if self.writes {
            self.via = if now.saturating_sub(self.last_fresh) >= FRESH_EVERY {
                Via::Fresh
            } else {
                Via::Kept
            };
            self.rules.probe_interval
        } else {
            self.via = self.cause.map_or(Via::Kept, via_for);
            PATIENT.min(self.rules.probe_interval)
        };
        self.next_probe = now + jittered(wait, &mut self.rng);
    }

    /// Each relapse doubles what is asked for; each minute of peace halves it.
    fn damp(&mut self, now: Duration) {
        let Some(up_since) = self.up_since else { return };
        let up_for = now.saturating_sub(up_since);
        self.successes_needed = if up_for < RELAPSE_WITHIN {
            (self.successes_needed * 2).min(MOST_SUCCESSES)
        } else {
            let minutes = up_for.as_secs() / RELAPSE_WITHIN.as_secs();
            self.successes_needed.checked_shr(minutes.min(31) as u32).unwrap_or(0).max(1)
        };
    }

    fn begin_outage(&mut self, now: Duration) {
        if self.outage_since.is_none() {
            self.outages += 1;
            self.outage_since = Some(now);
            self.damp(now);
        }
    }

    fn end_outage(&mut self, now: Duration) {
        if let Some(began) = self.outage_since.take() {
            self.degraded += now.saturating_sub(began);
            self.up_since = Some(now);
        }
    }
}

/// Over which connection to ask after this fault: where the server was heard, it is asked again
/// without a storm of connections.
fn via_for(fault: Fault) -> Via {
    match fault.class() {
        FaultClass::NotServing
        | FaultClass::Slow
        | FaultClass::WritesGone
        | FaultClass::Recovery => Via::Kept,
        FaultClass::WrongNode
        | FaultClass::Transport
        | FaultClass::Hang
        | FaultClass::Credentials
        | FaultClass::Forced => Via::Renew,
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
