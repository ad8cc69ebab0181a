//! The report as `application/health+json` ([draft-inadarei-api-health-check]).
//!
//! [draft-inadarei-api-health-check]: https://datatracker.ietf.org/doc/html/draft-inadarei-api-health-check-06

use std::time::SystemTime;

use serde::{Serialize, ser::SerializeMap};

use super::{
    entry::{Entry, EntryDetails, Kind, Standing},
    format,
    report::Report,
};

pub(super) const TYPE: &str = "application/health+json";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    release_id: Option<&'a str>,
    checks: Checks<'a>,
}

/// `"<component>:<measurement>": [observation]`.
struct Checks<'a> {
    entries: &'a [(String, Entry)],
    uptime: Observation<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Observation<'a> {
    component_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_unit: Option<&'static str>,
    status: &'static str,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a EntryDetails>,
}

impl<'a> Document<'a> {
    pub(super) fn of(report: &'a Report) -> Self {
        Self {
            status: word(report.overall),
            release_id: report.version.as_deref(),
            checks: Checks {
                entries: &report.entries,
                uptime: Observation::uptime(report.uptime, report.at),
            },
        }
    }

    /// For a probe that only asks whether the process lives.
    pub(super) fn alive(uptime: f64) -> Self {
        let uptime = Observation::uptime(uptime, SystemTime::now());
        Self { status: "pass", release_id: None, checks: Checks { entries: &[], uptime } }
    }
}

impl Serialize for Checks<'_> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.entries.len() + 1))?;
        for (name, entry) in self.entries {
            // The draft keeps the colon to itself.
            let name = name.replace(':', "_");
            map.serialize_entry(&format!("{name}:responseTime"), &[Observation::of(entry)])?;
        }
        map.serialize_entry("uptime", &[&self.uptime])?;
        map.end()
    }
}

impl<'a> Observation<'a> {
    fn of(entry: &'a Entry) -> Self {
        Self {
            component_type: match entry.kind {
                Kind::Datastore => "datastore",
                Kind::Component => "component",
            },
            observed_value: entry.response_time,
            observed_unit: entry.response_time.map(|_| "ms"),
            status: word(entry.standing),
            time: format::rfc3339(entry.at),
            // The draft: not for what passes.
            output: entry.message.as_deref().filter(|_| entry.standing != Standing::Up),
            details: entry.details.as_ref(),
        }
    }

    fn uptime(seconds: f64, at: SystemTime) -> Self {
        Self {
            component_type: "system",
            observed_value: Some(seconds),
            observed_unit: Some("s"),
            status: "pass",
            time: format::rfc3339(at),
            output: None,
            details: None,
        }
    }
}

const fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Up => "pass",
        Standing::Degraded => "warn",
        Standing::Down => "fail",
    }
}
