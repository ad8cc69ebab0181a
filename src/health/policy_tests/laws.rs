//! What holds whatever happens, in whatever order.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Event {
    Wait(u32),
    ProbeOptions,
    ProbeAnswer(u16, Option<bool>, bool),
    Fail(usize),
    Evidence(usize),
    Demand,
    Recovered,
    RecoveryFailed(usize),
    ForceDown(u16),
    Release,
}

const FAULTS: [Fault; 8] = [
    REFUSED,
    Fault::HANG,
    Fault::SLOW,
    LOADING,
    OOM,
    NOAUTH,
    Fault::new(FaultClass::WrongNode, "READONLY"),
    Fault::new(FaultClass::Recovery, "timeout"),
];

fn event() -> impl Strategy<Value = Event> {
    let fault = 0..FAULTS.len();
    prop_oneof![
        1 => (0_u32..20_000).prop_map(Event::Wait),
        4 => Just(Event::ProbeOptions),
        3 => (0_u16..300, any::<Option<bool>>(), prop::bool::weighted(0.1))
            .prop_map(|(ms, writes, restarted)| Event::ProbeAnswer(ms, writes, restarted)),
        2 => fault.clone().prop_map(Event::Fail),
        2 => fault.clone().prop_map(Event::Evidence),
        2 => Just(Event::Demand),
        2 => Just(Event::Recovered),
        1 => fault.prop_map(Event::RecoveryFailed),
        1 => (0_u16..5_000).prop_map(Event::ForceDown),
        1 => Just(Event::Release),
    ]
}

/// Does what the monitor's task would do with it.
fn happen(watched: &mut Watched, event: &Event) {
    let Watched { policy, now } = watched;
    match *event {
        Event::Wait(ms) => *now += ms * MS,
        Event::ProbeOptions => match policy.next() {
            Next::Probe(at, options) if !policy.awaits_answer() => {
                *now = (*now).max(at);
                policy.probe_sent(options, *now);
            }
            Next::Rest(until) if until <= *now => policy.release(*now),
            _ => {}
        },
        Event::ProbeAnswer(ms, writes, restarted) => {
            let writes = match writes {
                None => Writes::Unknown,
                Some(true) => Writes::Work,
                Some(false) => Writes::Gone(OOM),
            };
            let answer = ProbeAnswer::new(u32::from(ms) * MS).with_writes(writes);
            policy.probed(Ok(answer.with_restarted(restarted)), *now);
        }
        Event::Fail(fault) => policy.probed(Err(FAULTS[fault]), *now),
        Event::Evidence(fault) => policy.evidence(FAULTS[fault], *now),
        Event::Demand => policy.probe_requested(*now),
        Event::Recovered => policy.recovered(*now),
        Event::RecoveryFailed(fault) => policy.recovery_failed(FAULTS[fault], *now),
        Event::ForceDown(ms) => policy.force_down(*now + u32::from(ms) * MS, *now),
        Event::Release => policy.release(*now),
    }
}

fn check(watched: &Watched) -> Result<(), TestCaseError> {
    let policy = &watched.policy;
    let facts = policy.facts();
    let connected = policy.state() == State::Connected;
    prop_assert_eq!(policy.reads(), connected);
    prop_assert!(!policy.writes() || connected);
    prop_assert!(!policy.forced() || !connected);
    prop_assert!(policy.state() != State::Failed || facts.attempts >= rules().startup_attempts);
    prop_assert!(policy.state() != State::Failed || !policy.reached());
    // An outage is running exactly while it is said so, and never while connected.
    prop_assert!(!connected || facts.outage_since.is_none());
    prop_assert!(
        !matches!(policy.state(), State::Disconnected | State::Failed)
            || facts.outage_since.is_some()
    );
    prop_assert!(facts.degraded <= watched.now);
    prop_assert!(policy.writes() || policy.state() != State::Connected || policy.cause().is_some());
    match policy.next() {
        Next::Probe(at, options) => {
            // Attempts never end, and are never further away than the cap.
            let cap = rules().backoff.last().max(rules().probe_interval).mul_f64(1.1);
            prop_assert!(at.saturating_sub(watched.now) <= cap, "{:?}", policy);
            prop_assert!(options.deadline >= MS && options.deadline <= rules().probe_timeout * 2);
            prop_assert!(options.late_after <= rules().op_timeout);
        }
        Next::Recover => prop_assert!(!policy.writes()),
        Next::Rest(_) => prop_assert!(policy.forced()),
    }
    Ok(())
}

