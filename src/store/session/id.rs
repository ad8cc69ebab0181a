//! What a session is called: by its client, and everywhere else.

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// The secret that a client shows to have its session: 128 random bits.
///
/// Whoever has it has the session, so it is printed nowhere; [`name`](Self::name) is what goes into
/// keys and logs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SessionId([u8; 16]);

impl SessionId {
    pub(crate) fn random() -> Self {
        Self(rand::random())
    }

    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// Reads what [`encode`](Self::encode) wrote, and nothing else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        match BASE64_URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(16) => Some(Self(bytes)),
            _ => None,
        }
    }

    pub(crate) fn encode(self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.0)
    }

    /// What this session is called where its secret must not be seen.
    pub fn name(self) -> SessionName {
        SessionName::of(&self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(..)")
    }
}

/// An id and its name, worked out once.
#[derive(Clone, Copy)]
pub(crate) struct IdWithHash {
    pub(crate) id: SessionId,
    pub(crate) name: SessionName,
}

impl From<SessionId> for IdWithHash {
    fn from(id: SessionId) -> Self {
        Self { id, name: id.name() }
    }
}

/// The name of a session in keys, lists and logs: a hash of its [`SessionId`], which cannot be had
/// back from it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionName([u8; 16]);

impl SessionName {
    /// Half of SHA-256: short, and still out of reach of a search.
    pub(crate) fn of(secret: &[u8]) -> Self {
        let mut name = [0; 16];
        name.copy_from_slice(&Sha256::digest(secret)[..16]);
        Self(name)
    }

    /// As good as random.
    pub(crate) const fn first_byte(self) -> u8 {
        self.0[0]
    }

    /// Reads what `Display` wrote.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_ours = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok()?;
        is_ours.then(|| Self(number.to_be_bytes()))
    }
}

impl fmt::Display for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionName({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_come_back_and_nothing_else_does() {
        let id = SessionId::random();
        assert_eq!(SessionId::parse(&id.encode()), Some(id));
        assert_eq!(SessionName::parse(&id.name().to_string()), Some(id.name()));
        let good = id.encode();
        for bad in ["", "x", &good[1..], &format!("{good}A"), &format!("{good}=="), "ÄÄÄÄÄÄÄÄÄÄÄ"]
        {
            assert_eq!(SessionId::parse(bad), None, "{bad}");
        }
        assert_eq!(SessionName::parse("+0000000000000000000000000000001"), None);
    }

    #[test]
    fn the_secret_is_not_printed() {
        let id = SessionId::from_bytes([7; 16]);
        assert_eq!(format!("{id:?}"), "SessionId(..)");
        assert!(!format!("{:?}", id.name()).contains("0707"));
    }
}
