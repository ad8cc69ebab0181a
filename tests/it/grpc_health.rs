//! `grpc.health.v1` tells what the monitor knows.

use std::time::Duration;

use evenkeel::{
    grpc_health::follow_redis,
    health::Fault,
    redis::{Redis, RedisConfig},
    testing,
};
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

#[tokio::test]
async fn shutdown_ends_what_follows_though_handles_are_alive() {
    const SOON: Duration = Duration::from_secs(5);
    let redis = Redis::new(RedisConfig::new("redis://127.0.0.1:1".parse().unwrap())).unwrap();
    let (reporter, service) = health_reporter();
    let follower = tokio::spawn(follow_redis(redis.monitor(), reporter, ["redis"]));
    let mut transitions = redis.monitor().transitions();

    redis.shutdown().await;
    tokio::time::timeout(SOON, follower).await.unwrap().unwrap();
    let end = async { while transitions.recv().await.is_some() {} };
    tokio::time::timeout(SOON, end).await.unwrap();
    let mut late = redis.monitor().transitions();
    assert!(tokio::time::timeout(SOON, late.recv()).await.unwrap().is_none());

    let request = HealthCheckRequest { service: "redis".to_owned() };
    let status = HealthClient::new(service).check(request).await.unwrap().into_inner().status();
    assert_eq!(status, ServingStatus::NotServing);
    drop(redis);
}
