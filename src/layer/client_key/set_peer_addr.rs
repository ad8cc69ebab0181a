//! The layer for servers that leave the peer's address nowhere.

use std::net::SocketAddr;
use std::task::{Context, Poll};

use http::Request;
use tower::{Layer, Service};

use super::peer::PeerAddr;

/// Puts the address of a connection's other end into the extensions of each of its requests, as
/// [`PeerAddr`]: for hyper, which leaves it nowhere. Put it round the service of each connection,
/// outside of the layers that count by address.
///
/// axum's `into_make_service_with_connect_info` and tonic's server do the like by themselves.
///
/// ```
/// use evenkeel::layer::client_key::SetPeerAddrLayer;
/// use tower::Layer;
///
/// # fn demo<S: Clone>(service: &S, accepted: (tokio::net::TcpStream, std::net::SocketAddr)) {
/// // With hyper, for each connection that `TcpListener::accept` returns:
/// let (stream, peer) = accepted;
/// let service = SetPeerAddrLayer::new(peer).layer(service.clone());
/// // auto::Builder::new(executor).serve_connection(stream, TowerToHyperService::new(service))
/// # }
/// ```
///
/// # When Redis is down
///
/// Nothing changes.
#[derive(Clone, Copy, Debug)]
pub struct SetPeerAddrLayer {
    peer: PeerAddr,
}

impl SetPeerAddrLayer {
    /// All requests come from this address.
    pub const fn new(peer: SocketAddr) -> Self {
        Self { peer: PeerAddr(peer) }
    }
}

impl<S> Layer<S> for SetPeerAddrLayer {
    type Service = SetPeerAddr<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SetPeerAddr { inner, peer: self.peer }
    }
}

/// The service of [`SetPeerAddrLayer`].
#[derive(Clone, Copy, Debug)]
pub struct SetPeerAddr<S> {
    inner: S,
    peer: PeerAddr,
}

impl<S> SetPeerAddr<S> {
    crate::accessors::accessors!();
}

impl<S, ReqBody> Service<Request<ReqBody>> for SetPeerAddr<S>
where
    S: Service<Request<ReqBody>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: Request<ReqBody>) -> S::Future {
        request.extensions_mut().insert(self.peer);
        self.inner.call(request)
    }
}
