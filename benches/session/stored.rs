//! Reads and writes through Redis, many at once: each beside its command alone on one shared
//! connection.

use std::{
    fmt::Debug,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

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

/// Compare and set: two calls, as a session is written.
const COMPARE_AND_SET: &str = "
if redis.call('GETRANGE', KEYS[1], 0, 55) ~= ARGV[1] then return redis.call('GET', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[2], 'PX', 86400000)
return 0";

async fn bare((mut connection, get): (MultiplexedConnection, Cmd)) -> (MultiplexedConnection, Cmd) {
    let value: Vec<u8> = get.query_async(&mut connection).await.unwrap();
    assert!(!value.is_empty());
    (connection, get)
}

/// The command alone in a service of its own, for the same request.
async fn served(
    (mut connection, get): (MultiplexedConnection, Arc<Cmd>),
    request: Request<()>,
) -> Answer {
    let value: Vec<u8> = get.query_async(&mut connection).await.unwrap();
    assert!(!black_box((request, value)).1.is_empty());
    Ok(done())
}

async fn handle((redis, get): (Redis, Cmd)) -> (Redis, Cmd) {
    let value: Vec<u8> = redis.query(&get).await.unwrap();
    assert!(!value.is_empty());
    (redis, get)
}

async fn write(
    (mut connection, evalsha): (MultiplexedConnection, Cmd),
) -> (MultiplexedConnection, Cmd) {
    let done: i64 = evalsha.query_async(&mut connection).await.unwrap();
    assert_eq!(done, 0);
    (connection, evalsha)
}

/// What a session is written with: a read and a write.
async fn read_and_write(
    (mut connection, get, evalsha): (MultiplexedConnection, Cmd, Cmd),
) -> (MultiplexedConnection, Cmd, Cmd) {
    let value: Vec<u8> = get.query_async(&mut connection).await.unwrap();
    assert!(!value.is_empty());
    let (connection, evalsha) = write((connection, evalsha)).await;
    (connection, get, evalsha)
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
    let keys: Vec<String> =
        runtime.block_on(server.query(&["KEYS", "evenkeel:session:{*}"])).unwrap();
    let get = cmd("GET").arg(&keys[0]).to_owned();
    let state = (shared.clone(), Arc::new(get.clone()));
    let alone = service_fn(move |request| served(state.clone(), request));
    let (bare_get, handle_get, connection) = (get.clone(), get, shared.clone());
    let mut ways = [
        Way::new("GET", runtime, move || (connection.clone(), bare_get.clone()), bare),
        Way::new(
            "GET by Redis::query",
            runtime,
            move || (redis.clone(), handle_get.clone()),
            handle,
        ),
        way("GET in a service", runtime, &alone, "/read", &cookies),
        way("evenkeel, read", runtime, &service, "/read", &cookies),
    ];
    for tasks in [64, 512] {
        rounds::compare("A session read in Redis", tasks, 64_000, 11, &mut ways);
    }
    drop(ways);

    // As large as the record, one for each task.
    let value: Vec<u8> = runtime.block_on(server.query(&["GET", &keys[0]])).unwrap();
    let sha: String = runtime.block_on(server.query(&["SCRIPT", "LOAD", COMPARE_AND_SET])).unwrap();
    let key = |number: u64| format!("bench:{number}");
    for number in 0..512 {
        let set = cmd("SET").arg(key(number)).arg(&value).to_owned();
        let mut connection = shared.clone();
        runtime.block_on(set.exec_async(&mut connection)).unwrap();
    }
    let next = AtomicU64::new(0);
    let bare = move || {
        let key = key(next.fetch_add(1, Ordering::Relaxed) % 512);
        let evalsha =
            cmd("EVALSHA").arg(&sha).arg(1).arg(&key).arg(&value[..56]).arg(&value).to_owned();
        (shared.clone(), cmd("GET").arg(&key).to_owned(), evalsha)
    };
    let bare = Arc::new(bare);
    let both = bare.clone();
    let nobody = HeaderValue::from_static("a=b");
    let mut ways = [
        Way::new(
            "EVALSHA of two calls",
            runtime,
            move || {
                let (connection, _, evalsha) = bare();
                (connection, evalsha)
            },
            write,
        ),
        Way::new("GET, then EVALSHA of two calls", runtime, move || both(), read_and_write),
        // Each writes a session of its own, which its first request begins.
        way("evenkeel, write", runtime, &service, "/write?16", &nobody),
    ];
    for tasks in [64, 512] {
        rounds::compare("A session written in Redis", tasks, 64_000, 11, &mut ways);
    }
    let calls = runtime.block_on(server.query::<String>(&["INFO", "commandstats"])).unwrap();
    for line in calls.lines().filter(|line| line.contains("evalsha") || line.contains("_get:")) {
        println!("  {line}");
    }
}
