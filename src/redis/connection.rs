//! The connection that callers hold: any command of the client, guarded.

use std::{fmt, time::Duration};

use deadpool_redis::redis::{
    Cmd, FromRedisValue, Pipeline, RedisFuture, Value, aio::ConnectionLike,
};

use super::{
    call::Guarded,
    conn::{Reply, Request},
    shared::Failure,
};
use crate::{Error, ErrorKind, Served, Source};

/// Sends any command, guarded: a deadline, a refusal at once while Redis is away, metrics.
///
/// It implements [`ConnectionLike`], so every command, pipeline and script of the `redis` crate
/// works on it, and it has [`query`](Self::query) with this crate's own [`Error`]. Cheap to clone;
/// clones share the underlying connection. Commands that would keep it waiting or change it for
/// everyone (`BLPOP`, `WATCH`, `SELECT` …) are refused:
/// [`Redis::dedicated`](super::Redis::dedicated) is for them. Commands that make the server send
/// messages (`SUBSCRIBE` …, `MONITOR`) are refused on any connection:
/// [`Redis::subscribe`](super::Redis::subscribe) receives messages.
///
/// # Errors
///
/// Through [`ConnectionLike`], the client's errors come unchanged; this crate's own (Redis is away,
/// no answer in time) come as an I/O error of the client, and [`Error::from`] gets it back out.
///
/// # When Redis is down
///
/// A command is refused in under a microsecond and without I/O, with [`ErrorKind::Unavailable`].
///
/// ```no_run
/// # async fn run(redis: evenkeel::redis::Redis) -> Result<(), evenkeel::Error> {
/// use evenkeel::redis::deadpool_redis::redis::AsyncCommands;
///
/// let mut connection = redis.connection();
/// let _: () = connection.set_ex("greeting", "hello", 60).await?;
/// let greeting: Option<String> = connection.get("greeting").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Connection(pub(super) Guarded);

impl Connection {
    /// The longest wait for one command, in place of the one in the settings. A command that is not
    /// answered within a shorter time says nothing about Redis; within a longer one, it does.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.0.deadline = deadline;
        self
    }

    /// Sends `cmd` and reads its answer.
    ///
    /// # Errors
    ///
    /// See [`ErrorKind`]. With [`is_unavailable`](Error::is_unavailable) it is about Redis, else
    /// about the command.
    pub async fn query<T: FromRedisValue>(&mut self, cmd: &Cmd) -> Result<T, Error> {
        let value = self.value(cmd).await?;
        read(value)
    }

    /// Sends the commands of `pipeline` together and reads their answers.
    ///
    /// # Errors
    ///
    /// As for [`query`](Self::query). A pipeline that is not atomic may have been carried out in
    /// part.
    pub async fn query_pipeline<T: FromRedisValue>(
        &mut self,
        pipeline: &Pipeline,
    ) -> Result<T, Error> {
        Ok(pipeline.query_async(self).await?)
    }

    /// Sends `cmd`; while Redis does not serve, the answer is `default`, and says so.
    ///
    /// # Errors
    ///
    /// Only what is about the command itself.
    pub async fn query_or<T: FromRedisValue>(
        &mut self,
        cmd: &Cmd,
        default: T,
    ) -> Result<Served<T>, Error> {
        match self.query(cmd).await {
            Ok(value) => Ok(Served::new(value, Source::Redis)),
            Err(error) if error.is_unavailable() => {
                self.0.redis.monitor.record_fallback();
                Ok(Served::new(default, Source::Fallback))
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn value(&mut self, cmd: &Cmd) -> Result<Value, Failure> {
        match self.0.call(Request::Command(cmd)).await? {
            Reply::One(value) => Ok(value),
            Reply::Many(values) => Ok(Value::Array(values)),
        }
    }
}

/// The server's error or the value, as the type asked for.
pub(super) fn read<T: FromRedisValue>(value: Value) -> Result<T, Error> {
    let value = value.extract_error()?;
    T::from_redis_value(value).map_err(|error| {
        Error::new(ErrorKind::Command, "the answer is not of the type asked for").with_source(error)
    })
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move { Ok(self.value(cmd).await?) })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            match self.0.call(Request::Pipeline(pipeline, offset, count)).await? {
                Reply::Many(values) => Ok(values),
                Reply::One(value) => Ok(vec![value]),
            }
        })
    }

    fn get_db(&self) -> i64 {
        self.0.redis.db
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("monitor", &self.0.redis.monitor)
            .field("deadline", &self.0.deadline)
            .finish_non_exhaustive()
    }
}
