//! Names of tokens and subjects, as far as revocation is concerned: 128 bits.

use std::{
    fmt,
    hash::{BuildHasherDefault, Hasher},
    time::SystemTime,
};

use sha2::{Digest as _, Sha256};

use super::clock;

/// Longer ids are refused: no token has one.
const LONGEST: usize = 64 * 1024;

/// The first 128 bits of the SHA-256 of a token's id or of a subject: what stands in Redis and in
/// memory, so that neither holds ids or names, and all are of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest([u8; 16]);

pub(crate) const DIGEST: usize = 16;

impl Digest {
    pub(crate) const fn from_bytes(bytes: [u8; DIGEST]) -> Self {
        Self(bytes)
    }

    /// Ids and subjects are told apart, also when they read the same. `None` for what no token has.
    fn of(kind: u8, bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() || bytes.len() > LONGEST {
            return None;
        }
        let whole = Sha256::new().chain_update([kind]).chain_update(bytes).finalize();
        Some(Self(std::array::from_fn(|index| whole[index])))
    }

    pub(super) fn of_id(id: &[u8]) -> Option<Self> {
        Self::of(b'i', id)
    }

    pub(super) fn of_subject(subject: &[u8]) -> Option<Self> {
        Self::of(b's', subject)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; DIGEST] {
        &self.0
    }

    /// Bits that choose a shard; the table inside uses others.
    pub(super) const fn shard(&self) -> usize {
        self.0[0] as usize
    }
}

impl std::hash::Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [_, _, _, _, _, _, _, _, tail @ ..] = self.0;
        state.write_u64(u64::from_le_bytes(tail));
    }
}

/// A digest is its own hash.
#[derive(Default)]
pub(super) struct IdentityHasher(u64);

pub(super) type DigestHasher = BuildHasherDefault<IdentityHasher>;

impl Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// What is known of a token that is to be judged: its id, and its subject and time of issue where
/// cut-offs are to count for it.
///
/// It holds hashes only, so it is small, free of secrets, and [`Copy`].
///
/// ```
/// use std::time::SystemTime;
/// use evenkeel::store::revocation::Token;
///
/// let token = Token::new("5f0c…").of("alice").issued_at(SystemTime::now());
/// ```
///
/// An empty id, or one over 64 KiB, belongs to no token that could ever be revoked: such a token is
/// judged to be revoked. The same goes for an empty subject or one that is too long.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token {
    pub(super) id: Option<Digest>,
    pub(super) subject: Option<Digest>,
    pub(super) issued_at: Option<u64>,
}

impl Token {
    /// The token with this id (a JWT's `jti`): any bytes.
    pub fn new(id: impl AsRef<[u8]>) -> Self {
        Self { id: Digest::of_id(id.as_ref()), subject: None, issued_at: None }
    }

    /// It belongs to this subject (a JWT's `sub`):
    /// [`Revocations::revoke_subject`](super::Revocations::revoke_subject) counts for it.
    #[must_use]
    pub fn of(mut self, subject: impl AsRef<[u8]>) -> Self {
        self.subject = Digest::of_subject(subject.as_ref());
        if self.subject.is_none() {
            self.id = None;
        }
        self
    }

    /// It was issued then (a JWT's `iat`). A token whose time of issue is not told counts as older
    /// than every cut-off.
    #[must_use]
    pub fn issued_at(mut self, at: SystemTime) -> Self {
        self.issued_at = Some(clock::millis(at));
        self
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("issued_at", &self.issued_at).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_subjects_are_told_apart_and_any_bytes_will_do() {
        assert_ne!(Digest::of_id(b"a"), Digest::of_subject(b"a"));
        assert!(Digest::of_id(&[0, 0xff, b'\r', b'\n']).is_some());
        assert!(Digest::of_id(&vec![b'x'; LONGEST]).is_some());
        assert_eq!(Digest::of_id(&vec![b'x'; LONGEST + 1]), None);
        assert_eq!(Digest::of_id(b""), None);
        assert_eq!(Token::new("a").of("").id, None);
    }

    #[test]
    fn nothing_of_the_id_shows() {
        assert!(!format!("{:?}", Token::new("hunter2").of("alice")).contains("alice"));
    }
}
