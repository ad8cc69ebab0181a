//! Clusters and Sentinels.

use super::{LONG, code};
use crate::support::{Cluster, Sentinel, eventually};

#[tokio::test]
async fn cluster_of_one_serves_all_slots() {
    let cluster = Cluster::start(1).await;
    for key in ["a", "b", "c", "d"] {
        cluster.nodes[0].cli(&["SET", key, "1"]).await.expect("every slot is its own");
    }
}

#[tokio::test]
async fn cluster_of_three_shares_the_slots() {
    let cluster = Cluster::start(3).await;
    assert_eq!(cluster.urls().len(), 3);
    let mut moved = 0;
    for key in ["a", "b", "c", "d", "e", "f"] {
        moved += usize::from(match cluster.nodes[0].cli(&["SET", key, "1"]).await {
            Ok(_) => false,
            Err(error) => code(&error) == "MOVED",
        });
    }
    assert!(moved > 0 && moved < 6, "{moved} of 6 keys moved");
    cluster.nodes[2].kill();
    let down = || async {
        let answer = cluster.nodes[0].cli(&["GET", "a"]).await;
        answer.is_err_and(|error| code(&error) == "CLUSTERDOWN")
    };
    assert!(eventually(2 * LONG, down).await);
    cluster.nodes[2].restart().await;
    assert!(eventually(2 * LONG, || async { !down().await }).await);
}

#[tokio::test]
async fn sentinel_promotes_the_replica() {
    let set = Sentinel::start().await;
    assert_eq!(set.name(), "mymaster");
    assert_eq!(set.master_port().await, Some(set.master.port()));
    set.master.kill();
    set.wait_for_failover().await;
    assert_eq!(set.master_port().await, Some(set.replica.port()));
    set.replica.cli(&["SET", "key", "1"]).await.expect("the new master takes writes");
}

#[tokio::test]
async fn sentinel_fails_over_on_demand() {
    let set = Sentinel::start().await;
    set.fail_over().await;
    assert_eq!(set.master_port().await, Some(set.replica.port()));
    let role = || async { set.master.info_field("replication", "role").await };
    assert!(eventually(2 * LONG, || async { role().await.as_deref() == Some("slave") }).await);
}
