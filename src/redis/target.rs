//! Where connections lead, with all that it takes to make them.

#[cfg(feature = "cluster")]
use deadpool_redis::redis::cluster::ClusterClient;

use super::url::RedisUrl;
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
    pub(super) url: RedisUrl,
    /// For the sentinels, if it is set.
    #[cfg_attr(not(feature = "sentinel"), expect(dead_code))]
    pub(super) sentinel_login: Option<Login>,
}

impl Target {
    /// # Errors
    ///
    /// For settings that cannot be used together.
    pub(super) fn of(url: &RedisUrl, sentinels: &Login) -> Result<Self, Error> {
        if sentinels.username.is_some() && sentinels.password.is_none() {
            let message = "a user for the sentinels needs a password (REDIS_SENTINEL_PASSWORD)";
            return Err(Error::config(message));
        }
        let sentinel_login = sentinels.password.is_some().then(|| sentinels.clone());
        Ok(Self { url: url.clone(), sentinel_login })
    }

    #[cfg(feature = "cluster")]
    pub(super) fn cluster(&self) -> Result<ClusterClient, Error> {
        // The client's message is about the address alone, but may quote it.
        ClusterClient::builder(self.url.nodes.clone()).build().map_err(|error| {
            Error::config(format!("the address of Redis is not usable: {}", error.category()))
        })
    }
}

/// TLS needs a provider of cryptography for the process, unless the application has chosen one.
#[cfg(feature = "tls")]
pub(super) fn prepare_tls(url: &RedisUrl) {
    let tls = url
        .nodes
        .iter()
        .any(|node| matches!(node.addr(), deadpool_redis::redis::ConnectionAddr::TcpTls { .. }));
    if tls && rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error: the application was faster.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

#[cfg(not(feature = "tls"))]
pub(super) fn prepare_tls(_: &RedisUrl) {}
