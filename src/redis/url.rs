//! Where Redis is, in one line of text, and never with its password when printed.

use std::{fmt, str::FromStr};

use deadpool_redis::redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

use crate::Error;

/// How the servers behind a URL are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Topology {
    /// One server.
    Standalone,
    /// A master found through sentinels (feature `sentinel`).
    Sentinel,
    /// A Redis Cluster (feature `cluster`).
    Cluster,
}

impl Topology {
    /// The word in health answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standalone => "standalone",
            Self::Sentinel => "sentinel",
            Self::Cluster => "cluster",
        }
    }
}

/// Where Redis is. `Debug` and `Display` leave out user, password and query.
///
/// | form | |
/// | --- | --- |
/// | `redis://[user:password@]host[:port][/db]` | one server; `rediss://` for TLS (feature `tls`) |
/// | `unix:///path[?db=n]` | one server on a Unix socket |
/// | `redis-sentinel://[user:password@]host[:port],…/master[/db]` | feature `sentinel`; the port defaults to 26379 |
/// | `redis-cluster://[user:password@]host[:port],…` | feature `cluster` |
///
/// ```
/// use evenkeel::redis::RedisUrl;
///
/// let url: RedisUrl = "redis://:secret@cache.internal/2".parse()?;
/// assert_eq!(url.to_string(), "redis://cache.internal:6379/2");
/// # Ok::<(), evenkeel::Error>(())
/// ```
#[derive(Clone)]
pub struct RedisUrl {
    pub(crate) topology: Topology,
    pub(crate) nodes: Vec<ConnectionInfo>,
    /// The name of the master, with sentinels.
    #[cfg_attr(not(feature = "sentinel"), expect(dead_code))]
    pub(crate) master: String,
    shown: String,
}

/// The accepted forms, for errors.
pub(crate) const FORM: &str = "redis://, rediss://, unix://, redis-sentinel:// or redis-cluster:// \
                               with a host, such as redis://127.0.0.1:6379";

impl RedisUrl {
    /// How the servers are arranged.
    pub const fn topology(&self) -> Topology {
        self.topology
    }

    /// From the parts that are set one by one in the environment.
    pub(crate) fn from_parts(
        host: &str,
        port: u16,
        password: Option<&str>,
        db: i64,
    ) -> Option<Self> {
        let bare_ipv6 = host.contains(':') && !host.starts_with('[');
        let host = if bare_ipv6 { format!("[{host}]") } else { host.to_owned() };
        let mut url: Self = format!("redis://{host}:{port}/{db}").parse().ok()?;
        if let Some(password) = password {
            url.nodes = url
                .nodes
                .into_iter()
                .map(|node| {
                    let settings = node.redis_settings().clone().set_password(password);
                    node.set_redis_settings(settings)
                })
                .collect();
        }
        Some(url)
    }

    fn single(text: &str) -> Option<Self> {
        let node = text.into_connection_info().ok()?;
        let db = node.redis_settings().db();
        let shown = match node.addr() {
            ConnectionAddr::Tcp(host, port) => format!("redis://{}:{port}/{db}", bracketed(host)),
            ConnectionAddr::TcpTls { host, port, .. } => {
                format!("rediss://{}:{port}/{db}", bracketed(host))
            }
            ConnectionAddr::Unix(path) => format!("unix://{}?db={db}", path.display()),
            _ => return None,
        };
        Some(Self {
            topology: Topology::Standalone,
            nodes: vec![node],
            master: String::new(),
            shown,
        })
    }

    fn several(topology: Topology, scheme: &str, rest: &str) -> Option<Self> {
        let tls = scheme.starts_with("rediss");
        let rest = rest.split(['?', '#']).next()?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (format!("{user}@"), hosts),
            None => (String::new(), authority),
        };
        let (master, db) = match topology {
            Topology::Sentinel => {
                let (master, db) = path.split_once('/').unwrap_or((path, "0"));
                if master.is_empty() {
                    return None;
                }
                (master.to_owned(), if db.is_empty() { "0" } else { db })
            }
            _ => (String::new(), if path.is_empty() { "0" } else { path }),
        };
        let default_port = if topology == Topology::Sentinel { 26379 } else { 6379 };
        let node_scheme = if tls { "rediss" } else { "redis" };
        let mut nodes = Vec::new();
        let mut shown_hosts = Vec::new();
        for host in hosts.split(',') {
            let has_port = host.rsplit_once(':').is_some_and(|(before, port)| {
                port.parse::<u16>().is_ok() && (!before.contains(':') || before.ends_with(']'))
            });
            let host = if has_port { host.to_owned() } else { format!("{host}:{default_port}") };
            let node = format!("{node_scheme}://{user}{host}/{db}").into_connection_info().ok()?;
            nodes.push(node);
            shown_hosts.push(host);
        }
        let path = if master.is_empty() { String::new() } else { format!("/{master}/{db}") };
        let shown = format!("{scheme}://{}{path}", shown_hosts.join(","));
        Some(Self { topology, nodes, master, shown })
    }
}

