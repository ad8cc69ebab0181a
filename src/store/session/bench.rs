//! A snapshot apart from everything around it, for the benchmarks of this crate.

use std::{borrow::Cow, fmt};

use super::{
    expiry::{Expiry, Times},
    id::SessionId,
    key_ring::KeyRing,
    keys::SessionKeys,
    record::{Field, Head, Record},
    seal,
    snapshot::{Declared, Snapshot},
};
use crate::units::wall_millis;

const COOKIE: &str = "__Host-sd";

/// A snapshot of one value, and the cookie that holds it.
pub struct SealedSnapshot {
    keys: KeyRing,
    declared: Declared,
    snapshot: Snapshot,
    cookie: String,
}

impl SealedSnapshot {
    /// With a value of this size.
    pub fn new(bytes: usize) -> Self {
        let json = format!("{:?}", "x".repeat(bytes));
        let times = Times::beginning(wall_millis(), Expiry::default());
        let head = Head { version: 1, times, is_restored: false, subject: Some("alice") };
        let field = Field { key: "value", version: 1, json: Some(&json) };
        let record = Record::new(head, std::iter::once(field));
        let keys = SessionKeys::random().ring("bench");
        let declared = Declared::new(vec!["value".to_owned()]);
        let snapshot = Snapshot::of(SessionId::random(), &record, &declared, 1, wall_millis());
        let cookie =
            seal::seal(&keys, COOKIE, Cow::Borrowed(&snapshot), &declared).unwrap_or_default();
        Self { keys, declared, snapshot, cookie }
    }

    /// Codes, encrypts and encodes it.
    pub fn seal(&self) -> Option<String> {
        seal::seal(&self.keys, COOKIE, Cow::Borrowed(&self.snapshot), &self.declared)
    }

    /// Decodes, authenticates and decrypts the cookie; whether it held the snapshot.
    pub fn open(&self) -> bool {
        seal::open(&self.keys, COOKIE, &self.cookie).0.as_ref() == Some(&self.snapshot)
    }
}

impl fmt::Debug for SealedSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedSnapshot").finish_non_exhaustive()
    }
}
