//! A snapshot as a cookie: encrypted, authenticated, and never larger than browsers take.

use std::borrow::Cow;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chacha20poly1305::{XNonce, aead::AeadInOut};
use postcard::ser_flavors::Size;

use super::{
    key_ring::{KeyRing, NAME_LEN},
    snapshot::{Declared, Snapshot},
};

/// The form of what follows; another form will have another number.
const FORM: u8 = 2;
const NONCE_LEN: usize = 24;
const TAG_LEN: usize = 16;
const HEADER_LEN: usize = 1 + NAME_LEN;
/// A browser drops a cookie whose `name=value` is larger, without a word.
pub(crate) const LARGEST: usize = 4096;

/// Whether a client needs another copy, as far as the seal is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seal {
    /// Made with the key that seals.
    Current,
    /// Missing, none of ours, or made with a key that seals no more.
    Outdated,
    /// Made with a key that another instance may have: the cookie is left as it is.
    Foreign,
}

/// The cookie's value: form, key name, nonce, ciphertext and tag. The cookie's name and the header
/// are authenticated with it. What finds no room is left out, the least important first; `None`:
/// even the rest finds none.
pub(crate) fn seal(
    keys: &KeyRing,
    cookie: &str,
    mut snapshot: Cow<'_, Snapshot>,
    declared: &Declared,
) -> Option<String> {
    let plain = loop {
        let plain = plain_len(&snapshot)?;
        if sealed_len(cookie, plain) <= LARGEST {
            break plain;
        }
        if !snapshot.to_mut().shorten(declared) {
            return None;
        }
    };
    let key = keys.sealing()?;
    let nonce: [u8; NONCE_LEN] = rand::random();
    let mut sealed = Vec::with_capacity(HEADER_LEN + NONCE_LEN + plain + TAG_LEN);
    sealed.push(FORM);
    sealed.extend(key.name);
    let associated = associated(&sealed, cookie);
    sealed.extend(nonce);
    let mut sealed = postcard::to_extend(&*snapshot, sealed).ok()?;
    let text = sealed.get_mut(HEADER_LEN + NONCE_LEN..)?;
    let nonce = XNonce::from(nonce);
    let tag = key.cipher.encrypt_inout_detached(&nonce, &associated, text.into()).ok()?;
    sealed.extend(tag);
    Some(BASE64_URL_SAFE_NO_PAD.encode(sealed))
}

/// The size of its code.
fn plain_len(snapshot: &Snapshot) -> Option<usize> {
    postcard::serialize_with_flavor(snapshot, Size::default()).ok()
}

/// The size of `name=value`.
fn sealed_len(cookie: &str, plain: usize) -> usize {
    let bytes = HEADER_LEN + NONCE_LEN + plain + TAG_LEN;
    cookie.len() + 1 + (bytes * 4).div_ceil(3)
}

/// Whether a snapshot finds room, in bytes of `name=value`, when all that may be left out is.
pub(crate) fn fits(room: usize, cookie: &str, snapshot: &Snapshot) -> bool {
    let fits = |snapshot: &Snapshot| {
        plain_len(snapshot).is_some_and(|plain| sealed_len(cookie, plain) <= room)
    };
    if fits(snapshot) {
        return true;
    }
    let mut bare = snapshot.clone();
    while bare.shorten(&Declared::default()) {}
    fits(&bare)
}

/// Whether all of it finds room.
#[cfg(feature = "tower-sessions")]
pub(crate) fn fits_whole(room: usize, snapshot: &Snapshot) -> bool {
    plain_len(snapshot).is_some_and(|plain| plain <= room)
}

/// Opens what [`seal`] made under any key of the ring.
pub(crate) fn open(keys: &KeyRing, cookie: &str, value: &str) -> (Option<Snapshot>, Seal) {
    const REJECTED: (Option<Snapshot>, Seal) = (None, Seal::Outdated);
    if value.len() > LARGEST {
        return REJECTED;
    }
    let Ok(mut sealed) = BASE64_URL_SAFE_NO_PAD.decode(value) else { return REJECTED };
    let Some((header, nonce, text, tag)) = split(&mut sealed) else { return REJECTED };
    let [form, name @ ..] = header;
    if form != FORM {
        return REJECTED;
    }
    let associated = associated(&header, cookie);
    let mut unopened = (None, Seal::Foreign);
    for key in keys.named(name) {
        unopened = REJECTED;
        // In place: the tag is checked before anything is changed.
        let (text, nonce, tag) = (&mut *text, XNonce::from(nonce), tag.into());
        if key.cipher.decrypt_inout_detached(&nonce, &associated, text.into(), &tag).is_ok() {
            let Ok(snapshot) = postcard::from_bytes(text) else { return REJECTED };
            let is_current = keys.sealing().is_some_and(|sealing| sealing.name == key.name);
            return (Some(snapshot), if is_current { Seal::Current } else { Seal::Outdated });
        }
    }
    unopened
}

type Parts<'a> = ([u8; HEADER_LEN], [u8; NONCE_LEN], &'a mut [u8], [u8; TAG_LEN]);

fn split(sealed: &mut [u8]) -> Option<Parts<'_>> {
    let (header, rest) = sealed.split_first_chunk_mut()?;
    let (nonce, rest) = rest.split_first_chunk_mut()?;
    let (text, tag) = rest.split_last_chunk_mut()?;
    Some((*header, *nonce, text, *tag))
}

fn associated(header: &[u8], cookie: &str) -> Vec<u8> {
    [header, cookie.as_bytes()].concat()
}

#[cfg(test)]
#[path = "seal_tests.rs"]
mod tests;
