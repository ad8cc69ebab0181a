//! What a probe says.

use super::*;

/// Late answers in a row that make an outage.
const LATE_LIMIT: u8 = 3;
/// Between the successes that a relapsing dependency has to show.
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
                self.judge_writes(options, answer.writes, now);
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

    pub(super) fn begin_recovery(&mut self, writes: Writes, now: Duration) {
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
    pub(super) fn is_first_silence(&self, writes: Writes) -> bool {
        self.writes && !self.silent && writes == Writes::Gone(Fault::WRITES_HANG)
    }

    /// Writes that come back are announced after the recovery steps: what could not be written
    /// meanwhile comes first.
    pub(super) fn judge_writes(&mut self, options: ProbeOptions, writes: Writes, now: Duration) {
        let work = match writes {
            Writes::Work => true,
            Writes::Gone(fault) => {
                self.writes = false;
                self.cause = Some(fault);
                self.note(fault, now);
                return;
            }
            // Asked and not allowed to try: the next request that writes finds out.
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

    pub(super) fn no_answer(&mut self, options: ProbeOptions, fault: Fault, now: Duration) {
        self.note(fault, now);
        match self.state {
            // A new connection could not be had: that alone is no outage. What of the old ones?
            State::Connected if options.via == Via::Fresh => {
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
}
