//! The policy by itself: no clock, no I/O, chance from a seed.

mod herd;
mod laws;
mod verdicts;

use std::time::Duration;

use rand::{SeedableRng, rngs::StdRng};

use super::*;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const REFUSED: Fault = Fault::new(FaultClass::Transport, "refused");
const LOADING: Fault = Fault::new(FaultClass::NotServing, "LOADING");
const OOM: Fault = Fault::new(FaultClass::WritesGone, "OOM");
const NOAUTH: Fault = Fault::new(FaultClass::Credentials, "NOAUTH");

fn rules() -> Rules {
    Rules {
        op_timeout: 100 * MS,
        probe_timeout: 2 * SECOND,
        probe_interval: 5 * SECOND,
        backoff: Backoff::default(),
        startup_attempts: 20,
    }
}

/// A policy and the time, moved on together.
struct Watched {
    policy: Policy,
    now: Duration,
}

impl Watched {
    fn new(seed: u64) -> Self {
        Self { policy: Policy::new(rules(), StdRng::seed_from_u64(seed)), now: Duration::ZERO }
    }

    fn connected(seed: u64) -> Self {
        let mut watched = Self::new(seed);
        watched.comes_up();
        watched
    }

    /// Goes on to the next probe, and begins it.
    fn asks(&mut self) -> ProbeOptions {
        let Next::Probe(at, options) = self.policy.next() else { panic!("{:?}", self.policy) };
        self.now = self.now.max(at);
        self.policy.probe_sent(options, self.now);
        options
    }

    fn answers(&mut self, result: Result<ProbeAnswer, Fault>) {
        self.asks();
        self.policy.probed(result, self.now);
    }

    fn well(&mut self) {
        self.answers(Ok(ProbeAnswer::new(MS).with_writes(Writes::Work)));
    }

    fn fails(&mut self, fault: Fault) {
        self.answers(Err(fault));
    }

    fn comes_up(&mut self) {
        while self.policy.state() != State::Connected {
            match self.policy.next() {
                Next::Recover => self.policy.recovered(self.now),
                Next::Probe(..) => self.well(),
                Next::Rest(at) => {
                    self.now = at;
                    self.policy.release(at);
                }
            }
        }
    }

    /// An outage that traffic met and that was verified.
    fn goes_down(&mut self, fault: Fault) {
        self.policy.evidence(fault, self.now);
        if self.policy.state() == State::Suspect {
            self.fails(fault);
        }
        assert_eq!(self.policy.state(), State::Disconnected);
    }

    /// The wait until the next probe.
    fn wait(&self) -> Duration {
        let Next::Probe(at, _) = self.policy.next() else { panic!("{:?}", self.policy) };
        at.saturating_sub(self.now)
    }
}
