//! The key of a layer, its exemptions, and what becomes of requests without a key.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::key::ClientKey;
use super::missing_key::MissingKey;
use crate::layer::request_head::RequestHead;
use crate::store::rate::Subject;

type ExemptFn = dyn Fn(&RequestHead<'_>) -> bool + Send + Sync;

/// The key, and what becomes of requests without one.
#[derive(Clone)]
pub(in crate::layer) struct Extraction {
    pub(in crate::layer) key: ClientKey,
    pub(in crate::layer) missing_key: MissingKey,
    pub(in crate::layer) exempt: Option<Arc<ExemptFn>>,
    /// The log has told of a request without a key.
    warned: Arc<AtomicBool>,
}

/// Whom a request is counted for.
pub(in crate::layer) enum Extracted {
    Subject(Subject),
    /// Nobody: it is neither limited nor counted.
    Uncounted,
    /// It has no key, and has to.
    Keyless,
}

impl Default for Extraction {
    fn default() -> Self {
        let (key, missing_key) = (ClientKey::peer(), MissingKey::default());
        Self { key, missing_key, exempt: None, warned: Arc::default() }
    }
}

impl Extraction {
    #[inline]
    pub(in crate::layer) fn extract(&self, head: &RequestHead<'_>) -> Extracted {
        if self.exempt.as_ref().is_some_and(|exempt| exempt(head)) {
            return Extracted::Uncounted;
        }
        match self.key.subject(head) {
            Some(subject) => Extracted::Subject(subject),
            None => self.without_key(),
        }
    }

    #[cold]
    fn without_key(&self) -> Extracted {
        match self.missing_key {
            MissingKey::Allow => Extracted::Uncounted,
            MissingKey::Refuse => Extracted::Keyless,
            MissingKey::Shared => {
                if !self.warned.swap(true, Ordering::Relaxed) {
                    let key = &self.key;
                    tracing::warn!(?key, "a request without a key: all of them share one limit");
                }
                Extracted::Subject(Subject::text("(no key)"))
            }
        }
    }
}

impl fmt::Debug for Extraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extraction")
            .field("key", &self.key)
            .field("missing_key", &self.missing_key)
            .finish_non_exhaustive()
    }
}
