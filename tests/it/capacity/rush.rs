//! 500 at once for the 100 seats of a hall, at two gateways on one database, and Redis as it may be.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;
use tokio::{task::JoinSet, time::sleep};

use super::{
    gateway::rows,
    outage::rounds,
    support::{Fault, FaultProxy, RedisServer, eventually},
};
use crate::guards::{PATIENCE, gateway::Gateway};

const REQUESTS: usize = 500;
const SEATS: usize = 100;

/// Two gateways, the second behind a wire of its own.
struct World {
    server: RedisServer,
    proxy: FaultProxy,
    disk: TempDir,
    a: Arc<Gateway>,
    b: Arc<Gateway>,
}

impl World {
    async fn start() -> Self {
        let server = RedisServer::start().await;
        let proxy = FaultProxy::in_front_of(&server).await;
        let disk = TempDir::new().unwrap();
        let a = Arc::new(Gateway::start(&server.url(), &disk).await.ready().await);
        let b = Arc::new(Gateway::start(&proxy.url(), &disk).await.ready().await);
        Self { server, proxy, disk, a, b }
    }

    /// A rush, with something that happens when half of the seats are sold.
    async fn rush(&self, round: usize, middle: impl AsyncFnOnce()) {
        let event = format!("hall-{round}");
        let sold = Arc::new(AtomicUsize::new(0));
        let mut requests = JoinSet::new();
        for n in 0..REQUESTS {
            let gateway = Arc::clone(if n % 2 == 0 { &self.a } else { &self.b });
            let (path, sold) = (format!("{event}/reserve"), Arc::clone(&sold));
            requests.spawn(async move {
                // All within a fifth of a second.
                sleep(Duration::from_micros(n as u64 * 400)).await;
                let answer = gateway.event(&path, r#"{"seats":1}"#).await;
                sold.fetch_add(usize::from(answer.status == 200), Ordering::SeqCst);
                (answer.status, answer.body)
            });
        }
        let half = async || sold.load(Ordering::SeqCst) >= SEATS / 2;
        assert!(eventually(PATIENCE, half).await, "round {round}: nothing is sold");
        middle().await;
        let (mut granted, mut refused) = (0, 0);
        while let Some(answer) = requests.join_next().await {
            match answer.unwrap() {
                (200, _) => granted += 1,
                (409, _) => refused += 1,
                (status, body) => panic!("round {round}: {status} {body}"),
            }
        }
        assert_eq!((granted, refused), (SEATS, REQUESTS - SEATS), "round {round}");
        let seats = u32::try_from(SEATS).unwrap();
        assert_eq!(rows(&self.disk, &event).await, (seats, seats), "round {round}");
    }

    async fn both(&self, available: bool) {
        self.a.redis_is(available).await;
        self.b.redis_is(available).await;
    }
}

/// So many rounds in one world, and what puts it right between them.
async fn rush<M, R>(middle: impl Fn(Arc<World>) -> M, right: impl Fn(Arc<World>) -> R)
where
    M: Future<Output = ()>,
    R: Future<Output = ()>,
{
    let world = Arc::new(World::start().await);
    for round in 0..rounds() {
        world.rush(round, async || middle(Arc::clone(&world)).await).await;
        right(Arc::clone(&world)).await;
        world.both(true).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_are_sold_in_health() {
    rush(async |_| (), async |_| ()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_are_sold_while_redis_is_killed_and_stays_away() {
    rush(async |world| world.server.kill(), async |world| world.server.restart().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_are_sold_while_redis_comes_back_empty() {
    let middle = async |world: Arc<World>| {
        world.server.kill();
        sleep(Duration::from_millis(50)).await;
        world.server.restart_empty().await;
    };
    rush(middle, async |_| ()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_are_sold_while_redis_hangs() {
    rush(async |world| world.server.freeze(), async |world| world.server.thaw()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_are_sold_while_one_gateway_alone_is_cut_off() {
    let cut = async |world: Arc<World>| world.proxy.set(Fault::BlackHole).await;
    rush(cut, async |world| world.proxy.set(Fault::Pass).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_are_sold_while_one_gateway_stands_still() {
    let middle = async |world: Arc<World>| {
        world.b.freeze();
        sleep(Duration::from_secs(3)).await;
        world.b.thaw();
    };
    rush(middle, async |_| ()).await;
}
