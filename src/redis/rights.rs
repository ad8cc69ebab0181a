//! The rights that features need of the user that the handle signs in as, and whether Redis refuses
//! one of them.

use std::sync::Arc;

use deadpool_redis::redis::{Cmd, ServerError, Value, cmd};
use futures_util::future::join_all;
use parking_lot::Mutex;

use super::conn::{Conn, Reply, Request};
use crate::{
    health::{Fault, FaultClass},
    telemetry::Feature,
};

/// Keys in place of an argument: one that holds a string, and one that does not exist.
const TEXT: &str = "{text}";
const NONE: &str = "{none}";

/// A command that features use.
struct Right {
    name: &'static str,
    /// Arguments with which it changes nothing: what would write meets a value of another type.
    args: &'static [&'static str],
    refused: Fault,
    unknown: Fault,
}

macro_rules! rights {
    ($($name:literal $args:expr;)*) => {
        &[$(Right {
            name: $name,
            args: &$args,
            refused: Fault::new(FaultClass::Rights, concat!("NOPERM ", $name)),
            unknown: Fault::new(FaultClass::Rights, concat!("unknown ", $name)),
        }),*]
    };
}

const RIGHTS: &[Right] = rights! {
    "DEL" [NONE];
    "EVAL" ["return 1", "0"];
    "EVALSHA" ["0000000000000000000000000000000000000000", "0"];
    "EXISTS" [NONE];
    "GET" [NONE];
    "GETRANGE" [NONE, "0", "0"];
    "HDEL" [NONE, "f"];
    "HGET" [NONE, "f"];
    "HGETALL" [NONE];
    "HINCRBY" [TEXT, "f", "1"];
    "HLEN" [NONE];
    "HMGET" [NONE, "f"];
    "HSCAN" [NONE, "0"];
    "HSET" [TEXT, "f", "1"];
    "MGET" [NONE];
    "PEXPIRE" [NONE, "1"];
    "PEXPIREAT" [NONE, "1"];
    "PTTL" [NONE];
    "PUBLISH" [NONE, ""];
    "SET" [NONE, "1", "XX"];
    "SETRANGE" [NONE, "0", ""];
    "STRLEN" [NONE];
    "TIME" [];
    "TYPE" [NONE];
    "XADD" [TEXT, "*", "f", "1"];
    "XREAD" ["COUNT", "1", "STREAMS", NONE, "0"];
    "XREVRANGE" [NONE, "+", "-", "COUNT", "1"];
    "ZADD" [TEXT, "1", "m"];
    "ZCARD" [NONE];
    "ZRANGE" [NONE, "0", "0"];
    "ZREM" [NONE, "m"];
    "ZREMRANGEBYRANK" [NONE, "0", "0"];
    "ZREMRANGEBYSCORE" [NONE, "0", "0"];
};

/// What any feature uses.
const SHARED: &[&str] = &["DEL", "EVAL", "EVALSHA", "GET", "SET", "TIME"];

/// What a feature uses besides. `docs/health.md` has the same as rules to copy.
const fn needed_by(feature: Feature) -> &'static [&'static str] {
    match feature {
        Feature::RateLimit => {
            &["PEXPIRE", "PTTL", "TYPE", "ZADD", "ZCARD", "ZREM", "ZREMRANGEBYSCORE"]
        }
        Feature::Lockout => &["HGETALL", "HSET", "PEXPIREAT"],
        Feature::Revocation => {
            &["HDEL", "HGET", "HINCRBY", "HMGET", "HSCAN", "HSET", "XADD", "XREAD", "XREVRANGE"]
        }
        Feature::Session => &[
            "EXISTS",
            "GETRANGE",
            "HGET",
            "HGETALL",
            "PEXPIREAT",
            "TYPE",
            "ZADD",
            "ZRANGE",
            "ZREMRANGEBYRANK",
            "ZREMRANGEBYSCORE",
        ],
        Feature::Cache => &[
            "GETRANGE", "HGET", "HGETALL", "HLEN", "HSET", "MGET", "PUBLISH", "SETRANGE", "STRLEN",
        ],
        Feature::Jobs => &["HMGET", "HSET", "PEXPIRE", "PTTL", "TYPE"],
        Feature::Counter => &[
            "HDEL", "HGET", "HMGET", "HSET", "PEXPIRE", "PUBLISH", "TYPE", "ZADD", "ZRANGE", "ZREM",
        ],
        Feature::PubSub => &["PUBLISH"],
        Feature::Presence => &[],
    }
}

/// A right without a name: up to Redis 7.0 a script does not say which command was refused in it.
const COMMAND: Fault = Fault::new(FaultClass::Rights, "NOPERM");
/// The keys under the namespace.
const KEYS: Fault = Fault::new(FaultClass::Rights, "NOPERM keys");

/// Is this the refusal of a command or key that the user has no right to?
pub(super) fn is_refusal(error: &ServerError) -> bool {
    let detail = error.details().unwrap_or_default();
    error.code() == "NOPERM"
        || detail.starts_with("unknown command")
        || detail.starts_with("The user executing the script can't")
        || detail.starts_with("ACL failure in script")
        // Up to Redis 6.2 the same stands behind "Error running script (call to f_…): …".
        || detail.contains("The user executing the script can't")
}

