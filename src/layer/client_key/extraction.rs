//! The key of a layer, its exemptions, and what becomes of requests without a key.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::key::{ClientKey, Missing};
use super::missing_address::MissingAddress;
use super::missing_key::MissingKey;
use crate::layer::request_head::RequestHead;
use crate::respond::Refusal;
use crate::store::rate::Subject;

type ExemptFn = dyn Fn(&RequestHead<'_>) -> bool + Send + Sync;

/// The key, and what becomes of requests without one.
#[derive(Clone)]
pub(in crate::layer) struct Extraction {
    pub(in crate::layer) key: ClientKey,
    pub(in crate::layer) missing_key: MissingKey,
    pub(in crate::layer) missing_address: MissingAddress,
    pub(in crate::layer) exempt: Option<Arc<ExemptFn>>,
    warnings: Arc<Warnings>,
}

/// Which warnings were logged: each once.
#[derive(Default)]
struct Warnings {
    /// Whether the server tells addresses: it was looked at.
    is_wiring_checked: AtomicBool,
    missing_address: AtomicBool,
    missing_key: AtomicBool,
}

/// Whom a request is counted for.
pub(in crate::layer) enum Extracted {
    Subject(Subject),
    /// Nobody: it is neither limited nor counted.
    Uncounted,
    /// It has no key, and has to.
    Keyless(Refusal),
}

impl Default for Extraction {
    fn default() -> Self {
        Self {
            key: ClientKey::peer(),
            missing_key: MissingKey::default(),
            missing_address: MissingAddress::default(),
            exempt: None,
            warnings: Arc::default(),
        }
    }
}

impl Extraction {
    #[inline]
    pub(in crate::layer) fn extract(&self, head: &RequestHead<'_>) -> Extracted {
        if self.exempt.as_ref().is_some_and(|exempt| exempt(head)) {
            return Extracted::Uncounted;
        }
        if !self.warnings.is_wiring_checked.load(Ordering::Relaxed) {
            self.check_wiring(head);
        }
        match self.key.find(head) {
            Ok(subject) => Extracted::Subject(subject),
            Err(Missing::Key) => self.without_key(),
            Err(Missing::Address) => self.without_address(),
        }
    }

    /// At the first request, whether or not that one needs an address: the next may.
    #[cold]
    fn check_wiring(&self, head: &RequestHead<'_>) {
        self.warnings.is_wiring_checked.store(true, Ordering::Relaxed);
        if self.key.lacks_address(head.extensions) {
            self.warn_missing_address();
        }
    }

    #[cold]
    fn without_key(&self) -> Extracted {
        match self.missing_key {
            MissingKey::Allow => Extracted::Uncounted,
            MissingKey::Refuse => Extracted::Keyless(Refusal::no_key()),
            MissingKey::Shared => {
                if !self.warnings.missing_key.swap(true, Ordering::Relaxed) {
                    let key = &self.key;
                    tracing::warn!(?key, "a request without a key: all of them share one limit");
                }
                Extracted::Subject(Subject::text("(no key)"))
            }
        }
    }

    #[cold]
    fn without_address(&self) -> Extracted {
        self.warn_missing_address();
        match self.missing_address {
            MissingAddress::Allow => Extracted::Uncounted,
            MissingAddress::Refuse => Extracted::Keyless(Refusal::no_peer_address()),
            MissingAddress::Shared => Extracted::Subject(Subject::text("(no address)")),
        }
    }

    fn warn_missing_address(&self) {
        if self.warnings.missing_address.swap(true, Ordering::Relaxed) {
            return;
        }
        let then = match self.missing_address {
            MissingAddress::Refuse => "refused (500)",
            MissingAddress::Allow => "not limited",
            MissingAddress::Shared => "counted as one client",
        };
        tracing::error!(
            key = ?self.key,
            "the server does not tell the address of its clients, so requests that are limited by \
             it are {then}. axum: serve \
             `app.into_make_service_with_connect_info::<SocketAddr>()`{AXUM}; hyper: put \
             `SetPeerAddrLayer::new(peer)` round the service of each connection; tonic: its server \
             tells it{TONIC}; elsewhere: `ClientKey::with_peer`. Or choose another key with \
             `with_key`, or an answer with `with_missing_address`"
        );
    }
}

/// Without the feature, what axum leaves in the extensions cannot be read.
const AXUM: &str =
    if cfg!(feature = "axum") { "" } else { ", and switch on evenkeel's feature `axum`" };
const TONIC: &str =
    if cfg!(feature = "tonic") { "" } else { " when evenkeel's feature `tonic` is on" };

impl fmt::Debug for Extraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extraction")
            .field("key", &self.key)
            .field("missing_key", &self.missing_key)
            .field("missing_address", &self.missing_address)
            .finish_non_exhaustive()
    }
}
