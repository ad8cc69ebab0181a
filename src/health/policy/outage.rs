//! How states are entered and left: suspicion, outages, lost writes, and the way back.

use super::*;

/// An outage that begins this soon after the last one ended is a relapse.
const RELAPSE_WITHIN: Duration = Duration::from_secs(60);
/// The most good answers that are ever needed to end an outage.
const MAX_SUCCESSES: u32 = 8;
/// How often a new connection is tried while all is well.
const FRESH_EVERY: Duration = Duration::from_secs(60);

impl Policy {
    pub(super) fn record_fault(&mut self, fault: Fault, now: Duration) {
        self.facts.last_fault = Some((fault, now));
    }

    pub(super) fn enter(&mut self, state: State, now: Duration) {
        if self.state != state {
            self.state = state;
            self.facts.since = now;
        }
    }

    /// Something failed, which may be the connection's fault alone: verified at once, over the
    /// connections that are kept and over a new one.
    pub(super) fn suspect(&mut self, fault: Fault, now: Duration) {
        self.cause = Some(fault);
        self.recovering = false;
        // Not `enter`: `since` belongs to what was announced, and a suspicion never is.
        self.state = State::Suspect;
        self.in_flight = None;
        self.via = Via::Both;
        self.facts.next_probe = now;
    }

    pub(super) fn lose_writes(&mut self, fault: Fault, now: Duration) {
        self.writes = false;
        self.recovering = false;
        self.cause = Some(fault);
        self.in_flight = None;
        self.via = via_for(fault);
        let chance = self.draw_jitter(now);
        self.facts.next_probe = now + ANSWERING_RETRY.mul_f64(2.0 * chance);
    }

    /// An outage begins.
    pub(super) fn go_down(&mut self, fault: Fault, now: Duration) {
        self.enter(State::Disconnected, now);
        self.begin_outage(now);
        self.recovering = false;
        self.cause = Some(fault);
        self.in_flight = None;
        self.facts.attempts = 0;
        self.successes = 0;
        self.late_answers = 0;
        self.write_unanswered = false;
        self.via = via_for(fault);
        let chance = self.draw_jitter(now);
        let wait = match fault.class() {
            FaultClass::NotServing | FaultClass::Slow | FaultClass::WrongNode => {
                jittered(ANSWERING_RETRY, &mut self.rng)
            }
            FaultClass::Credentials => jittered(self.rules.backoff.last(), &mut self.rng),
            _ => self.rules.backoff.initial_jitter(chance),
        };
        self.facts.next_probe = now + wait;
    }

    /// Draws how far into its first delay this instance probes (0 to 1), so that instances that
    /// meet the same fault in the same instant do not probe together. One draw serves the scheduled
    /// probe and the requested one: the smaller of two draws would be early too often.
    pub(super) fn draw_jitter(&mut self, now: Duration) -> f64 {
        let chance = self.rng.random();
        self.next_requested_probe = now + Duration::from_secs_f64(REQUESTED_INTERVAL.end * chance);
        chance
    }

    pub(super) fn failed_attempt(&mut self, fault: Fault, now: Duration) {
        self.begin_outage(now);
        self.cause = Some(fault);
        self.successes = 0;
        self.via = via_for(fault);
        let wait = match fault.class() {
            FaultClass::NotServing | FaultClass::Slow | FaultClass::WrongNode => ANSWERING_RETRY,
            FaultClass::Credentials => self.rules.backoff.last(),
            _ => self.rules.backoff.delay(self.facts.attempts),
        };
        self.facts.attempts = self.facts.attempts.saturating_add(1);
        self.facts.next_probe = now + jittered(wait, &mut self.rng);
        if self.reached || self.state == State::Disconnected {
            self.enter(State::Disconnected, now);
        } else if self.facts.attempts >= self.rules.startup_attempts {
            self.enter(State::Failed, now);
        } else if self.state == State::Recovering {
            self.enter(State::Connecting, now);
        }
    }

    pub(super) fn enter_connected(&mut self, now: Duration) {
        self.facts.attempts = 0;
        self.late_answers = 0;
        self.enter(State::Connected, now);
        self.last_fresh = now;
        self.schedule_idle(now);
    }

    pub(super) fn schedule_idle(&mut self, now: Duration) {
        let wait = if self.writes {
            self.via = if now.saturating_sub(self.last_fresh) >= FRESH_EVERY {
                Via::Fresh
            } else {
                Via::Kept
            };
            self.rules.probe_interval
        } else {
            self.via = self.cause.map_or(Via::Kept, via_for);
            ANSWERING_RETRY.min(self.rules.probe_interval)
        };
        self.facts.next_probe = now + jittered(wait, &mut self.rng);
        if self.write_suspected {
            self.writes_suspected(now);
        }
    }

    /// Each relapse doubles the good answers that are needed; each minute without an outage halves
    /// them.
    pub(super) fn damp_relapses(&mut self, now: Duration) {
        let Some(up_since) = self.up_since else { return };
        let up_for = now.saturating_sub(up_since);
        self.successes_needed = if up_for < RELAPSE_WITHIN {
            (self.successes_needed * 2).min(MAX_SUCCESSES)
        } else {
            let minutes = up_for.as_secs() / RELAPSE_WITHIN.as_secs();
            self.successes_needed.checked_shr(minutes.min(31) as u32).unwrap_or(0).max(1)
        };
    }

    pub(super) fn begin_outage(&mut self, now: Duration) {
        if self.facts.outage_since.is_none() {
            self.facts.outages += 1;
            self.facts.outage_since = Some(now);
            self.damp_relapses(now);
        }
    }

    pub(super) fn end_outage(&mut self, now: Duration) {
        if let Some(began) = self.facts.outage_since.take() {
            self.facts.degraded += now.saturating_sub(began);
            self.up_since = Some(now);
        }
    }
}

/// Over which connection to probe after this fault. A server that answered is probed over the same
/// connections: new ones of many instances at once would be a storm.
fn via_for(fault: Fault) -> Via {
    match fault.class() {
        FaultClass::NotServing
        | FaultClass::Slow
        | FaultClass::WritesGone
        | FaultClass::Rights
        | FaultClass::Recovery => Via::Kept,
        FaultClass::WrongNode
        | FaultClass::Transport
        | FaultClass::Hang
        | FaultClass::Credentials
        | FaultClass::Forced => Via::Renew,
    }
}
