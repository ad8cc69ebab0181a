//! A history of random reads, writes, invalidations and faults over three instances, and its
//! checker: what was written is what is read afterwards, within the bounds that the documentation
//! states.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use evenkeel::store::cache::CacheValue;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::sleep;

use super::{
    Instance,
    support::{Fault, FaultProxy, RedisServer},
};
use crate::guards::eviction::{limit, push_out};

const KEYS: usize = 4;
const RUN: Duration = Duration::from_secs(12);
const TTL: Duration = Duration::from_secs(4);
const TTL_WITHOUT_REDIS: Duration = Duration::from_millis(500);
/// Until silence is noticed (1.3 s), or what was missed is read (0.5 s); the rest is for a machine
/// that is busy.
const HEARD: Duration = Duration::from_secs(4);

/// One version for each key; a read and a write take a moment.
#[derive(Default)]
struct Truth([AtomicU64; KEYS]);

impl Truth {
    async fn read(self: Arc<Self>, key: usize) -> Result<CacheValue<u64>, io::Error> {
        let version = self.0[key].load(Ordering::SeqCst);
        let pause = rand::random_range(0..20);
        sleep(Duration::from_millis(pause)).await;
        Ok(CacheValue::new(version).with_tags(["all", &format!("tag{key}")]))
    }
}

/// A write that was answered.
struct Write {
    instance: usize,
    key: usize,
    version: u64,
    answered: Instant,
    propagated: bool,
}

struct Read {
    instance: usize,
    key: usize,
    version: u64,
    began: Instant,
}

#[derive(Default)]
struct History {
    writes: Mutex<Vec<Write>>,
    reads: Mutex<Vec<Read>>,
}

impl History {
    /// Every read against every write that it has to have seen.
    fn check(&self) -> usize {
        let (writes, reads) = (self.writes.lock().unwrap(), self.reads.lock().unwrap());
        for read in reads.iter() {
            for write in writes.iter().filter(|write| write.key == read.key) {
                let bound = match write {
                    _ if write.instance == read.instance => Duration::ZERO,
                    _ if write.propagated => HEARD,
                    // The writer could not reach Redis: until its recovery, or the end of the life
                    // of what others have.
                    _ => TTL + HEARD,
                };
                let is_bound = read.began >= write.answered + bound;
                assert!(
                    !is_bound || read.version >= write.version,
                    "instance {} read version {} of key {}, {:?} after instance {} had written version {} (propagated: {})",
                    read.instance,
                    read.version,
                    read.key,
                    read.began - write.answered,
                    write.instance,
                    write.version,
                    write.propagated,
                );
            }
        }
        reads.len()
    }
}

struct World {
    truth: Arc<Truth>,
    history: History,
    instances: Vec<Instance>,
}

impl World {
    async fn read(&self, random: &mut StdRng, instance: usize) {
        let key = random.random_range(0..KEYS);
        let (began, truth) = (Instant::now(), Arc::clone(&self.truth));
        let name = format!("key:{key}");
        let cached = self.instances[instance].items.get_or_load(&name, || truth.read(key)).await;
        let cached = cached.unwrap();
        if let (Some(version), false) = (cached.value, cached.freshness.is_stale()) {
            let read = Read { instance, key, version, began };
            self.history.reads.lock().unwrap().push(read);
        }
    }

    async fn write(&self, random: &mut StdRng, instance: usize) {
        let key = random.random_range(0..KEYS);
        let version = self.truth.0[key].fetch_add(1, Ordering::SeqCst) + 1;
        let items = &self.instances[instance].items;
        let told = match random.random_range(0..10) {
            0 => items.clear().await,
            1 => items.clear_prefix("key:").await,
            2 => items.invalidate_tag(format!("tag{key}")).await,
            _ => items.delete(format!("key:{key}")).await,
        };
        let (answered, propagated) = (Instant::now(), told.is_propagated());
        let write = Write { instance, key, version, answered, propagated };
        self.history.writes.lock().unwrap().push(write);
    }

    async fn client(self: Arc<Self>, seed: u64, until: Instant) {
        let mut random = StdRng::seed_from_u64(seed);
        while Instant::now() < until {
            let instance = random.random_range(0..self.instances.len());
            match random.random_range(0..20) {
                0 => self.write(&mut random, instance).await,
                _ => self.read(&mut random, instance).await,
            }
            let pause = random.random_range(0..5);
            sleep(Duration::from_millis(pause)).await;
        }
    }
}

/// The server drops keys until the generations are among them.
async fn make_room(server: &RedisServer) {
    limit(server, "allkeys-random").await;
    push_out(server, "evenkeel:cache:items:generations").await;
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_older_is_read_than_the_bounds_allow() {
    let server = RedisServer::start().await;
    let (mut proxies, mut instances) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let proxy = FaultProxy::in_front_of(&server).await;
        let instance = Instance::with(&proxy.url(), |builder| {
            super::patient(builder)
                .with_ttl(TTL)
                .with_ttl_without_redis(TTL_WITHOUT_REDIS)
                .with_early_refresh(1.0)
        });
        instances.push(instance.ready().await);
        proxies.push(proxy);
    }
    let world = Arc::new(World { truth: Arc::default(), history: History::default(), instances });
    let until = Instant::now() + RUN;
    let clients: Vec<_> =
        (0..8).map(|seed| tokio::spawn(Arc::clone(&world).client(seed, until))).collect();

    let mut random = StdRng::seed_from_u64(4711);
    while Instant::now() < until {
        let proxy = &proxies[random.random_range(0..proxies.len())];
        match random.random_range(0..7) {
            0 => proxy.set(Fault::Refuse).await,
            1 => proxy.set(Fault::BlackHole).await,
            2 => proxy.set(Fault::HoldUsersOf("SUBSCRIBE".into())).await,
            3 => server.restart_empty().await,
            4 => server.flushall().await,
            5 => make_room(&server).await,
            _ => proxy.set(Fault::CutToClient).await,
        }
        sleep(Duration::from_millis(random.random_range(200..1_200))).await;
        proxy.set(Fault::Pass).await;
        sleep(Duration::from_millis(random.random_range(0..600))).await;
    }
    for client in clients {
        client.await.unwrap();
    }
    let reads = world.history.check();
    assert!(reads > 1_000, "{reads} reads");
    let stats = world.instances[0].items.stats();
    assert!(stats.hits > 100 && stats.misses > 10, "{stats:?}");
}
