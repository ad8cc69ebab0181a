//! Reads the settings of the Redis handle that have a form of their own.

use std::time::Duration;

use super::{url::RedisUrl, url_text::masked_host};
use crate::{
    Error,
    env::{self, raw, var},
    health::Backoff,
};

/// Where Redis is: `REDIS_URL`, or else the parts.
pub(super) fn url() -> Result<RedisUrl, Error> {
    if let Some(text) = raw("REDIS_URL")? {
        return text.parse().map_err(|error: Error| Error::config(format!("REDIS_URL: {error}")));
    }
    let host = raw("REDIS_HOST")?;
    let port = port(host.is_some())?.unwrap_or(6379);
    let host = host.unwrap_or_else(|| "127.0.0.1".to_owned());
    let password = raw("REDIS_PASSWORD")?;
    let db = var::<u32>("REDIS_DB", "a database number")?.unwrap_or(0);
    RedisUrl::from_parts(&host, port, password.as_deref(), i64::from(db)).ok_or_else(|| {
        let shown = masked_host(&host);
        Error::config(format!(
            "REDIS_HOST: {shown:?} cannot be read; expected a host name or an address"
        ))
    })
}

/// Kubernetes sets `REDIS_PORT` in every container beside a service named `redis`.
fn port(has_host: bool) -> Result<Option<u16>, Error> {
    match raw("REDIS_PORT")?.filter(|text| is_service_link(text)) {
        None => var("REDIS_PORT", "a port number"),
        Some(_) if has_host => Ok(None),
        Some(link) => Err(Error::config(format!(
            "REDIS_PORT: {link:?} is a link that Kubernetes sets for a service named redis and no \
             setting; expected REDIS_URL or REDIS_HOST to say where Redis is"
        ))),
    }
}

fn is_service_link(text: &str) -> bool {
    ["tcp://", "udp://", "sctp://"].iter().any(|scheme| text.trim().starts_with(scheme))
}

pub(super) fn namespace(text: &str) -> Option<String> {
    let fits = (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    fits.then(|| text.to_owned())
}

pub(super) fn positive_duration(text: &str) -> Option<Duration> {
    env::duration(text).filter(|duration| *duration >= Duration::from_millis(1))
}

pub(super) fn backoff(text: &str) -> Option<Backoff> {
    let (first, last) = text.split_once("..")?;
    let (first, last) = (positive_duration(first)?, positive_duration(last)?);
    (first <= last).then(|| Backoff::new(first, last))
}

pub(super) fn positive(text: &str) -> Option<u32> {
    text.trim().parse().ok().filter(|number| *number >= 1)
}
