//! What the table of the rate limit takes, measured on the process: alone in its own test program, with one test.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::{IpAddr, Ipv4Addr};

use evenkeel::store::rate::{Policy, Quota, RateMemory, Subject};

const BOUND: u32 = 100_000;
const MEGABYTE: usize = 1_000_000;

/// What this process holds of the machine's memory, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

fn who(n: u32) -> Subject {
    // Mixed, so that neighbours in time are none in the table.
    Subject::address(IpAddr::V4(Ipv4Addr::from(n.wrapping_mul(0x9e37_79b1))), 64)
}

#[test]
fn a_hundred_thousand_subjects_and_a_flood() {
    let memory = RateMemory::new(BOUND as usize);
    let policy = Policy::from(Quota::per_day(10));
    let empty = resident();
    let throttled = 1_000;
    for n in 0..throttled {
        assert!(memory.decide(&policy, &who(n), 0, 10).allowed());
    }
    for n in throttled..BOUND {
        assert!(memory.decide(&policy, &who(n), 0, 1).allowed());
    }
    let full = resident();
    let takes = full.saturating_sub(empty);
    println!("{BOUND} subjects take {:.1} MB", takes as f64 / MEGABYTE as f64);
    assert!(takes <= 20 * MEGABYTE, "{takes}");
    assert!(takes > MEGABYTE, "they are held: {takes}");

    for n in BOUND..BOUND + 5_000_000 {
        memory.decide(&policy, &who(n), 1, 1);
    }
    let flooded = resident();
    println!("after 5 000 000 more: {:+.1} MB", (flooded as f64 - full as f64) / MEGABYTE as f64);
    assert!(flooded < full + 4 * MEGABYTE, "{full}, {flooded}");
    assert!(memory.len() <= BOUND as usize);
    for n in 0..throttled {
        assert!(!memory.decide(&policy, &who(n), 2, 1).allowed(), "a flood frees nobody");
    }
}
