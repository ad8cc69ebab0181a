//! Reads through Redis, many at once: one command each, beside that command alone on one shared connection.

use evenkeel::redis::{
    Redis,
    deadpool_redis::redis::{Client, Cmd, aio::MultiplexedConnection, cmd},
};
use tokio::runtime::Runtime;
use tower::{Layer, ServiceExt, service_fn};

use crate::{
    connected, cookies, layer, ours, request,
    rounds::{self, Way},
    support::RedisServer,
};

async fn bare(
    (mut connection, hgetall): (MultiplexedConnection, Cmd),
) -> (MultiplexedConnection, Cmd) {
    let hash: Vec<(String, String)> = hgetall.query_async(&mut connection).await.unwrap();
    assert!(!hash.is_empty());
    (connection, hgetall)
}

async fn handle((redis, hgetall): (Redis, Cmd)) -> (Redis, Cmd) {
    let hash: Vec<(String, String)> = redis.query(&hgetall).await.unwrap();
    assert!(!hash.is_empty());
    (redis, hgetall)
}

pub(crate) fn compare(runtime: &Runtime) {
    let _guard = runtime.enter();
    let server = runtime.block_on(RedisServer::start());
    let redis = runtime.block_on(connected(&server.url()));
    let client = Client::open(server.url()).unwrap();
    let shared = runtime.block_on(client.get_multiplexed_async_connection()).unwrap();
    let service = layer(&redis).layer(service_fn(ours));
    let cookies = runtime.block_on(cookies(service.clone(), 16));
    let keys: Vec<String> =
        runtime.block_on(server.query(&["KEYS", "evenkeel:session:*"])).unwrap();
    let hgetall = cmd("HGETALL").arg(&keys[0]).to_owned();
    let session = |name, path: &'static str| {
        let (service, cookies) = (service.clone(), cookies.clone());
        let once = async move |(service, cookies)| {
            let answer = ServiceExt::oneshot(Clone::clone(&service), request(path, &cookies)).await;
            answer.unwrap();
            (service, cookies)
        };
        Way::new(name, runtime, move || (service.clone(), cookies.clone()), once)
    };
    let (bare_hgetall, handle_hgetall) = (hgetall.clone(), hgetall);
    let mut ways = [
        Way::new("HGETALL", runtime, move || (shared.clone(), bare_hgetall.clone()), bare),
        Way::new(
            "HGETALL by Redis::query",
            runtime,
            move || (redis.clone(), handle_hgetall.clone()),
            handle,
        ),
        session("evenkeel, read", "/read"),
        session("evenkeel, write", "/write?16"),
    ];
    rounds::compare("A session in Redis", 64, 64_000, 11, &mut ways);
    rounds::compare("A session in Redis", 512, 64_000, 11, &mut ways);
}