proptest! {
    #[test]
    fn whatever_happens(seed: u64, events in prop::collection::vec(event(), 1..200)) {
        let mut watched = Watched::new(seed);
        for event in &events {
            let outages = watched.policy.facts().outages;
            let was = watched.policy.state();
            happen(&mut watched, event);
            check(&watched)?;
            // Only an answer and finished recovery steps lead back to being available.
            if watched.policy.state() == State::Connected && was != State::Connected {
                let by = matches!(
                    event,
                    Event::Recovered | Event::ProbeAnswer(..) | Event::RecoveryFailed(_)
                );
                prop_assert!(by, "{was:?} to Connected by {event:?}");
                prop_assert!(was == State::Suspect || !matches!(event, Event::ProbeAnswer(..)));
            }
            prop_assert!(watched.policy.facts().outages <= outages + 1);
        }
        // And from wherever that has led, answers lead back.
        watched.policy.release(watched.now);
        watched.policy.recovered(watched.now);
        watched.comes_up();
        prop_assert!(watched.policy.reads());
    }

    #[test]
    fn demand_is_heard_within_a_second_and_makes_few_probes(seed: u64, away in 1_u32..30) {
        let mut watched = Watched::connected(seed);
        watched.goes_down(REFUSED);
        let end = watched.now + away * SECOND;
        let mut last = None;
        while watched.now < end {
            watched.policy.probe_requested(watched.now);
            let wait = watched.wait();
            prop_assert!(wait < SECOND, "{wait:?}");
            watched.fails(REFUSED);
            if let Some(last) = last {
                prop_assert!(watched.now - last >= 500 * MS, "{:?}", watched.now - last);
            }
            last = Some(watched.now);
        }
    }

    #[test]
    fn the_backoff_stays_in_its_bounds(
        seed: u64, first_ms in 1_u32..5_000, more_ms in 0_u32..60_000,
    ) {
        let (first, last) = (first_ms * MS, (first_ms + more_ms) * MS);
        let mut watched = Watched::connected(seed);
        watched.policy.rules.backoff = Backoff::new(first, last);
        watched.goes_down(REFUSED);
        prop_assert!(watched.wait() <= first * 2);
        let mut expected = first;
        for _ in 0..12 {
            watched.fails(REFUSED);
            let wait = watched.wait();
            let bounds = expected.mul_f64(0.899)..=expected.mul_f64(1.101);
            prop_assert!(bounds.contains(&wait), "{wait:?} {expected:?}");
            expected = (expected * 2).min(last);
        }
    }

    #[test]
    fn while_connected_and_idle_it_asks_once_an_interval(seed: u64) {
        let mut watched = Watched::connected(seed);
        let (mut writes, rounds) = (0, 100);
        for _ in 0..rounds {
            let wait = watched.wait();
            prop_assert!(wait >= rules().probe_interval.mul_f64(0.899), "{wait:?}");
            prop_assert!(wait <= rules().probe_interval.mul_f64(1.101), "{wait:?}");
            writes += usize::from(watched.asks().write);
            watched.policy.probed(Ok(ProbeAnswer::new(MS).with_writes(Writes::Work)), watched.now);
        }
        prop_assert!((rounds / 2 - 1..=rounds / 2 + 1).contains(&writes), "{writes} of {rounds}");
    }
}
