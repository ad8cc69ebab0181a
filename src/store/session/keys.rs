//! The keys that snapshots are sealed with.

use std::fmt;

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use hkdf::Hkdf;
use sha2::Sha256;

use crate::{Error, env::raw};

const KEY_LEN: usize = 32;
/// The shortest secret, in bytes.
const SHORTEST: usize = 32;
const VARIABLE: &str = "SESSION_KEYS";
const FORM: &str = "base64 of 32 bytes or more each, comma separated; the first seals, all open";

/// What names a key in the header of what it sealed.
pub(crate) const NAME_LEN: usize = 4;

/// A ring of secrets: the first seals, all open.
///
/// Instances that serve the same clients need the same ring. To rotate without logging anybody out:
/// put the new secret *last* and deploy everywhere (all can open it), then move it to the front and
/// deploy (all seal with it; what is sealed with the old one is sealed anew when its session is
/// next used), and take the old one away when the absolute lifetime of sessions has passed.
///
/// ```
/// use evenkeel::store::session::SessionKeys;
///
/// let keys = SessionKeys::parse("cGxlYXNlIG1ha2UgdGhpcyB3aXRoIG9wZW5zc2wgcmFuZA==")?;
/// assert_eq!(keys.len(), 1);
/// # Ok::<(), evenkeel::Error>(())
/// ```
#[derive(Clone)]
pub struct SessionKeys {
    first: Key,
    others: Vec<Key>,
}

#[derive(Clone)]
pub(super) struct Key {
    pub(super) name: [u8; NAME_LEN],
    pub(super) cipher: XChaCha20Poly1305,
}

impl SessionKeys {
    /// Reads `SESSION_KEYS`. When it is not set: [`random`](Self::random), with a warning in the
    /// log.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse), naming the variable.
    pub fn from_env() -> Result<Self, Error> {
        let Some(text) = raw(VARIABLE)? else {
            tracing::warn!(
                "{VARIABLE} is not set: sessions are sealed with a random key, so other instances, and this one after a \
                 restart, cannot go on with them while Redis is away"
            );
            return Ok(Self::random());
        };
        Self::parse(&text).map_err(|error| Error::config(format!("{VARIABLE}: {error}")))
    }

    /// Reads a ring: base64 (either alphabet, padding optional) of 32 bytes or more each, comma
    /// separated.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config), which says which of the keys is wrong and
    /// never what it is.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let all: Vec<&str> = text.split(',').collect();
        let mut keys = Vec::with_capacity(all.len());
        for (at, one) in all.iter().enumerate() {
            let which = || format!("key {} of {}", at + 1, all.len());
            let Some(secret) = decode(one.trim()) else {
                return Err(Error::config(format!("{} is not base64; expected {FORM}", which())));
            };
            if secret.len() < SHORTEST {
                let message = format!("{} has {} bytes; expected {FORM}", which(), secret.len());
                return Err(Error::config(message));
            }
            keys.push(Key::from_secret(&secret));
        }
        let mut keys = keys.into_iter();
        match keys.next() {
            Some(first) => Ok(Self { first, others: keys.collect() }),
            None => Err(Error::config(format!("no key; expected {FORM}"))),
        }
    }

    /// One secret that nobody else has: snapshots end with this process.
    pub fn random() -> Self {
        Self { first: Key::from_secret(&rand::random::<[u8; SHORTEST]>()), others: Vec::new() }
    }

    /// How many.
    #[allow(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        1 + self.others.len()
    }

    /// The one that seals.
    pub(super) fn sealing(&self) -> &Key {
        &self.first
    }

    /// Those of this name.
    pub(super) fn named(&self, name: [u8; NAME_LEN]) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.first).chain(&self.others).filter(move |key| key.name == name)
    }
}

impl fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionKeys").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Key {
    /// HKDF (RFC 5869): the key and its name tell nothing about the secret or each other.
    fn from_secret(secret: &[u8]) -> Self {
        let hkdf = Hkdf::<Sha256>::new(None, secret);
        let mut material = [0; KEY_LEN + NAME_LEN];
        // It fails only for more than 255 hashes of output.
        let _ = hkdf.expand(b"evenkeel session snapshot 1", &mut material);
        let (mut key, mut name) = ([0; KEY_LEN], [0; NAME_LEN]);
        key.copy_from_slice(&material[..KEY_LEN]);
        name.copy_from_slice(&material[KEY_LEN..]);
        Self { name, cipher: XChaCha20Poly1305::new(&key.into()) }
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let standard = GeneralPurpose::new(&STANDARD, config).decode(text);
    standard.or_else(|_| GeneralPurpose::new(&URL_SAFE, config).decode(text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

    #[test]
    fn a_ring_is_read_in_either_alphabet() {
        let one = BASE64_STANDARD.encode([0xfb; 32]);
        let two = BASE64_URL_SAFE_NO_PAD.encode([0xfe; 48]);
        let keys = SessionKeys::parse(&format!(" {one} , {two}")).unwrap();
        assert_eq!(keys.len(), 2);
        assert_ne!(keys.first.name, keys.others[0].name);
        assert_eq!(keys.named(keys.others[0].name).count(), 1);
        assert_eq!(keys.named([0; NAME_LEN]).count(), 0);
    }

    #[test]
    fn what_is_wrong_is_said_and_the_secret_is_not() {
        let good = BASE64_STANDARD.encode([1; 32]);
        let short = BASE64_STANDARD.encode(b"too short a secret");
        for (text, said) in [
            (short.clone(), "key 1 of 1 has 18 bytes; expected base64 of 32 bytes or more each"),
            (format!("{good},{short}"), "key 2 of 2 has 18 bytes"),
            (format!("{good},hush!"), "key 2 of 2 is not base64"),
            (format!("{good},"), "key 2 of 2 has 0 bytes"),
            (String::new(), "key 1 of 1 has 0 bytes"),
        ] {
            let error = SessionKeys::parse(&text).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Config);
            assert!(error.to_string().starts_with(said), "{error}");
            assert!(!error.to_string().contains("hush"), "{error}");
        }
        assert_eq!(format!("{:?}", SessionKeys::random()), "SessionKeys { len: 1, .. }");
    }
}
