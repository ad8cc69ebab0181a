//! The key: how to find whom a request is counted for.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::Extensions;
use http::header::HeaderName;

use super::peer::peer_of;
use super::trusted_proxies::TrustedProxies;
use crate::layer::request_head::RequestHead;
use crate::store::rate::Subject;

/// The bits of an IPv6 address that stand for one client: a subscriber gets a /64 or more, and can
/// use any address in it.
const IPV6_PREFIX: u8 = 64;

type PeerFn = fn(&Extensions) -> Option<IpAddr>;
type SubjectFn = dyn Fn(&RequestHead<'_>) -> Option<Subject> + Send + Sync;

/// How to find whom a request is counted for.
///
/// A key that a client can choose freely (a header that nobody checks) gives it a fresh budget with
/// every new value: put the check in front of the limit, or add a limit by address.
///
/// # Examples
///
/// The API key where there is one, else the client's address, behind proxies of one's own:
///
/// ```
/// use evenkeel::layer::{RequestHead, client_key::{ClientKey, PeerAddr}};
/// use http::{HeaderName, Request};
///
/// let api_key = ClientKey::header(HeaderName::from_static("x-api-key"));
/// let key = api_key.or(ClientKey::address("10.0.0.0/8".parse()?));
///
/// let peer = PeerAddr("203.0.113.9:4711".parse().unwrap());
/// let request = Request::builder().extension(peer).body(()).unwrap();
/// let subject = key.subject(&RequestHead::new(&request)).unwrap();
/// assert_eq!(format!("{subject:?}"), "Subject(\"203.0.113.9\")");
/// # Ok::<(), evenkeel::layer::client_key::ProxiesError>(())
/// ```
#[derive(Clone)]
pub struct ClientKey(Kind);

#[derive(Clone)]
enum Kind {
    Address {
        proxies: TrustedProxies,
        ipv6_prefix: u8,
        /// Where to find it, unless in one of the usual places.
        peer: Option<PeerFn>,
    },
    Header(HeaderName),
    Path,
    Label(Arc<str>),
    Function(Arc<SubjectFn>),
    /// The first that there is.
    First(Arc<[ClientKey]>),
    /// All together; none when one is missing.
    All(Arc<[ClientKey]>),
}

impl ClientKey {
    /// The peer's address: that of the other end of the connection.
    ///
    /// Behind a proxy that is the proxy: use [`address`](Self::address) there.
    pub fn peer() -> Self {
        Self::address(TrustedProxies::default())
    }

    /// The client's address, as the trusted proxies tell it.
    ///
    /// IPv6 by /64, which a subscriber holds at least, unless
    /// [`with_ipv6_prefix`](Self::with_ipv6_prefix) says otherwise.
    pub fn address(proxies: TrustedProxies) -> Self {
        Self(Kind::Address { proxies, ipv6_prefix: IPV6_PREFIX, peer: None })
    }

    /// For keys by address: how many bits of an IPv6 address stand for one client. Default: 64.
    #[must_use]
    pub fn with_ipv6_prefix(mut self, bits: u8) -> Self {
        if let Kind::Address { ipv6_prefix, .. } = &mut self.0 {
            *ipv6_prefix = bits.min(128);
        }
        self
    }

    /// For keys by address: where to find the peer's, when the server leaves it somewhere of its
    /// own.
    ///
    /// Default: [`PeerAddr`](super::PeerAddr) or [`SocketAddr`] in the extensions, or axum's
    /// `ConnectInfo<SocketAddr>`.
    #[must_use]
    pub fn with_peer(mut self, find: fn(&Extensions) -> Option<IpAddr>) -> Self {
        if let Kind::Address { peer, .. } = &mut self.0 {
            *peer = Some(find);
        }
        self
    }

    /// The value of a header (of its first line), whatever its bytes; an empty one is none.
    ///
    /// Only a hash of it is written to Redis.
    pub fn header(name: HeaderName) -> Self {
        Self(Kind::Header(name))
    }

    /// The method and the path, without the query.
    ///
    /// Where paths hold ids, prefer a [`label`](Self::label) for each route: every new path is a
    /// new budget.
    pub fn path() -> Self {
        Self(Kind::Path)
    }

    /// Always the same: one budget for all (a route's, an upstream's).
    pub fn label(label: impl Into<Arc<str>>) -> Self {
        Self(Kind::Label(label.into()))
    }

    /// Whatever the closure says; `None` when the request has no key.
    pub fn from_fn(
        key: impl Fn(&RequestHead<'_>) -> Option<Subject> + Send + Sync + 'static,
    ) -> Self {
        Self(Kind::Function(Arc::new(key)))
    }

    /// `other`, where this key finds nothing.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(Kind::First([self, other].into()))
    }

    /// Both together: a budget for each pair. None, when one of them finds nothing.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(Kind::All([self, other].into()))
    }

    /// Whom this request is counted for; `None` when the request does not say.
    #[inline]
    pub fn subject(&self, request: &RequestHead<'_>) -> Option<Subject> {
        match &self.0 {
            Kind::Address { proxies, ipv6_prefix, peer } => {
                let peer = match peer {
                    None => match peer_of(request.extensions)? {
                        // The commonest of all, without a look at the headers.
                        SocketAddr::V4(peer) if proxies.is_empty() => {
                            return Some(Subject::v4(*peer.ip()));
                        }
                        peer => peer.ip(),
                    },
                    Some(find) => find(request.extensions)?,
                };
                let client = proxies.client(peer, request.headers);
                Some(Subject::address(client, *ipv6_prefix))
            }
            Kind::Header(name) => {
                let value = request.headers.get(name).map(|value| value.as_bytes().trim_ascii());
                value.filter(|value| !value.is_empty()).map(Subject::secret)
            }
            Kind::Path => Some(Subject::text(request.method.as_str()).and_text(request.uri.path())),
            Kind::Label(label) => Some(Subject::text(&**label)),
            Kind::Function(key) => key(request),
            Kind::First(keys) => keys.iter().find_map(|key| key.subject(request)),
            Kind::All(keys) => {
                let mut parts = keys.iter().map(|key| key.subject(request));
                let first = parts.next()??;
                parts.try_fold(first, |all, part| Some(all.and(&part?)))
            }
        }
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Address { proxies, ipv6_prefix, .. } => f
                .debug_struct("Address")
                .field("proxies", proxies)
                .field("ipv6_prefix", ipv6_prefix)
                .finish(),
            Kind::Header(name) => f.debug_tuple("Header").field(name).finish(),
            Kind::Path => f.write_str("Path"),
            Kind::Label(label) => f.debug_tuple("Label").field(label).finish(),
            Kind::Function(_) => f.write_str("Function"),
            Kind::First(keys) => f.debug_tuple("First").field(keys).finish(),
            Kind::All(keys) => f.debug_tuple("All").field(keys).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::client_key::PeerAddr;
    use http::Request;

    fn request(headers: &[(&str, &[u8])], peer: Option<&str>) -> Request<()> {
        let mut request = Request::builder().method("POST").uri("/a/7?q=1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(peer) = peer {
            request = request.extension(PeerAddr(peer.parse().expect("an address")));
        }
        request.body(()).expect("a request")
    }

    fn form(key: &ClientKey, request: &Request<()>) -> Option<String> {
        key.subject(&RequestHead::new(request)).map(|subject| subject.redis_form())
    }

    #[test]
    fn each_kind() {
        let v4 = request(&[], Some("203.0.113.9:1"));
        let v6 = request(&[], Some("[2001:db8::1]:1"));
        assert_eq!(form(&ClientKey::peer(), &v4).as_deref(), Some("203.0.113.9"));
        assert_eq!(form(&ClientKey::peer(), &v6).as_deref(), Some("2001:db8::/64"));
        assert_eq!(
            form(&ClientKey::peer().with_ipv6_prefix(128), &v6).as_deref(),
            Some("2001:db8::1/128")
        );
        assert_eq!(form(&ClientKey::peer(), &request(&[], None)), None);
        let fixed = ClientKey::peer().with_peer(|_| Some(IpAddr::from([1, 2, 3, 4])));
        assert_eq!(form(&fixed, &request(&[], None)).as_deref(), Some("1.2.3.4"));
        assert_eq!(form(&ClientKey::path(), &v4).as_deref(), Some("POST,~/a/7"));
        assert_eq!(form(&ClientKey::label("all"), &v4).as_deref(), Some("all"));
        let tenant =
            ClientKey::from_fn(|request| request.headers.get("x-tenant").map(Subject::text));
        assert_eq!(form(&tenant, &request(&[("x-tenant", b"t")], None)).as_deref(), Some("t"));
        assert_eq!(form(&tenant, &v4), None);
    }

    #[test]
    fn a_plain_socket_address_will_do() {
        let mut request = request(&[], None);
        request.extensions_mut().insert(SocketAddr::from(([203, 0, 113, 9], 1)));
        assert_eq!(form(&ClientKey::peer(), &request).as_deref(), Some("203.0.113.9"));
    }

    #[test]
    fn headers_of_any_bytes() {
        let key = ClientKey::header(HeaderName::from_static("x-api-key"));
        let huge = vec![b'k'; 65_536];
        let forms: Vec<_> = [&b"a"[..], b"b", b"\xff\xfe", &huge, &huge[1..]]
            .iter()
            .map(|value| form(&key, &request(&[("x-api-key", value)], None)).expect("a key"))
            .collect();
        let distinct: std::collections::HashSet<_> = forms.iter().collect();
        assert_eq!(distinct.len(), forms.len());
        assert!(forms.iter().all(|form| form.len() == 34));
        assert_eq!(form(&key, &request(&[("x-api-key", b"")], None)), None);
        assert_eq!(form(&key, &request(&[("x-api-key", b" \t")], None)), None);
    }

    #[test]
    fn combinations() {
        let header = || ClientKey::header(HeaderName::from_static("x-api-key"));
        let (with, without) =
            (request(&[("x-api-key", b"k")], Some("1.2.3.4:1")), request(&[], Some("1.2.3.4:1")));
        let either = header().or(ClientKey::peer());
        assert_eq!(form(&either, &with), form(&header(), &with));
        assert_eq!(form(&either, &without).as_deref(), Some("1.2.3.4"));
        let both = ClientKey::label("login").and(ClientKey::peer()).and(header());
        assert_eq!(form(&both, &without), None);
        let whole = form(&both, &with).expect("all there");
        assert!(whole.starts_with("login,1.2.3.4,h:"), "{whole}");
    }

    #[test]
    fn a_forged_key_is_not_an_address() {
        let key = ClientKey::header(HeaderName::from_static("x-api-key")).or(ClientKey::peer());
        let forged = request(&[("x-api-key", b"203.0.113.9")], Some("1.2.3.4:1"));
        let victim = request(&[], Some("203.0.113.9:1"));
        assert_ne!(form(&key, &forged), form(&key, &victim));
    }
}
