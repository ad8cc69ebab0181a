//! With a real Redis: decisions, beside a bare `EVALSHA` of the same script.

use std::{
    convert::Infallible,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use deadpool_redis::{
    Pool,
    redis::{Client, Cmd, Script, aio::MultiplexedConnection, cmd},
};
use evenkeel::{
    layer::{client_key::ClientKey, rate_limit::RateLimitLayer},
    redis::{Redis, RedisConfig},
    store::rate::{Quota, RateLimiter, RatePolicy, Subject},
};
use http::{HeaderValue, Request, Response};
use tokio::runtime::Runtime;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::{
    rounds::{self, Way},
    support::RedisServer,
};

const SCRIPT: &str = include_str!("../../src/store/rate/gcra.lua");
const ROUNDS: usize = 11;

/// A client that asks ten thousand times a second has ten thousand a second, and a large burst.
fn policy() -> RatePolicy {
    Quota::per_second(10_000).with_burst(1_000_000_000).into()
}

/// What task number so and so does over and over.
#[derive(Clone)]
struct Asking {
    limiter: RateLimiter,
    policy: RatePolicy,
    who: Subject,
    turn: usize,
}

impl Asking {
    async fn once(mut self) -> Self {
        assert!(self.limiter.decide(&self.policy, &self.who, 1).await.allowed());
        self.turn += 1;
        // Decisions that wait for nothing must not keep the thread from the others.
        if self.turn.is_multiple_of(64) {
            tokio::task::yield_now().await;
        }
        self
    }
}

async fn bare((mut shared, evalsha): (MultiplexedConnection, Cmd)) -> (MultiplexedConnection, Cmd) {
    let answer: Vec<i64> = evalsha.query_async(&mut shared).await.unwrap();
    assert_eq!(answer[0], 1);
    (shared, evalsha)
}

async fn pooled((pool, evalsha): (Pool, Cmd)) -> (Pool, Cmd) {
    let mut connection = pool.get().await.unwrap();
    let answer: Vec<i64> = evalsha.query_async(&mut connection).await.unwrap();
    assert_eq!(answer[0], 1);
    drop(connection);
    (pool, evalsha)
}

async fn serve(request: Request<String>) -> Result<Response<String>, Infallible> {
    drop(request);
    Ok(Response::new(String::new()))
}

fn connected(runtime: &Runtime, server: &RedisServer) -> Redis {
    let redis = Redis::new(RedisConfig::new(server.url().parse().unwrap())).unwrap();
    assert!(runtime.block_on(redis.monitor().wait_available(Duration::from_secs(5))));
    redis
}

pub(crate) fn compare(runtime: &Runtime, asked: &dyn Fn(&str) -> bool) {
    let _guard = runtime.enter();
    let at_once = ["redis/64 tasks", "redis/512 tasks"].map(&asked);
    let over = "redis/over the limit";
    if at_once == [false; 2] && !asked(over) {
        return;
    }
    let server = runtime.block_on(RedisServer::start());
    for (tasks, _) in [64, 512].into_iter().zip(at_once).filter(|(_, asked)| *asked) {
        // The same for each, so that what the rounds last makes no difference: at least a tenth of
        // a second.
        rounds::compare(
            "redis/decisions",
            tasks,
            51_200,
            ROUNDS,
            &mut ways(runtime, &server, tasks),
        );
        let redis = connected(runtime, &server);
        let mut leases = [bare_way(runtime, &server, tasks), leasing(runtime, &redis, tasks)];
        rounds::compare("redis/leases of 100", tasks, 512_000, 5, &mut leases);
    }
    if asked(over) {
        runtime.block_on(over_the_limit(&server));
    }
}

/// Numbers from 0 below `tasks`, over and over: what is prepared for each task of a round gets the
/// next.
fn numbers(tasks: usize) -> impl Fn() -> usize {
    let next = AtomicUsize::new(0);
    move || next.fetch_add(1, Ordering::Relaxed) % tasks
}

fn evalsha(task: usize) -> Cmd {
    let key = format!("bench:{{{task}}}");
    let mut evalsha = cmd("EVALSHA");
    evalsha.arg(Script::new(SCRIPT).get_hash()).arg(1).arg(key);
    evalsha.arg(1).arg(0).arg(100).arg(100_000_000_000_u64);
    evalsha
}

fn bare_way<'a>(runtime: &'a Runtime, server: &RedisServer, tasks: usize) -> Way<'a> {
    let client = Client::open(server.url()).unwrap();
    let mut shared = runtime.block_on(client.get_multiplexed_async_connection()).unwrap();
    let script = Script::new(SCRIPT);
    runtime.block_on(script.prepare_invoke().load_async(&mut shared)).unwrap();
    let number = numbers(tasks);
    let prepare = move || (shared.clone(), evalsha(number()));
    Way::new("bare EVALSHA, shared connection", runtime, prepare, bare)
}

