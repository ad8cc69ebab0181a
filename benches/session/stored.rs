//! Reads through Redis, many at once: one command each, beside that command alone on one shared
//! connection.

use std::{fmt::Debug, hint::black_box, sync::Arc};

use evenkeel::redis::{
    Redis,
    deadpool_redis::redis::{Client, Cmd, aio::MultiplexedConnection, cmd},
};
use http::{HeaderValue, Request, Response};
use tokio::runtime::Runtime;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::{
    Answer, connected, cookies, done, kept, layer, ours, request,
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

/// The command alone in a service of its own, for the same request.
async fn served(
    (mut connection, hgetall): (MultiplexedConnection, Arc<Cmd>),
    request: Request<()>,
) -> Answer {
    let hash: Vec<(String, String)> = hgetall.query_async(&mut connection).await.unwrap();
    assert!(!black_box((request, hash)).1.is_empty());
    Ok(done())
}

async fn handle((redis, hgetall): (Redis, Cmd)) -> (Redis, Cmd) {
    let hash: Vec<(String, String)> = redis.query(&hgetall).await.unwrap();
    assert!(!hash.is_empty());
    (redis, hgetall)
}

/// A client of its own for each task: it keeps what cookies it is given.
fn way<'a, S, B>(
    name: &'static str,
    runtime: &'a Runtime,
    service: &S,
    path: &'static str,
    cookies: &HeaderValue,
) -> Way<'a>
where
    S: Service<Request<()>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Debug + Send,
    S::Future: Send,
    B: Send,
{
    let state = (service.clone(), cookies.clone());
    let once = async move |(service, cookies): (S, HeaderValue)| {
        let answer = service.clone().oneshot(request(path, &cookies)).await.unwrap();
        let cookies = kept(cookies, &answer);
        (service, cookies)
    };
    Way::new(name, runtime, move || state.clone(), once)
}

pub(crate) fn compare(runtime: &Runtime) {
    let _guard = runtime.enter();
    let server = runtime.block_on(RedisServer::start());
    let redis = runtime.block_on(connected(&server.url()));
    let client = Client::open(server.url()).unwrap();
    let shared = runtime.block_on(client.get_multiplexed_async_connection()).unwrap();
    let service = layer(&redis).layer(service_fn(ours));
    let cookies = runtime.block_on(cookies(service.clone(), 16));
    // Each writes a session of its own, which its first request begins.
    let nobody = HeaderValue::from_static("a=b");
    let keys: Vec<String> =
        runtime.block_on(server.query(&["KEYS", "evenkeel:session:*"])).unwrap();
    let hgetall = cmd("HGETALL").arg(&keys[0]).to_owned();
    let state = (shared.clone(), Arc::new(hgetall.clone()));
    let alone = service_fn(move |request| served(state.clone(), request));
    let (bare_hgetall, handle_hgetall) = (hgetall.clone(), hgetall);
    let mut ways = [
        Way::new("HGETALL", runtime, move || (shared.clone(), bare_hgetall.clone()), bare),
        Way::new(
            "HGETALL by Redis::query",
            runtime,
            move || (redis.clone(), handle_hgetall.clone()),
            handle,
        ),
        way("HGETALL in a service", runtime, &alone, "/read", &cookies),
        way("evenkeel, read", runtime, &service, "/read", &cookies),
        way("evenkeel, write", runtime, &service, "/write?16", &nobody),
    ];
    rounds::compare("A session in Redis", 64, 64_000, 11, &mut ways);
    rounds::compare("A session in Redis", 512, 64_000, 11, &mut ways);
}
