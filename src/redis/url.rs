//! Where Redis is, in one line of text, and never with its password when printed.

use std::{fmt, path::PathBuf, str::FromStr};

use deadpool_redis::redis::{
    ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo,
};

use super::{
    topology::Topology,
    url_text::{Parts, Reason, Scheme, masked, node},
};
use crate::Error;

/// Where Redis is. `Debug` and `Display` leave out user, password and query.
///
/// | form | |
/// | --- | --- |
/// | `redis://[user:password@]host[:port][/db]` | one server; `rediss://` for TLS (feature `tls`) |
/// | `unix:///path[?db=n&user=…&pass=…]` | one server on a Unix socket |
/// | `redis-sentinel://[user:password@]host[:port],…/master[/db]` | feature `sentinel`; the port defaults to 26379 |
/// | `redis-cluster://[user:password@]host[:port],…` | feature `cluster` |
///
/// `rediss-sentinel://` and `rediss-cluster://` use TLS. In a user and a password `#`, `?`, `/`,
/// `&` and `%` have to be percent-encoded; `@` and `:` may be.
///
/// Each form takes the parameter `?protocol=resp2` or `resp3`. Without it one server is spoken to
/// in RESP3, and in RESP2 where it does not know that; the servers of the other forms are always
/// spoken to in RESP2. No other parameter is known, and no `#insecure`.
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
    /// The only one to speak, if the URL names one.
    pub(super) protocol: Option<ProtocolVersion>,
    shown: String,
}

/// The accepted forms, for errors.
const FORM: &str = "redis://, rediss://, unix://, redis-sentinel:// or redis-cluster:// with a \
                    host, such as redis://127.0.0.1:6379";

impl RedisUrl {
    /// How the servers are arranged.
    pub const fn topology(&self) -> Topology {
        self.topology
    }

    /// Its servers are spoken to over TLS.
    pub(super) fn is_tls(&self) -> bool {
        self.nodes.iter().any(|node| matches!(node.addr(), ConnectionAddr::TcpTls { .. }))
    }

    /// From the parts that are set one by one in the environment.
    pub(crate) fn from_parts(
        host: &str,
        port: u16,
        password: Option<&str>,
        db: i64,
    ) -> Option<Self> {
        let bare_ipv6 = host.contains(':') && !host.starts_with('[');
        let (host, None) = (if bare_ipv6 { node(&format!("[{host}]")) } else { node(host) })?
        else {
            return None;
        };
        let shown = format!("redis://{}:{port}/{db}", bracketed(&host));
        let settings = settings(None, password, db);
        let node = info(ConnectionAddr::Tcp(host, port), &settings).ok()?;
        Some(Self {
            topology: Topology::Standalone,
            nodes: vec![node],
            master: String::new(),
            protocol: None,
            shown,
        })
    }

    fn read(text: &str) -> Result<Self, Unread> {
        let parts = Parts::of(text).map_err(Unread::Text)?;
        let Scheme { name, topology, is_tls, is_socket } = parts.scheme;
        needed_feature(name, topology, is_tls)?;
        let (master, db) = match topology {
            Topology::Sentinel => parts.path.split_once('/').unwrap_or((&parts.path, "")),
            _ if is_socket => ("", parts.db.as_deref().unwrap_or("")),
            _ => ("", parts.path.as_str()),
        };
        if topology == Topology::Sentinel && master.is_empty() {
            return Err(Unread::text("the name of the master follows the sentinels"));
        }
        if topology != Topology::Standalone && parts.protocol == Some(ProtocolVersion::RESP3) {
            return Err(Unread::text("servers of this form are spoken to in resp2 only"));
        }
        let db = database(db)?;
        let settings = settings(parts.username.as_deref(), parts.password.as_deref(), db);
        if is_socket {
            let shown = format!("unix://{}?db={db}", parts.path);
            let node = info(ConnectionAddr::Unix(PathBuf::from(&parts.path)), &settings)?;
            let (master, protocol) = (String::new(), parts.protocol);
            return Ok(Self { topology, nodes: vec![node], master, protocol, shown });
        }
        let default_port = if topology == Topology::Sentinel { 26379 } else { 6379 };
        let (mut nodes, mut hosts) = (Vec::new(), Vec::new());
        for (host, port) in &parts.nodes {
            let (host, port) = (host.clone(), port.unwrap_or(default_port));
            hosts.push(format!("{}:{port}", bracketed(&host)));
            let addr = if is_tls {
                ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
            } else {
                ConnectionAddr::Tcp(host, port)
            };
            nodes.push(info(addr, &settings)?);
        }
        let (hosts, tls) = (hosts.join(","), if is_tls { "s" } else { "" });
        let shown = match topology {
            Topology::Standalone => format!("redis{tls}://{hosts}/{db}"),
            Topology::Sentinel => format!("redis{tls}-sentinel://{hosts}/{master}/{db}"),
            Topology::Cluster => format!("redis{tls}-cluster://{hosts}"),
        };
        let (master, protocol) = (master.to_owned(), parts.protocol);
        Ok(Self { topology, nodes, master, protocol, shown })
    }
}

