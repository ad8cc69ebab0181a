//! The one log line that a transition gets.

use super::{State, Transition};

pub(super) fn transition(dependency: &str, transition: &Transition) {
    let Transition { from, status, cause, .. } = transition;
    let cause = cause.map_or_else(String::new, |fault| fault.to_string());
    let outages = status.outages;
    let retries = status.retry_count;
    match status.state {
        State::Connected if !status.writes => {
            tracing::warn!(dependency, %from, cause, "connected, but writes are gone: reads go on");
        }
        State::Connected if *from == State::Connected => {
            tracing::info!(dependency, "writes work again");
        }
        State::Connected => tracing::info!(
            dependency,
            %from,
            outages,
            degraded_seconds = status.degraded.as_secs_f64(),
            "connected"
        ),
        State::Connecting => tracing::info!(dependency, %from, cause, "connecting"),
        State::Recovering => tracing::info!(dependency, %from, "answers again: recovering"),
        // Said already, with the operator's reason, by whoever forced it.
        State::Disconnected if status.forced => {}
        State::Disconnected | State::Suspect => {
            tracing::warn!(dependency, %from, cause, outages, "disconnected: going on without it");
        }
        State::Failed => tracing::error!(
            dependency,
            %from,
            cause,
            retries,
            "not reached since the start: going on without it, and trying on"
        ),
    }
}
