//! How far a fault lets a fleet pass its limit: a simulation of 1 to 100 instances, in made-up
//! time, over the same law and memory that serve requests.
//! `EVENKEEL_WRITE_SIMULATION=1 cargo test --lib store::rate::simulation` writes the table in
//! `docs/rate-limit-simulation.md`.

use std::fmt::Write;
use std::num::NonZeroU32;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::law::{Decision, decide};
use super::memory::MemoryLimit;
use super::{Bucket, Quota, RatePolicy, Subject, remote_law};

const LIMIT: u32 = 1_000;
const WINDOW: u64 = 60_000_000;
/// Requests for each one that the limit allows.
const GREED: u64 = 3;
const SEEDS: u64 = 3;
const FLEETS: [u32; 6] = [1, 2, 4, 10, 30, 100];

/// What happens, as a function of the time in thousandths of a window.
struct Fault {
    what: &'static str,
    /// Can this instance reach Redis?
    reaches: fn(instance: u32, fleet: u32, time: u64) -> bool,
    /// Redis has lost everything when it is back at this time.
    emptied: Option<u64>,
    /// How many instances each one believes there are.
    believed: fn(fleet: u32) -> u32,
    /// Who may get the next request.
    routed: fn(&mut StdRng, fleet: u32, reachable: bool) -> u32,
    windows: u64,
    /// The overshoot that is promised, for a fleet that is small beside the limit.
    at_most: f64,
}

fn anyone(random: &mut StdRng, fleet: u32, _: bool) -> u32 {
    random.random_range(0..fleet)
}

const CALM: Fault = Fault {
    what: "none: Redis serves all the time",
    reaches: |_, _, _| true,
    emptied: None,
    believed: |fleet| fleet,
    routed: anyone,
    windows: 10,
    at_most: 0.0,
};

const FAULTS: [Fault; 9] = [
    CALM,
    Fault {
        what: "away for half a window",
        reaches: |_, _, time| !(2_000..2_500).contains(&time),
        at_most: 0.05,
        ..CALM
    },
    Fault {
        what: "away for three windows",
        reaches: |_, _, time| !(2_000..5_000).contains(&time),
        at_most: 0.05,
        ..CALM
    },
    Fault {
        what: "away for half a window, and back empty",
        reaches: |_, _, time| !(2_000..2_500).contains(&time),
        emptied: Some(2_500),
        at_most: 0.05,
        ..CALM
    },
    Fault {
        what: "flapping: a tenth of a window away, a tenth there, ten windows long",
        reaches: |_, _, time| (time / 100).is_multiple_of(2),
        at_most: 0.1,
        ..CALM
    },
    Fault {
        what: "every second instance cut off for two windows",
        reaches: |instance, _, time| instance % 2 == 0 || !(2_000..4_000).contains(&time),
        at_most: 0.5,
        ..CALM
    },
    Fault {
        what: "flapping, and the requests go to one instance while Redis is there and to the others while not",
        reaches: |_, _, time| (time / 100).is_multiple_of(2),
        routed: |random, fleet, reachable| match (reachable, fleet) {
            (true, _) | (_, 1) => 0,
            (false, _) => random.random_range(1..fleet),
        },
        at_most: 0.5,
        ..CALM
    },
    Fault {
        what: "away for three windows, and the fleet had doubled within the last heartbeat",
        reaches: |_, _, time| !(2_000..5_000).contains(&time),
        believed: |fleet| fleet.div_ceil(2),
        at_most: 1.0,
        ..CALM
    },
    Fault {
        what: "never there, and nobody was told how many instances there are",
        reaches: |_, _, _| false,
        believed: |_| 1,
        at_most: (GREED - 1) as f64,
        ..CALM
    },
];

struct Fleet {
    policy: RatePolicy,
    share: RatePolicy,
    who: Subject,
    memories: Vec<MemoryLimit>,
    believed: NonZeroU32,
    redis: u64,
}

impl Fleet {
    fn new(size: u32, believed: u32) -> Self {
        let policy = RatePolicy::from(Quota::per_minute(LIMIT));
        let believed = NonZeroU32::new(believed).expect("not zero");
        Self {
            share: policy.share(believed),
            policy,
            who: Subject::text("a"),
            memories: (0..size).map(|_| MemoryLimit::new(1)).collect(),
            believed,
            redis: 0,
        }
    }