fn deciding<'a>(
    name: &'static str,
    runtime: &'a Runtime,
    limiter: RateLimiter,
    tasks: usize,
) -> Way<'a> {
    let number = numbers(tasks);
    let prepare = move || {
        let who = Subject::text(format!("client {}", number()));
        Asking { limiter: limiter.clone(), policy: policy(), who, turn: 0 }
    };
    Way::new(name, runtime, prepare, Asking::once)
}

fn leasing<'a>(runtime: &'a Runtime, redis: &Redis, tasks: usize) -> Way<'a> {
    let limiter =
        RateLimiter::builder(redis).with_leases(const { NonZeroU32::new(100).unwrap() }).build();
    deciding("evenkeel, leases of 100", runtime, limiter, tasks)
}

fn through<'a, S, B>(name: &'static str, runtime: &'a Runtime, service: S, tasks: usize) -> Way<'a>
where
    S: Service<Request<String>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let number = numbers(tasks);
    let prepare = move || (service.clone(), HeaderValue::from(number()));
    Way::new(name, runtime, prepare, async |(service, key): (S, HeaderValue)| {
        let request = Request::builder().header("x-api-key", key.clone());
        let request = request.body(String::new()).unwrap();
        let answer = service.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        (service, key)
    })
}

fn ways<'a>(runtime: &'a Runtime, server: &RedisServer, tasks: usize) -> [Way<'a>; 4] {
    let redis = connected(runtime, server);
    let limiter = RateLimiter::new(&redis);
    let layer = RateLimitLayer::with_limiter(&limiter, policy())
        .with_key(ClientKey::header("x-api-key".parse().unwrap()));
    let pool = deadpool_redis::Config::from_url(server.url())
        .create_pool(Some(deadpool_redis::Runtime::Tokio1))
        .unwrap();
    let pool_number = numbers(tasks);
    [
        bare_way(runtime, server, tasks),
        deciding("evenkeel", runtime, limiter, tasks),
        through("evenkeel, through the layer", runtime, layer.layer(service_fn(serve)), tasks),
        Way::new(
            "EVALSHA, a pooled connection each",
            runtime,
            move || (pool.clone(), evalsha(pool_number())),
            pooled,
        ),
    ]
}

/// Two instances with leases, whose tasks all ask for the same client, far more than it may.
async fn over_the_limit(server: &RedisServer) {
    const RATE: u32 = 20_000;
    const BURST: u32 = 10_000;
    let policy = RatePolicy::from(Quota::per_second(RATE).with_burst(BURST));
    let admitted = Arc::new(AtomicUsize::new(0));
    let mut asking = vec![];
    for _ in 0..2 {
        let redis = Redis::new(RedisConfig::new(server.url().parse().unwrap())).unwrap();
        assert!(redis.monitor().wait_available(Duration::from_secs(5)).await);
        let limiter =
            RateLimiter::builder(&redis).with_leases(NonZeroU32::new(100).unwrap()).build();
        asking.extend(std::iter::repeat_n((limiter, policy.clone(), admitted.clone()), 32));
    }
    let began = Instant::now();
    let tasks = asking.into_iter().map(|(limiter, policy, admitted)| {
        tokio::spawn(async move {
            let (who, mut asked) = (Subject::text("one for all"), 0_usize);
            while began.elapsed() < Duration::from_secs(3) {
                let allowed = limiter.decide(&policy, &who, 1).await.allowed();
                admitted.fetch_add(allowed.into(), Ordering::Relaxed);
                asked += 1;
                if asked % 64 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            asked
        })
    });
    let asked = futures_util::future::join_all(tasks.collect::<Vec<_>>()).await;
    let asked: usize = asked.into_iter().map(Result::unwrap).sum();
    let limit = began.elapsed().as_micros() as usize / (1_000_000 / RATE as usize) + BURST as usize;
    let admitted = admitted.load(Ordering::Relaxed);
    println!(
        "\nredis/over the limit, leases of 100 on two instances: {asked} asked, {admitted} admitted of at most {limit}, \
         {} over the limit",
        admitted.saturating_sub(limit)
    );
}
