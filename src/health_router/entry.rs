//! One dependency in a health document.

use std::time::SystemTime;

use serde::Serialize;
use serde_json::Value;

use super::details::Details;

/// How a dependency is; and how the whole is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Standing {
    Up,
    Degraded,
    Down,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Datastore,
    Component,
}

/// What is shown of one dependency to those who see details.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum EntryDetails {
    Redis(Box<Details>),
    /// The application's own.
    Check(Value),
}

/// One dependency; serialized, it is its entry in the `application/json` document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    #[serde(skip)]
    pub(super) kind: Kind,
    #[serde(skip)]
    pub(super) critical: bool,
    #[serde(rename = "status")]
    pub(super) standing: Standing,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
    /// Milliseconds.
    pub(super) response_time: Option<f64>,
    #[serde(skip)]
    pub(super) at: SystemTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) details: Option<EntryDetails>,
}
