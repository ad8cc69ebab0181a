//! Which PEM files the settings name.

use std::path::PathBuf;

/// The PEM files that TLS uses, where they are set.
#[derive(Clone, Default)]
pub(super) struct PemFiles {
    /// `REDIS_CA_CERT`
    pub(super) authority: Option<PathBuf>,
    /// `REDIS_CLIENT_CERT`
    pub(super) certificate: Option<PathBuf>,
    /// `REDIS_CLIENT_KEY`
    pub(super) key: Option<PathBuf>,
}

impl PemFiles {
    pub(super) fn are_set(&self) -> bool {
        self.authority.is_some() || self.certificate.is_some() || self.key.is_some()
    }
}
