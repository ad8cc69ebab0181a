//! Whom a request is counted for: a header, the peer's address, or what trusted proxies say.
//!
//! [`RateLimitLayer`] and [`ConcurrencyLimitLayer`] take a [`ClientKey`] and find the [`Subject`]
//! of each request with it.
//!
//! ```
//! use evenkeel::layer::{RequestHead, client_key::{ClientKey, PeerAddr, TrustedProxies}};
//! use http::{HeaderName, Request};
//!
//! let proxies: TrustedProxies = "10.0.0.0/8".parse()?;
//! let api_key = ClientKey::header(HeaderName::from_static("x-api-key"));
//! let key = api_key.or(ClientKey::address(proxies));
//!
//! let peer = PeerAddr("10.0.0.1:4711".parse().unwrap());
//! let request = Request::builder().header("x-forwarded-for", "203.0.113.9").extension(peer);
//! let request = request.body(()).unwrap();
//! let subject = key.subject(&RequestHead::new(&request)).unwrap();
//! assert_eq!(format!("{subject:?}"), "Subject(\"203.0.113.9\")");
//! # Ok::<(), evenkeel::layer::client_key::ProxiesError>(())
//! ```
//!
//! # When Redis is down
//!
//! Nothing changes: a key is found in the request alone.
//!
//! [`RateLimitLayer`]: crate::layer::RateLimitLayer
//! [`ConcurrencyLimitLayer`]: crate::layer::ConcurrencyLimitLayer
//! [`Subject`]: crate::store::rate::Subject

mod extraction;
mod forwarded;
mod key;
mod missing_address;
mod missing_key;
mod peer;
mod set_peer_addr;
mod trusted_proxies;

pub(super) use extraction::{Extracted, Extraction};
pub use forwarded::ForwardedHeader;
pub use key::ClientKey;
pub use missing_address::MissingAddress;
pub use missing_key::MissingKey;
pub use peer::PeerAddr;
pub use set_peer_addr::{SetPeerAddr, SetPeerAddrLayer};
pub use trusted_proxies::{ProxiesError, TrustedProxies};
