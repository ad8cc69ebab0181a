//! `grpc.health.v1` tells what the monitor knows.

use std::time::Duration;

use evenkeel::{grpc_health::follow_redis, health::Fault, testing};
use tonic_health::{
    pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient},
    server::health_reporter,
};

#[tokio::test]
async fn follows_the_monitor_and_its_end() {
    let (monitor, mut control) = testing::monitor();
    let (reporter, service) = health_reporter();
    let follower = tokio::spawn(follow_redis(&monitor, reporter, ["redis"]));
    let mut client = HealthClient::new(service);

    let ask = |service: &str| HealthCheckRequest { service: service.to_owned() };
    tokio::task::yield_now().await;
    let mut redis = client.watch(ask("redis")).await.unwrap().into_inner();
    let mut next = async || redis.message().await.unwrap().unwrap().status();
    assert_eq!(next().await, ServingStatus::NotServing);
    control.up();
    assert_eq!(next().await, ServingStatus::Serving);
    control.down(Fault::HANG);
    assert_eq!(next().await, ServingStatus::NotServing);
    let whole = client.check(ask("")).await.unwrap().into_inner();
    assert_eq!(whole.status(), ServingStatus::Serving);

    control.up();
    assert_eq!(next().await, ServingStatus::Serving);
    drop((monitor, control));
    assert_eq!(next().await, ServingStatus::NotServing);
    tokio::time::timeout(Duration::from_secs(5), follower).await.unwrap().unwrap();
}