impl FromStr for RedisUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
        let rest = text.get(scheme.len() + 3..).unwrap_or("");
        let topology = match scheme {
            "redis-sentinel" | "rediss-sentinel" => Topology::Sentinel,
            "redis-cluster" | "rediss-cluster" => Topology::Cluster,
            _ => Topology::Standalone,
        };
        missing_feature(scheme, topology)?;
        let url = match topology {
            Topology::Standalone => Self::single(text),
            _ => Self::several(topology, scheme, rest),
        };
        url.ok_or_else(|| {
            Error::config(format!("{:?} cannot be read; expected {FORM}", redacted(text)))
        })
    }
}

fn missing_feature(scheme: &str, topology: Topology) -> Result<(), Error> {
    let feature = match topology {
        Topology::Sentinel if !cfg!(feature = "sentinel") => "sentinel",
        Topology::Cluster if !cfg!(feature = "cluster") => "cluster",
        _ if scheme.starts_with("rediss") && !cfg!(feature = "tls") => "tls",
        _ => return Ok(()),
    };
    Err(Error::config(format!("{scheme}:// needs the feature `{feature}` of evenkeel")))
}

fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}

/// The text without anything that may be a secret: whatever stands between `//` and the last `@`,
/// and the query.
pub(crate) fn redacted(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or("");
    let (scheme, rest) = match text.split_once("//") {
        Some((scheme, rest)) => (format!("{scheme}//"), rest),
        None => (String::new(), text),
    };
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}***@{host}"),
        None => format!("{scheme}{rest}"),
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisUrl").field(&self.shown).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shows_everything_but_secrets() {
        for (text, shown) in [
            ("redis://127.0.0.1", "redis://127.0.0.1:6379/0"),
            ("redis://user:hunter2@host:7000/3", "redis://host:7000/3"),
            ("redis://[::1]:7000", "redis://[::1]:7000/0"),
            ("unix:///run/redis.sock?db=2&pass=hunter2", "unix:///run/redis.sock?db=2"),
        ] {
            let url: RedisUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?} {url}").contains("hunter2"));
        }
    }

    #[test]
    #[cfg(all(feature = "sentinel", feature = "cluster"))]
    fn reads_the_forms_of_several_servers() {
        let url: RedisUrl = "redis-sentinel://u:hunter2@a,b:7,[::1]:9/main/2".parse().unwrap();
        assert_eq!(url.to_string(), "redis-sentinel://a:26379,b:7,[::1]:9/main/2");
        assert_eq!((url.master.as_str(), url.nodes.len()), ("main", 3));
        let url: RedisUrl = "redis-cluster://:hunter2@a:7000,b".parse().unwrap();
        assert_eq!(url.to_string(), "redis-cluster://a:7000,b:6379");
        assert_eq!(url.nodes[1].redis_settings().password(), Some("hunter2"));
        assert!("redis-sentinel://a".parse::<RedisUrl>().is_err());
    }

    #[test]
    fn an_error_names_the_form_and_no_secret() {
        for text in [
            "http://u:hunter2@h",
            "redis://:hunter2@",
            "hunter2@h",
            "redis://u:hunter2@h:port/x?p=hunter2",
        ] {
            let error = text.parse::<RedisUrl>().unwrap_err().to_string();
            assert!(error.contains("expected redis://"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn parts_keep_a_password_that_is_no_url() {
        let url = RedisUrl::from_parts("::1", 7, Some("p@ss/w:rd?#%"), 4).unwrap();
        assert_eq!(url.to_string(), "redis://[::1]:7/4");
        assert_eq!(url.nodes[0].redis_settings().password(), Some("p@ss/w:rd?#%"));
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,60}") {
            let _ = text.parse::<RedisUrl>();
            let _ = redacted(&text);
        }

        #[test]
        fn a_password_never_shows(password in "[a-zA-Z0-9@:/?#%]{8,20}", tail in ".{0,20}") {
            let text = format!("redis://u:{password}@{tail}");
            if let Err(error) = text.parse::<RedisUrl>() {
                prop_assert!(tail.contains(&password) || !error.to_string().contains(&password));
            }
        }
    }
}
