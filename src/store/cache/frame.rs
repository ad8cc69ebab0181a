//! What stands in Redis for one key: a header, the tags, the value.
//!
//! ```text
//! 0   "EC" version kind        4   stamp: 8 random bytes, others for every write
//! 12  generation               20  fresh until: ms since 1970      28  stale for: ms
//! 36  load time: ms (4)        40  number of tags (1)    41  tags: length (1), text
//! ..  the value
//! ```
//! Numbers are little-endian. The scripts know where the stamp and the end of freshness stand.

use std::sync::Arc;

const MAGIC: &[u8; 3] = b"EC\x01";
/// Where the script that marks a value as stale writes zeros.
pub(super) const FRESH_UNTIL: usize = 20;
const HEADER: usize = 41;

/// Tells one write of a key from another.
pub(super) type Stamp = [u8; 8];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing: whoever began to load before this was written may not store.
    Tombstone = 0,
    Value = 1,
    /// The database has no such thing.
    Absent = 2,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) kind: Kind,
    pub(super) stamp: Stamp,
    /// What its instance knew of invalidations when the load began.
    pub(super) generation: u64,
    pub(super) fresh_until: u64,
    pub(super) stale_for: u64,
    pub(super) load_time: u32,
    pub(super) tags: Arc<[Arc<str>]>,
    pub(super) payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads it; `None` if it is nothing of ours.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (header, mut rest) = bytes.split_at_checked(HEADER)?;
        let kind = match header.strip_prefix(MAGIC)?.first()? {
            0 => Kind::Tombstone,
            1 => Kind::Value,
            2 => Kind::Absent,
            _ => return None,
        };
        let mut tags = Vec::new();
        for _ in 0..header[40] {
            let (length, more) = rest.split_first()?;
            let (tag, more) = more.split_at_checked(usize::from(*length))?;
            tags.push(Arc::from(str::from_utf8(tag).ok()?));
            rest = more;
        }
        Some(Self {
            kind,
            stamp: header[4..12].try_into().ok()?,
            generation: number(header, 12)?,
            fresh_until: number(header, FRESH_UNTIL)?,
            stale_for: number(header, 28)?,
            load_time: u32::from_le_bytes(header[36..40].try_into().ok()?),
            tags: tags.into(),
            payload: rest,
        })
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let tags: usize = self.tags.iter().map(|tag| tag.len() + 1).sum();
        let mut bytes = Vec::with_capacity(HEADER + tags + self.payload.len());
        bytes.extend_from_slice(MAGIC);
        bytes.push(self.kind as u8);
        bytes.extend_from_slice(&self.stamp);
        for number in [self.generation, self.fresh_until, self.stale_for] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.load_time.to_le_bytes());
        bytes.push(self.tags.len() as u8);
        for tag in self.tags.iter() {
            bytes.push(tag.len() as u8);
            bytes.extend_from_slice(tag.as_bytes());
        }
        bytes.extend_from_slice(self.payload);
        bytes
    }

    /// In place of a value that was deleted.
    pub(super) fn tombstone() -> Self {
        Self {
            kind: Kind::Tombstone,
            stamp: rand::random(),
            generation: 0,
            fresh_until: 0,
            stale_for: 0,
            load_time: 0,
            tags: Arc::default(),
            payload: &[],
        }
    }
}

/// The stamp of whatever stands there, ours or not; empty for nothing.
pub(super) fn stamp_of(bytes: &[u8]) -> &[u8] {
    bytes.get(4..bytes.len().min(12)).unwrap_or_default()
}

fn number(header: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(header.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            stamp: Stamp, generation: u64, fresh_until: u64, stale_for: u64, load_time: u32,
            tags in proptest::collection::vec("[a-z]{0,20}", 0..16), payload: Vec<u8>,
        ) {
            let frame = Frame {
                kind: Kind::Value, stamp, generation, fresh_until, stale_for, load_time,
                tags: tags.iter().map(|tag| Arc::from(tag.as_str())).collect(), payload: &payload,
            };
            let bytes = frame.write();
            prop_assert_eq!(stamp_of(&bytes), &stamp);
            prop_assert_eq!(&bytes[FRESH_UNTIL..FRESH_UNTIL + 8], &fresh_until.to_le_bytes());
            prop_assert_eq!(Frame::parse(&bytes), Some(frame));
        }

        #[test]
        fn anything_else_is_nothing(mut bytes: Vec<u8>, magic: bool) {
            if magic {
                bytes.splice(0..0, *b"EC\x01\x01");
            }
            let _ = Frame::parse(&bytes);
            prop_assert!(stamp_of(&bytes).len() <= 8);
        }
    }
}
