//! A probe is requested once, however many requests need it.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};
use std::time::Duration;

use crate::{
    health::{Fault, FaultClass, HealthConfig, HealthMonitor, Probe, ProbeAnswer, ProbeOptions},
    telemetry::Metrics,
};

struct Never(Arc<AtomicU32>);

impl Probe for Never {
    async fn probe(&self, _: ProbeOptions) -> Result<ProbeAnswer, Fault> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Err(Fault::new(FaultClass::Transport, "refused"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_demand_is_said_once_for_each_probe() {
    let probes = Arc::new(AtomicU32::new(0));
    let probe = Never(Arc::clone(&probes));
    let config = HealthConfig::new("nothing");
    let monitor = HealthMonitor::start(probe, &config, &Metrics::default()).unwrap();
    // The backoff is at its longest by then.
    tokio::time::sleep(Duration::from_secs(120)).await;
    let before = probes.load(Ordering::Relaxed);
    let mut said = 0;
    for _ in 0..10_000 {
        said += u32::from(!monitor.shared.probe_requested.load(Ordering::Relaxed));
        monitor.request_probe();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let probes = probes.load(Ordering::Relaxed) - before;
    assert!((10..=21).contains(&probes), "at most every half second for ten seconds: {probes}");
    assert!(said <= probes + 1, "{said} demands for {probes} probes");
}
