//! The choice for requests whose address the server does not tell.

/// What becomes of a request whose [key](super::ClientKey) needs the peer's address, when the
/// server has left none in the extensions.
///
/// That is a fault of the wiring, not of the client: every request is without one. The log says so
/// at the first, once for each layer, at level `ERROR`, with what to do about it:
///
/// | server | what it takes |
/// | --- | --- |
/// | axum | `axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())`, and the feature `axum` |
/// | hyper | [`SetPeerAddrLayer`](super::SetPeerAddrLayer) round the service of each connection |
/// | tonic | the feature `tonic` |
/// | tests, without a connection | axum's `MockConnectInfo`, or a [`PeerAddr`](super::PeerAddr) in the extensions |
///
/// A Unix socket has no address: choose another key there, or one of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MissingAddress {
    /// It is refused: 500, or gRPC's `INTERNAL` (the default).
    ///
    /// Neither strangers who take a budget from each other nor a limit that holds for nobody: a
    /// server that cannot tell its clients apart is found out by its first request.
    #[default]
    Refuse,
    /// It is admitted, and not counted: there is no limit.
    Allow,
    /// All such requests, of whomever, share one budget.
    Shared,
}
