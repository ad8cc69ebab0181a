//! Says in the log why TLS with Redis fails and what was tried: once, until it succeeds or fails
//! otherwise.

use std::io;

use deadpool_redis::redis::{ErrorKind, RedisError};
use parking_lot::Mutex;

use super::{classify::io_error, pem::PemFiles, url::RedisUrl};

/// What is offered, in the words of those who run servers.
const OFFERED: &str = "TLS 1.3, TLS 1.2";

pub(super) struct Handshakes {
    /// With TLS.
    url: Option<String>,
    authorities: String,
    certificate: String,
    /// What was said last.
    said: Mutex<Option<String>>,
}

impl Handshakes {
    pub(super) fn new(url: &RedisUrl, files: &PemFiles) -> Self {
        let named = |file: &Option<std::path::PathBuf>, otherwise: &str| match file {
            Some(file) => file.display().to_string(),
            None => otherwise.to_owned(),
        };
        Self {
            url: url.is_tls().then(|| url.to_string()),
            authorities: named(&files.authority, "the system's"),
            certificate: named(&files.certificate, "none"),
            said: Mutex::default(),
        }
    }

    /// No connection could be made.
    pub(super) fn failed(&self, error: &RedisError) {
        let Some(url) = &self.url else { return };
        let Some(reason) = reason(error) else { return };
        let mut said = self.said.lock();
        if said.as_ref() != Some(&reason) {
            tracing::warn!(
                url,
                reason,
                offered = OFFERED,
                authorities = self.authorities,
                client_certificate = self.certificate,
                "the TLS handshake with Redis failed"
            );
            *said = Some(reason);
        }
    }

    pub(super) fn succeeded(&self) {
        if self.url.is_some() {
            *self.said.lock() = None;
        }
    }
}

/// Why the handshake failed, in the words of rustls: the server's are not among them.
fn reason(error: &RedisError) -> Option<String> {
    match io_error(error) {
        Some(io) => (io.kind() == io::ErrorKind::InvalidData).then(|| io.to_string()),
        // Its own preparations failed: the system's authorities, the name of the server.
        None if error.kind() == ErrorKind::Io => Some(error.to_string()),
        None => None,
    }
}

#[cfg(all(test, feature = "tls"))]
mod tests {
    #[test]
    fn what_is_said_to_be_offered_is_offered() {
        let offered: Vec<_> = rustls::DEFAULT_VERSIONS.iter().map(|offer| offer.version).collect();
        assert_eq!(offered, [rustls::ProtocolVersion::TLSv1_3, rustls::ProtocolVersion::TLSv1_2]);
        assert_eq!(super::OFFERED, "TLS 1.3, TLS 1.2");
    }
}
