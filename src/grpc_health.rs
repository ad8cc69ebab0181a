//! `grpc.health.v1`: its answers follow the monitor.
//!
//! `tonic-health` answers the protocol; [`follow_redis`] tells it what is true:
//!
//! ```
//! use evenkeel::{grpc_health::follow_redis, health::HealthMonitor};
//!
//! # fn demo(monitor: &HealthMonitor) {
//! let (reporter, health) = tonic_health::server::health_reporter();
//! tokio::spawn(follow_redis(monitor, reporter, ["redis", "shop.v1.Checkout"]));
//! // tonic::transport::Server::builder().add_service(health)…
//! # let _ = health;
//! # }
//! ```
//!
//! # When Redis is down
//!
//! The services that are named read `NOT_SERVING`. The server as a whole (the service named "")
//! goes on `SERVING`: it answers without Redis, and no balancer is to take it out. Do not name ""
//! unless all of it needs Redis.

use std::{future::Future, pin::pin};

use tonic_health::{ServingStatus, server::HealthReporter};

use crate::health::HealthMonitor;

/// Sets each of these services to `SERVING` while reads and writes work and to `NOT_SERVING` while
/// not, from the first poll until the monitor ends; then they stay `NOT_SERVING`. To be spawned.
pub fn follow_redis(
    monitor: &HealthMonitor,
    reporter: HealthReporter,
    services: impl IntoIterator<Item = impl Into<String>>,
) -> impl Future<Output = ()> + Send + 'static {
    let services: Vec<String> = services.into_iter().map(Into::into).collect();
    // Not the monitor itself: this would keep it alive for ever.
    let (mut status, ended) = (monitor.watch(), monitor.end());
    async move {
        let mut ended = pin!(ended);
        loop {
            let available = status.borrow_and_update().is_available();
            let serving =
                if available { ServingStatus::Serving } else { ServingStatus::NotServing };
            set(&reporter, &services, serving).await;
            tokio::select! {
                biased;
                changed = status.changed() => if changed.is_ok() { continue },
                () = &mut ended => {}
            }
            return set(&reporter, &services, ServingStatus::NotServing).await;
        }
    }
}

async fn set(reporter: &HealthReporter, services: &[String], serving: ServingStatus) {
    for service in services {
        reporter.set_service_status(service, serving).await;
    }
}
