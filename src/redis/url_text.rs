//! The text of a URL: taken apart, and masked where it is shown.
//!
//! The client's own parser is not used: it ends the address at the first `#`, `?` or `/`, so that
//! the rest of a password that holds one is lost, and shown.

use std::{borrow::Cow, net::Ipv6Addr};

use deadpool_redis::redis::ProtocolVersion;
use percent_encoding::percent_decode_str;

use super::topology::Topology;

/// Why a text is no URL of Redis. Holds nothing of the text but names of parameters.
pub(super) type Reason = Cow<'static, str>;

/// What stands before `://`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scheme {
    pub(super) name: &'static str,
    pub(super) topology: Topology,
    pub(super) is_tls: bool,
    pub(super) is_socket: bool,
}

const fn scheme(name: &'static str, topology: Topology, is_tls: bool) -> Scheme {
    Scheme { name, topology, is_tls, is_socket: false }
}

const SOCKET: Scheme =
    Scheme { name: "unix", topology: Topology::Standalone, is_tls: false, is_socket: true };

const SCHEMES: [Scheme; 11] = [
    scheme("redis", Topology::Standalone, false),
    scheme("rediss", Topology::Standalone, true),
    scheme("valkey", Topology::Standalone, false),
    scheme("valkeys", Topology::Standalone, true),
    SOCKET,
    Scheme { name: "redis+unix", ..SOCKET },
    Scheme { name: "valkey+unix", ..SOCKET },
    scheme("redis-sentinel", Topology::Sentinel, false),
    scheme("rediss-sentinel", Topology::Sentinel, true),
    scheme("redis-cluster", Topology::Cluster, false),
    scheme("rediss-cluster", Topology::Cluster, true),
];

/// Schemes of others that may be shown: they are words, not secrets.
const FOREIGN: [&str; 3] = ["http", "https", "tcp"];

/// A URL in its parts. Secrets are decoded.
pub(super) struct Parts {
    pub(super) scheme: Scheme,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    /// None for a Unix socket.
    pub(super) nodes: Vec<Node>,
    /// What follows the first `/` after the nodes; of a Unix socket, where it is.
    pub(super) path: String,
    pub(super) db: Option<String>,
    pub(super) protocol: Option<ProtocolVersion>,
}

/// A server's name or address, and its port if one is written.
pub(super) type Node = (String, Option<u16>);

const RAW: &str = "a user or a password in which `#`, `?` or `/` is not percent-encoded (%23, %3F, %2F), \
                   or an `@` that belongs to neither";
const FRAGMENT: &str = "`#` begins nothing here; in a user or a password it is written %23";
const INSECURE: &str = "#insecure, TLS without a check of the certificate, is not supported; name \
                        your own certificate authority instead";
const NODES: &str = "the address is not a host, or a host and a port number";
const ONCE: &str = "user and password are written once, before the first host, and an `@` in \
                    them %40";

impl Parts {
    /// Takes a text apart.
    pub(super) fn of(text: &str) -> Result<Self, Reason> {
        let (name, rest) = text.split_once("://").ok_or("it begins with no scheme")?;
        let known = SCHEMES.into_iter().find(|scheme| scheme.name == name);
        let scheme = known.ok_or("the scheme is not one of Redis")?;
        if scheme.is_socket {
            Self::of_socket(scheme, rest)
        } else {
            Self::of_servers(scheme, rest)
        }
    }

