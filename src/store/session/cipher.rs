//! XChaCha20-Poly1305: random nonces never run out.

use std::fmt;

use chacha20::{R20, hchacha};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};

pub(super) const KEY_LEN: usize = 32;
pub(super) const NONCE_LEN: usize = 24;
pub(super) const TAG_LEN: usize = 16;

/// A key of XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03): HChaCha20 makes of it and of the nonce's first 16 bytes a key that
/// ChaCha20-Poly1305 (RFC 8439) uses, with the last 8 as its nonce.
#[derive(Clone)]
pub(super) struct Cipher {
    key: [u8; KEY_LEN],
}

impl Cipher {
    pub(super) const fn new(key: [u8; KEY_LEN]) -> Self {
        Self { key }
    }

    /// Encrypts in place; the tag is of the text and of what is associated with it.
    pub(super) fn seal(
        &self,
        nonce: [u8; NONCE_LEN],
        associated: &[u8],
        text: &mut [u8],
    ) -> Option<[u8; TAG_LEN]> {
        let (key, nonce) = self.of(nonce)?;
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(associated), text).ok()?;
        tag.as_ref().try_into().ok()
    }

    /// Decrypts in place. `None`: not ours, and `text` is of no use any more.
    pub(super) fn open(
        &self,
        nonce: [u8; NONCE_LEN],
        associated: &[u8],
        text: &mut [u8],
        tag: [u8; TAG_LEN],
    ) -> Option<()> {
        let (key, nonce) = self.of(nonce)?;
        let (associated, tag) = (Aad::from(associated), Tag::from(tag));
        key.open_in_place_separate_tag(nonce, associated, tag, text, 0..).ok().map(drop)
    }

    /// The key and the nonce of RFC 8439.
    fn of(&self, nonce: [u8; NONCE_LEN]) -> Option<(LessSafeKey, Nonce)> {
        let (first, last) = nonce.split_first_chunk::<16>()?;
        let key = hchacha::<R20>(&self.key.into(), &(*first).into());
        let mut short = [0; 12];
        short[4..].copy_from_slice(last);
        let key = UnboundKey::new(&CHACHA20_POLY1305, &key).ok()?;
        Some((LessSafeKey::new(key), Nonce::assume_unique_for_key(short)))
    }
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher(..)")
    }
}

#[cfg(test)]
mod tests {
    use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_same_as_another_implementation(
            key: [u8; KEY_LEN], nonce: [u8; NONCE_LEN], associated: [u8; 14],
            text in prop::collection::vec(any::<u8>(), 0..2_000)
        ) {
            let (mut ours, mut theirs) = (text.clone(), text.clone());
            let tag = Cipher::new(key).seal(nonce, &associated, &mut ours).unwrap();
            let reference = XChaCha20Poly1305::new(&key.into());
            let other = reference
                .encrypt_inout_detached(&nonce.into(), &associated, theirs.as_mut_slice().into())
                .unwrap();
            prop_assert_eq!((&ours, tag.as_slice()), (&theirs, other.as_slice()));
            Cipher::new(key).open(nonce, &associated, &mut theirs, tag).unwrap();
            prop_assert_eq!(theirs, text);
            prop_assert!(Cipher::new(key).open(nonce, b"else", &mut ours, tag).is_none());
        }
    }
}
