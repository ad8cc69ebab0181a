//! The proxies whose forwarding headers are believed.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use http::HeaderMap;
use ipnet::{IpNet, Ipv4Net};

use super::forwarded::ForwardedHeader;

/// The proxies that are believed about whom they talked to.
///
/// None by default: then the peer is the client, and forwarding headers are ignored.
///
/// Of the headers at most the last 4096 bytes and 32 entries are read. What cannot be read, or lies
/// beyond, ends the search at the last address that could be believed.
///
/// # Examples
///
/// ```
/// use evenkeel::layer::client_key::TrustedProxies;
/// use http::HeaderMap;
///
/// let proxies: TrustedProxies = "10.0.0.0/8, 2001:db8::/32".parse()?;
/// let mut headers = HeaderMap::new();
/// headers.insert("x-forwarded-for", "6.6.6.6, 203.0.113.9, 10.0.0.2".parse().unwrap());
/// let client = proxies.client("10.0.0.1".parse().unwrap(), &headers);
/// assert_eq!(client.to_string(), "203.0.113.9", "6.6.6.6 is what the client claims");
/// # Ok::<(), evenkeel::layer::client_key::ProxiesError>(())
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

    /// Says which header the proxies write. Default: [`ForwardedHeader::Either`].
    ///
    /// Naming the one is safer: the other can then be sent by anyone without effect.
    ///
    /// ```
    /// use evenkeel::layer::client_key::{ClientKey, ForwardedHeader, TrustedProxies};
    ///
    /// let nginx: TrustedProxies = "10.0.0.0/8".parse()?;
    /// let key = ClientKey::address(nginx.with_header(ForwardedHeader::XRealIp));
    /// # drop(key);
    /// # Ok::<(), evenkeel::layer::client_key::ProxiesError>(())
    /// ```
    #[must_use]
    pub fn with_header(mut self, header: ForwardedHeader) -> Self {
        self.header = header;
        self
    }

    /// Nobody is believed.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.nets.is_empty()
    }

    /// Whether this address is one of the proxies.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.nets.iter().any(|net| net.contains(&address))
    }

    /// The client's address, given the peer's and the request's headers.
    ///
    /// IPv4-mapped IPv6 addresses are folded into IPv4. Never fails: at worst it is the peer.
    #[inline]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if self.nets.is_empty() || !self.trusts(peer) {
            return peer;
        }
        self.client_behind(peer, headers)
    }

    /// The client of a proxy: `peer` is trusted.
    fn client_behind(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        self.header.client(peer, headers, |address| self.trusts(address)).unwrap_or(peer)
    }
}

/// A network of IPv4-mapped IPv6 addresses is one of IPv4 addresses, as the addresses themselves
/// are.
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

/// A list of networks that cannot be read. Its `Display` says which item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxiesError(String);

impl fmt::Display for ProxiesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no network; write addresses and CIDR networks, like 10.0.0.0/8, \
             separated by commas",
            self.0
        )
    }
}

impl std::error::Error for ProxiesError {}
