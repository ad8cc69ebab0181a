//! Why a run is asked for.

use tokio::time::Instant;

use super::redis::Ask;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// A tick is due.
    Tick,
    /// Redis is reached for the first time: when is the next tick, and was the last one missed?
    Start,
    /// Redis is back, and ticks were skipped.
    CatchUp,
    /// Redis is back after an outage that began then.
    Recovered(Instant),
    /// The run before made up for one missed tick; here is the next.
    Again,
}

impl Why {
    /// What Redis is asked, by a job that makes up for `catch_up` ticks.
    pub(super) fn asks(self, catch_up: u32, now: Instant) -> Ask {
        match self {
            Self::Tick | Self::CatchUp | Self::Again => Ask::Tick,
            Self::Start if catch_up > 0 => Ask::Late,
            Self::Start => Ask::Look,
            Self::Recovered(began) => Ask::Recovered(now.saturating_duration_since(began)),
        }
    }

    /// For how many further ticks it makes up: a run that no tick is due for makes up for one
    /// itself.
    pub(super) fn catch_up(self, catch_up: u32) -> u32 {
        match self {
            Self::Tick => catch_up,
            _ => catch_up.saturating_sub(1),
        }
    }
}
