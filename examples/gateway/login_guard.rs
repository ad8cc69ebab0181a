//! Five wrong passwords in 15 minutes lock a user out, Redis or no Redis.

use std::time::Duration;

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use evenkeel::{
    Error,
    redis::Redis,
    respond::Refusal,
    store::{
        lockout::{Lockout, LockoutPolicy, Standing, Verdict},
        rate::Subject,
    },
};
use serde_json::json;

use crate::database::Database;

const WRONG_ONES: u32 = 5;
const WINDOW: Duration = Duration::from_secs(15 * 60);

/// Stands in front of whatever judges a password.
#[derive(Clone)]
pub(crate) struct LoginGuard {
    users: Lockout,
    redis: Redis,
}

impl LoginGuard {
    /// Locks outlive the process: the database keeps them.
    pub(crate) async fn new(redis: &Redis, database: &Database) -> Result<Self, Error> {
        let policy = LockoutPolicy::new(WRONG_ONES, WINDOW)?;
        let users = Lockout::with_sink(redis, "login", policy, database.clone()).await?;
        Ok(Self { users, redis: redis.clone() })
    }

    /// Asks `is_right` about the password, unless the user is locked out: then the answer is 423, right or wrong. 401 when it is
    /// wrong.
    pub(crate) async fn judge(
        &self,
        user: &str,
        is_right: impl FnOnce() -> bool,
    ) -> Result<(), Response> {
        let attempt = match self.users.attempt(&Subject::secret(user)).await {
            Ok(verdict) => match verdict.value {
                Verdict::Admitted(attempt) => attempt,
                Verdict::Refused(standing) => return Err(locked(standing)),
            },
            Err(error) => return Err(self.cannot_count(&error)),
        };
        let right = is_right();
        let told = match right {
            true => self.users.succeed(attempt).await,
            false => self.users.fail(attempt).await,
        };
        match told {
            Err(error) => Err(self.cannot_count(&error)),
            Ok(_) if right => Ok(()),
            Ok(_) => Err((StatusCode::UNAUTHORIZED, "wrong user or password").into_response()),
        }
    }

    /// Redis is there and does not take the command: nobody guesses meanwhile.
    fn cannot_count(&self, error: &Error) -> Response {
        tracing::error!(%error, "failed logins cannot be counted");
        Refusal::unavailable(self.redis.monitor()).response(&Default::default())
    }
}

fn locked(standing: Standing) -> Response {
    let seconds = standing.retry_after().as_secs_f64().ceil().max(1.0) as u64;
    let body = json!({
        "error": "Locked",
        "message": "Too many wrong passwords for this user. Please retry later.",
        "retryAfter": seconds,
    });
    let wait = [(header::RETRY_AFTER, seconds.to_string())];
    (StatusCode::LOCKED, wait, Json(body)).into_response()
}
