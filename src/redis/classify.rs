//! What an error of the client says about Redis and about the connection: a pure table.

use std::{io, sync::Arc};

use deadpool_redis::redis::{ErrorKind as ClientError, RedisError, ServerError, Value};

use super::{conn::Reply, refusals::fixed_words};
use crate::{
    Error, ErrorKind,
    health::{Fault, FaultClass},
};

const fn fault(class: FaultClass, code: &'static str) -> Option<Fault> {
    Some(Fault::new(class, code))
}

/// The fault that the server's own error stands for; `None` when it is about the command alone.
///
/// `NOPERM` is about the command: the probe takes it for itself, see [`credentials`].
pub(super) fn of_server(code: &str, detail: Option<&str>) -> Option<Fault> {
    match code {
        "LOADING" => fault(FaultClass::NotServing, "LOADING"),
        "MASTERDOWN" => fault(FaultClass::NotServing, "MASTERDOWN"),
        "CLUSTERDOWN" => fault(FaultClass::NotServing, "CLUSTERDOWN"),
        "BUSY" => fault(FaultClass::NotServing, "BUSY"),
        "READONLY" => fault(FaultClass::WrongNode, "READONLY"),
        "MOVED" => fault(FaultClass::WrongNode, "MOVED"),
        "OOM" => fault(FaultClass::WritesGone, "OOM"),
        "MISCONF" => fault(FaultClass::WritesGone, "MISCONF"),
        "NOREPLICAS" => fault(FaultClass::WritesGone, "NOREPLICAS"),
        "NOAUTH" => fault(FaultClass::Credentials, "NOAUTH"),
        "WRONGPASS" => fault(FaultClass::Credentials, "WRONGPASS"),
        "DENIED" => fault(FaultClass::Transport, "DENIED"),
        "ERR" => of_plain_error(detail?),
        _ => None,
    }
}

/// Some of what matters comes without a code of its own.
fn of_plain_error(detail: &str) -> Option<Fault> {
    if detail.starts_with("max number of clients") {
        return fault(FaultClass::Transport, "max clients");
    }
    if detail.starts_with("DB index is out of range") || detail.starts_with("invalid DB index") {
        return fault(FaultClass::Credentials, "DB index");
    }
    // "ERR invalid password" of servers before 6.0, "ERR AUTH <password> called without any
    // password configured".
    if detail.starts_with("invalid password") {
        return fault(FaultClass::Credentials, "WRONGPASS");
    }
    in_a_script(detail)
}

/// Up to Redis 6.2 the error of a command in a script is wrapped: `Error running script (call to
/// f_…): @user_script:1: @user_script: 1: -READONLY You can't write …`.
fn in_a_script(detail: &str) -> Option<Fault> {
    let inner = detail.strip_prefix("Error running script")?.split(": -").nth(1)?;
    of_server(inner.split(' ').next()?, None)
}

fn of_server_error(error: &ServerError) -> Option<Fault> {
    of_server(error.code(), error.details())
}

/// What an error of the client stands for; `None` when it is about the command alone.
pub(super) fn of_error(error: &RedisError) -> Option<Fault> {
    if let Some(errors) = error.clone().into_server_errors() {
        // A transaction or a pipeline is judged by what is inside.
        return errors.iter().find_map(|(_, error)| of_server_error(error));
    }
    match error.kind() {
        ClientError::Io => fault(FaultClass::Transport, of_io(error)),
        ClientError::Parse => fault(FaultClass::Transport, "garbage"),
        ClientError::AuthenticationFailed => fault(FaultClass::Credentials, "WRONGPASS"),
        ClientError::RESP3NotSupported => fault(FaultClass::Transport, "garbage"),
        ClientError::MasterNameNotFoundBySentinel
        | ClientError::NoValidReplicasFoundBySentinel
        | ClientError::ClusterConnectionNotFound
        | ClientError::EmptySentinelList => fault(FaultClass::Transport, "no node"),
        // Setting up a connection: a database that is not there, a server that answers something
        // else.
        ClientError::UnexpectedReturnType
        | ClientError::Client
        | ClientError::InvalidClientConfig => None,
        _ => of_server(error.code()?, error.detail()),
    }
}

