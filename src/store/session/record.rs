//! A session as Redis holds it: one value, read where it lies.
//!
//! ```text
//! at  bytes
//!  0  4      "eks" and the number of the form, 1
//!  4  4      flags: 1, it was put back from a copy
//!  8  8      version: every change raises it by one
//! 16  8      revision: drawn anew with every change, so that a version that Redis has lost is not
//!            taken for another one of the same number
//! 24  8 × 4  created, touched, idle, ends, in milliseconds
//! 56  4 + n  the subject, length first; empty for none
//!     ...    the fields in the order of their keys: length of the key (4), version (8), length of
//!            the JSON (4; 0: removed), key, JSON
//! ```
//!
//! Numbers are big-endian. The scripts beside this file read and write the times in their places; a
//! later form may change what comes after the header, never the header.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::expiry::Times;

/// A value as JSON, or that there is none any more.
pub(crate) type Json = Option<String>;

/// One value, and the version of the session that last changed it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub(crate) key: &'a str,
    pub(crate) version: u64,
    /// `None`: removed. That it was is kept, so that nothing older brings it back.
    pub(crate) json: Option<&'a str>,
}

/// What stands before the fields.
#[derive(Clone, Copy)]
pub(crate) struct Head<'a> {
    pub(crate) version: u64,
    pub(crate) times: Times,
    pub(crate) is_restored: bool,
    pub(crate) subject: Option<&'a str>,
}

/// The record.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) struct Record {
    pub(crate) version: u64,
    pub(crate) times: Times,
    /// It was put back from a copy, and its user has not authenticated since.
    pub(crate) is_restored: bool,
    value: Vec<u8>,
    /// Redis still holds it in the form before this one.
    pub(super) is_hash: bool,
}

/// What one request, or an outage, has changed: the last value of each key.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(Debug))]
pub(crate) struct Changes {
    pub(crate) values: BTreeMap<String, Json>,
    /// Another lifetime: idle and absolute, in milliseconds.
    pub(crate) expiry: Option<(u64, u64)>,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty() && self.expiry.is_none()
    }

    /// These changes after those: where both touch a key, `later` counts.
    pub(crate) fn then(mut self, later: &Self) -> Self {
        self.values.extend(later.values.iter().map(|(key, json)| (key.clone(), json.clone())));
        self.expiry = later.expiry.or(self.expiry);
        self
    }

    /// Takes out what `done` has brought to its place; what was changed again meanwhile stays.
    pub(crate) fn settle(&mut self, done: &Self) {
        self.values.retain(|key, json| done.values.get(key) != Some(json));
        if self.expiry == done.expiry {
            self.expiry = None;
        }
    }

    /// As fields of this version, in the order of their keys.
    pub(super) fn fields(&self, version: u64) -> impl Iterator<Item = Field<'_>> {
        self.values.iter().map(move |(key, json)| Field { key, version, json: json.as_deref() })
    }
}

const MAGIC: [u8; 4] = *b"eks\x01";
const RESTORED: u32 = 1;
/// The fixed part. A change is written only where all of it is still as it was read.
const HEADER: usize = 56;
const TIMES: usize = 24;

impl Record {
    /// Reads what Redis holds. `None`: it is not a record of this form.
    pub(crate) fn read(value: Vec<u8>) -> Option<Self> {
        let mut rest = Reader(&value);
        if rest.take(4)? != MAGIC {
            return None;
        }
        let is_restored = rest.u32()? & RESTORED != 0;
        let (version, _revision) = (rest.u64()?, rest.u64()?);
        let times = Times {
            created: rest.u64()?,
            touched: rest.u64()?,
            idle: rest.u64()?,
            ends: rest.u64()?,
        };
        rest.text()?;
        let mut before = None;
        while !rest.0.is_empty() {
            let field = rest.field()?;
            if before.is_some_and(|before| before >= field.key) {
                return None;
            }
            before = Some(field.key);
        }
        Some(Self { version, times, is_restored, value, is_hash: false })
    }

    /// `fields` stand in the order of their keys.
    pub(crate) fn new<'a>(head: Head<'_>, fields: impl Iterator<Item = Field<'a>>) -> Self {
        let Head { version, times, is_restored, subject } = head;
        let mut value = Vec::with_capacity(256);
        value.extend(MAGIC);
        value.extend((if is_restored { RESTORED } else { 0 }).to_be_bytes());
        value.extend(version.to_be_bytes());
        value.extend(rand::random::<u64>().to_be_bytes());
        value.extend(in_bytes(times));
        let subject = subject.unwrap_or_default();
        value.extend(length(subject));
        value.extend(subject.as_bytes());
        for Field { key, version, json } in fields {
            let json = json.unwrap_or_default();
            value.extend(length(key));
            value.extend(version.to_be_bytes());
            value.extend(length(json));
            value.extend(key.as_bytes());
            value.extend(json.as_bytes());
        }
        Self { version, times, is_restored, value, is_hash: false }
    }

    /// As Redis holds it, or is to.
    pub(super) fn value(&self) -> &[u8] {
        &self.value
    }

    /// The part by which a script knows that this is still what Redis holds.
    pub(super) fn header(&self) -> &[u8] {
        &self.value[..HEADER]
    }

    /// As a script has written them.
    pub(super) fn set_times(&mut self, times: Times) {
        self.times = times;
        self.value[TIMES..HEADER].copy_from_slice(&in_bytes(times));
    }

    pub(super) fn set_touched(&mut self, touched: u64) {
        self.set_times(Times { touched, ..self.times });
    }

    pub(crate) fn head(&self) -> Head<'_> {
        let Self { version, times, is_restored, .. } = *self;
        Head { version, times, is_restored, subject: self.subject() }
    }

    /// Whose session it is.
    pub(crate) fn subject(&self) -> Option<&str> {
        self.after_header().text().filter(|subject| !subject.is_empty())
    }

    /// All of them, in the order of their keys.
    pub(crate) fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        let mut rest = self.after_header();
        rest.text();
        std::iter::from_fn(move || rest.field())
    }

    pub(crate) fn field(&self, key: &str) -> Option<Field<'_>> {
        self.fields().find(|field| field.key == key)
    }

    /// The value of this key.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.field(key)?.json
    }

    fn after_header(&self) -> Reader<'_> {
        Reader(&self.value[HEADER..])
    }
}

fn length(text: &str) -> [u8; 4] {
    // Redis takes no value of 4 GiB.
    u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes()
}

fn in_bytes(times: Times) -> [u8; HEADER - TIMES] {
    let mut bytes = [0; HEADER - TIMES];
    let numbers = [times.created, times.touched, times.idle, times.ends];
    for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_be_bytes());
    }
    bytes
}

/// What is still to be read; `None` when there is too little, or no text.
#[derive(Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const BYTES: usize>(&mut self) -> Option<[u8; BYTES]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn utf8(&mut self, bytes: u32) -> Option<&'a str> {
        std::str::from_utf8(self.take(bytes.try_into().ok()?)?).ok()
    }

    fn text(&mut self) -> Option<&'a str> {
        let bytes = self.u32()?;
        self.utf8(bytes)
    }

    fn field(&mut self) -> Option<Field<'a>> {
        let (key, version, json) = (self.u32()?, self.u64()?, self.u32()?);
        let (key, json) = (self.utf8(key)?, self.utf8(json)?);
        Some(Field { key, version, json: Some(json).filter(|json| !json.is_empty()) })
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
