//! The entry of Redis: what the monitor knows, in the words of the health documents.

use tokio::time::Instant;

use super::{
    details::Details,
    entry::{Entry, EntryDetails, Kind, Standing},
    format,
};
use crate::health::{FaultClass, HealthMonitor, State, Status};

pub(super) fn entry(monitor: &HealthMonitor, critical: bool, with_details: bool) -> Entry {
    let status = monitor.status();
    Entry {
        kind: Kind::Datastore,
        critical,
        standing: standing(&status),
        message: Some(message(&status)),
        // While it does not answer, the last answer's time says nothing.
        response_time: status.response_time.filter(|_| status.reads).map(format::milliseconds),
        at: format::at(status.verified.unwrap_or_else(Instant::now)),
        details: with_details.then(|| {
            let details = Details::new(monitor, &status);
            EntryDetails::Redis(Box::new(details))
        }),
    }
}

fn standing(status: &Status) -> Standing {
    match (status.reads, status.writes) {
        (true, true) => Standing::Up,
        (true, false) => Standing::Degraded,
        _ if status.state == State::Recovering => Standing::Degraded,
        _ => Standing::Down,
    }
}

fn message(status: &Status) -> String {
    let seconds = status.since.elapsed().as_secs();
    let why = status.last_fault.map(|(fault, _)| format!(": {fault}")).unwrap_or_default();
    match status.state {
        State::Connected if !status.reads => {
            let seconds = status.verified.map_or(seconds, |at| at.elapsed().as_secs());
            format!("Not confirmed for {seconds}s")
        }
        State::Connected if !status.writes => {
            format!("Connected for {seconds}s, writes gone{}", writes_gone(status))
        }
        State::Connected => format!("Connected for {seconds}s"),
        State::Recovering => format!("Recovering for {seconds}s"),
        State::Connecting => format!("Connecting for {seconds}s{why}"),
        State::Suspect => format!("Suspect{why}"),
        State::Disconnected => format!("Disconnected for {seconds}s{why}"),
        State::Failed => format!("Failed for {seconds}s{why}"),
    }
}

/// The code, if the newest fault is the one that took writes away.
fn writes_gone(status: &Status) -> String {
    match status.last_fault {
        Some((fault, _))
            if matches!(
                fault.class(),
                FaultClass::WritesGone | FaultClass::WrongNode | FaultClass::Rights
            ) && !fault.code().is_empty() =>
        {
            format!(": {}", fault.code())
        }
        _ => String::new(),
    }
}
