//! Many keys at once, and values that nobody has asked for yet.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use evenkeel::store::cache::Tier;
use futures_util::stream;

use super::{
    Database, Instance,
    support::{RedisServer, eventually},
};
use crate::guards::PATIENCE;

type Asked = Arc<Mutex<Vec<Vec<String>>>>;

async fn select(
    asked: Asked,
    keys: Vec<String>,
) -> Result<HashMap<String, Option<u64>>, io::Error> {
    asked.lock().unwrap().push(keys.clone());
    let number = |key: String| key.parse().ok().map(|number| (key, Some(number)));
    Ok(keys.into_iter().filter_map(number).collect())
}

async fn read(instance: &Instance, asked: &Asked, keys: &[&str]) -> Vec<(Option<u64>, Tier)> {
    let asked = Arc::clone(asked);
    let load = move |keys| select(asked, keys);
    let all = instance.items.get_many_or_load(keys, load).await.unwrap();
    all.into_iter().map(|cached| (cached.value, cached.tier)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_keys_are_one_command_and_one_call_of_the_loader() {
    let server = RedisServer::start().await;
    let (a, b) = (Instance::at(&server.url()), Instance::at(&server.url()));
    let (a, b) = (a.ready().await, b.ready().await);
    let asked = Asked::default();
    assert!(a.items.set("1", Some(1)).await.is_propagated());
    assert!(b.items.set("2", Some(2)).await.is_propagated());
    let before = server.commands_processed("mget").await;
    let read_by_a = read(&a, &asked, &["3", "1", "2", "none", "3"]).await;
    let expected = [
        (Some(3), Tier::Loader),
        (Some(1), Tier::Memory),
        (Some(2), Tier::Redis),
        (None, Tier::Loader),
        (Some(3), Tier::Loader),
    ];
    assert_eq!(read_by_a, expected);
    assert_eq!(*asked.lock().unwrap(), [["3", "none"]]);
    assert_eq!(server.commands_processed("mget").await - before, 1);
    assert_eq!(read(&a, &asked, &["3", "none"]).await[0], (Some(3), Tier::Memory));
    assert!(read(&a, &asked, &[]).await.is_empty());
    // What it has loaded is in Redis.
    assert!(eventually(PATIENCE, || async { b.items.get("3").await.is_some() }).await);

    server.kill();
    a.away().await;
    let without = read(&a, &asked, &["1", "2", "3", "4"]).await;
    assert_eq!(without[3], (Some(4), Tier::Loader));
    assert!(without[..3].iter().all(|(_, tier)| *tier == Tier::Memory));
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_fails_is_an_error_and_nothing_is_kept() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url()).ready().await;
    let fails = |_| async { Err::<HashMap<String, Option<u64>>, _>(io::Error::other("down")) };
    assert!(a.items.get_many_or_load(["1", "2"], fails).await.is_err());
    let asked = Asked::default();
    assert_eq!(read(&a, &asked, &["1"]).await, [(Some(1), Tier::Loader)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn warming_stores_what_is_not_there_and_brings_nothing_back() {
    let server = RedisServer::start().await;
    let database = Database::with(&[("1", 1), ("2", 2), ("3", 3)]);
    let (a, b) = (Instance::at(&server.url()), Instance::at(&server.url()));
    let (a, b) = (a.ready().await, b.ready().await);
    assert!(b.items.set("1", Some(10)).await.is_propagated());
    let warmed = a.items.warm(stream::iter([("1", Some(1)), ("2", Some(2))])).await;
    assert_eq!((warmed.stored, warmed.skipped), (1, 1));
    assert_eq!(a.reads(&database, "1").await.0, Some(10));
    for instance in [&a, &b] {
        let (value, tier) = instance.reads(&database, "2").await;
        assert!(value == Some(2) && tier != Tier::Loader, "{tier:?}");
    }
    assert_eq!(database.loads(), 0);

    // Again when Redis comes back without its data.
    let rounds = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&rounds);
    let warming = a.items.warm_on_recovery(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        stream::iter([("3", Some(3))])
    });
    server.kill();
    a.away().await;
    server.restart_empty().await;
    let found = eventually(PATIENCE, || async { b.items.get("3").await.is_some() });
    assert!(found.await);
    assert_eq!(rounds.load(Ordering::SeqCst), 1);
    assert_eq!(database.loads(), 0);
    drop(warming);
}