/// Why there is no [`RedisUrl`].
enum Unread {
    /// The text is wrong.
    Text(Reason),
    /// The text is right, but this build cannot use it.
    Build(Error),
}

impl Unread {
    fn text(reason: &'static str) -> Self {
        Self::Text(reason.into())
    }
}

fn needed_feature(scheme: &str, topology: Topology, is_tls: bool) -> Result<(), Unread> {
    let feature = match topology {
        Topology::Sentinel if !cfg!(feature = "sentinel") => "sentinel",
        Topology::Cluster if !cfg!(feature = "cluster") => "cluster",
        _ if is_tls && !cfg!(feature = "tls") => "tls",
        _ => return Ok(()),
    };
    let message = format!("{scheme}:// needs the feature `{feature}` of evenkeel");
    Err(Unread::Build(Error::config(message)))
}

fn database(text: &str) -> Result<i64, Unread> {
    match text.trim_matches('/') {
        "" => Ok(0),
        number => match number.parse::<u32>() {
            Ok(number) => Ok(number.into()),
            Err(_) => Err(Unread::text("the database is not a number")),
        },
    }
}

fn settings(username: Option<&str>, password: Option<&str>, db: i64) -> RedisConnectionInfo {
    let mut settings = RedisConnectionInfo::default().set_db(db);
    if let Some(username) = username {
        settings = settings.set_username(username);
    }
    if let Some(password) = password {
        settings = settings.set_password(password);
    }
    settings
}

