//! The cache in a cluster: keys in many slots, on several servers.
#![cfg(feature = "cluster")]

use evenkeel::store::cache::{CacheValue, Tier};

use super::{
    Database, Instance,
    support::{Cluster, LogCapture, eventually},
};
use crate::guards::PATIENCE;

const KEYS: usize = 30;

fn keys() -> Vec<String> {
    (0..KEYS).map(|n| format!("key:{n}")).collect()
}

fn database(value: u64) -> Database {
    let database = Database::default();
    keys().iter().for_each(|key| database.write(key, value));
    database
}

async fn read_all(instance: &Instance, database: &Database) -> Vec<(Option<u64>, Tier)> {
    let mut all = Vec::new();
    for key in keys() {
        all.push(instance.reads(database, &key).await);
    }
    all
}

/// Heard by another instance within moments, and then nothing older is left.
async fn reads_everywhere(instance: &Instance, database: &Database, value: u64) {
    let is_new = || async {
        read_all(instance, database).await.iter().all(|(found, _)| *found == Some(value))
    };
    assert!(eventually(PATIENCE, is_new).await, "an old value stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn values_in_every_slot_are_shared_invalidated_and_survive_the_cluster() {
    let _logs = LogCapture::start();
    let cluster = Cluster::start(3).await;
    let hosts: Vec<_> = cluster.nodes.iter().map(|node| node.addr().to_string()).collect();
    let url = format!("redis-cluster://{}", hosts.join(","));
    let (a, b) = (Instance::at(&url).ready().await, Instance::at(&url).ready().await);

    let first = database(1);
    assert!(read_all(&a, &first).await.iter().all(|read| *read == (Some(1), Tier::Loader)));
    assert!(read_all(&b, &first).await.iter().all(|read| *read == (Some(1), Tier::Redis)));
    assert!(read_all(&b, &first).await.iter().all(|read| *read == (Some(1), Tier::Memory)));

    let second = database(2);
    for key in keys() {
        assert!(a.items.delete(&key).await.is_propagated());
    }
    reads_everywhere(&b, &second, 2).await;
    let third = database(3);
    assert!(a.items.clear_prefix("key:").await.is_propagated());
    reads_everywhere(&b, &third, 3).await;
    for key in keys() {
        let tagged = CacheValue::new(4).with_tags(["all"]);
        assert!(b.items.set(&key, tagged).await.is_propagated());
    }
    reads_everywhere(&a, &third, 4).await;
    let fifth = database(5);
    assert!(a.items.invalidate_tag("all").await.is_propagated());
    reads_everywhere(&b, &fifth, 5).await;

    // Many at once lie in many slots.
    let newcomer = Instance::at(&url).ready().await;
    let many = newcomer.items.get_many_or_load(keys(), |keys: Vec<String>| async move {
        Err::<std::collections::HashMap<String, Option<u64>>, _>(std::io::Error::other(format!(
            "nothing is missing: {keys:?}"
        )))
    });
    let many = many.await.unwrap();
    assert!(many.iter().all(|cached| cached.value == Some(5)), "{many:?}");

    // One server of three gone: by the cluster's default nothing is served.
    cluster.nodes[1].kill();
    a.away().await;
    b.away().await;
    let sixth = database(6);
    for key in keys() {
        let _ = a.items.delete(&key).await;
    }
    assert!(read_all(&a, &sixth).await.iter().all(|(found, _)| *found == Some(6)));
    cluster.nodes[1].restart().await;
    let (a, b) = (a.ready().await, b.ready().await);
    reads_everywhere(&b, &sixth, 6).await;
    assert!(read_all(&a, &sixth).await.iter().all(|(found, _)| *found == Some(6)));
}
