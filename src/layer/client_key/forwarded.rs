//! The client's address in the headers that proxies write: in `Forwarded` (RFC 7239) and
//! `X-Forwarded-For`, read from the right, and in headers that hold one address.
//!
//! Each proxy adds at the right end whom *it* talked to, so only the part that trusted proxies
//! wrote can be believed. From the peer's address the search goes leftwards for as long as the
//! address reached is trusted; the first that is not is the client, whatever stands further left.
//!
//! The bytes are a stranger's: each step is bounded ([`MAX_HOPS`], [`MAX_BYTES`]), nothing
//! allocates, and what cannot be read ends the search at the last address that could be believed.
//! It is own code for that reason: a parser of whole headers would spend work on, and could be
//! misled by, the part that a stranger wrote.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use http::header::{FORWARDED, GetAll, HeaderName};
use http::{HeaderMap, HeaderValue};

/// The most entries that are looked at.
const MAX_HOPS: usize = 32;
/// The most bytes that are looked at, from the right.
const MAX_BYTES: usize = 4096;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const CF_CONNECTING_IP: HeaderName = HeaderName::from_static("cf-connecting-ip");
const FLY_CLIENT_IP: HeaderName = HeaderName::from_static("fly-client-ip");

/// Which header the proxies write.
///
/// The first three hold a list, to which each proxy adds whom it talked to: it is read from the
/// right for as long as the address at hand is a trusted proxy's, so what a client has written
/// itself is never reached. The others hold one address, and are believed as they are: **every way
/// to this service must lead through a proxy that sets this header or takes it away.** Where it is
/// missing, stands there twice, or is no address, the request counts for the proxy itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardedHeader {
    /// `Forwarded` or `X-Forwarded-For`, whichever is there (the default).
    ///
    /// When both are and they name different clients, one of them was passed on from outside:
    /// neither is believed, and the request counts for the proxy itself.
    #[default]
    Either,
    /// Only `Forwarded`.
    Forwarded,
    /// Only `X-Forwarded-For`.
    XForwardedFor,
    /// Only `X-Real-IP`: nginx's `proxy_set_header X-Real-IP $remote_addr`.
    XRealIp,
    /// Only `CF-Connecting-IP`: Cloudflare's. The trusted proxies are Cloudflare's networks, or a
    /// proxy of one's own that talks to nobody else.
    CfConnectingIp,
    /// Only `Fly-Client-IP`: that of fly.io's proxy.
    FlyClientIp,
    /// Only this header, which holds one address: `True-Client-IP`, `Fastly-Client-IP` …
    Single(HeaderName),
}

impl ForwardedHeader {
    /// The client, as the proxy at `peer` tells; `None` when it does not.
    pub(super) fn client(
        &self,
        peer: IpAddr,
        headers: &HeaderMap,
        trusts: impl Fn(IpAddr) -> bool + Copy,
    ) -> Option<IpAddr> {
        match self {
            Self::Forwarded => forwarded(peer, headers, trusts),
            Self::XForwardedFor => x_forwarded_for(peer, headers, trusts),
            Self::Either => {
                let two =
                    (forwarded(peer, headers, trusts), x_forwarded_for(peer, headers, trusts));
                match two {
                    (Some(one), Some(other)) => (one == other).then_some(one),
                    (one, other) => one.or(other),
                }
            }
            Self::XRealIp => single(headers, &X_REAL_IP),
            Self::CfConnectingIp => single(headers, &CF_CONNECTING_IP),
            Self::FlyClientIp => single(headers, &FLY_CLIENT_IP),
            Self::Single(name) => single(headers, name),
        }
    }
}

/// What a header says that holds one address; `None` when it does not, or stands there twice: then
/// one of them was passed on from outside.
fn single(headers: &HeaderMap, name: &HeaderName) -> Option<IpAddr> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => node(line.as_bytes().trim_ascii()),
        _ => None,
    }
}

/// What `Forwarded` says; `None` when there is none.
fn forwarded(peer: IpAddr, headers: &HeaderMap, trusts: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    headers
        .contains_key(FORWARDED)
        .then(|| walk(peer, headers.get_all(FORWARDED), trusts, forwarded_for, true))
}

/// What `X-Forwarded-For` says; `None` when there is none.
fn x_forwarded_for(
    peer: IpAddr,
    headers: &HeaderMap,
    trusts: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    headers
        .contains_key(&X_FORWARDED_FOR)
        .then(|| walk(peer, headers.get_all(&X_FORWARDED_FOR), trusts, node, false))
}

