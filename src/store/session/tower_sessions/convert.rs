//! Between what tower-sessions calls a record and what this crate calls a session.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use time::OffsetDateTime;
use tower_sessions_core::{
    session::{Id, Record},
    session_store::{Error as StoreError, Result as StoreResult},
};

use crate::{
    Error,
    store::session::{
        expiry::{Expiry, Times},
        id::SessionId,
        record::{Changes, Json},
    },
};

pub(super) fn session_id(id: Id) -> SessionId {
    SessionId::from_bytes(id.0.to_be_bytes())
}

pub(super) fn to_values(record: &Record) -> StoreResult<BTreeMap<String, Json>> {
    let text = |(key, value): (&String, &serde_json::Value)| {
        Ok((key.clone(), Some(serde_json::to_string(value)?)))
    };
    let values: Result<_, serde_json::Error> = record.data.iter().map(text).collect();
    values.map_err(|error| StoreError::Encode(error.to_string()))
}

pub(super) fn to_record(id: Id, times: Times, changes: Changes) -> StoreResult<Record> {
    let decode = |error: &dyn std::error::Error| StoreError::Decode(error.to_string());
    let mut data = HashMap::new();
    for (key, json) in changes.values {
        if let Some(json) = json {
            data.insert(key, serde_json::from_str(&json).map_err(|error| decode(&error))?);
        }
    }
    let until = i128::from(times.until()) * 1_000_000;
    let expiry_date =
        OffsetDateTime::from_unix_timestamp_nanos(until).map_err(|error| decode(&error))?;
    Ok(Record { id, data, expiry_date })
}

/// All of the time until their date of expiry, which they move as they please.
pub(super) fn expiry(now: u64, record: &Record) -> Expiry {
    let lifetime = Duration::from_millis(millis(record.expiry_date).saturating_sub(now));
    Expiry::new(lifetime, lifetime)
}

pub(super) fn millis(date: OffsetDateTime) -> u64 {
    u64::try_from(date.unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
}

pub(super) fn backend(error: Error) -> StoreError {
    StoreError::Backend(error.to_string())
}
