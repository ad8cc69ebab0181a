//! The address of the other end of the connection, as the server leaves it in the extensions.

use std::net::SocketAddr;

#[cfg(feature = "axum")]
use axum::extract::{ConnectInfo, connect_info::MockConnectInfo};
use http::Extensions;
#[cfg(feature = "tonic")]
use tonic::transport::server::TcpConnectInfo;

/// The peer's address, in a request's extensions.
///
/// Whoever accepts connections puts it there: with hyper, [`SetPeerAddrLayer`]. What others put
/// there is found as well: a plain [`SocketAddr`]; what axum's
/// `into_make_service_with_connect_info::<SocketAddr>` does, and `MockConnectInfo` in tests
/// (feature `axum`); and tonic's `TcpConnectInfo`, with TLS or without (feature `tonic`).
///
/// [`SetPeerAddrLayer`]: super::SetPeerAddrLayer
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

#[inline]
pub(super) fn peer_of(extensions: &Extensions) -> Option<&SocketAddr> {
    let peer = extensions.get::<PeerAddr>().map(|PeerAddr(peer)| peer);
    #[cfg(feature = "axum")]
    let peer = peer.or_else(|| extensions.get().map(|ConnectInfo(peer)| peer));
    #[cfg(feature = "tonic")]
    let peer = peer.or_else(|| extensions.get::<TcpConnectInfo>()?.remote_addr.as_ref());
    let peer = peer.or_else(|| extensions.get());
    // What stands in for it in a test is the last that is looked for, as in axum itself.
    #[cfg(feature = "axum")]
    let peer = peer.or_else(|| extensions.get().map(|MockConnectInfo(peer)| peer));
    peer
}
