//! What follows from the end of a probe: a good answer, a late one, or none.

use super::*;

/// So many late answers in a row are an outage.
const LATE_ANSWERS: u8 = 3;
/// Between the good answers that end the outage of a dependency that relapses.
const CONFIRM_EVERY: Duration = Duration::from_millis(50);

impl Policy {
    /// A probe ended.
    pub(crate) fn probed(&mut self, result: Result<ProbeAnswer, Fault>, now: Duration) {
        let Some(options) = self.in_flight.take() else { return };
        if self.forced() {
            return;
        }
        match result {
            Ok(answer) if answer.latency > options.late_after => self.late_answer(answer, now),
            Ok(answer) => self.good_answer(options, answer, now),
            Err(fault) => self.no_answer(options, fault, now),
        }
    }

    pub(super) fn good_answer(
        &mut self,
        options: ProbeOptions,
        answer: ProbeAnswer,
        now: Duration,
    ) {
        self.facts.verified = Some(now);
        self.facts.response_time = Some(answer.latency);
        self.late_answers = 0;
        match self.state {
            // It restarted between two probes: what it lost is pushed again before it is used.
            State::Connected | State::Suspect if answer.restarted && self.writes => {
                self.begin_outage(now);
                self.begin_recovery(answer.writes, now);
            }
            State::Connected if self.is_first_unanswered_write(answer.writes) => {
                self.write_unanswered = true;
                self.facts.next_probe = now;
            }
            State::Connected | State::Suspect => {
                self.state = State::Connected;
                self.write_unanswered = false;
                self.judge_writes(options, answer.writes, now);
                self.schedule_idle(now);
            }
            State::Connecting | State::Disconnected | State::Failed | State::Recovering => {
                self.successes += 1;
                if self.successes < self.successes_needed {
                    self.via = Via::Kept;
                    self.facts.next_probe = now + CONFIRM_EVERY;
                    return;
                }
                self.begin_recovery(answer.writes, now);
            }
        }
    }

    pub(super) fn begin_recovery(&mut self, writes: Writes, now: Duration) {
        self.successes = 0;
        self.write_unanswered = false;
        self.recovering = true;
        self.pending_writes = !matches!(writes, Writes::Gone(_));
        self.cause = None;
        if let Writes::Gone(fault) = writes {
            self.cause = Some(fault);
            self.record_fault(fault, now);
        }
        if self.state != State::Connecting {
            self.enter(State::Recovering, now);
        }
    }

    /// One write that goes unanswered may have had bad luck: it is tried once more.
    pub(super) fn is_first_unanswered_write(&self, writes: Writes) -> bool {
        self.writes && !self.write_unanswered && writes == Writes::Gone(Fault::WRITES_HANG)
    }

    /// Do writes work? Writes that come back are announced after the recovery steps, which write
    /// what could not be written meanwhile.
    pub(super) fn judge_writes(&mut self, options: ProbeOptions, writes: Writes, now: Duration) {
        let work = match writes {
            Writes::Work => true,
            Writes::Gone(fault) => {
                self.writes = false;
                self.cause = Some(fault);
                self.record_fault(fault, now);
                return;
            }
            // The probe should have tried a write and was not allowed to: the next request that
            // writes finds out.
            Writes::Unknown => self.writes || options.write,
        };
        if self.writes {
            self.cause = None;
        } else if work {
            self.recovering = true;
            self.pending_writes = true;
        }
    }

    pub(super) fn late_answer(&mut self, answer: ProbeAnswer, now: Duration) {
        self.facts.verified = Some(now);
        self.facts.response_time = Some(answer.latency);
        self.record_fault(Fault::SLOW, now);
        match self.state {
            State::Connected | State::Suspect => {
                self.late_answers += 1;
                if self.late_answers >= LATE_ANSWERS {
                    self.late_answers = 0;
                    self.go_down(Fault::SLOW, now);
                } else {
                    self.suspect(Fault::SLOW, now);
                }
            }
            State::Connecting | State::Disconnected | State::Failed | State::Recovering => {
                self.failed_attempt(Fault::SLOW, now);
            }
        }
    }

    pub(super) fn no_answer(&mut self, options: ProbeOptions, fault: Fault, now: Duration) {
        self.record_fault(fault, now);
        match self.state {
            // That no new connection can be had is no outage by itself: the old ones are probed.
            State::Connected if options.via == Via::Fresh => {
                self.via = Via::Kept;
                self.facts.next_probe = now;
            }
            State::Connected => match fault.class() {
                FaultClass::Transport | FaultClass::Hang => self.suspect(fault, now),
                _ => self.go_down(fault, now),
            },
            State::Suspect => {
                self.facts.verified = Some(now);
                self.go_down(fault, now);
            }
            State::Connecting | State::Disconnected | State::Failed | State::Recovering => {
                self.facts.verified = Some(now);
                self.failed_attempt(fault, now);
            }
        }
    }
}
