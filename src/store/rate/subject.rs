//! Whom a limit is for: an unambiguous, bounded name.

use std::fmt::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use icu_normalizer::ComposingNormalizerBorrowed;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use sha2::{Digest, Sha256};

/// Most subjects (an address, an API key, a user id) fit without an allocation.
const INLINE: usize = 38;
/// Longer parts are kept as their hash, so that a subject has a bound.
const LONGEST_PART: usize = 64;
/// 128 bits of SHA-256.
const HASH: usize = 16;

const LABEL: u8 = 1;
const SECRET: u8 = 2;
/// Added to the kind of a part that was too long.
const LONG: u8 = 0x80;
const V4: u8 = 4;
const V6: u8 = 6;

/// Whom a request is counted for: one or several parts (a client's address, an API key, a route).
///
/// Parts carry their kind and length, so two different subjects never read the same: an API key
/// that says `203.0.113.9` is not that address, and `("ab", "c")` is not `("a", "bc")`. Any bytes
/// of any length will do.
///
/// In Redis a subject is written readably where that is safe; what came from a header, and what is
/// longer than 64 bytes, is written as the first 128 bits of its SHA-256: a key in Redis never
/// holds a credential, and nobody can find a second name for another client's bucket (2^128 tries).
/// Its `Debug` form shows no secret either.
///
/// # Examples
///
/// ```
/// use evenkeel::store::rate::Subject;
///
/// let subject = Subject::text("tenant 7").and_address("203.0.113.9".parse().unwrap(), 64);
/// assert_eq!(format!("{subject:?}"), "Subject(\"tenant%207,203.0.113.9\")");
/// assert!(!format!("{:?}", Subject::secret("my key")).contains("my key"));
/// ```
#[derive(Clone)]
pub struct Subject(Bytes);

#[derive(Clone)]
enum Bytes {
    Inline { len: u8, bytes: [u8; INLINE] },
    Heap(Vec<u8>),
}

impl Subject {
    pub(crate) const EMPTY: Self = Self(Bytes::Inline { len: 0, bytes: [0; INLINE] });

    /// A name that may be read by whoever can read Redis: a user id, a tenant, a route.
    pub fn text(name: impl AsRef<[u8]>) -> Self {
        Self::EMPTY.and_text(name)
    }

    /// A credential, or anything else that must not stand in Redis as it is.
    pub fn secret(secret: impl AsRef<[u8]>) -> Self {
        Self::EMPTY.and_secret(secret)
    }

    /// The name of an account as a person types it, kept from Redis as a secret is (people type
    /// passwords into that field): white space around it, letter case and the Unicode form make no
    /// difference, so that `Alice`, `alice ` and `ＡＬＩＣＥ` are counted together. NFKC ([UAX #15]),
    /// and case as in [RFC 8265 §3.3], with ß as ss.
    ///
    /// Where the accounts are looked up by a looser comparison still (one that ignores accents,
    /// say), count by what was found: the account's own id, and by the name when there is none.
    ///
    /// ```
    /// use evenkeel::store::rate::Subject;
    ///
    /// assert_eq!(Subject::login_name("Stra\u{df}e "), Subject::login_name("STRASSE"));
    /// assert_ne!(Subject::login_name("alice"), Subject::login_name("alicia"));
    /// ```
    ///
    /// [UAX #15]: https://www.unicode.org/reports/tr15/
    /// [RFC 8265 §3.3]: https://www.rfc-editor.org/rfc/rfc8265#section-3.3
    pub fn login_name(name: &str) -> Self {
        let nfkc = ComposingNormalizerBorrowed::new_nfkc();
        let plain = nfkc.normalize(name);
        // Up, then down: by either alone a final sigma would not be a sigma.
        let upper = plain.trim().chars().flat_map(char::to_uppercase);
        let folded: String = upper.flat_map(char::to_lowercase).collect();
        Self::secret(nfkc.normalize(&folded).as_bytes())
    }

    /// A client's address: IPv4 whole (also when written as IPv4-mapped IPv6), IPv6 by its first
    /// `ipv6_prefix` bits (a subscriber holds a whole /64 at least).
    #[inline]
    pub fn address(address: IpAddr, ipv6_prefix: u8) -> Self {
        match address {
            IpAddr::V4(v4) => Self::v4(v4),
            IpAddr::V6(_) => Self::EMPTY.and_address(address, ipv6_prefix),
        }
    }

    /// The commonest subject of all, without the general way of adding parts.
    #[inline]
    pub(crate) fn v4(address: Ipv4Addr) -> Self {
        let [a, b, c, d] = address.octets();
        let mut bytes = [0; INLINE];
        bytes[..5].copy_from_slice(&[V4, a, b, c, d]);
        Self(Bytes::Inline { len: 5, bytes })
    }

