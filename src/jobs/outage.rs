//! What a job has seen of outages.

use tokio::time::Instant;

use crate::health::Status;

#[derive(Debug)]
pub(super) struct Outages {
    /// As many as the monitor had counted when Redis was last seen available.
    count: u64,
    /// When the one under way began, if it was seen.
    began: Option<Instant>,
    last_available: Instant,
    was_available: bool,
}

/// Redis is available.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Available {
    /// For the first time that this job sees.
    pub(super) is_first: bool,
    /// There was an outage since the last time.
    pub(super) is_over: bool,
    /// When that one began, or earlier.
    pub(super) began: Instant,
}

impl Outages {
    pub(super) fn new(count: u64, now: Instant) -> Self {
        Self { count, began: None, last_available: now, was_available: false }
    }

    /// Redis has answered: an outage that is not seen later can only have begun after this.
    pub(super) fn answered(&mut self, now: Instant) {
        self.last_available = now;
    }

    /// Looks at the state of Redis; `None`: it is away.
    pub(super) fn observe(&mut self, status: &Status, now: Instant) -> Option<Available> {
        if !status.is_available() {
            self.began = status.outage_since.or(self.began);
            return None;
        }
        let seen = Available {
            is_first: !self.was_available,
            // One that began and ended since the last look has left nothing but its count.
            is_over: status.outages != self.count,
            began: self.began.take().unwrap_or(self.last_available),
        };
        (self.was_available, self.count, self.last_available) = (true, status.outages, now);
        Some(seen)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::health::State;

    const SECOND: Duration = Duration::from_secs(1);

    fn status(is_available: bool, outages: u64, outage_since: Option<Instant>) -> Status {
        let now = Instant::now();
        Status {
            state: if is_available { State::Connected } else { State::Disconnected },
            reads: is_available,
            writes: is_available,
            forced: false,
            since: now,
            verified: None,
            last_fault: None,
            response_time: None,
            retry_count: 0,
            reconnect_attempts: 0,
            outages,
            outage_since,
            degraded: Duration::ZERO,
            next_attempt: now,
        }
    }

    #[test]
    fn one_that_was_seen_began_when_the_monitor_says() {
        let start = Instant::now();
        let mut outages = Outages::new(0, start);
        let first = outages.observe(&status(true, 0, None), start + SECOND).unwrap();
        assert!(first.is_first && !first.is_over);
        let began = start + SECOND * 5;
        assert_eq!(outages.observe(&status(false, 1, Some(began)), start + SECOND * 6), None);
        assert_eq!(outages.observe(&status(false, 1, None), start + SECOND * 7), None);
        let back = outages.observe(&status(true, 1, None), start + SECOND * 8).unwrap();
        assert_eq!(back, Available { is_first: false, is_over: true, began });
        let again = outages.observe(&status(true, 1, None), start + SECOND * 9).unwrap();
        assert!(!again.is_over);
    }

    /// Else a run from before such an outage would pass for one of after it.
    #[test]
    fn one_that_was_not_seen_began_after_the_last_answer() {
        let start = Instant::now();
        let mut outages = Outages::new(0, start);
        outages.observe(&status(true, 0, None), start).unwrap();
        let ran = start + SECOND * 3;
        outages.answered(ran);
        let back = outages.observe(&status(true, 1, None), start + SECOND * 9).unwrap();
        assert_eq!(back, Available { is_first: false, is_over: true, began: ran });
    }
}
