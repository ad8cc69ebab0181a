//! Whose request is it, behind proxies: `Forwarded` (RFC 7239) and `X-Forwarded-For`, read from the right.
//!
//! Each proxy adds at the right end whom *it* talked to. So only the part that our own proxies wrote can be
//! believed: from the peer's address we walk leftwards for as long as the address at hand is one of
//! [`TrustedProxies`], and the first that is not is the client, whatever stands further left.
//!
//! The bytes are a stranger's: every step is bounded ([`MOST_HOPS`], [`MOST_BYTES`]), nothing allocates, and
//! what cannot be read ends the walk at the last address that could be believed.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};
use ipnet::{IpNet, Ipv4Net};

/// The most entries that are looked at.
pub const MOST_HOPS: usize = 32;
/// The most bytes that are looked at, from the right.
pub const MOST_BYTES: usize = 4096;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Which header the proxies write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardedHeader {
    /// Whichever is there (the default). When both are and they name different clients, one of them was
    /// passed on from outside: neither is believed, and the request counts for the proxy itself.
    #[default]
    Either,
    /// Only `Forwarded`.
    Forwarded,
    /// Only `X-Forwarded-For`.
    XForwardedFor,
}

/// The proxies whose word is believed about whom they talked to. None by default: then the peer is the
/// client, and forwarding headers are ignored.
///
/// # Examples
///
/// ```
/// use evenkeel::layer::rate_limit::TrustedProxies;
/// use http::HeaderMap;
///
/// let proxies: TrustedProxies = "10.0.0.0/8, 2001:db8::/32".parse()?;
/// let mut headers = HeaderMap::new();
/// headers.insert("x-forwarded-for", "6.6.6.6, 203.0.113.9, 10.0.0.2".parse().unwrap());
/// let client = proxies.client("10.0.0.1".parse().unwrap(), &headers);
/// assert_eq!(client.to_string(), "203.0.113.9", "6.6.6.6 is what the client claims");
/// # Ok::<(), evenkeel::layer::rate_limit::ProxiesError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    nets: Arc<[IpNet]>,
    header: ForwardedHeader,
}

impl TrustedProxies {
    fn new(nets: impl IntoIterator<Item = IpNet>) -> Self {
        Self { nets: nets.into_iter().map(fold_net).collect(), header: ForwardedHeader::Either }
    }

    /// Says which header the proxies write. Default: [`ForwardedHeader::Either`]. Naming the one is safer: the
    /// other can then be sent by anyone without effect.
    #[must_use]
    pub fn with_header(mut self, header: ForwardedHeader) -> Self {
        self.header = header;
        self
    }

    /// Nobody's word is believed.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.nets.is_empty()
    }

    /// Whether this address is one of the proxies.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.nets.iter().any(|net| net.contains(&address))
    }

    /// The client's address, given the peer's and the request's headers. IPv4-mapped IPv6 addresses are folded
    /// into IPv4. Never fails: at worst it is the peer.
    #[inline]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if self.nets.is_empty() || !self.trusts(peer) {
            return peer;
        }
        self.client_behind(peer, headers)
    }

    /// The client of a proxy.
    fn client_behind(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let by = |name: &HeaderName, read: fn(&[u8]) -> Option<IpAddr>, quotes: bool| {
            headers.contains_key(name).then(|| self.walk(peer, headers, name, read, quotes))
        };
        let forwarded = || by(&FORWARDED, forwarded_for, true);
        let x_forwarded_for = || by(&X_FORWARDED_FOR, node, false);
        let client = match self.header {
            ForwardedHeader::Forwarded => forwarded(),
            ForwardedHeader::XForwardedFor => x_forwarded_for(),
            ForwardedHeader::Either => match (forwarded(), x_forwarded_for()) {
                (Some(one), Some(other)) => (one == other).then_some(one),
                (one, other) => one.or(other),
            },
        };
        client.unwrap_or(peer)
    }

    fn walk(
        &self,
        peer: IpAddr,
        headers: &HeaderMap,
        name: &HeaderName,
        read: fn(&[u8]) -> Option<IpAddr>,
        quotes: bool,
    ) -> IpAddr {
        let (mut believed, mut hops, mut bytes) = (peer, 0, 0);
        // Several lines are one list (RFC 9110, 5.3), so the last line holds the nearest hops.
        for line in headers.get_all(name).iter().rev() {
            let mut rest = line.as_bytes();
            loop {
                let Some((left, entry)) = last_entry(rest, MOST_BYTES - bytes, quotes) else {
                    return believed;
                };
                bytes += rest.len() - left.map_or(0, <[u8]>::len);
                hops += 1;
                let entry = entry.trim_ascii();
                // Empty elements are allowed in lists (RFC 9110, 5.6.1) and say nothing.
                if !entry.is_empty() {
                    let Some(address) = read(entry) else { return believed };
                    believed = address;
                    if !self.trusts(address) {
                        return believed;
                    }
                }
                if hops >= MOST_HOPS || bytes >= MOST_BYTES {
                    return believed;
                }
                let Some(left) = left else { break };
                rest = left;
            }
        }
        believed
    }
}

/// Splits off the last element of a list: what is left of its comma (if there is one), and itself. `None` when it
/// is longer than `most`.
///
/// Read from the right, so that an open quote further left (a stranger's) cannot swallow what our proxies
/// appended.
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

/// Whether the byte at `index` has an odd number of backslashes before it. Looks back no further than it must
/// to be bounded; a longer run cannot be an address anyway.
fn escaped(list: &[u8], index: usize) -> bool {
    let before = list.get(..index).unwrap_or_default();
    before.iter().rev().take(8).take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// The `for` parameter of one element of `Forwarded`. `None` when there is none, or two, or it is no address.
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

/// Takes the quotes off; `None` when there is but one. No address needs an escape, so one that has any is none.
fn unquote(value: &[u8]) -> Option<&[u8]> {
    match value {
        [b'"', inner @ .., b'"'] => Some(inner),
        [b'"', ..] => None,
        plain => Some(plain),
    }
}

/// One node: an address, with or without a port, IPv6 with or without brackets. `None` for `unknown`, for hidden
/// names (`_secret`), and for anything else.
fn node(text: &[u8]) -> Option<IpAddr> {
    // "[", 45 characters of an address, "]:" and a hidden port of some length: more is not an address.
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

/// A network of IPv4-mapped IPv6 addresses is one of IPv4 addresses, as the addresses themselves are.
fn fold_net(net: IpNet) -> IpNet {
    match net {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => v6
            .addr()
            .to_ipv4_mapped()
            .and_then(|v4| Ipv4Net::new(v4, v6.prefix_len() - 96).ok())
            .map_or(net, IpNet::V4),
        _ => net,
    }
}

/// Networks (`10.0.0.0/8`) or single addresses, separated by commas; nothing at all is no proxies.
impl FromStr for TrustedProxies {
    type Err = ProxiesError;

    fn from_str(text: &str) -> Result<Self, ProxiesError> {
        let parse = |item: &str| {
            let net = item.parse().or_else(|_| item.parse::<IpAddr>().map(IpNet::from));
            net.map_err(|_| ProxiesError(item.chars().take(64).collect()))
        };
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        items.map(parse).collect::<Result<Vec<IpNet>, ProxiesError>>().map(Self::new)
    }
}

/// A list of networks that cannot be read; says which item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxiesError(String);

impl fmt::Display for ProxiesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no network; write addresses and CIDR networks, like 10.0.0.0/8, separated by commas",
            self.0
        )
    }
}

impl std::error::Error for ProxiesError {}

#[cfg(test)]
#[path = "forwarded_tests.rs"]
mod tests;
