//! Five wrong passwords in 15 minutes lock a user out, and a hundred the address that they come from,
//! Redis or no Redis.

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
        lockout::{Attempt, Lockout, LockoutPolicy, LockoutStatus, LoginVerdict},
        rate::Subject,
    },
};
use serde_json::json;

use super::database::Database;

const WRONG_ONES: u32 = 5;
/// Of one address, for whichever users: whoever guesses one password of many users, or locks many
/// users out, ends here. Many may share an address.
const WRONG_ONES_OF_AN_ADDRESS: u32 = 100;
const WINDOW: Duration = Duration::from_secs(15 * 60);

/// Whom a login comes from, in the request's extensions.
#[derive(Clone)]
pub(crate) struct ClientAddress(pub(crate) Subject);

/// Stands in front of whatever verifies a password.
#[derive(Clone)]
pub(crate) struct LoginGuard {
    users: Lockout,
    addresses: Lockout,
    redis: Redis,
}

impl LoginGuard {
    /// Locks outlive the process: the database keeps them.
    pub(crate) async fn new(redis: &Redis, database: &Database) -> Result<Self, Error> {
        let policy = LockoutPolicy::new(WRONG_ONES, WINDOW)?;
        let builder = Lockout::builder(redis, "login", policy).with_journal(database.clone());
        let users = builder.build().await?;
        let policy = LockoutPolicy::new(WRONG_ONES_OF_AN_ADDRESS, WINDOW)?;
        let addresses = Lockout::new(redis, "login-address", policy)?;
        Ok(Self { users, addresses, redis: redis.clone() })
    }

    /// Asks `is_right` about the password, unless the user or the address is locked out: then the
    /// answer is 423, right or wrong. 401 when it is wrong.
    pub(crate) async fn judge(
        &self,
        user: &str,
        address: Option<&Subject>,
        is_right: impl FnOnce() -> bool,
    ) -> Result<(), Response> {
        // Each takes its place before the password is looked at: many at once do not slip past.
        let from = match address {
            Some(address) => Some(self.begin(&self.addresses, address).await?),
            None => None,
        };
        let attempt = match self.begin(&self.users, &Subject::login_name(user)).await {
            Ok(attempt) => attempt,
            Err(refused) => {
                self.release(from).await?;
                return Err(refused);
            }
        };
        if is_right() {
            // What the address got wrong with other users still counts.
            self.release(from).await?;
            let told = self.users.succeed(attempt).await;
            return told.map(drop).map_err(|error| self.cannot_count(&error));
        }
        if let Some(from) = from {
            self.addresses.fail(from).await.map_err(|error| self.cannot_count(&error))?;
        }
        self.users.fail(attempt).await.map_err(|error| self.cannot_count(&error))?;
        Err((StatusCode::UNAUTHORIZED, "wrong user or password").into_response())
    }

    async fn begin(&self, lockout: &Lockout, who: &Subject) -> Result<Attempt, Response> {
        match lockout.attempt(who).await.map_err(|error| self.cannot_count(&error))?.value {
            LoginVerdict::Admitted(attempt) => Ok(attempt),
            LoginVerdict::Refused(status) => Err(locked(status)),
        }
    }

    async fn release(&self, from: Option<Attempt>) -> Result<(), Response> {
        let Some(from) = from else { return Ok(()) };
        let told = self.addresses.cancel(from).await;
        told.map(drop).map_err(|error| self.cannot_count(&error))
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
        "message": "Too many wrong passwords. Please retry later.",
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
        guard
            .judge(user, None, is_right)
            .await
            .map_or_else(|refused| refused.status().as_u16(), |()| 200)
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
        let refused = guard.judge("alice", None, RIGHT).await.unwrap_err();
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
    async fn an_address_that_guesses_one_password_of_many_users_is_locked_out() {
        let (guard, _) = guard().await;
        let [guesser, other] = ["guesser", "other"].map(Subject::text);
        let status = async |user: &str, address, is_right: fn() -> bool| {
            let judged = guard.judge(user, Some(address), is_right).await;
            judged.map_or_else(|refused| refused.status().as_u16(), |()| 200)
        };
        for n in 0..100 {
            assert_eq!(status(&format!("user{n}"), &guesser, WRONG).await, 401);
            // Right ones neither count nor forgive.
            assert_eq!(status("alice", &guesser, RIGHT).await, if n < 99 { 200 } else { 423 });
        }
        assert_eq!(status("new", &guesser, RIGHT).await, 423);
        assert_eq!(status("alice", &other, RIGHT).await, 200);
    }

    #[tokio::test]
    async fn another_spelling_of_a_name_is_no_fresh_guess() {
        let (guard, _) = guard().await;
        for name in ["alice", "Alice", " alice", "ALICE\u{a0}", "\u{ff41}lice"] {
            assert_eq!(status(&guard, name, WRONG).await, 401);
        }
        assert_eq!(status(&guard, "aLiCe", RIGHT).await, 423);
        assert_eq!(status(&guard, "bob", RIGHT).await, 200);
    }

    #[tokio::test]
    async fn a_password_is_not_even_looked_at_while_the_user_is_locked_out() {
        let (guard, _) = guard().await;
        for _ in 0..5 {
            assert_eq!(status(&guard, "alice", WRONG).await, 401);
        }
        let looked = guard.judge("alice", None, || panic!("looked at")).await;
        assert_eq!(looked.unwrap_err().status(), StatusCode::LOCKED);
    }
}
