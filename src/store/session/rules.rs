//! What the application chose.

use std::time::Duration;

use super::{expiry::Expiry, seal::LARGEST, snapshot::Declared};

/// The settings of the layer that concern the store.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) expiry: Expiry,
    /// How long after Redis verified it a snapshot is believed.
    pub(crate) max_offline_age: Duration,
    /// How old a snapshot may be before it is issued anew.
    pub(crate) refresh: Duration,
    pub(crate) declared: Declared,
    /// The name of the cookie that holds the snapshot.
    pub(crate) cookie: &'static str,
    /// What a snapshot may take, in bytes of `name=value`.
    pub(crate) room: usize,
}

impl Rules {
    pub(crate) fn new(cookie: &'static str) -> Self {
        Self {
            expiry: Expiry::default(),
            max_offline_age: Duration::from_secs(60 * 60),
            refresh: Duration::from_secs(5 * 60),
            declared: Declared::default(),
            cookie,
            room: LARGEST,
        }
    }

    /// The keys that may travel, the most important first.
    pub(crate) fn declare(&mut self, keys: Vec<String>) {
        self.declared = Declared::new(keys);
    }
}
