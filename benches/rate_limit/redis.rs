//! With a real Redis: decisions, beside a bare EVALSHA of the same script.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{Criterion, SamplingMode, Throughput};
use deadpool_redis::redis::{Client, Script as ClientScript, aio::MultiplexedConnection, cmd};
use evenkeel::{
    config::RedisConfig,
    layer::rate_limit::{Key, RateLimitLayer},
    redis::Redis,
    store::rate::{Policy, Quota, RateLimiter, Subject},
};
use http::{Request, Response};
use tokio::runtime::Runtime;
use tower::{Layer, ServiceExt, service_fn};

const SCRIPT: &str = include_str!("../../src/store/rate/gcra.lua");

struct Server {
    process: Child,
    url: String,
}

impl Server {
    fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let program = std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        let process = Command::new(program)
            .args(["--port", &port.to_string(), "--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { process, url: format!("redis://127.0.0.1:{port}") }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A client that asks ten thousand times a second has ten thousand a second, and a large burst.
fn policy() -> Policy {
    Quota::per_second(10_000).with_burst(1_000_000_000).into()
}

fn who(task: usize) -> Subject {
    Subject::text(format!("client {task}"))
}

/// Time for `iterations` calls in all, in so many tasks; `work` makes a task of its number and its calls.
fn drive<F>(
    runtime: &Runtime,
    tasks: usize,
    iterations: u64,
    work: impl Fn(usize, u64) -> F,
) -> Duration
where
    F: Future<Output = ()> + Send + 'static,
{
    let each = iterations.div_ceil(tasks as u64);
    let began = Instant::now();
    let tasks: Vec<_> = (0..tasks).map(|task| runtime.spawn(work(task, each))).collect();
    runtime.block_on(futures_util::future::join_all(tasks));
    began.elapsed()
}

pub(crate) fn benches(c: &mut Criterion) {
    let server = Server::start();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let guard = runtime.enter();
    let shared: MultiplexedConnection = runtime
        .block_on(Client::open(server.url.as_str()).unwrap().get_multiplexed_async_connection())
        .unwrap();
    let pool = deadpool_redis::Config::from_url(&server.url)
        .create_pool(Some(deadpool_redis::Runtime::Tokio1))
        .unwrap();
    let redis = Redis::new(RedisConfig::new(server.url.parse().unwrap())).unwrap();
    assert!(runtime.block_on(redis.monitor().wait_available(Duration::from_secs(5))));
    let limiter = RateLimiter::new(&redis);
    let leasing = limiter.clone().with_leases(100.try_into().unwrap());
    let script = Arc::new(ClientScript::new(SCRIPT));
    let arguments = |key: &str| {
        let mut evalsha = cmd("EVALSHA");
        evalsha.arg(script.get_hash()).arg(1).arg(format!("bench:{{{key}}}"));
        evalsha.arg(1).arg(0).arg(100).arg(100_000_000_000_u64).clone()
    };
    let load = runtime.block_on(script.prepare_invoke().load_async(&mut shared.clone()));
    assert_eq!(load.unwrap(), script.get_hash());

    for tasks in [64, 512] {
        let mut group = c.benchmark_group(format!("redis/{tasks} tasks"));
        group.throughput(Throughput::Elements(1));
        // Long enough that the first trips of all tasks do not count for much.
        group.sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(4));
        group.bench_function("bare EVALSHA, shared connection", |b| {
            b.iter_custom(|n| {
                drive(&runtime, tasks, n, |task, count| {
                    let (evalsha, mut shared) = (arguments(&task.to_string()), shared.clone());
                    async move {
                        for _ in 0..count {
                            let _: Vec<i64> = evalsha.query_async(&mut shared).await.unwrap();
                        }
                    }
                })
            });
        });
        group.bench_function("EVALSHA, a pooled connection each", |b| {
            b.iter_custom(|n| {
                drive(&runtime, tasks, n, |task, count| {
                    let (evalsha, pool) = (arguments(&task.to_string()), pool.clone());
                    async move {
                        for _ in 0..count {
                            let mut connection = pool.get().await.unwrap();
                            let _: Vec<i64> = evalsha.query_async(&mut connection).await.unwrap();
                        }
                    }
                })
            });
        });
        for (name, limiter) in [("evenkeel", &limiter), ("evenkeel, leases of 100", &leasing)] {
            group.bench_function(name, |b| {
                b.iter_custom(|n| {
                    drive(&runtime, tasks, n, |task, count| {
                        let (limiter, policy, who) = (limiter.clone(), policy(), who(task));
                        async move {
                            for turn in 0..count {
                                assert!(limiter.decide(&policy, &who, 1).await.allowed());
                                // Decisions that wait for nothing must not keep the thread from the others.
                                if turn % 64 == 0 {
                                    tokio::task::yield_now().await;
                                }
                            }
                        }
                    })
                });
            });
        }
        let inner = service_fn(async |request: Request<String>| {
            drop(request);
            Ok::<_, std::convert::Infallible>(Response::new(String::new()))
        });
        let layer = RateLimitLayer::with_limiter(&limiter, policy());
        let layer = layer.with_key(Key::header("x-api-key".parse().unwrap()));
        group.bench_function("evenkeel, through the layer", |b| {
            b.iter_custom(|n| {
                drive(&runtime, tasks, n, |task, count| {
                    let service = layer.layer(inner);
                    async move {
                        for _ in 0..count {
                            let request = Request::builder().header("x-api-key", task);
                            let request = request.body(String::new()).unwrap();
                            let answer = service.clone().oneshot(request).await.unwrap();
                            assert_eq!(answer.status(), 200);
                        }
                    }
                })
            });
        });
        group.finish();
    }
    drop(guard);
}
