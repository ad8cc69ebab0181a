//! All dependencies and the sum of them; serialized, it is the `application/json` document.

use std::{borrow::Cow, time::SystemTime};

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{
    check::{Outcome, Verdict},
    entry::{Entry, EntryDetails, Kind, Standing},
    format, redis,
    router::Settings,
};

#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(rename = "status", serialize_with = "status")]
    pub(super) overall: Standing,
    #[serde(rename = "timestamp", serialize_with = "timestamp")]
    pub(super) at: SystemTime,
    pub(super) uptime: f64,
    pub(super) version: Option<Cow<'static, str>>,
    #[serde(rename = "checks", serialize_with = "by_name")]
    pub(super) entries: Vec<(String, Entry)>,
}

impl Report {
    /// `outcomes` are those of the settings' checks, in their order.
    pub(super) fn new(settings: &Settings, outcomes: &[Outcome], with_details: bool) -> Self {
        let monitor = &settings.monitor;
        let redis = redis::entry(monitor, settings.redis_critical, with_details);
        let checks = settings.checks.iter().zip(outcomes).map(|(check, outcome)| {
            let details = with_details.then(|| settings.details_of(check.name())).flatten();
            (check.name().to_owned(), entry(outcome, check.is_critical(), details))
        });
        let redis = settings.shows_redis.then(|| (monitor.name().to_owned(), redis));
        let entries: Vec<_> = redis.into_iter().chain(checks).collect();
        Self {
            overall: overall(entries.iter().map(|(_, entry)| (entry.standing, entry.critical))),
            at: SystemTime::now(),
            uptime: format::seconds(monitor.uptime()),
            version: settings.version.clone(),
            entries,
        }
    }
}

fn entry(outcome: &Outcome, critical: bool, details: Option<Value>) -> Entry {
    let up = outcome.verdict == Verdict::Up;
    Entry {
        kind: Kind::Component,
        critical,
        standing: if up { Standing::Up } else { Standing::Down },
        message: outcome.verdict.message().map(str::to_owned),
        response_time: Some(format::milliseconds(outcome.took)),
        at: format::at(outcome.at),
        details: details.map(EntryDetails::Check),
    }
}

/// Down when a critical one is down, degraded when anything else is not up.
fn overall(standings: impl Iterator<Item = (Standing, bool)>) -> Standing {
    let mut overall = Standing::Up;
    for (standing, critical) in standings {
        match standing {
            Standing::Down if critical => return Standing::Down,
            Standing::Down | Standing::Degraded => overall = Standing::Degraded,
            Standing::Up => {}
        }
    }
    overall
}

fn status<S: Serializer>(overall: &Standing, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(match overall {
        Standing::Up => "healthy",
        Standing::Degraded => "degraded",
        Standing::Down => "unhealthy",
    })
}

fn timestamp<S: Serializer>(at: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&format::rfc3339(*at))
}

fn by_name<S: Serializer>(entries: &[(String, Entry)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(entries.iter().map(|(name, entry)| (name, entry)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_critical_one_that_is_down_makes_it_unhealthy() {
        use Standing::{Degraded, Down, Up};
        for (standings, expected) in [
            (vec![], Up),
            (vec![(Up, true), (Up, false)], Up),
            (vec![(Up, true), (Down, false)], Degraded),
            (vec![(Degraded, true), (Up, false)], Degraded),
            (vec![(Down, false), (Down, true)], Down),
        ] {
            assert_eq!(overall(standings.clone().into_iter()), expected, "{standings:?}");
        }
    }
}