/// As [`of_error`], for a connection that was just to be made: nothing is about a command then.
pub(super) fn of_connecting(error: &RedisError) -> Fault {
    // Nobody refused: nobody answered.
    if error.is_timeout() {
        return Fault::HANG;
    }
    if let Some(fault) = credentials(error).or_else(|| of_error(error)) {
        return fault;
    }
    let text = error.to_string();
    if text.contains("Authentication required") {
        Fault::new(FaultClass::Credentials, "NOAUTH")
    } else if text.contains("refused to switch database") {
        Fault::new(FaultClass::Credentials, "DB index")
    } else if text.contains("No address found") {
        Fault::new(FaultClass::Transport, "dns")
    } else {
        Fault::new(FaultClass::Transport, "garbage")
    }
}

/// What is about our rights, when the question was the probe's.
pub(super) fn credentials(error: &RedisError) -> Option<Fault> {
    if error.code() == Some("NOPERM") { fault(FaultClass::Credentials, "NOPERM") } else { None }
}

/// The greeting in RESP3 was refused, and neither for the credentials that it carries nor for the
/// state that the server is in: what does not know `HELLO` says so in words of its own.
pub(super) fn refuses_hello(error: &RedisError) -> bool {
    error.kind() == ClientError::RESP3NotSupported
        || is_of_server(error) && credentials(error).is_none() && of_error(error).is_none()
}

fn is_of_server(error: &RedisError) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<ServerError>())
}

/// The I/O error that the client has wrapped.
pub(super) fn io_error(error: &RedisError) -> Option<&io::Error> {
    let source = std::error::Error::source(error)?;
    source.downcast_ref::<Arc<dyn std::error::Error + Send + Sync>>()?.downcast_ref()
}

fn of_io(error: &RedisError) -> &'static str {
    let Some(error) = io_error(error) else { return "closed" };
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => "refused",
        io::ErrorKind::ConnectionReset => "reset",
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "timeout",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "unreachable",
        io::ErrorKind::PermissionDenied => "denied",
        io::ErrorKind::InvalidData => "tls",
        // The standard library has no stable kind for it.
        _ if error.to_string().starts_with("failed to lookup address") => "dns",
        _ => "closed",
    }
}

/// The error for a connection that could not be made.
pub(super) fn connecting_error(error: &RedisError) -> Error {
    let fault = of_connecting(error);
    Error::new(ErrorKind::Connection, fault.to_string()).with_fault(fault)
}

impl From<RedisError> for Error {
    fn from(error: RedisError) -> Self {
        into_error(&error)
    }
}

/// This crate's error in place of the client's.
fn into_error(error: &RedisError) -> Error {
    if let Some(own) = io_error(error).and_then(|io| io.get_ref()?.downcast_ref::<Error>()) {
        return own.clone();
    }
    match of_error(error) {
        Some(fault) => {
            let kind = match fault.class() {
                FaultClass::Transport => ErrorKind::Connection,
                FaultClass::Hang | FaultClass::Slow => ErrorKind::Timeout,
                _ => ErrorKind::Refused,
            };
            Error::new(kind, fault.to_string()).with_fault(fault)
        }
        None => {
            let code = error.code().filter(|code| code.bytes().all(|b| b.is_ascii_uppercase()));
            let words = code.and_then(|code| fixed_words(code, error.detail()?));
            let message = match code {
                Some(code) => match words {
                    Some(words) => format!("Redis refused the command: {code} {words}"),
                    None => format!("Redis refused the command: {code}"),
                },
                None => format!("the command failed: {}", error.category()),
            };
            Error::new(ErrorKind::Command, message).with_source(error.clone())
        }
    }
}

