//! A snapshot as a cookie: encrypted, authenticated, and never larger than browsers take.

use std::borrow::Cow;

use base64_simd::URL_SAFE_NO_PAD;
use postcard::ser_flavors::Size;

use super::{
    cipher::{NONCE_LEN, TAG_LEN},
    keys::{NAME_LEN, SessionKeys},
    snapshot::{Declared, Snapshot},
};

/// The form of what follows; another form will have another number.
const FORM: u8 = 1;
const HEADER_LEN: usize = 1 + NAME_LEN;
/// A browser drops a cookie whose `name=value` is larger, without a word.
pub(crate) const LARGEST: usize = 4096;

/// A snapshot that was opened.
pub(crate) struct Opened {
    pub(crate) snapshot: Snapshot,
    /// Under a key that seals no more.
    pub(crate) is_outdated: bool,
}

/// What became of a cookie.
pub(crate) enum Opening {
    Opened(Box<Opened>),
    /// No key of this name: another instance may have it.
    UnknownKey,
    /// Not ours.
    Rejected,
}

/// The cookie's value: form, key name, nonce, ciphertext and tag. The cookie's name and the header are authenticated
/// with it. What finds no room is left out, the least important first; `None`: even the rest finds none.
pub(crate) fn seal(
    keys: &SessionKeys,
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
    let key = keys.sealing();
    let nonce: [u8; NONCE_LEN] = rand::random();
    let mut sealed = Vec::with_capacity(HEADER_LEN + NONCE_LEN + plain + TAG_LEN);
    sealed.push(FORM);
    sealed.extend(key.name);
    let associated = associated(&sealed, cookie);
    sealed.extend(nonce);
    let mut sealed = postcard::to_extend(&*snapshot, sealed).ok()?;
    let text = sealed.get_mut(HEADER_LEN + NONCE_LEN..)?;
    let tag = key.cipher.seal(nonce, &associated, text)?;
    sealed.extend(tag);
    Some(URL_SAFE_NO_PAD.encode_to_string(sealed))
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
pub(crate) fn open(keys: &SessionKeys, cookie: &str, value: &str) -> Opening {
    if value.len() > LARGEST {
        return Opening::Rejected;
    }
    let Ok(sealed) = URL_SAFE_NO_PAD.decode_to_vec(value) else { return Opening::Rejected };
    let Some((header, rest)) = sealed.split_first_chunk::<HEADER_LEN>() else {
        return Opening::Rejected;
    };
    let Some((nonce, rest)) = rest.split_first_chunk::<NONCE_LEN>() else {
        return Opening::Rejected;
    };
    let Some((text, tag)) = rest.split_last_chunk::<TAG_LEN>() else {
        return Opening::Rejected;
    };
    let [form, name @ ..] = *header;
    if form != FORM {
        return Opening::Rejected;
    }
    let associated = associated(header, cookie);
    let mut is_known = false;
    for key in keys.named(name) {
        is_known = true;
        // A copy: another key of this name needs it as it came.
        let mut text = text.to_vec();
        if key.cipher.open(*nonce, &associated, &mut text, *tag).is_some() {
            let Ok(snapshot) = postcard::from_bytes(&text) else { return Opening::Rejected };
            let is_outdated = key.name != keys.sealing().name;
            return Opening::Opened(Box::new(Opened { snapshot, is_outdated }));
        }
    }
    if is_known { Opening::Rejected } else { Opening::UnknownKey }
}

fn associated(header: &[u8], cookie: &str) -> Vec<u8> {
    [header, cookie.as_bytes()].concat()
}

#[cfg(test)]
#[path = "seal_tests.rs"]
mod tests;
