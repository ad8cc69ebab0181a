//! The store as one application uses it: under the rules that it chose.

use std::{ops::Deref, sync::Arc, time::Duration};

use super::{
    expiry::Expiry,
    seal::LARGEST,
    snapshot::Declared,
    store::{Inner, SessionStore},
};
use crate::units::millis;

/// The settings that may differ between two that share a store.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) expiry: Expiry,
    /// How long after Redis verified it a snapshot is believed.
    pub(crate) max_offline_age: Duration,
    /// How old a snapshot may be before it is issued anew.
    pub(crate) refresh: Duration,
    /// The keys that may travel in a snapshot.
    pub(crate) declared: Declared,
    /// The name of the cookie that holds the snapshot.
    pub(crate) cookie: Arc<str>,
    /// What a snapshot may take, in bytes of `name=value`.
    pub(crate) room: usize,
}

impl Rules {
    pub(crate) fn new(cookie: impl Into<Arc<str>>) -> Self {
        Self {
            expiry: Expiry::default(),
            max_offline_age: Duration::from_secs(60 * 60),
            refresh: Duration::from_secs(5 * 60),
            declared: Declared::default(),
            cookie: cookie.into(),
            room: LARGEST,
        }
    }
}

/// Loads, saves and ends sessions under these rules.
#[derive(Debug)]
pub(crate) struct Sessions {
    store: SessionStore,
    pub(crate) rules: Rules,
}

impl Sessions {
    pub(crate) fn new(store: &SessionStore, rules: Rules) -> Self {
        // Their ends are remembered for as long as they could live.
        store.inner.memory.note_lifetime(millis(rules.expiry.absolute()));
        store.inner.memory.note_offline_age(millis(rules.max_offline_age));
        Self { store: store.clone(), rules }
    }
}

impl Deref for Sessions {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.store.inner
    }
}