/// Walks from the peer leftwards, for as long as the address reached is trusted.
fn walk(
    peer: IpAddr,
    lines: GetAll<'_, HeaderValue>,
    trusts: impl Fn(IpAddr) -> bool,
    read: fn(&[u8]) -> Option<IpAddr>,
    quotes: bool,
) -> IpAddr {
    let (mut believed, mut hops, mut bytes) = (peer, 0, 0);
    // Several lines are one list (RFC 9110, 5.3), so the last line holds the nearest hops.
    for line in lines.iter().rev() {
        let mut rest = line.as_bytes();
        loop {
            let Some((left, entry)) = last_entry(rest, MAX_BYTES - bytes, quotes) else {
                return believed;
            };
            bytes += rest.len() - left.map_or(0, <[u8]>::len);
            hops += 1;
            let entry = entry.trim_ascii();
            // Empty elements are allowed in lists (RFC 9110, 5.6.1) and say nothing.
            if !entry.is_empty() {
                let Some(address) = read(entry) else { return believed };
                believed = address;
                if !trusts(address) {
                    return believed;
                }
            }
            if hops >= MAX_HOPS || bytes >= MAX_BYTES {
                return believed;
            }
            let Some(left) = left else { break };
            rest = left;
        }
    }
    believed
}

/// Splits off the last element of a list: what is left of its comma (if there is one), and itself.
/// `None` when it is longer than `most`.
///
/// Read from the right, so that an open quote further left (a stranger's) cannot swallow what the
/// trusted proxies appended.
fn last_entry(list: &[u8], most: usize, quotes: bool) -> Option<(Option<&[u8]>, &[u8])> {
    let mut quoted = false;
    for (walked, (index, byte)) in list.iter().enumerate().rev().enumerate() {
        if walked >= most {
            return None;
        }
        match byte {
            b'"' if quotes && !(quoted && escaped(list, index)) => quoted = !quoted,
            b',' if !quoted => return Some((list.get(..index), list.get(index + 1..)?)),
            _ => {}
        }
    }
    Some((None, list))
}

/// Whether the byte at `index` has an odd number of backslashes before it.
///
/// Looks at eight at most: a longer run cannot be an address.
fn escaped(list: &[u8], index: usize) -> bool {
    let before = list.get(..index).unwrap_or_default();
    before.iter().rev().take(8).take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// The `for` parameter of one element of `Forwarded`.
///
/// `None` when there is none, or two, or it is no address.
fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    let (mut found, mut rest) = (None, element);
    loop {
        let end = pair_end(rest);
        let (pair, after) = rest.split_at_checked(end)?;
        let pair = pair.trim_ascii();
        // `;` may stand at the end, and twice.
        if !pair.is_empty() {
            let equals = pair.iter().position(|byte| *byte == b'=')?;
            let (name, value) = (pair.get(..equals)?, pair.get(equals + 1..)?);
            if name.eq_ignore_ascii_case(b"for") {
                if found.is_some() {
                    return None;
                }
                found = Some(node(unquote(value)?)?);
            }
        }
        match after.split_first() {
            Some((_, after)) => rest = after,
            None => return found,
        }
    }
}

/// Where the pair ends: at a `;` outside quotes, or with the element.
fn pair_end(element: &[u8]) -> usize {
    let (mut quoted, mut skip) = (false, false);
    for (index, byte) in element.iter().enumerate() {
        match byte {
            _ if skip => skip = false,
            b'\\' if quoted => skip = true,
            b'"' => quoted = !quoted,
            b';' if !quoted => return index,
            _ => {}
        }
    }
    element.len()
}

/// Takes the quotes off; `None` when there is but one.
///
/// Escapes stay: no address needs one, so what has any is not read as an address.
fn unquote(value: &[u8]) -> Option<&[u8]> {
    match value {
        [b'"', inner @ .., b'"'] => Some(inner),
        [b'"', ..] => None,
        plain => Some(plain),
    }
}

/// One node: an address, with or without a port, IPv6 with or without brackets.
///
/// `None` for `unknown`, for hidden names (`_secret`), and for anything else.
fn node(text: &[u8]) -> Option<IpAddr> {
    // "[", 45 characters of an address, "]:" and a hidden port: what is longer is not an address.
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= 64)?;
    let address = if let Some(bracketed) = text.strip_prefix('[') {
        let (address, after) = bracketed.split_once(']')?;
        (after.is_empty() || after.strip_prefix(':').is_some_and(port)).then_some(())?;
        IpAddr::V6(Ipv6Addr::from_str(address).ok()?)
    } else if let Ok(address) = IpAddr::from_str(text) {
        address
    } else if let Ok(with_port) = SocketAddr::from_str(text) {
        with_port.ip()
    } else {
        let (address, after) = text.split_once(':')?;
        port(after).then_some(())?;
        IpAddr::V4(address.parse().ok()?)
    };
    Some(address.to_canonical())
}

/// A port, or a hidden one (RFC 7239, 6).
fn port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(hidden) => {
            !hidden.is_empty()
                && hidden.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        }
        None => (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()),
    }
}

#[cfg(test)]
#[path = "forwarded_tests.rs"]
mod tests;
