//! States and what is known about the dependency, as plain data.

use std::fmt;

use tokio::time::Instant;

use super::Fault;

/// Where the monitor stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Not reached yet since the start.
    Connecting,
    /// It answers.
    Connected,
    /// A command went unanswered or a connection was lost a moment ago; being verified.
    /// Requests already go without. Not an outage yet, and never announced.
    Suspect,
    /// An outage.
    Disconnected,
    /// It answers again; what was noted meanwhile is being brought up to date.
    Recovering,
    /// Never reached within the startup attempts. Attempts go on: this is [`Disconnected`]
    /// under the name that operators know.
    ///
    /// [`Disconnected`]: State::Disconnected
    Failed,
}

impl State {
    /// Every state that is shown, in the order of their life.
    pub const SHOWN: [Self; 5] =
        [Self::Connecting, Self::Connected, Self::Disconnected, Self::Recovering, Self::Failed];

    /// The word on the wire. [`Suspect`](Self::Suspect) reads as `disconnected`: that is what a
    /// request meets.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Suspect | Self::Disconnected => "disconnected",
            Self::Recovering => "recovering",
            Self::Failed => "failed",
        }
    }

    pub(crate) const fn to_bits(self) -> u64 {
        match self {
            Self::Connecting => 0,
            Self::Connected => 1,
            Self::Suspect => 2,
            Self::Disconnected => 3,
            Self::Recovering => 4,
            Self::Failed => 5,
        }
    }

    pub(crate) const fn from_bits(bits: u64) -> Self {
        match bits {
            0 => Self::Connecting,
            1 => Self::Connected,
            2 => Self::Suspect,
            4 => Self::Recovering,
            5 => Self::Failed,
            _ => Self::Disconnected,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the monitor knows, all of one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Status {
    /// The state.
    pub state: State,
    /// Reads work.
    pub reads: bool,
    /// Writes work.
    pub writes: bool,
    /// Held down by [`force_down`](crate::health::HealthMonitor::force_down).
    pub forced: bool,
    /// When this state was entered.
    pub since: Instant,
    /// When the verdict was last confirmed by an answer, or by the lack of one.
    pub verified: Option<Instant>,
    /// The newest fault, kept after recovery.
    pub last_fault: Option<(Fault, Instant)>,
    /// How long the last good probe took.
    pub response_time: Option<std::time::Duration>,
    /// Failed attempts in this outage.
    pub retry_count: u32,
    /// Attempts to reach the dependency since the start, while it was not connected.
    pub reconnect_attempts: u64,
    /// Outages begun since the start.
    pub outages: u64,
    /// When the running outage began.
    pub outage_since: Option<Instant>,
    /// Time spent in outages that have ended.
    pub degraded: std::time::Duration,
    /// When the next attempt is due.
    pub next_attempt: Instant,
}

impl Status {
    /// Reads and writes both work.
    pub const fn is_available(&self) -> bool {
        self.reads && self.writes
    }

    /// Time spent without the dependency since the start, a running outage included.
    pub fn degraded_for(&self, now: Instant) -> std::time::Duration {
        let running = self.outage_since.map(|began| now.saturating_duration_since(began));
        self.degraded + running.unwrap_or_default()
    }
}

/// One change that was announced: a new state, or writes lost or regained.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Transition {
    /// Counts transitions from 1, so that a subscriber that lagged can see how many it missed.
    pub sequence: u64,
    /// The state before.
    pub from: State,
    /// What is known now.
    pub status: Status,
    /// Why, where a fault caused it.
    pub cause: Option<Fault>,
}
