//! Where connections lead, with all that it takes to make them.

#[cfg(feature = "tls")]
use deadpool_redis::redis::TlsCertificates;
#[cfg(feature = "cluster")]
use deadpool_redis::redis::cluster::ClusterClient;

#[cfg(feature = "tls")]
use super::certificates;
use super::{pem::PemFiles, url::RedisUrl};
use crate::Error;

/// A user and their password.
#[derive(Clone, Default)]
pub(super) struct Login {
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
}

/// Where connections lead.
#[derive(Clone)]
pub(super) struct Target {
    /// Its nodes carry the certificates.
    pub(super) url: RedisUrl,
    /// For the sentinels, if it is set.
    #[cfg_attr(not(feature = "sentinel"), expect(dead_code))]
    pub(super) sentinel_login: Option<Login>,
    /// For servers that only become known later.
    #[cfg(feature = "tls")]
    #[cfg_attr(not(any(feature = "sentinel", feature = "cluster")), expect(dead_code))]
    pub(super) certificates: Option<TlsCertificates>,
}

impl Target {
    /// # Errors
    ///
    /// For settings that cannot be used together, and for files that cannot be used.
    pub(super) fn of(url: &RedisUrl, sentinels: &Login, files: &PemFiles) -> Result<Self, Error> {
        if sentinels.username.is_some() && sentinels.password.is_none() {
            let message = "a user for the sentinels needs a password (REDIS_SENTINEL_PASSWORD)";
            return Err(Error::config(message));
        }
        if files.are_set() && !url.is_tls() {
            return Err(Error::config(format!(
                "certificates are set (REDIS_CA_CERT, REDIS_CLIENT_CERT), and {url} is spoken to \
                 without TLS; expected an address that begins with rediss"
            )));
        }
        let sentinel_login = sentinels.password.is_some().then(|| sentinels.clone());
        #[cfg(feature = "tls")]
        {
            let certificates = certificates::load(files)?;
            let mut url = url.clone();
            if let Some(certificates) = &certificates {
                certificates::add(&mut url.nodes, certificates)?;
            }
            Ok(Self { url, sentinel_login, certificates })
        }
        #[cfg(not(feature = "tls"))]
        Ok(Self { url: url.clone(), sentinel_login })
    }

    #[cfg(feature = "cluster")]
    pub(super) fn cluster(&self) -> Result<ClusterClient, Error> {
        let builder = ClusterClient::builder(self.url.nodes.clone());
        #[cfg(feature = "tls")]
        let builder = match &self.certificates {
            Some(certificates) => builder.certs(certificates.clone()),
            None => builder,
        };
        // The client's message is about the address alone, but may quote it.
        builder.build().map_err(|error| {
            Error::config(format!("the address of Redis is not usable: {}", error.category()))
        })
    }
}

/// TLS needs a provider of cryptography for the process, unless the application has chosen one.
#[cfg(feature = "tls")]
pub(super) fn prepare_tls(url: &RedisUrl) {
    if url.is_tls() && rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error: the application was faster.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

#[cfg(not(feature = "tls"))]
pub(super) fn prepare_tls(_: &RedisUrl) {}
