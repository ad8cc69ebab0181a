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
        lockout::{Lockout, LockoutPolicy, LockoutStatus, LoginVerdict},
        rate::Subject,
    },
};
use serde_json::json;

use super::database::Database;

const WRONG_ONES: u32 = 5;
const WINDOW: Duration = Duration::from_secs(15 * 60);

/// Stands in front of whatever verifies a password.
#[derive(Clone)]
pub(crate) struct LoginGuard {
    users: Lockout,
    redis: Redis,
}

impl LoginGuard {
    /// Locks outlive the process: the database keeps them.
    pub(crate) async fn new(redis: &Redis, database: &Database) -> Result<Self, Error> {
        let policy = LockoutPolicy::new(WRONG_ONES, WINDOW)?;
        let builder = Lockout::builder(redis, "login", policy).with_journal(database.clone());
        let users = builder.build().await?;
        Ok(Self { users, redis: redis.clone() })
    }

    /// Asks `is_right` about the password, unless the user is locked out: then the answer is 423,
    /// right or wrong. 401 when it is wrong.
    pub(crate) async fn judge(
        &self,
        user: &str,
        is_right: impl FnOnce() -> bool,
    ) -> Result<(), Response> {
        let attempt = match self.users.attempt(&Subject::secret(user)).await {
            Ok(served) => match served.value {
                LoginVerdict::Admitted(attempt) => attempt,
                LoginVerdict::Refused(status) => return Err(locked(status)),
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

fn locked(status: LockoutStatus) -> Response {
    let seconds = status.retry_after().as_secs_f64().ceil().max(1.0) as u64;
    let body = json!({
        "error": "Locked",
        "message": "Too many wrong passwords for this user. Please retry later.",
        "retryAfter": seconds,
    });
    let wait = [(header::RETRY_AFTER, seconds.to_string())];
    (StatusCode::LOCKED, wait, Json(body)).into_response()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::path::Path;

    use axum::http::HeaderValue;
    use evenkeel::redis::RedisConfig;

    use super::*;

    const WRONG: fn() -> bool = || false;
    const RIGHT: fn() -> bool = || true;

    async fn guard() -> (LoginGuard, Database) {
        let redis = Redis::new(RedisConfig::new("redis://127.0.0.1:1".parse().unwrap())).unwrap();
        let database = Database::open(Path::new(":memory:")).await.unwrap();
        (LoginGuard::new(&redis, &database).await.unwrap(), database)
    }

    async fn status(guard: &LoginGuard, user: &str, is_right: fn() -> bool) -> u16 {
        guard.judge(user, is_right).await.map_or_else(|refused| refused.status().as_u16(), |()| 200)
    }

    #[tokio::test]
    async fn the_sixth_is_423_right_or_wrong_and_so_it_is_after_a_restart() {
        let (guard, database) = guard().await;
        for _ in 0..4 {
            assert_eq!(status(&guard, "alice", WRONG).await, 401);
        }
        assert_eq!(status(&guard, "alice", RIGHT).await, 200, "and begins anew");
        for _ in 0..5 {
            assert_eq!(status(&guard, "alice", WRONG).await, 401);
        }
        let refused = guard.judge("alice", RIGHT).await.unwrap_err();
        assert_eq!(refused.status(), StatusCode::LOCKED);
        let wait = refused.headers().get(header::RETRY_AFTER).map(HeaderValue::to_str);
        let wait: u64 = wait.unwrap().unwrap().parse().unwrap();
        assert!((800..=900).contains(&wait), "{wait}");
        assert_eq!(status(&guard, "bob", RIGHT).await, 200);
        drop(guard.users);

        let again = LoginGuard::new(&guard.redis, &database).await.unwrap();
        assert_eq!(status(&again, "alice", RIGHT).await, 423);
        assert_eq!(status(&again, "bob", RIGHT).await, 200);
    }

    #[tokio::test]
    async fn a_password_is_not_even_looked_at_while_the_user_is_locked_out() {
        let (guard, _) = guard().await;
        for _ in 0..5 {
            assert_eq!(status(&guard, "alice", WRONG).await, 401);
        }
        let looked = guard.judge("alice", || panic!("looked at")).await;
        assert_eq!(looked.unwrap_err().status(), StatusCode::LOCKED);
    }
}