    /// As `RateLimiter::decide`.
    fn admits(&mut self, instance: usize, reaches: bool, now: u64) -> bool {
        let memory = &self.memories[instance];
        let who = &self.who;
        let on = |policy| Bucket { policy, subject: who };
        if !reaches {
            return memory.decide(on(&self.share), now, 1).allowed();
        }
        if memory.denied(on(&self.policy), now, 1).is_some() {
            return false;
        }
        let decision: Decision = decide(self.policy.whole(), &[self.redis], now, 1);
        self.redis = now + decision.debts()[0];
        memory.learn(on(&self.policy), (now, now), &decision);
        decision.allowed()
    }

    /// As the recovery step.
    fn settle(&mut self, instance: usize, now: u64, lost: bool) {
        let memory = &self.memories[instance];
        for part in 0.. {
            let Some(owed) = memory.owed(part, now, self.believed, lost) else { return };
            for owed in owed {
                let charge = owed.charge_at(now);
                let debts = remote_law::charge(self.policy.whole(), &[self.redis], now, &charge);
                self.redis = now + debts.as_slice()[0];
                memory.settle(&owed, now, debts.as_slice());
            }
        }
    }
}

/// How much more was admitted than the limit allows, in the worst span of time, as a part of what
/// it allows in it.
fn overshoot(fault: &Fault, size: u32, seed: u64) -> f64 {
    let mut random = StdRng::seed_from_u64(seed);
    let mut fleet = Fleet::new(size, (fault.believed)(size));
    let emission = WINDOW / u64::from(LIMIT);
    let mut up = vec![true; size as usize];
    // What was admitted beyond what has come back since: the level of a bucket that leaks at the
    // limit's rate, and overflows above the burst. A span begins whenever the bucket is empty.
    let (mut level, mut worst, mut last, mut began) = (0.0_f64, 0.0_f64, 0, 0);
    for turn in 0..fault.windows * u64::from(LIMIT) * GREED {
        let now = WINDOW + turn * emission / GREED;
        let time = (now - WINDOW) * 1_000 / WINDOW;
        for (instance, up) in up.iter_mut().enumerate() {
            let reaches = (fault.reaches)(instance as u32, size, time);
            if reaches && !*up {
                let lost = fault.emptied.is_some_and(|at| time >= at);
                if lost && instance == 0 {
                    fleet.redis = 0;
                }
                fleet.settle(instance, now, lost);
            }
            *up = reaches;
        }
        let instance = (fault.routed)(&mut random, size, up[0]) as usize;
        if fleet.admits(instance, up[instance], now) {
            level -= (now - last) as f64 / emission as f64;
            if level <= 0.0 {
                (level, began) = (0.0, now);
            }
            (level, last) = (level + 1.0, now);
            let allowed = f64::from(LIMIT) + (now - began) as f64 / emission as f64;
            worst = worst.max((level - f64::from(LIMIT)) / allowed);
        }
    }
    worst
}

fn worst(fault: &Fault, size: u32) -> f64 {
    (0..SEEDS).map(|seed| overshoot(fault, size, seed)).fold(0.0, f64::max)
}

#[test]
fn no_fault_lets_a_fleet_pass_its_limit_by_more_than_is_said() {
    let mut table = String::from("| Redis is … | ");
    FLEETS.iter().for_each(|size| write!(table, "{size} | ").expect("a string"));
    table.push_str("\n| --- |");
    FLEETS.iter().for_each(|_| table.push_str(" ---: |"));
    for fault in &FAULTS {
        write!(table, "\n| {} |", fault.what).expect("a string");
        for size in FLEETS {
            let over = worst(fault, size);
            write!(table, " {:.1} % |", over * 100.0).expect("a string");
            assert!(over <= fault.at_most, "{}, {size}: {over}", fault.what);
        }
    }
    println!("{table}");
    if std::env::var_os("EVENKEEL_WRITE_SIMULATION").is_some() {
        let text = include_str!("simulation.md").replace("{table}", &table);
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/rate-limit-simulation.md");
        std::fs::write(path, text).expect("docs/");
    }
}
