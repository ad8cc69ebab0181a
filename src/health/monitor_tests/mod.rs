//! The monitor's task with paused time and a probe that does as it is told.

mod herd;
mod probe_requests;
mod probing;
mod recovery;
mod telling;

use std::{future::pending, sync::Mutex, time::Duration};

use tokio::time::timeout;

use super::*;
use crate::health::{Fault, FaultClass, ProbeAnswer, ProbeOptions, Stage, State, Writes};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const REFUSED: Fault = Fault::new(FaultClass::Transport, "refused");
const OOM: Fault = Fault::new(FaultClass::WritesGone, "OOM");

/// How the dependency behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Behaviour {
    Well,
    WritesGone,
    Refuses,
    Hangs,
    Panics,
}

#[derive(Clone)]
struct Fake {
    behaviour: Arc<Mutex<Behaviour>>,
    asks: Arc<Mutex<Vec<(Instant, ProbeOptions)>>>,
    /// Whether connections were kept, for each outage announced.
    outages: Arc<Mutex<Vec<bool>>>,
}

impl Fake {
    fn new(behaviour: Behaviour) -> Self {
        Self {
            behaviour: Arc::new(Mutex::new(behaviour)),
            asks: Arc::default(),
            outages: Arc::default(),
        }
    }

    fn set(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    fn asks(&self) -> Vec<(Instant, ProbeOptions)> {
        self.asks.lock().unwrap().clone()
    }
}

impl Probe for Fake {
    async fn probe(&self, ask: ProbeOptions) -> Result<ProbeAnswer, Fault> {
        self.asks.lock().unwrap().push((Instant::now(), ask));
        let behaviour = *self.behaviour.lock().unwrap();
        match behaviour {
            Behaviour::Well => Ok(ProbeAnswer::new(MS).with_writes(Writes::Work)),
            Behaviour::WritesGone => Ok(ProbeAnswer::new(MS).with_writes(Writes::Gone(OOM))),
            Behaviour::Refuses => Err(REFUSED),
            Behaviour::Hangs => pending().await,
            Behaviour::Panics => panic!("the probe has a mistake in it"),
        }
    }

    fn outage(&self, keep: bool) {
        self.outages.lock().unwrap().push(keep);
    }
}

fn config() -> HealthConfig {
    HealthConfig::new("fake")
}

fn start(fake: &Fake) -> HealthMonitor {
    HealthMonitor::start(fake.clone(), &config(), &Metrics::default()).unwrap()
}

/// A monitor that is connected.
async fn connected() -> (HealthMonitor, Fake) {
    let fake = Fake::new(Behaviour::Well);
    let monitor = start(&fake);
    assert!(monitor.wait_available(SECOND).await);
    (monitor, fake)
}

/// A request meets this.
fn meets(monitor: &HealthMonitor, fault: Fault) -> bool {
    monitor.report(monitor.admit(), fault, Instant::now())
}

async fn reaches(monitor: &HealthMonitor, state: State) {
    let mut watch = monitor.watch();
    let reached = watch.wait_for(|status| status.state == state);
    let reached = timeout(600 * SECOND, reached).await.is_ok_and(|status| status.is_ok());
    assert!(reached, "never {state:?}: {monitor:?}");
}