    fn of_servers(scheme: Scheme, rest: &str) -> Result<Self, Reason> {
        // The last `@`: one that stands in the password is taken for a part of it.
        let (user_info, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
        if user_info.contains(['#', '?', '/']) {
            return Err(RAW.into());
        }
        if scheme.topology != Topology::Standalone && user_info.contains('@') {
            return Err(ONCE.into());
        }
        let (rest, fragment) = rest.split_once('#').map_or((rest, None), |(a, b)| (a, Some(b)));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        match fragment {
            Some("insecure") => return Err(INSECURE.into()),
            Some(_) => return Err(FRAGMENT.into()),
            None => {}
        }
        let nodes = match scheme.topology {
            Topology::Standalone => node(authority).map(|node| vec![node]),
            _ => nodes(authority),
        };
        let (username, password) = user_info.split_once(':').unwrap_or((user_info, ""));
        let mut parts = Self {
            scheme,
            username: secret(username)?,
            password: secret(password)?,
            nodes: nodes.ok_or(NODES)?,
            path: path.to_owned(),
            db: None,
            protocol: None,
        };
        for (name, value) in parameters(query)? {
            match name {
                "protocol" => parts.protocol = Some(protocol(&value)?),
                _ => return Err(unknown(name)),
            }
        }
        Ok(parts)
    }

    fn of_socket(scheme: Scheme, rest: &str) -> Result<Self, Reason> {
        if rest.contains('#') {
            return Err(FRAGMENT.into());
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        if !path.starts_with('/') {
            return Err("the path of a Unix socket begins with `/`: unix:///path".into());
        }
        let path = decoded(path)?;
        let (mut username, mut password, mut db, mut version) = (None, None, None, None);
        for (name, value) in parameters(query)? {
            match name {
                "db" => db = Some(value),
                "user" => username = Some(value),
                "pass" => password = Some(value),
                "protocol" => version = Some(protocol(&value)?),
                // What a raw `&` has cut off from a password is no name.
                _ if password.is_some() => return Err(UNNAMED.into()),
                _ => return Err(unknown(name)),
            }
        }
        Ok(Self { scheme, username, password, nodes: Vec::new(), path, db, protocol: version })
    }
}

fn secret(text: &str) -> Result<Option<String>, Reason> {
    if text.is_empty() { Ok(None) } else { decoded(text).map(Some) }
}

fn decoded(text: &str) -> Result<String, Reason> {
    let decoded = percent_decode_str(text).decode_utf8();
    Ok(decoded.map_err(|_| "what is percent-encoded is not UTF-8")?.into_owned())
}

fn nodes(text: &str) -> Option<Vec<Node>> {
    text.split(',').map(node).collect()
}

/// Reads `host`, `host:port` or either with an IPv6 address in brackets.
pub(super) fn node(text: &str) -> Option<Node> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (host.parse::<Ipv6Addr>().ok()?.to_string(), port)
        }
        None => {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
            (!host.is_empty() && host.bytes().all(is_name)).then(|| (host.to_owned(), port))?
        }
    };
    // The client takes neither for an address of a server.
    if host == "0.0.0.0" || host == "::" {
        return None;
    }
    match port.strip_prefix(':') {
        None if port.is_empty() => Some((host, None)),
        Some("") => Some((host, None)),
        Some(port) if is_number(port) => Some((host, Some(port.parse().ok()?))),
        _ => None,
    }
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

const UNNAMED: &str =
    "a parameter after `?` is not known; in a password `&` is written %26, `=` %3D";

/// The parameters, decoded as the client decodes them.
fn parameters(query: &str) -> Result<Vec<(&str, String)>, Reason> {
    let each = query.split('&').filter(|pair| !pair.is_empty());
    each.map(|pair| {
        let (name, value) = pair.split_once('=').ok_or(UNNAMED)?;
        Ok((name, decoded(&value.replace('+', " "))?))
    })
    .collect()
}

/// Names the parameter, if it can be a name.
fn unknown(name: &str) -> Reason {
    let is_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_uppercase() || b"_-".contains(&b);
    if (1..=32).contains(&name.len()) && name.bytes().all(is_name) {
        return format!("the parameter {name:?} is not known").into();
    }
    UNNAMED.into()
}

fn protocol(value: &str) -> Result<ProtocolVersion, Reason> {
    match value {
        "2" | "resp2" => Ok(ProtocolVersion::RESP2),
        "3" | "resp3" => Ok(ProtocolVersion::RESP3),
        _ => Err("the parameter \"protocol\" is resp2 or resp3".into()),
    }
}

/// What may be shown of a text that is no URL of Redis: its scheme, and the servers where it is
/// sure that they are no part of a secret.
pub(super) fn masked(text: &str) -> String {
    const MASK: &str = "***";
    let known =
        |name: &str| SCHEMES.iter().any(|scheme| scheme.name == name) || FOREIGN.contains(&name);
    let Some((scheme, rest)) = text.split_once("://").filter(|(name, _)| known(name)) else {
        return MASK.to_owned();
    };
    let shown = match rest.rsplit_once('@') {
        // Who writes `#`, `?` or `/` into a password may write `@` into it, too.
        Some((user_info, _)) if user_info.contains(['#', '?', '/']) => None,
        Some((_, rest)) => {
            let servers = rest.split(['/', '?', '#']).next().filter(|text| nodes(text).is_some());
            servers.map(|servers| format!("{MASK}@{servers}"))
        }
        // `redis://user:password`, with the host forgotten, looks much the same.
        None => {
            let (servers, path) = rest.split_once('/').unwrap_or((rest, ""));
            let have_ports =
                nodes(servers).is_some_and(|nodes| nodes.iter().all(|n| n.1.is_some()));
            (have_ports && is_number(path)).then(|| rest.to_owned())
        }
    };
    format!("{scheme}://{}", shown.as_deref().unwrap_or(MASK))
}

/// What may be shown of a host that is none.
pub(super) fn masked_host(text: &str) -> &str {
    let has_port = node(text).is_some_and(|(_, port)| port.is_some());
    if has_port || !text.contains(['@', ':', '/', '?', '#']) { text } else { "***" }
}