fn info(addr: ConnectionAddr, settings: &RedisConnectionInfo) -> Result<ConnectionInfo, Unread> {
    if !addr.is_supported() {
        return Err(Unread::text("this platform has no such connections"));
    }
    let info =
        addr.into_connection_info().map_err(|_| Unread::text("the address is not usable"))?;
    Ok(info.set_redis_settings(settings.clone()))
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

impl FromStr for RedisUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        Self::read(text).map_err(|unread| match unread {
            Unread::Build(error) => error,
            Unread::Text(reason) => Error::config(format!(
                "{:?} cannot be read: {reason}; expected {FORM}",
                masked(text)
            )),
        })
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
            ("redis://:hunter2@host:/3/", "redis://host:6379/3"),
            ("redis://[::1]:7000", "redis://[::1]:7000/0"),
            ("valkey://hunter2@host?protocol=2", "redis://host:6379/0"),
            ("unix:///run/redis.sock?db=2&pass=hunter2", "unix:///run/redis.sock?db=2"),
            ("unix:///run/my%20@.sock?user=hunter2", "unix:///run/my @.sock?db=0"),
        ] {
            let url: RedisUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?} {url}").contains("hunter2"));
        }
    }

    #[test]
    fn takes_the_secrets_as_they_are_meant() {
        for (text, username, password) in [
            ("redis://host", None, None),
            ("redis://:@host", None, None),
            ("redis://app@host", Some("app"), None),
            ("redis://:a:b@c@host", None, Some("a:b@c")),
            ("redis://ap%3Ap:a%23b%3Fc%2Fd%40%25@host", Some("ap:p"), Some("a#b?c/d@%")),
            ("redis://:100%@host", None, Some("100%")),
            ("redis://:[é]@host", None, Some("[é]")),
            ("unix:///s?user=app&pass=a/b@c:%26%23+d", Some("app"), Some("a/b@c:&# d")),
        ] {
            let url: RedisUrl = text.parse().unwrap();
            let settings = url.nodes[0].redis_settings();
            assert_eq!((settings.username(), settings.password()), (username, password), "{text}");
        }
    }

    #[test]
    fn the_protocol_is_honoured() {
        let (two, three) = (Some(ProtocolVersion::RESP2), Some(ProtocolVersion::RESP3));
        for (value, protocol) in [("2", two), ("resp2", two), ("3", three), ("resp3", three)] {
            for text in ["redis://host/1", "unix:///run/redis.sock"] {
                let url: RedisUrl = format!("{text}?protocol={value}").parse().unwrap();
                assert_eq!(url.protocol, protocol);
            }
        }
        assert_eq!("redis://host".parse::<RedisUrl>().unwrap().protocol, None);
    }

    #[test]
    #[cfg(all(feature = "sentinel", feature = "cluster"))]
    fn reads_the_forms_of_several_servers() {
        let url: RedisUrl = "redis-sentinel://u:hunter2@a,b:7,[::1]:9/main/2".parse().unwrap();
        assert_eq!(url.to_string(), "redis-sentinel://a:26379,b:7,[::1]:9/main/2");
        assert_eq!((url.master.as_str(), url.nodes.len()), ("main", 3));
        let url: RedisUrl = "redis-cluster://:hunter2@a:7000,b?protocol=2".parse().unwrap();
        assert_eq!(url.to_string(), "redis-cluster://a:7000,b:6379");
        assert_eq!(url.nodes[1].redis_settings().password(), Some("hunter2"));
    }

    #[test]
    #[cfg(all(feature = "sentinel", feature = "cluster", feature = "tls"))]
    fn an_error_names_the_form_and_no_secret() {
        for (text, shown, reason) in [
            ("http://u:hunter2@h", "http://***@h", "scheme"),
            ("http://h", "http://***", "scheme"),
            ("hunter2@h", "***", "scheme"),
            ("hunter2", "***", "scheme"),
            ("hunter2://h:1", "***", "scheme"),
            ("redis://:hunter2@", "redis://***", "host"),
            ("redis://default:hunter2secret", "redis://***", "port number"),
            ("redis://u:hunter2@h:port/x?p=hunter2", "redis://***", "port number"),
            ("redis://u:hunter2@h:1/x", "redis://***@h:1", "database"),
            ("redis://h:1/hunter2", "redis://***", "database"),
            ("redis://app:12345#hunter2@h", "redis://***", "%23"),
            ("redis://app:12345?hunter2@h", "redis://***", "%3F"),
            ("redis://:12345/hunter2@h", "redis://***", "%2F"),
            ("redis://app:12345#hunter2", "redis://***", "%23"),
            ("redis://app:12345?hunter2", "redis://***", "%26"),
            ("redis://h?password=hunter2&hunter2=1", "redis://***", "\"password\""),
            ("redis://h:1?p=hunter@2", "redis://***", "%3F"),
            ("redis://:hunter2@h:1?timeout=5s", "redis://***@h:1", "\"timeout\""),
            ("redis://:hunter2@h?protocol=resp4", "redis://***@h", "resp2 or resp3"),
            ("rediss://:hunter2@h/#insecure", "rediss://***@h", "#insecure"),
            ("redis://0.0.0.0:6379", "redis://***", "host"),
            ("redis://no host:6379", "redis://***", "host"),
            ("redis-sentinel://a:26379", "redis-sentinel://a:26379", "master"),
            ("redis-sentinel://:hunter2@a,b:7/", "redis-sentinel://***@a,b:7", "master"),
            ("redis-cluster://u:hunter2@a,u:hunter2@b", "redis-cluster://***@b", "once"),
            ("redis-cluster://a,b?protocol=resp3", "redis-cluster://***", "resp2"),
            ("unix://:hunter2@/run/redis.sock", "unix://***", "unix:///path"),
            ("unix:///s?pass=hunter2#b", "unix://***", "%23"),
            ("unix:///s?pass=a&hunter=2", "unix://***", "%26"),
        ] {
            let error = text.parse::<RedisUrl>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{shown:?} cannot")), "{text}: {error}");
            assert!(error.contains(reason), "{text}: {error}");
            assert!(error.contains("expected redis://"), "{error}");
            assert!(!error.contains("hunter"), "{error}");
        }
    }

    #[test]
    fn parts_keep_a_password_that_is_no_url() {
        let url = RedisUrl::from_parts("::1", 7, Some("p@ss/w:rd?#%"), 4).unwrap();
        assert_eq!(url.to_string(), "redis://[::1]:7/4");
        assert_eq!(url.nodes[0].redis_settings().password(), Some("p@ss/w:rd?#%"));
        for host in ["", "no host", "h:1", "u:p@h", "redis://h"] {
            assert!(RedisUrl::from_parts(host, 7, None, 0).is_none(), "{host}");
        }
    }

    /// Letters and digits that stand in no scheme, host, port, path or message, and all that means
    /// something in a URL.
    const SECRET: &str = "[QXZWKJV458éß漢#?/@:%&\\[\\]]{3,24}";

    fn lets_out(said: &str, secret: &str) -> Option<String> {
        let secret: Vec<char> = secret.chars().collect();
        let fragments = secret.windows(3).filter(|part| part.iter().any(|c| c.is_alphanumeric()));
        fragments.map(|part| part.iter().collect()).find(|part: &String| said.contains(part))
    }

    fn said_of(text: &str) -> String {
        match text.parse::<RedisUrl>() {
            Ok(url) => format!("{url} {url:?}"),
            Err(error) => format!("{error} {error:?}"),
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,60}") {
            let _ = text.parse::<RedisUrl>();
            let _ = masked(&text);
        }

        #[test]
        fn no_part_of_a_secret_is_shown(secret in SECRET, user in SECRET) {
            for scheme in ["redis", "rediss", "valkey", "redis-sentinel", "rediss-cluster", "http"] {
                for rest in ["host", "h:1", "h:1/2", "h:no", "a:1,b/main", "h/?protocol=9", "h/#x", ""] {
                    for user_info in [
                        format!(":{secret}@"),
                        format!("{user}:{secret}@"),
                        format!("{secret}@"),
                        format!("u:{secret}@a,u:{secret}@"),
                    ] {
                        let said = said_of(&format!("{scheme}://{user_info}{rest}"));
                        prop_assert_eq!(lets_out(&said, &secret), None, "{}", said);
                        if user_info.contains(&user) {
                            prop_assert_eq!(lets_out(&said, &user), None, "{}", said);
                        }
                    }
                }
            }
        }

        #[test]
        fn nor_of_one_in_a_query(secret in SECRET, user in SECRET) {
            for text in [
                format!("unix:///run/redis.sock?pass={secret}"),
                format!("unix:///run/redis.sock?db=2&user={user}&pass={secret}"),
                format!("unix:///run/redis.sock?pass={secret}&user={user}&db=1"),
                format!("unix://:{secret}@/run/redis.sock"),
                format!("redis://host/?password={secret}"),
                format!("redis://host?pass={secret}&user={user}"),
                format!("redis-cluster://a:1,b:2?protocol={secret}"),
            ] {
                let said = said_of(&text);
                prop_assert_eq!(lets_out(&said, &secret), None, "{}", said);
                prop_assert_eq!(lets_out(&said, &user), None, "{}", said);
            }
        }

        /// The host is forgotten. An `@` in the password would make what follows the host.
        #[test]
        fn nor_without_a_host(secret in "[QXZWKJV][QXZWKJV458éß漢#?/:%&\\[\\]]{3,24}") {
            for text in [
                format!("redis://default:{secret}"),
                format!("redis://:{secret}"),
                format!("redis://:12345#{secret}"),
                format!("redis://app:12345?{secret}"),
                format!("redis://app:12345/{secret}"),
                format!("redis-sentinel://default:{secret}"),
                format!("redis-cluster://a:1,default:{secret}"),
                secret.clone(),
                format!("default:{secret}"),
            ] {
                let said = said_of(&text);
                prop_assert_eq!(lets_out(&said, &secret), None, "{}", said);
            }
        }

        #[test]
        fn an_encoded_secret_arrives(secret in SECRET) {
            let encoded = percent_encoding::utf8_percent_encode(&secret, percent_encoding::NON_ALPHANUMERIC);
            for text in [format!("redis://:{encoded}@h"), format!("unix:///s?pass={encoded}")] {
                let url: RedisUrl = text.parse().unwrap();
                prop_assert_eq!(url.nodes[0].redis_settings().password(), Some(secret.as_str()));
            }
        }
    }
}
