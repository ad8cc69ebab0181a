//! The keys that snapshots are sealed with.

use std::fmt;

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use hkdf::Hkdf;
use sha2::Sha256;

use super::key_ring::KeyRing;
use crate::{Error, env::raw};

/// The shortest secret, in bytes.
const SHORTEST: usize = 32;
const VARIABLE: &str = "SESSION_KEYS";
/// What stands in the documentation as an example: everybody has it.
const PRINTED: &[u8] = b"please make this with openssl rand";
const FORM: &str = "base64 of 32 bytes or more each, comma separated; the first seals, all open";

/// A ring of secrets: the first seals, all open.
///
/// What they seal is worth something only where it was sealed: the
/// [namespace](crate::redis::RedisConfig::with_namespace) of the Redis handle and the
/// [audience](Self::with_audience) are part of each key, so applications that have the same secrets
/// share no session.
///
/// Instances that serve the same clients need the same ring. To rotate without logging anybody out:
/// put the new secret *last* and deploy everywhere (all can open it), then move it to the front and
/// deploy (all seal with it; what is sealed with the old one is sealed anew when its session is
/// next used), and take the old one away when the absolute lifetime of sessions has passed.
///
/// ```
/// use evenkeel::store::session::SessionKeys;
///
/// // What everybody can read here is no secret: it is refused.
/// let printed = "cGxlYXNlIG1ha2UgdGhpcyB3aXRoIG9wZW5zc2wgcmFuZA==";
/// assert!(SessionKeys::parse(printed).is_err());
/// assert_eq!(SessionKeys::random().len(), 1);
/// ```
#[derive(Clone)]
pub struct SessionKeys {
    secrets: Vec<Hkdf<Sha256>>,
    audience: String,
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
    /// never what it is. The key that is printed in this documentation is wrong.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let all: Vec<&str> = text.split(',').collect();
        let mut secrets = Vec::with_capacity(all.len());
        for (at, one) in all.iter().enumerate() {
            let which = || format!("key {} of {}", at + 1, all.len());
            let Some(secret) = decode(one.trim()) else {
                return Err(Error::config(format!("{} is not base64; expected {FORM}", which())));
            };
            if secret.len() < SHORTEST {
                let message = format!("{} has {} bytes; expected {FORM}", which(), secret.len());
                return Err(Error::config(message));
            }
            if secret == PRINTED {
                return Err(Error::config(format!(
                    "{} is the example that is printed in the documentation of SessionKeys, which \
                     everybody can read; make one with: openssl rand -base64 32",
                    which()
                )));
            }
            secrets.push(Hkdf::new(None, &secret));
        }
        Ok(Self { secrets, audience: String::new() })
    }

    /// One secret that nobody else has: snapshots end with this process.
    pub fn random() -> Self {
        let secret = Hkdf::new(None, &rand::random::<[u8; SHORTEST]>());
        Self { secrets: vec![secret], audience: String::new() }
    }

    /// Whom the snapshots are for. Default: empty.
    ///
    /// Applications or environments that have the same secrets and the same namespace (production
    /// and staging, each with a Redis of its own) share no session when their audiences differ. All
    /// instances of one application need the same. Another audience ends the snapshots, not the
    /// sessions: those are in Redis.
    #[must_use]
    pub fn with_audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = audience.into();
        self
    }

    /// How many.
    #[allow(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.secrets.len()
    }

    /// The keys of a store of this namespace.
    pub(super) fn ring(&self, namespace: &str) -> KeyRing {
        KeyRing::new(&self.secrets, namespace, &self.audience)
    }
}

impl fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionKeys").field("len", &self.len()).finish_non_exhaustive()
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
    use crate::store::session::key_ring::NAME_LEN;
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

    #[test]
    fn a_ring_is_read_in_either_alphabet() {
        let one = BASE64_STANDARD.encode([0xfb; 32]);
        let two = BASE64_URL_SAFE_NO_PAD.encode([0xfe; 48]);
        let keys = SessionKeys::parse(&format!(" {one} , {two}")).unwrap();
        assert_eq!(keys.len(), 2);
        let only_two = SessionKeys::parse(&two).unwrap();
        let (ring, two) = (keys.ring("shop"), only_two.ring("shop").sealing().unwrap().name);
        assert_ne!(ring.sealing().unwrap().name, two);
        assert_eq!(ring.named(two).count(), 1);
        assert_eq!(ring.named([0; NAME_LEN]).count(), 0);
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
            (
                format!("{good},{}", BASE64_URL_SAFE_NO_PAD.encode(PRINTED)),
                "key 2 of 2 is the example that is printed in the documentation",
            ),
        ] {
            let error = SessionKeys::parse(&text).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Config);
            assert!(error.to_string().starts_with(said), "{error}");
            assert!(!error.to_string().contains("hush"), "{error}");
        }
        assert_eq!(format!("{:?}", SessionKeys::random()), "SessionKeys { len: 1, .. }");
    }
}
