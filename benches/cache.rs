//! The cache beside bare quick_cache, bare moka and a bare shared connection: `cargo bench --bench
//! cache`. Starts a `redis-server` of its own.
//!
//! `-- memory`, `-- redis`, `-- miss`, `-- heard` or `-- size` runs that comparison alone.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

#[path = "support/rounds.rs"]
mod rounds;
#[path = "../tests/support/mod.rs"]
#[allow(dead_code, unused_imports)]
mod support;

use std::{
    convert::Infallible,
    hint::black_box,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use evenkeel::{
    redis::{Redis, RedisConfig, deadpool_redis::redis},
    store::cache::{Cache, CacheBuilder, Json, Tier},
};
use futures_util::{FutureExt, stream};
use rounds::Way;
use support::RedisServer;
use tokio::runtime::Runtime;

const HOUR: Duration = Duration::from_secs(3_600);

fn handle(runtime: &Runtime, url: &str) -> Redis {
    runtime.block_on(async {
        let config =
            RedisConfig::new(url.parse().unwrap()).with_op_timeout(Duration::from_secs(10));
        let redis = Redis::new(config).unwrap();
        assert!(redis.monitor().wait_available(Duration::from_secs(10)).await);
        redis
    })
}

fn cache(runtime: &Runtime, redis: &Redis, name: &str, bytes: u64) -> Cache<u64> {
    let _guard = runtime.enter();
    let builder = Cache::builder(redis, name).with_ttl(HOUR).with_ttl_without_redis(HOUR);
    let cache: Cache<u64> = builder.with_max_bytes(bytes).build().unwrap();
    runtime.block_on(async {
        while redis.monitor().is_available() && !cache.is_in_step() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    cache
}

/// So many reads of each thread, of keys in turn.
fn reads<'a>(
    name: &'static str,
    keys: &'a Arc<[Arc<str>]>,
    read: impl Fn(&Arc<str>) -> Option<u64> + Sync + 'a,
) -> Way<'a> {
    Way::timed(name, move |threads, each| {
        let read = &read;
        let began = Instant::now();
        thread::scope(|scope| {
            for thread in 0..threads {
                scope.spawn(move || {
                    let mut at = thread * 7_919;
                    for _ in 0..each {
                        at = (at + 1) % keys.len();
                        assert!(black_box(read(&keys[at])).is_some());
                    }
                });
            }
        });
        began.elapsed()
    })
}

fn memory(runtime: &Runtime, redis: &Redis) {
    for count in [1, 10_000, 1_000_000] {
        let keys: Arc<[Arc<str>]> = (0..count).map(|n| Arc::from(format!("key:{n}"))).collect();
        let ours = cache(runtime, redis, &format!("memory{count}"), 4 << 30);
        let quick = quick_cache::sync::Cache::<Arc<str>, Arc<u64>>::new(2 * count + 100);
        let moka = moka::sync::Cache::<Arc<str>, Arc<u64>>::new(2 * count as u64 + 100);
        runtime.block_on(async {
            let values = keys.iter().enumerate().map(|(n, key)| (key, Some(n as u64)));
            assert_eq!(ours.warm(stream::iter(values)).await.stored, count as u64);
            for (n, key) in keys.iter().enumerate() {
                quick.insert(Arc::clone(key), Arc::new(n as u64));
                moka.insert(Arc::clone(key), Arc::new(n as u64));
            }
        });
        let load = || std::future::ready(Ok::<_, Infallible>(Some(0)));
        let or_load = |key: &Arc<str>| ours.get_or_load(key, load).now_or_never()?.ok()?.value;
        for threads in [1, 2] {
            let mut ways = [
                reads("quick_cache", &keys, |key| quick.get(key).map(|value| *value)),
                reads("moka", &keys, |key| moka.get(key).map(|value| *value)),
                reads("evenkeel, get", &keys, |key| Some(ours.get(key).now_or_never()??.value)),
                reads("evenkeel, get_or_load", &keys, or_load),
            ];
            let title = format!("memory/{count} keys");
            rounds::nanoseconds(&title, threads, 400_000 / threads, 7, &mut ways);
        }
    }
}

fn in_redis(runtime: &Runtime, redis: &Redis, url: &str) {
    let ours = cache(runtime, redis, "redis", 0);
    let connection = runtime.block_on(async {
        let _ = ours.set("k", Some(7)).await;
        let client = redis::Client::open(url).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    });
    let mut get = redis::cmd("GET");
    get.arg("evenkeel:cache:redis:{k}");
    let bare = move |mut connection: redis::aio::MultiplexedConnection| {
        let get = get.clone();
        async move {
            let value: Vec<u8> = get.query_async(&mut connection).await.unwrap();
            assert!(!value.is_empty());
            connection
        }
    };
    let hit = async |cache: Cache<u64>| {
        assert_eq!(cache.get("k").await.unwrap().tier, Tier::Redis);
        cache
    };
    let mut ways = [
        Way::new("bare GET, shared connection", runtime, move || connection.clone(), bare),
        Way::new("evenkeel, found in Redis", runtime, move || ours.clone(), hit),
    ];
    rounds::compare("redis", 64, 64_000, 11, &mut ways);
    rounds::compare("redis", 512, 102_400, 11, &mut ways);
}

async fn seven() -> Result<Option<u64>, Infallible> {
    Ok(Some(7))
}

/// Without Redis: what a miss costs over a loader that costs nothing.
fn miss(runtime: &Runtime) {
    let redis = runtime.block_on(async {
        Redis::new(RedisConfig::new("redis://127.0.0.1:1".parse().unwrap())).unwrap()
    });
    let ours = cache(runtime, &redis, "miss", 0);
    let mut ways = [
        Way::new(
            "the loader in a task",
            runtime,
            || (),
            move |()| async move {
                assert!(tokio::spawn(seven()).await.unwrap().is_ok());
            },
        ),
        Way::new(
            "evenkeel, a miss",
            runtime,
            move || ours.clone(),
            async move |cache| {
                assert_eq!(cache.get_or_load("k", seven).await.unwrap().tier, Tier::Loader);
                cache
            },
        ),
    ];
    rounds::compare("miss", 1, 100_000, 7, &mut ways);
}

/// From a deletion on one instance until another no longer has it.
fn heard(runtime: &Runtime, url: &str) {
    let [a, b] = [0, 1].map(|_| cache(runtime, &handle(runtime, url), "heard", 1 << 20));
    let mut took = runtime.block_on(async {
        let mut took = Vec::new();
        for n in 0..2_000 {
            let load = async move || Ok::<_, Infallible>(Some(n));
            b.get_or_load("k", load).await.unwrap();
            let began = Instant::now();
            let _ = a.delete("k").await;
            while b.get("k").await.is_some() {
                tokio::task::yield_now().await;
            }
            took.push(began.elapsed());
        }
        took
    });
    took.sort();
    let at = |share: usize| took[took.len() * share / 100];
    println!("\nheard: median {:?}, p99 {:?}, with the deletion itself", at(50), at(99));
}

fn size(runtime: &Runtime, redis: &Redis) {
    const ENTRIES: u64 = 1_000_000;
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
    };
    let _guard = runtime.enter();
    let builder = CacheBuilder::with_codec(redis, "size", Json).with_max_bytes(4 << 30);
    let ours: Cache<u64> = builder.build().unwrap();
    let before = resident();
    runtime.block_on(async {
        for n in 0..ENTRIES {
            let key = format!("{n:08}");
            let load = async move || Ok::<_, Infallible>(Some(n));
            ours.get_or_load(&key, load).await.unwrap();
        }
    });
    let each = (resident() - before) / ours.stats().entries;
    println!("\nsize: {each} bytes resident for each of {} entries", ours.stats().entries);
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let named = |word: &str| arguments.iter().any(|argument| argument == word);
    if named("--test") {
        return;
    }
    let all = !["memory", "redis", "miss", "heard", "size"].into_iter().any(named);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let server = runtime.block_on(RedisServer::start());
    let redis = handle(&runtime, &server.url());
    let away = runtime.block_on(async {
        Redis::new(RedisConfig::new("redis://127.0.0.1:1".parse().unwrap())).unwrap()
    });
    if all || named("size") {
        size(&runtime, &away);
    }
    if all || named("memory") {
        memory(&runtime, &redis);
    }
    if all || named("redis") {
        in_redis(&runtime, &redis, &server.url());
    }
    if all || named("miss") {
        miss(&runtime);
    }
    if all || named("heard") {
        heard(&runtime, &server.url());
    }
}