    /// Adds a part, as [`text`](Self::text).
    #[must_use]
    pub fn and_text(mut self, name: impl AsRef<[u8]>) -> Self {
        self.push(LABEL, name.as_ref());
        self
    }

    /// Adds a part, as [`secret`](Self::secret).
    #[must_use]
    pub fn and_secret(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.push(SECRET, secret.as_ref());
        self
    }

    /// Adds a part, as [`address`](Self::address).
    #[must_use]
    pub fn and_address(mut self, address: IpAddr, ipv6_prefix: u8) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                self.append(&[V4]);
                self.append(&v4.octets());
            }
            IpAddr::V6(v6) => {
                let prefix = ipv6_prefix.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                self.append(&[V6, prefix]);
                self.append(&(v6.to_bits() & mask).to_be_bytes());
            }
        }
        self
    }

    /// Adds all parts of another subject.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.append(other.bytes());
        self
    }

    /// The part of a Redis key that stands for this subject: printable ASCII without braces or `:`
    /// separators of ours in user text; at most a few dozen characters for each part.
    pub(crate) fn redis_form(&self) -> String {
        let mut out = String::with_capacity(40);
        self.write_form(&mut out);
        out
    }

    pub(crate) fn write_form(&self, out: &mut String) {
        let (mut rest, from) = (self.bytes(), out.len());
        while let Some((kind, part)) = rest.split_first() {
            if out.len() > from {
                out.push(',');
            }
            // What was built here is whole: there is always a rest, if an empty one.
            rest = write_part(*kind, part, out).unwrap_or_default();
        }
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.0 {
            Bytes::Inline { len, bytes } => &bytes[..usize::from(*len).min(INLINE)],
            Bytes::Heap(bytes) => bytes,
        }
    }

    fn push(&mut self, kind: u8, bytes: &[u8]) {
        if bytes.len() > LONGEST_PART {
            self.append(&[kind | LONG]);
            self.append(&hash(bytes));
        } else {
            self.append(&[kind, bytes.len() as u8]);
            self.append(bytes);
        }
    }

    fn append(&mut self, more: &[u8]) {
        match &mut self.0 {
            Bytes::Inline { len, bytes } => {
                let (from, to) = (usize::from(*len), usize::from(*len) + more.len());
                if let Some(room) = bytes.get_mut(from..to) {
                    room.copy_from_slice(more);
                    *len = to as u8;
                } else {
                    self.0 = Bytes::Heap([&bytes[..from], more].concat());
                }
            }
            Bytes::Heap(bytes) => bytes.extend_from_slice(more),
        }
    }
}

/// Writes the part at the beginning, and returns what follows it.
fn write_part<'a>(kind: u8, bytes: &'a [u8], out: &mut String) -> Option<&'a [u8]> {
    match kind {
        V4 => {
            let (octets, rest) = bytes.split_first_chunk::<4>()?;
            write!(out, "{}", Ipv4Addr::from(*octets)).ok()?;
            Some(rest)
        }
        V6 => {
            let (prefix, bytes) = bytes.split_first()?;
            let (octets, rest) = bytes.split_first_chunk::<16>()?;
            write!(out, "{}/{prefix}", Ipv6Addr::from(*octets)).ok()?;
            Some(rest)
        }
        kind if kind & LONG != 0 => {
            let (hash, rest) = bytes.split_first_chunk()?;
            write_hash(if kind & !LONG == LABEL { 't' } else { 'h' }, *hash, out)?;
            Some(rest)
        }
        kind => {
            let (len, bytes) = bytes.split_first()?;
            let (part, rest) = bytes.split_at_checked(usize::from(*len))?;
            if kind == LABEL {
                escape(part, out)
            } else {
                write_hash('h', hash(part), out)?
            }
            Some(rest)
        }
    }
}

/// What stands in a key as it is.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'/').remove(b'@');

/// Labels start with a tilde where they could be taken for an address or a hash.
fn escape(label: &[u8], out: &mut String) {
    if label.first().is_none_or(|first| !first.is_ascii_alphabetic()) {
        out.push('~');
    }
    out.extend(percent_encode(label, PLAIN));
}

fn write_hash(kind: char, hash: [u8; HASH], out: &mut String) -> Option<()> {
    write!(out, "{kind}:{:032x}", u128::from_be_bytes(hash)).ok()
}

fn hash(bytes: &[u8]) -> [u8; HASH] {
    let whole = Sha256::digest(bytes);
    std::array::from_fn(|index| whole[index])
}

impl PartialEq for Subject {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Subject {}

impl std::hash::Hash for Subject {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.bytes().hash(state);
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Subject").field(&self.redis_form()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{HashMap, HashSet};

    fn address(text: &str) -> Subject {
        Subject::address(text.parse().expect("an address"), 64)
    }

