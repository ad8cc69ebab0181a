//! What the gateway says when it starts.

use std::{net::SocketAddr, time::Duration};

use evenkeel::health::HealthMonitor;
use tokio::time::{Instant, sleep};

/// A Redis that is there answers long before.
const FIRST_VERDICT: Duration = Duration::from_millis(500);

pub(crate) fn urls(address: SocketAddr, metrics: bool) {
    println!("gateway on http://{address} (Ctrl-C stops it). Try:");
    println!("  http://{address}/                      the list of routes");
    println!("  http://{address}/limited               so many a minute, Redis or no Redis");
    println!("  http://{address}/strict                refused while Redis is away");
    println!("  http://{address}/soft                  says whether Redis is there");
    println!("  http://{address}/me                    your session, after POST /login");
    println!("  http://{address}/health/dependencies   what is up and what is not");
    if metrics {
        println!("  http://{address}/metrics               for Prometheus");
    }
}

/// One line: is Redis there? Requests are served meanwhile.
pub(crate) async fn redis(monitor: HealthMonitor) {
    let give_up = Instant::now() + FIRST_VERDICT;
    let url = monitor.details().url.unwrap_or_default();
    loop {
        let status = monitor.status();
        if status.is_available() {
            return println!("Redis at {url} is there.");
        }
        if let Some((fault, _)) = status.last_fault {
            return println!(
                "Redis at {url} is not there ({fault}). \
                 The gateway does without it, and goes on trying."
            );
        }
        if Instant::now() > give_up {
            return println!(
                "Redis at {url} has not answered yet. \
                 The gateway does without it, and goes on trying."
            );
        }
        sleep(Duration::from_millis(5)).await;
    }
}