/// What is needed, and the first of it that Redis was seen to refuse.
#[derive(Default)]
pub(super) struct Rights {
    /// The features in use, each as often as it is.
    features: Mutex<Vec<Feature>>,
    missing: Mutex<Option<Fault>>,
}

/// A feature is in use for as long as this lives.
pub(crate) struct Need {
    rights: Arc<Rights>,
    feature: Feature,
}

impl Drop for Need {
    fn drop(&mut self) {
        let mut features = self.rights.features.lock();
        if let Some(at) = features.iter().position(|other| *other == self.feature) {
            features.swap_remove(at);
        }
    }
}

impl Rights {
    /// Some feature uses Redis by itself.
    pub(super) fn are_needed(&self) -> bool {
        !self.features.lock().is_empty()
    }

    pub(super) fn missing(&self) -> Option<Fault> {
        *self.missing.lock()
    }

    pub(super) fn set_missing(&self, missing: Option<Fault>) {
        *self.missing.lock() = missing;
    }

    pub(super) fn need(self: &Arc<Self>, feature: Feature) -> Need {
        self.features.lock().push(feature);
        Need { rights: Arc::clone(self), feature }
    }

    fn needs(&self, right: &Right) -> bool {
        let features = self.features.lock();
        let is_shared = !features.is_empty() && SHARED.contains(&right.name);
        is_shared || features.iter().any(|feature| needed_by(*feature).contains(&right.name))
    }

    /// Tries what is needed. `text` is a key that holds a string.
    pub(super) async fn check(&self, conn: &Conn, text: &str) -> Option<Fault> {
        let none = format!("{text}:none");
        let tries = RIGHTS.iter().filter(|right| self.needs(right)).map(|right| {
            let (mut conn, call) = (conn.clone(), right.call(text, &none));
            async move { right.judge(conn.send(Request::Command(&call)).await.ok()?) }
        });
        join_all(tries).await.into_iter().flatten().next()
    }

    /// The name of what `error` refused, as far as it says.
    pub(super) fn unnamed(error: &ServerError) -> Fault {
        if error.details().is_some_and(|detail| detail.contains("key")) { KEYS } else { COMMAND }
    }
}

impl Right {
    fn call(&self, text: &str, none: &str) -> Cmd {
        let mut call = cmd(self.name);
        for arg in self.args {
            call.arg(match *arg {
                TEXT => text,
                NONE => none,
                arg => arg,
            });
        }
        call
    }

    fn judge(&self, reply: Reply) -> Option<Fault> {
        let Reply::One(Value::ServerError(error)) = reply else { return None };
        match error.code() {
            _ if !is_refusal(&error) => None,
            "NOPERM"
                if error.details().is_some_and(|detail| detail.contains("one of the keys")) =>
            {
                Some(KEYS)
            }
            "NOPERM" => Some(self.refused),
            _ => Some(self.unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// The commands that a script names.
    fn commands_of(script: &str) -> impl Iterator<Item = &str> {
        let calls = script.split("call('").skip(1).chain(script.split("{ '").skip(1));
        calls
            .filter_map(|rest| rest.split('\'').next())
            .filter(|name| name.len() > 1 && name.bytes().all(|b| b.is_ascii_uppercase()))
    }

    /// Where a feature's scripts lie.
    const SCRIPTS: &[(&str, Feature)] = &[
        ("store/rate", Feature::RateLimit),
        ("store/concurrency", Feature::RateLimit),
        ("store", Feature::RateLimit),
        ("store/lockout", Feature::Lockout),
        ("store/revocation", Feature::Revocation),
        ("store/session", Feature::Session),
        ("store/cache", Feature::Cache),
        ("jobs", Feature::Jobs),
        ("store/capacity", Feature::Counter),
        ("store/capacity/soft", Feature::Counter),
    ];

    #[test]
    fn every_command_of_a_script_is_among_the_rights_of_its_feature() {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        for (room, feature) in SCRIPTS {
            let mut scripts = 0;
            for file in fs::read_dir(sources.join(room)).expect("a room") {
                let path = file.expect("a file").path();
                if path.extension().is_some_and(|extension| extension == "lua") {
                    scripts += 1;
                    let script = fs::read_to_string(&path).expect("a script");
                    for name in commands_of(&script) {
                        let is_known =
                            SHARED.contains(&name) || needed_by(*feature).contains(&name);
                        assert!(is_known, "{name} in {path:?}: missing here and in docs/health.md");
                    }
                }
            }
            assert!(scripts > 0, "no script in {room:?}");
        }
    }

    #[test]
    fn every_right_that_is_needed_can_be_tried() {
        for (_, feature) in SCRIPTS {
            for name in SHARED.iter().chain(needed_by(*feature)) {
                assert!(RIGHTS.iter().any(|right| right.name == *name), "{name}");
            }
        }
    }
}
