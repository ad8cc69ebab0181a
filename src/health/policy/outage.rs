//! How states are entered and left: outages, doubt, writes lost, peace.

use super::*;

/// A relapse is an outage that begins this soon after the last one ended.
const RELAPSE_WITHIN: Duration = Duration::from_secs(60);
/// The most successes that are ever asked for.
const MOST_SUCCESSES: u32 = 8;
/// How often a new connection is tried while all is well.
const FRESH_EVERY: Duration = Duration::from_secs(60);

impl Policy {
    pub(super) fn note(&mut self, fault: Fault, now: Duration) {
        self.last_fault = Some((fault, now));
    }

    pub(super) fn enter(&mut self, state: State, now: Duration) {
        if self.state != state {
            self.state = state;
            self.since = now;
        }
    }

    /// In doubt: verify at once, on what we have and afresh.
    pub(super) fn doubt(&mut self, fault: Fault, now: Duration) {
        self.cause = Some(fault);
        self.recovering = false;
        // `since` belongs to what was announced, and doubt never is.
        self.state = State::Suspect;
        self.in_flight = None;
        self.via = Via::Both;
        self.next_probe = now;
    }

    pub(super) fn lose_writes(&mut self, fault: Fault, now: Duration) {
        self.writes = false;
        self.recovering = false;
        self.cause = Some(fault);
        self.in_flight = None;
        self.via = via_for(fault);
        let chance = self.draw_jitter(now);
        self.next_probe = now + PATIENT.mul_f64(2.0 * chance);
    }

    /// An outage begins.
    pub(super) fn go_down(&mut self, fault: Fault, now: Duration) {
        self.enter(State::Disconnected, now);
        self.begin_outage(now);
        self.recovering = false;
        self.cause = Some(fault);
        self.in_flight = None;
        self.attempts = 0;
        self.successes = 0;
        self.late = 0;
        self.silent = false;
        self.via = via_for(fault);
        let chance = self.draw_jitter(now);
        let wait = match fault.class() {
            FaultClass::NotServing | FaultClass::Slow | FaultClass::WrongNode => {
                jittered(PATIENT, &mut self.rng)
            }
            FaultClass::Credentials => jittered(self.rules.backoff.last(), &mut self.rng),
            _ => self.rules.backoff.initial_jitter(chance),
        };
        self.next_probe = now + wait;
    }

    /// Many instances meet the same fault in the same instant: here they part. One draw for what is
    /// scheduled and for what requests ask for, because the lesser of two would come too early too
    /// often.
    pub(super) fn draw_jitter(&mut self, now: Duration) -> f64 {
        let chance = self.rng.random();
        self.next_requested = now + Duration::from_secs_f64(REQUESTED_EVERY.end * chance);
        chance
    }

    pub(super) fn failed_attempt(&mut self, fault: Fault, now: Duration) {
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

    pub(super) fn enter_connected(&mut self, now: Duration) {
        self.attempts = 0;
        self.late = 0;
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
            PATIENT.min(self.rules.probe_interval)
        };
        self.next_probe = now + jittered(wait, &mut self.rng);
    }

    /// Each relapse doubles what is asked for; each minute of peace halves it.
    pub(super) fn damp(&mut self, now: Duration) {
        let Some(up_since) = self.up_since else { return };
        let up_for = now.saturating_sub(up_since);
        self.successes_needed = if up_for < RELAPSE_WITHIN {
            (self.successes_needed * 2).min(MOST_SUCCESSES)
        } else {
            let minutes = up_for.as_secs() / RELAPSE_WITHIN.as_secs();
            self.successes_needed.checked_shr(minutes.min(31) as u32).unwrap_or(0).max(1)
        };
    }

    pub(super) fn begin_outage(&mut self, now: Duration) {
        if self.outage_since.is_none() {
            self.outages += 1;
            self.outage_since = Some(now);
            self.damp(now);
        }
    }

    pub(super) fn end_outage(&mut self, now: Duration) {
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
