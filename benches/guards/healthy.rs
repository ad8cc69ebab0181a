//! With a real Redis, many at once: a check and a login, each beside a bare shared connection.

use evenkeel::{
    redis::{
        Redis,
        deadpool_redis::redis::{Client, Cmd, aio::MultiplexedConnection, cmd},
    },
    store::{
        lockout::{Lockout, LockoutPolicy, LoginVerdict},
        rate::Subject,
        revocation::{Revocations, Token},
    },
};
use std::time::Duration;
use tokio::runtime::Runtime;

use crate::{
    handle, in_step,
    rounds::{self, Way},
    support::RedisServer,
};

type Bare = (MultiplexedConnection, Cmd);

async fn get((mut connection, get): Bare) -> Bare {
    let _: Option<String> = get.query_async(&mut connection).await.unwrap();
    (connection, get)
}

async fn hmget((mut connection, hmget): Bare) -> Bare {
    let answer: Vec<Option<Vec<u8>>> = hmget.query_async(&mut connection).await.unwrap();
    assert!(answer[0].is_some() && answer[1].is_none());
    (connection, hmget)
}

async fn hmget_by_handle((redis, hmget): (Redis, Cmd)) -> (Redis, Cmd) {
    let answer: Vec<Option<Vec<u8>>> = redis.query(&hmget).await.unwrap();
    assert!(answer[0].is_some() && answer[1].is_none());
    (redis, hmget)
}

async fn check(revocations: Revocations) -> Revocations {
    let decision = revocations.check(&Token::new("5f0c9f2e-7d1b-4a53")).await;
    assert!(decision.is_admitted());
    revocations
}

async fn log_in(lockout: Lockout) -> Lockout {
    let who = Subject::secret(rand::random::<u64>().to_le_bytes());
    let verdict = lockout.attempt(&who).await.unwrap().value;
    let LoginVerdict::Admitted(attempt) = verdict else { panic!("nobody is locked out") };
    lockout.succeed(attempt).await.unwrap();
    lockout
}

pub(crate) fn compare(runtime: &Runtime) {
    let _guard = runtime.enter();
    let server = runtime.block_on(RedisServer::start());
    let redis = handle(&server);
    let revocations = runtime.block_on(in_step(&redis));
    let policy = LockoutPolicy::new(5, Duration::from_secs(900)).unwrap();
    let lockout = Lockout::new(&redis, "bench", policy).unwrap();
    let client = Client::open(server.url()).unwrap();
    let shared = runtime.block_on(client.get_multiplexed_async_connection()).unwrap();
    let none = cmd("GET").arg("evenkeel:none").to_owned();
    let fields =
        cmd("HMGET").arg("evenkeel:revocation:{table}").arg("*").arg("0123456789abcdef").to_owned();
    let (one, two, same) = (shared.clone(), shared, fields.clone());
    let mut ways = [
        Way::new("the same HMGET, bare", runtime, move || (one.clone(), fields.clone()), hmget),
        Way::new("GET, bare", runtime, move || (two.clone(), none.clone()), get),
        Way::new(
            "the same HMGET by Redis::query",
            runtime,
            {
                let redis = redis.clone();
                move || (redis.clone(), same.clone())
            },
            hmget_by_handle,
        ),
        Way::new("evenkeel, check", runtime, move || revocations.clone(), check),
        Way::new("evenkeel, login (two scripts)", runtime, move || lockout.clone(), log_in),
    ];
    rounds::compare("A token that is clear", 64, 64_000, 9, &mut ways);
}
