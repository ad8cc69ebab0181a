//! The address of the other end of the connection, as the server leaves it in the extensions.

use std::net::SocketAddr;

#[cfg(feature = "axum")]
use axum::extract::ConnectInfo;
use http::Extensions;

/// The peer's address, in a request's extensions.
///
/// Whoever accepts connections puts it there. A plain [`SocketAddr`] is found as well, and (feature
/// `axum`) what axum's `into_make_service_with_connect_info::<SocketAddr>` puts there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

#[inline]
pub(super) fn peer_of(extensions: &Extensions) -> Option<&SocketAddr> {
    let peer = extensions.get::<PeerAddr>().map(|PeerAddr(peer)| peer);
    #[cfg(feature = "axum")]
    let peer = peer.or_else(|| extensions.get().map(|ConnectInfo(peer)| peer));
    peer.or_else(|| extensions.get())
}
