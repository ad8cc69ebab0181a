//! How fast a pass goes.

use std::time::Duration;

use tokio::time::sleep;

use super::backlog::Backlog;

/// The pause between pushes of a gentle pass, in times of what those before it took.
const GENTLE_PAUSE: u32 = 3;

/// How a pass is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// As fast as can be, since requests wait for its end; within [`Backlog::PASS_LIMIT`].
    Recovery,
    /// As fast as can be, beside requests.
    Task,
    /// With pauses, beside requests: everything is pushed, and most of it is there already.
    Gentle,
}

impl Pace {
    /// How many items are pushed between two pauses.
    pub(super) fn run_of<B: Backlog>(self) -> usize {
        match self {
            Self::Recovery | Self::Task => usize::MAX,
            Self::Gentle => 4 * B::IN_FLIGHT,
        }
    }

    /// The pause after a run of pushes that took this long.
    pub(super) async fn rest_after(self, took: Duration) {
        if self == Self::Gentle {
            sleep(took * GENTLE_PAUSE).await;
        }
    }
}
