//! Finds the master that sentinels know, and connects to it.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use deadpool_redis::redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, ProtocolVersion, RedisError, RedisResult,
    TlsMode,
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};

use super::{
    classify,
    conn::Conn,
    connect::connect,
    server::{settings, tuned},
    target::{Login, Target},
};
use crate::health::FaultClass;

/// The sentinels of one URL.
pub(super) struct Sentinels {
    target: Target,
    settings: AsyncConnectionConfig,
    /// What the sentinels may accept: one, or two.
    logins: Vec<Login>,
    /// Which of them they accepted last.
    login: AtomicUsize,
}

impl Sentinels {
    pub(super) fn new(target: &Target, connect_timeout: Duration) -> Self {
        let logins = match (&target.sentinel_login, target.url.nodes.first()) {
            (Some(login), _) => vec![login.clone()],
            // The sentinels may have the servers' password, or none.
            (None, Some(node)) if node.redis_settings().password().is_some() => {
                vec![login(node), Login::default()]
            }
            (None, _) => vec![Login::default()],
        };
        Self {
            target: target.clone(),
            settings: settings(connect_timeout),
            logins,
            login: AtomicUsize::new(0),
        }
    }

    /// A new connection to the master.
    pub(super) async fn connect(&self) -> RedisResult<Conn> {
        let master = self.master().await?;
        let master = tuned(master.get_connection_info(), ProtocolVersion::RESP2);
        connect(&master, &self.settings).await
    }

    /// The server that the sentinels call master now.
    pub(super) async fn master(&self) -> RedisResult<Client> {
        let usual = self.login.load(Ordering::Relaxed);
        let found = self.client(&self.logins[usual])?.async_get_client().await;
        // It may be the master that refuses: then it refuses the other as well.
        let Err(refused) = found else { return found };
        let other = (usual + 1) % self.logins.len();
        if other == usual || !is_about_credentials(&refused) {
            return Err(refused);
        }
        match self.client(&self.logins[other])?.async_get_client().await {
            Ok(master) => {
                self.login.store(other, Ordering::Relaxed);
                Ok(master)
            }
            Err(error) if is_about_credentials(&error) => Err(refused),
            Err(error) => Err(error),
        }
    }

    fn client(&self, login: &Login) -> RedisResult<SentinelClient> {
        let url = &self.target.url;
        let addresses = url.nodes.iter().map(|node| node.addr().clone());
        let kind = SentinelServerType::Master;
        let mut builder = SentinelClientBuilder::new(addresses, &url.master, kind)?;
        if let Some(username) = &login.username {
            builder = builder.set_client_to_sentinel_username(username);
        }
        if let Some(password) = &login.password {
            builder = builder.set_client_to_sentinel_password(password);
        }
        let Some(node) = url.nodes.first() else { return builder.build() };
        let servers = node.redis_settings();
        builder = builder.set_client_to_redis_db(servers.db());
        if let Some(username) = servers.username() {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = servers.password() {
            builder = builder.set_client_to_redis_password(password);
        }
        if url.is_tls() {
            builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
        }
        #[cfg(feature = "tls")]
        if let Some(certificates) = &self.target.certificates {
            builder = builder.set_client_to_redis_certificates(certificates.clone());
        }
        builder.build()
    }
}

fn is_about_credentials(error: &RedisError) -> bool {
    classify::of_connecting(error).class() == FaultClass::Credentials
}

fn login(node: &ConnectionInfo) -> Login {
    let settings = node.redis_settings();
    Login {
        username: settings.username().map(str::to_owned),
        password: settings.password().map(str::to_owned),
    }
}
