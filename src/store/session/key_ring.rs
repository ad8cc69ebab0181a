//! The ciphers of one store: what its secrets seal there opens nowhere else.

use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use hkdf::Hkdf;
use sha2::Sha256;

const KEY_LEN: usize = 32;
/// What names a key in the header of what it sealed.
pub(super) const NAME_LEN: usize = 4;

/// The first seals, all open.
#[derive(Clone)]
pub(super) struct KeyRing(Vec<Key>);

#[derive(Clone)]
pub(super) struct Key {
    pub(super) name: [u8; NAME_LEN],
    pub(super) cipher: XChaCha20Poly1305,
}

impl KeyRing {
    /// The keys of these secrets for this namespace and audience.
    pub(super) fn new(secrets: &[Hkdf<Sha256>], namespace: &str, audience: &str) -> Self {
        // The length says where the namespace ends: no other pair makes the same text.
        let length = (namespace.len() as u64).to_be_bytes();
        let info: [&[u8]; 4] =
            [b"evenkeel session snapshot 2", &length, namespace.as_bytes(), audience.as_bytes()];
        Self(secrets.iter().map(|secret| Key::derived(secret, &info.concat())).collect())
    }

    /// The one that seals.
    pub(super) fn sealing(&self) -> Option<&Key> {
        self.0.first()
    }

    /// Those of this name.
    pub(super) fn named(&self, name: [u8; NAME_LEN]) -> impl Iterator<Item = &Key> {
        self.0.iter().filter(move |key| key.name == name)
    }
}

impl Key {
    /// HKDF (RFC 5869): the key and its name tell nothing about the secret or each other.
    fn derived(secret: &Hkdf<Sha256>, info: &[u8]) -> Self {
        let mut material = [0; KEY_LEN + NAME_LEN];
        // It fails only for more than 255 hashes of output.
        let _ = secret.expand(info, &mut material);
        let (mut key, mut name) = ([0; KEY_LEN], [0; NAME_LEN]);
        key.copy_from_slice(&material[..KEY_LEN]);
        name.copy_from_slice(&material[KEY_LEN..]);
        Self { name, cipher: XChaCha20Poly1305::new(&key.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_namespace_or_audience_is_another_key() {
        let secret = [Hkdf::<Sha256>::new(None, &[1; 32])];
        let pairs = [("shop", ""), ("admin", ""), ("shop", "admin"), ("shopadmin", ""), ("", "")];
        let names: Vec<_> = pairs
            .iter()
            .map(|(namespace, audience)| KeyRing::new(&secret, namespace, audience).0[0].name)
            .collect();
        for (at, name) in names.iter().enumerate() {
            assert!(!names[..at].contains(name), "{:?}", pairs[at]);
        }
        assert_eq!(KeyRing::new(&secret, "shop", "").0[0].name, names[0]);
    }
}