    #[test]
    fn one_account_has_one_login_name_however_it_is_typed() {
        let same = [
            ["alice", " Alice\t"],
            ["alice", "\u{ff21}\u{ff2c}\u{ff29}\u{ff23}\u{ff25}\u{a0}"],
            ["jos\u{e9}", "JOSE\u{301}"],
            ["\u{3bf}\u{3b4}\u{3c2}", "\u{39f}\u{394}\u{3a3}"],
            ["stra\u{df}e", "STRASSE"],
            ["\u{fb01}n", "FIN"],
        ];
        for [one, other] in same {
            assert_eq!(Subject::login_name(one), Subject::login_name(other), "{one} {other}");
        }
        let different = ["", "alice", "al ice", "alic\u{e9}", "alice2", "\0alice"];
        let names: HashSet<_> = different.map(Subject::login_name).into();
        assert_eq!(names.len(), different.len());
        assert!(!format!("{:?}", Subject::login_name("alice")).contains("alice"));
    }

    #[test]
    fn addresses_are_folded_and_masked() {
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
        assert_eq!(address("2001:db8::1"), address("2001:db8:0:0:ffff::"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_eq!(address("2001:db8::1").redis_form(), "2001:db8::/64");
        let any = Subject::address("2001:db8::1".parse().expect("an address"), 0);
        assert_eq!(any.redis_form(), "::/0");
        let host = Subject::address("2001:db8::1".parse().expect("an address"), 255);
        assert_eq!(host.redis_form(), "2001:db8::1/128");
    }

    #[test]
    fn what_looks_alike_is_not_alike() {
        let all = [
            address("192.0.2.1"),
            Subject::text("192.0.2.1"),
            Subject::secret("192.0.2.1"),
            Subject::text(Subject::secret("192.0.2.1").redis_form()),
            Subject::text("a").and_text("b"),
            Subject::text("a,b"),
            Subject::text("ab"),
            Subject::text(""),
            Subject::text("").and_text(""),
            Subject::text("~"),
            Subject::text("2001:db8::/64"),
            address("2001:db8::"),
            Subject::text(vec![0xff; 65_536]),
            Subject::text(vec![0xff; 65_537]),
            Subject::secret(vec![0xff; 65_537]),
        ];
        let forms: std::collections::HashSet<String> =
            all.iter().map(Subject::redis_form).collect();
        assert_eq!(forms.len(), all.len(), "{forms:?}");
        assert!(
            forms.iter().all(|form| form.len() < 200 && form.bytes().all(|b| b.is_ascii_graphic()))
        );
        assert!(forms.iter().all(|form| !form.contains(['{', '}'])));
    }

    #[test]
    fn a_subject_is_bounded_and_whole() {
        let long = Subject::secret(vec![7; 65_536])
            .and_text("x")
            .and_address(IpAddr::from([1, 2, 3, 4]), 64);
        assert!(long.bytes().len() < 64);
        assert_eq!(long.redis_form().split(',').count(), 3);
        assert_eq!(
            address("192.0.2.1"),
            Subject::EMPTY.and_address(IpAddr::from([192, 0, 2, 1]), 64)
        );
        let many = (0..9).fold(Subject::EMPTY, |subject, _| subject.and_text([b'x'; 64]));
        assert_eq!(many.redis_form(), [&*"x".repeat(64); 9].join(","));
    }

    #[test]
    fn secrets_do_not_show() {
        let subject = Subject::secret("hunter2").and_text("x");
        assert!(!format!("{subject:?}").contains("hunter2"));
    }

    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    enum Kind {
        Text(Vec<u8>),
        Secret(Vec<u8>),
        Address(u32),
    }

    proptest! {
        #[test]
        fn letter_case_and_space_make_no_second_login_name(name in "\\PC{0,12}") {
            let once = Subject::login_name(&name);
            prop_assert_eq!(&once, &Subject::login_name(&format!(" {name}\n")));
            prop_assert_eq!(&once, &Subject::login_name(&name.to_uppercase()));
        }

        #[test]
        fn forms_are_unique(lists in proptest::collection::vec(proptest::collection::vec(prop_oneof![
            "[a-c,%~:./h0-9]{0,4}".prop_map(|text| Kind::Text(text.into_bytes())),
            "[a-c]{0,2}".prop_map(|text| Kind::Secret(text.into_bytes())),
            (0..3u32).prop_map(Kind::Address),
        ], 1..4), 1..40)) {
            let mut seen: HashMap<String, Vec<Kind>> = HashMap::new();
            for parts in lists {
                let subject = parts.iter().fold(Subject::EMPTY, |subject, part| match part {
                    Kind::Text(text) => subject.and_text(text),
                    Kind::Secret(text) => subject.and_secret(text),
                    Kind::Address(address) => subject.and_address(IpAddr::from(address.to_be_bytes()), 64),
                });
                let other = seen.entry(subject.redis_form()).or_insert_with(|| parts.clone()).clone();
                prop_assert_eq!(other, parts);
            }
        }
    }
}
