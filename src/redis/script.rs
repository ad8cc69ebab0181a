//! Scripts: sent by `EVALSHA`, and by `EVAL` when the server does not know them (yet, or any more).

use std::borrow::Cow;

use deadpool_redis::redis::{Arg, Cmd, FromRedisValue, ToRedisArgs, Value, cmd};

use super::connection::{Connection, read};
use crate::Error;

/// Room for most calls, so that they are written without moving.
const USUAL_ARGS: usize = 12;
const USUAL_BYTES: usize = 256;

/// A Lua script, sent by its hash.
///
/// Unlike the client's own, it never loads the script in a trip of its own: a server that does not
/// know it gets the whole text with the call. It is carried out once, because a server that answers
/// `NOSCRIPT` has done nothing.
///
/// # When Redis is down
///
/// Refused like any command. Never repeated after a timeout, because it may have taken effect.
///
/// ```no_run
/// # async fn run(redis: evenkeel::redis::Redis) -> Result<(), evenkeel::Error> {
/// use evenkeel::redis::Script;
///
/// let add = Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
/// let total: i64 = add.prepare(&["orders"]).arg(3).run(&mut redis.connection()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Script {
    body: Cow<'static, str>,
    sha: String,
}

impl Script {
    /// A script with this text.
    pub fn new(body: impl Into<Cow<'static, str>>) -> Self {
        let body = body.into();
        let sha = sha1_smol::Sha1::from(body.as_bytes()).digest().to_string();
        Self { body, sha }
    }

    /// A call with these keys. In a cluster they must all be of one slot.
    pub fn prepare(&self, keys: &[impl ToRedisArgs]) -> Invocation<'_> {
        let mut evalsha = Cmd::with_capacity(USUAL_ARGS, USUAL_BYTES);
        evalsha.arg("EVALSHA").arg(&self.sha).arg(keys.len());
        for key in keys {
            evalsha.arg(key);
        }
        Invocation { script: self, evalsha }
    }
}

/// A script with its keys and arguments.
#[derive(Debug)]
#[must_use = "nothing is sent before `run`"]
pub struct Invocation<'a> {
    script: &'a Script,
    evalsha: Cmd,
}

impl Invocation<'_> {
    /// One more argument.
    pub fn arg(mut self, arg: impl ToRedisArgs) -> Self {
        self.evalsha.arg(arg);
        self
    }

    /// Sends it.
    ///
    /// # Errors
    ///
    /// As for [`Connection::query`].
    pub async fn run<T: FromRedisValue>(&self, connection: &mut Connection) -> Result<T, Error> {
        let answer = match connection.value(&self.evalsha).await? {
            Value::ServerError(error) if error.code() == "NOSCRIPT" => {
                connection.value(&self.eval()).await?
            }
            answer => answer,
        };
        read(answer)
    }

    fn eval(&self) -> Cmd {
        let mut eval = cmd("EVAL");
        eval.arg(self.script.body.as_ref());
        for arg in self.evalsha.args_iter().skip(2) {
            if let Arg::Simple(arg) = arg {
                eval.arg(arg);
            }
        }
        eval
    }
}
