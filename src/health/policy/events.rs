//! What follows from everything else that is seen: requests, recovery steps, an operator.

use super::*;

impl Policy {
    /// A probe was sent.
    pub(crate) fn probe_sent(&mut self, options: ProbeOptions, now: Duration) {
        self.in_flight = Some(options);
        self.next_requested_probe =
            now + Duration::from_secs_f64(self.rng.random_range(REQUESTED_INTERVAL));
        self.probes += 1;
        self.write_suspected &= !options.write;
        if options.via == Via::Fresh {
            self.last_fresh = now;
        }
        if matches!(self.state, State::Connecting | State::Disconnected | State::Failed) {
            self.facts.reconnect_attempts += 1;
        }
    }

    /// A request had to do without.
    pub(crate) fn probe_requested(&mut self, now: Duration) {
        let may = match self.state {
            State::Connecting | State::Disconnected | State::Failed => {
                self.cause.map(Fault::class) != Some(FaultClass::Credentials)
            }
            State::Connected => !self.writes,
            State::Suspect | State::Recovering => false,
        };
        if may {
            self.facts.next_probe = self.facts.next_probe.min(self.next_requested_probe.max(now));
        }
    }

    /// Something was refused that a working write does not rule out: a write is tried soon.
    pub(crate) fn writes_suspected(&mut self, now: Duration) {
        self.write_suspected = true;
        if self.state == State::Connected {
            self.facts.next_probe = self.facts.next_probe.min(self.next_requested_probe.max(now));
        }
    }

    /// A request met a fault.
    pub(crate) fn evidence(&mut self, fault: Fault, now: Duration) {
        if self.state != State::Connected {
            return;
        }
        self.record_fault(fault, now);
        match fault.class() {
            FaultClass::Transport | FaultClass::Hang | FaultClass::Slow => self.suspect(fault, now),
            FaultClass::WrongNode | FaultClass::WritesGone | FaultClass::Rights => {
                self.lose_writes(fault, now);
            }
            FaultClass::NotServing
            | FaultClass::Credentials
            | FaultClass::Forced
            | FaultClass::Recovery => self.go_down(fault, now),
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

    /// A recovery step met a fault.
    pub(crate) fn recovery_failed(&mut self, fault: Fault, now: Duration) {
        if !self.recovering || self.forced() {
            return;
        }
        let without_writes = matches!(
            fault.class(),
            FaultClass::WritesGone | FaultClass::WrongNode | FaultClass::Rights
        );
        // Writes were known to be gone when the steps began: a step that hangs on a write says no
        // more than that, and reads are served.
        let only_writes_hang = !self.pending_writes && fault.class() == FaultClass::Hang;
        if self.state == State::Connected {
            self.recovering = false;
            self.record_fault(fault, now);
            match fault.class() {
                FaultClass::Recovery => self.lose_writes(fault, now),
                _ => self.evidence(fault, now),
            }
        } else if without_writes {
            self.record_fault(fault, now);
            self.pending_writes = false;
            self.recovered(now);
            self.cause = Some(fault);
        } else if only_writes_hang {
            self.recovered(now);
        } else {
            self.recovering = false;
            self.record_fault(fault, now);
            self.failed_attempt(fault, now);
        }
    }

    /// An operator takes the dependency away.
    pub(crate) fn force_down(&mut self, until: Duration, now: Duration) {
        self.forced_until = Some(until.max(now));
        self.recovering = false;
        self.record_fault(Fault::FORCED, now);
        self.go_down(Fault::FORCED, now);
    }

    /// The operator gives it back, or the time of [`force_down`](Self::force_down) is over.
    pub(crate) fn release(&mut self, now: Duration) {
        if self.forced_until.take().is_some() {
            self.facts.next_probe = now;
            self.via = Via::Both;
        }
    }
}
