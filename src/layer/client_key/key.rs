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

type PeerFn = dyn Fn(&Extensions) -> Option<IpAddr> + Send + Sync;
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
        peer: Option<Arc<PeerFn>>,
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

/// What a request does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// What the client sends, or a closure knows.
    Key,
    /// The peer's address: the server does not tell it.
    Address,
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

    /// For keys by address, also within a combination: how many bits of an IPv6 address stand for
    /// one client. Default: 64.
    #[must_use]
    pub fn with_ipv6_prefix(self, bits: u8) -> Self {
        self.with_addresses(&|kind| {
            if let Kind::Address { ipv6_prefix, .. } = kind {
                *ipv6_prefix = bits.min(128);
            }
        })
    }

    /// For keys by address, also within a combination: where to find the peer's, when the server
    /// leaves it somewhere of its own. `None`: the [address is missing](super::MissingAddress).
    ///
    /// Default: where axum, tonic and [`SetPeerAddrLayer`](super::SetPeerAddrLayer) put it, see
    /// [`PeerAddr`](super::PeerAddr).
    ///
    /// ```
    /// use evenkeel::layer::client_key::ClientKey;
    /// use std::net::{IpAddr, Ipv4Addr};
    ///
    /// /// What a server of one's own puts into the extensions.
    /// #[derive(Clone)]
    /// struct Accepted { from: IpAddr }
    ///
    /// let local = IpAddr::from(Ipv4Addr::LOCALHOST);
    /// let key = ClientKey::peer().with_peer(move |extensions| {
    ///     // Over a Unix socket everybody is the machine itself.
    ///     Some(extensions.get::<Accepted>().map_or(local, |accepted| accepted.from))
    /// });
    /// # drop(key);
    /// ```
    #[must_use]
    pub fn with_peer(
        self,
        find: impl Fn(&Extensions) -> Option<IpAddr> + Send + Sync + 'static,
    ) -> Self {
        let find: Arc<PeerFn> = Arc::new(find);
        self.with_addresses(&|kind| {
            if let Kind::Address { peer, .. } = kind {
                *peer = Some(Arc::clone(&find));
            }
        })
    }

    fn with_addresses(self, change: &dyn Fn(&mut Kind)) -> Self {
        let all = |keys: &[Self]| -> Arc<[Self]> {
            keys.iter().map(|key| key.clone().with_addresses(change)).collect()
        };
        Self(match self.0 {
            Kind::First(keys) => Kind::First(all(&keys)),
            Kind::All(keys) => Kind::All(all(&keys)),
            mut kind => {
                change(&mut kind);
                kind
            }
        })
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
        self.find(request).ok()
    }

    /// The same, and what it is that the request does not say.
    #[inline]
    pub(super) fn find(&self, request: &RequestHead<'_>) -> Result<Subject, Missing> {
        match &self.0 {
            Kind::Address { proxies, ipv6_prefix, peer } => {
                let peer = match peer {
                    None => match peer_of(request.extensions).ok_or(Missing::Address)? {
                        // The commonest of all, without a look at the headers.
                        SocketAddr::V4(peer) if proxies.is_empty() => {
                            return Ok(Subject::v4(*peer.ip()));
                        }
                        peer => peer.ip(),
                    },
                    Some(find) => find(request.extensions).ok_or(Missing::Address)?,
                };
                let client = proxies.client(peer, request.headers);
                Ok(Subject::address(client, *ipv6_prefix))
            }
            Kind::Header(name) => {
                let value = request.headers.get(name).map(|value| value.as_bytes().trim_ascii());
                let value = value.filter(|value| !value.is_empty());
                value.map(Subject::secret).ok_or(Missing::Key)
            }
            Kind::Path => Ok(Subject::text(request.method.as_str()).and_text(request.uri.path())),
            Kind::Label(label) => Ok(Subject::text(&**label)),
            Kind::Function(key) => key(request).ok_or(Missing::Key),
            Kind::First(keys) => first(keys, request),
            Kind::All(keys) => {
                let mut parts = keys.iter().map(|key| key.find(request));
                let first = parts.next().ok_or(Missing::Key)??;
                parts.try_fold(first, |all, part| Ok(all.and(&part?)))
            }
        }
    }

    /// Whether it needs the peer's address, which the server does not tell, and has nothing to use
    /// in its place.
    pub(super) fn lacks_address(&self, extensions: &Extensions) -> bool {
        match &self.0 {
            Kind::Address { peer: None, .. } => peer_of(extensions).is_none(),
            Kind::Address { peer: Some(find), .. } => find(extensions).is_none(),
            Kind::First(keys) => keys.last().is_some_and(|key| key.lacks_address(extensions)),
            Kind::All(keys) => keys.iter().any(|key| key.lacks_address(extensions)),
            Kind::Header(_) | Kind::Path | Kind::Label(_) | Kind::Function(_) => false,
        }
    }
}

