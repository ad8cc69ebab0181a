//! What is said, before it is put into words: one entry a dependency, and the sum of them.

use std::{borrow::Cow, time::SystemTime};

use serde::{Serialize, Serializer};

use super::{Settings, check::Outcome, check::Verdict, format, redis};

/// How a dependency is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Standing {
    Up,
    Degraded,
    Down,
}

/// How the whole is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Overall {
    Healthy,
    Degraded,
    Unhealthy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Datastore,
    Component,
}

/// One dependency.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) critical: bool,
    pub(super) standing: Standing,
    pub(super) message: Option<String>,
    /// Milliseconds.
    pub(super) response_time: Option<f64>,
    pub(super) at: SystemTime,
    pub(super) details: Option<redis::Details>,
}

#[derive(Debug)]
pub(super) struct Report {
    pub(super) overall: Overall,
    pub(super) at: SystemTime,
    pub(super) uptime: f64,
    pub(super) version: Option<Cow<'static, str>>,
    pub(super) entries: Vec<(String, Entry)>,
}

impl Report {
    /// `outcomes` are those of the settings' checks, in their order.
    pub(super) fn new(settings: &Settings, outcomes: &[Outcome], with_details: bool) -> Self {
        let monitor = &settings.monitor;
        let redis = redis::entry(monitor, settings.redis_critical, with_details);
        let checks =
            settings.checks.iter().zip(outcomes).map(|(check, outcome)| {
                (check.name().to_owned(), entry(outcome, check.is_critical()))
            });
        let entries: Vec<_> =
            std::iter::once((monitor.name().to_owned(), redis)).chain(checks).collect();
        Self {
            overall: overall(entries.iter().map(|(_, entry)| (entry.standing, entry.critical))),
            at: SystemTime::now(),
            uptime: format::seconds(monitor.uptime()),
            version: settings.version.clone(),
            entries,
        }
    }

    /// As `application/json`.
    pub(super) fn plain(&self) -> impl Serialize + '_ {
        Plain {
            status: self.overall,
            timestamp: format::rfc3339(self.at),
            uptime: self.uptime,
            version: self.version.as_deref(),
            checks: &self.entries,
        }
    }
}

fn entry(outcome: &Outcome, critical: bool) -> Entry {
    let up = outcome.verdict == Verdict::Up;
    Entry {
        kind: Kind::Component,
        critical,
        standing: if up { Standing::Up } else { Standing::Down },
        message: outcome.verdict.message().map(str::to_owned),
        response_time: Some(format::milliseconds(outcome.took)),
        at: format::at(outcome.at),
        details: None,
    }
}

/// Unhealthy when a critical one is down, degraded when anything else is not up.
fn overall(standings: impl Iterator<Item = (Standing, bool)>) -> Overall {
    let mut overall = Overall::Healthy;
    for (standing, critical) in standings {
        match standing {
            Standing::Down if critical => return Overall::Unhealthy,
            Standing::Down | Standing::Degraded => overall = Overall::Degraded,
            Standing::Up => {}
        }
    }
    overall
}

#[derive(Serialize)]
struct Plain<'a> {
    status: Overall,
    timestamp: String,
    uptime: f64,
    version: Option<&'a str>,
    #[serde(serialize_with = "by_name")]
    checks: &'a [(String, Entry)],
}

fn by_name<S: Serializer>(entries: &[(String, Entry)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(entries.iter().map(|(name, entry)| (name, PlainEntry::from(entry))))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PlainEntry<'a> {
    status: Standing,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    response_time: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a redis::Details>,
}

impl<'a> From<&'a Entry> for PlainEntry<'a> {
    fn from(entry: &'a Entry) -> Self {
        Self {
            status: entry.standing,
            message: entry.message.as_deref(),
            response_time: entry.response_time,
            details: entry.details.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_critical_one_that_is_down_makes_it_unhealthy() {
        use Standing::{Degraded, Down, Up};
        for (standings, expected) in [
            (vec![], Overall::Healthy),
            (vec![(Up, true), (Up, false)], Overall::Healthy),
            (vec![(Up, true), (Down, false)], Overall::Degraded),
            (vec![(Degraded, true), (Up, false)], Overall::Degraded),
            (vec![(Down, false), (Down, true)], Overall::Unhealthy),
        ] {
            assert_eq!(overall(standings.clone().into_iter()), expected, "{standings:?}");
        }
    }
}