/// The first error of the server among the answers. Answers of a transaction are one level down.
pub(super) fn server_error(reply: &Reply) -> Option<&ServerError> {
    match reply {
        Reply::One(value) => in_value(value),
        Reply::Many(values) => values.iter().find_map(|value| match value {
            Value::Array(values) => values.iter().find_map(in_value),
            value => in_value(value),
        }),
    }
}

fn in_value(value: &Value) -> Option<&ServerError> {
    match value {
        Value::ServerError(error) => Some(error),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(code: &str, detail: &str) -> Option<String> {
        of_server(code, Some(detail)).map(|fault| fault.to_string())
    }

    #[test]
    fn the_table_of_classes() {
        for (code, detail, fault) in [
            ("LOADING", "Redis is loading the dataset in memory", Some("not serving: LOADING")),
            ("MASTERDOWN", "Link with MASTER is down", Some("not serving: MASTERDOWN")),
            ("CLUSTERDOWN", "The cluster is down", Some("not serving: CLUSTERDOWN")),
            ("BUSY", "Redis is busy running a script", Some("not serving: BUSY")),
            (
                "READONLY",
                "You can't write against a read only replica.",
                Some("wrong node: READONLY"),
            ),
            ("MOVED", "3999 127.0.0.1:6381", Some("wrong node: MOVED")),
            ("OOM", "command not allowed", Some("writes gone: OOM")),
            ("MISCONF", "Redis is configured to save", Some("writes gone: MISCONF")),
            ("NOREPLICAS", "Not enough good replicas", Some("writes gone: NOREPLICAS")),
            ("NOAUTH", "Authentication required.", Some("credentials: NOAUTH")),
            ("WRONGPASS", "invalid username-password pair", Some("credentials: WRONGPASS")),
            ("ERR", "invalid password", Some("credentials: WRONGPASS")),
            ("ERR", "DB index is out of range", Some("credentials: DB index")),
            ("ERR", "max number of clients reached", Some("transport: max clients")),
            ("DENIED", "Redis is running in protected mode", Some("transport: DENIED")),
            ("WRONGTYPE", "Operation against a key", None),
            ("ERR", "syntax error", None),
            ("NOSCRIPT", "No matching script", None),
            ("NOPERM", "this user has no permissions", None),
            ("CROSSSLOT", "Keys in request", None),
        ] {
            assert_eq!(shown(code, detail).as_deref(), fault, "{code} {detail}");
        }
    }

    #[test]
    fn an_error_wrapped_by_a_script_of_redis_6_is_found() {
        let detail = "Error running script (call to f_6b1bf486c81ceb7edf3c093f4c48582e38c0e791): \
                      @user_script:1: @user_script: 1: -READONLY You can't write against a read only replica.";
        assert_eq!(shown("ERR", detail).as_deref(), Some("wrong node: READONLY"));
        let own =
            "Error running script (call to f_6b1b): @user_script:1: user_script:1: -WRONGTYPE x";
        assert_eq!(shown("ERR", own), None);
    }

    #[test]
    fn our_own_error_comes_back_out_of_the_clients() {
        let own = Error::new(ErrorKind::Unavailable, "away").with_fault(Fault::HANG);
        let wrapped = RedisError::from(io::Error::new(io::ErrorKind::NotConnected, own));
        let back = into_error(&wrapped);
        assert_eq!((back.kind(), back.fault()), (ErrorKind::Unavailable, Some(Fault::HANG)));
    }

    #[test]
    fn io_errors_have_few_names() {
        for (kind, code) in [
            (io::ErrorKind::ConnectionRefused, "refused"),
            (io::ErrorKind::ConnectionReset, "reset"),
            (io::ErrorKind::UnexpectedEof, "closed"),
            (io::ErrorKind::BrokenPipe, "closed"),
            (io::ErrorKind::HostUnreachable, "unreachable"),
        ] {
            let error = RedisError::from(io::Error::from(kind));
            assert_eq!(of_error(&error), fault(FaultClass::Transport, code), "{kind:?}");
        }
    }
}