/// The first that there is. Where there is none, a missing address comes before a missing key: the
/// client could not help it.
fn first(keys: &[ClientKey], request: &RequestHead<'_>) -> Result<Subject, Missing> {
    let mut missing = Missing::Key;
    for key in keys {
        match key.find(request) {
            Ok(subject) => return Ok(subject),
            Err(Missing::Address) => missing = Missing::Address,
            Err(Missing::Key) => {}
        }
    }
    Err(missing)
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
    fn what_is_missing_is_told_apart() {
        let header = || ClientKey::header(HeaderName::from_static("x-api-key"));
        let peer = ClientKey::peer;
        let nothing = request(&[], None);
        let address = request(&[], Some("1.2.3.4:1"));
        for (key, without_both, with_address, lacks) in [
            (peer(), Some(Missing::Address), None, true),
            (header(), Some(Missing::Key), Some(Missing::Key), false),
            (header().or(peer()), Some(Missing::Address), None, true),
            (peer().or(header()), Some(Missing::Address), None, false),
            (peer().or(ClientKey::label("local")), None, None, false),
            (ClientKey::label("x").and(peer()), Some(Missing::Address), None, true),
            (peer().with_peer(|_| None), Some(Missing::Address), Some(Missing::Address), true),
        ] {
            let found = |request| key.find(&RequestHead::new(request)).err();
            assert_eq!(found(&nothing), without_both, "{key:?}");
            assert_eq!(found(&address), with_address, "{key:?}");
            assert_eq!(key.lacks_address(nothing.extensions()), lacks, "{key:?}");
        }
    }

    #[test]
    fn the_settings_of_addresses_reach_into_combinations() {
        let header = ClientKey::header(HeaderName::from_static("x-api-key"));
        let found = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]);
        let key = header.or(ClientKey::label("v6").and(ClientKey::peer()));
        let key = key.with_peer(move |_| Some(found)).with_ipv6_prefix(128);
        assert_eq!(form(&key, &request(&[], None)).as_deref(), Some("v6,2001:db8::1/128"));
    }

    #[test]
    #[cfg(feature = "axum")]
    fn what_axum_s_tests_put_there_is_found_unless_there_is_a_connection() {
        use axum::extract::{ConnectInfo, connect_info::MockConnectInfo};
        let mut request = request(&[], None);
        let address = |last| SocketAddr::from(([203, 0, 113, last], 1));
        request.extensions_mut().insert(MockConnectInfo(address(7)));
        assert_eq!(form(&ClientKey::peer(), &request).as_deref(), Some("203.0.113.7"));
        request.extensions_mut().insert(ConnectInfo(address(8)));
        assert_eq!(form(&ClientKey::peer(), &request).as_deref(), Some("203.0.113.8"));
    }

    #[test]
    #[cfg(feature = "tonic")]
    fn what_tonic_puts_there_is_found() {
        use tonic::transport::server::TcpConnectInfo;
        let mut request = request(&[], None);
        let remote_addr = Some(SocketAddr::from(([203, 0, 113, 9], 1)));
        request.extensions_mut().insert(TcpConnectInfo { local_addr: None, remote_addr });
        assert_eq!(form(&ClientKey::peer(), &request).as_deref(), Some("203.0.113.9"));
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
