use super::*;
use proptest::prelude::*;
use std::time::Duration;

const MINUTE: u64 = 60_000;
const T0: u64 = 1_000_000_000;

fn policy() -> LockoutPolicy {
    LockoutPolicy::new(5, Duration::from_secs(15 * 60)).unwrap()
}

fn guess(state: &mut State, policy: &LockoutPolicy, now: u64, nonce: u64) -> Outcome {
    let begun = state.apply(policy, now, Change::Begin(nonce));
    if begun.admitted { state.apply(policy, now, Change::Fail(nonce)) } else { begun }
}

#[test]
fn the_fifth_wrong_one_locks_and_the_lock_ends() {
    let (policy, mut state) = (policy(), State::default());
    for n in 1..=4 {
        let outcome = guess(&mut state, &policy, T0, n);
        assert_eq!((outcome.left, outcome.wait), (5 - n as u32, 0));
    }
    let outcome = guess(&mut state, &policy, T0, 5);
    assert_eq!(
        (outcome.left, outcome.locked, outcome.newly_locked, outcome.wait),
        (0, true, true, 15 * MINUTE)
    );
    let refused = state.apply(&policy, T0 + MINUTE, Change::Begin(6));
    assert_eq!((refused.admitted, refused.wait), (false, 14 * MINUTE));
    let last = state.apply(&policy, T0 + 15 * MINUTE - 1, Change::Begin(7));
    assert_eq!((last.admitted, last.wait), (false, 1));
    let after = state.apply(&policy, T0 + 15 * MINUTE, Change::Begin(8));
    assert_eq!((after.admitted, after.left), (true, 4), "it begins anew");
}

#[test]
fn the_window_slides() {
    let (policy, mut state) = (policy(), State::default());
    for n in 0..40 {
        // One every four minutes: never five within fifteen.
        let outcome = guess(&mut state, &policy, T0 + n * 4 * MINUTE, n);
        assert!(!outcome.locked && outcome.left >= 1, "{n}: {outcome:?}");
    }
}

#[test]
fn success_clears_the_counter_and_not_the_lock() {
    let (policy, mut state) = (policy(), State::default());
    for n in 1..=4 {
        guess(&mut state, &policy, T0, n);
    }
    assert!(state.apply(&policy, T0, Change::Begin(5)).admitted);
    let outcome = state.apply(&policy, T0, Change::Succeed(5));
    assert_eq!((outcome.left, outcome.locked), (5, false));

    assert!(state.apply(&policy, T0, Change::Begin(6)).admitted);
    state.apply(&policy, T0, Change::Lock(MINUTE));
    let outcome = state.apply(&policy, T0, Change::Succeed(6));
    assert_eq!((outcome.locked, outcome.wait), (true, MINUTE));
    assert!(!state.apply(&policy, T0, Change::Begin(7)).admitted, "correct password or not");
    let outcome = state.apply(&policy, T0, Change::Unlock);
    assert_eq!((outcome.locked, outcome.left), (false, 5));
}

#[test]
fn a_right_one_among_wrong_ones_at_the_same_time_is_let_in() {
    let (policy, mut state) = (policy(), State::default());
    for n in 1..=5 {
        assert!(state.apply(&policy, T0, Change::Begin(n)).admitted);
    }
    let crowd = state.apply(&policy, T0, Change::Begin(6));
    assert_eq!((crowd.admitted, crowd.locked, crowd.wait), (false, false, BUSY));
    for n in 1..=4 {
        assert!(!state.apply(&policy, T0, Change::Fail(n)).locked);
    }
    let outcome = state.apply(&policy, T0, Change::Succeed(5));
    assert_eq!((outcome.locked, outcome.left), (false, 5));
}

#[test]
fn what_is_never_judged_counts_as_failed() {
    let (policy, mut state) = (policy(), State::default());
    for n in 1..=5 {
        state.apply(&policy, T0, Change::Begin(n));
    }
    let outcome = state.apply(&policy, T0 + 29_999, Change::Read);
    assert_eq!((outcome.locked, outcome.left), (false, 0));
    let outcome = state.apply(&policy, T0 + 30_000, Change::Read);
    assert_eq!((outcome.locked, outcome.newly_locked, outcome.wait), (true, true, 15 * MINUTE));
}

/// Five wrong ones: how long it is locked then.
fn five(state: &mut State, policy: &LockoutPolicy, now: u64) -> u64 {
    for n in 1..5 {
        guess(state, policy, now, now + n);
    }
    guess(state, policy, now, now).wait
}

#[test]
fn locks_in_a_row_grow_and_are_forgotten_after_a_day() {
    let policy = policy()
        .with_lock_time(Duration::from_secs(60))
        .with_growth(2.0, Duration::from_secs(3600));
    let (mut state, mut now) = (State::default(), T0);
    for expected in [1, 2, 4] {
        let wait = five(&mut state, &policy, now);
        assert_eq!(wait, expected * MINUTE);
        now += wait;
    }
    now += 24 * 60 * MINUTE;
    assert_eq!(five(&mut state, &policy, now), MINUTE);
}

#[test]
fn a_state_matters_until_its_locks_and_failures_are_forgotten() {
    let policy = policy().with_growth(2.0, Duration::from_secs(3600));
    let mut state = State::default();
    assert_eq!(state.expires_at(&policy), 0);
    guess(&mut state, &policy, T0, 1);
    assert_eq!(state.expires_at(&policy), T0 + 15 * MINUTE, "a failure counts for its window");
    let mut locked = State::default();
    five(&mut locked, &policy, T0);
    assert_eq!(
        locked.expires_at(&policy),
        T0 + 15 * MINUTE + 24 * 60 * MINUTE,
        "how often it was locked is known for a day after the lock"
    );
    let mut by_hand = State::default();
    by_hand.apply(&policy, T0, Change::Lock(MINUTE));
    assert_eq!(by_hand.expires_at(&policy), T0 + MINUTE, "nothing grows with it");
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Begin(u64),
    Fail(u64),
    Succeed(u64),
    Cancel(u64),
    Wait(u64),
    Merge(Vec<(u64, u64, bool)>, u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let nonce = 0u64..12;
    let slot = (0u64..12, 0u64..20 * MINUTE, any::<bool>());
    let step = prop_oneof![
        4 => nonce.clone().prop_map(Step::Begin),
        4 => nonce.clone().prop_map(Step::Fail),
        1 => nonce.clone().prop_map(Step::Succeed),
        1 => nonce.prop_map(Step::Cancel),
        2 => (0u64..5 * MINUTE).prop_map(Step::Wait),
        1 => (proptest::collection::vec(slot, 0..6), 0u64..MINUTE).prop_map(|(m, t)| Step::Merge(m, t)),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    /// No more slots are taken than there are; a lock never ends early; refused until exactly when
    /// we said.
    #[test]
    fn the_law_holds_whatever_happens(steps in steps()) {
        let (policy, mut state, mut now) = (policy(), State::default(), T0);
        for step in steps {
            let before = state.clone();
            let mut apply = |now, change| state.apply(&policy, now, change);
            let outcome = match step {
                Step::Wait(time) => { now += time; apply(now, Change::Read) }
                Step::Begin(nonce) => apply(now, Change::Begin(nonce)),
                Step::Fail(nonce) => apply(now, Change::Fail(nonce)),
                Step::Succeed(nonce) => apply(now, Change::Succeed(nonce)),
                Step::Cancel(nonce) => apply(now, Change::Cancel(nonce)),
                Step::Merge(slots, lock) => {
                    let slots = slots.into_iter().map(|(nonce, age, failed)| Slot { nonce, at: now - age, failed });
                    let locked_until = if lock > 0 { now + lock } else { 0 };
                    state.merge(&policy, now, &State { slots: slots.collect(), locked_until, ..State::default() })
                }
            };
            if before.locked_until > now {
                prop_assert!(outcome.locked && !outcome.admitted);
                prop_assert!(state.locked_until >= before.locked_until);
            }
            prop_assert!(!outcome.admitted || state.slots.len() <= 5);
            let failed = state.slots.iter().filter(|slot| slot.failed).count();
            prop_assert!(failed < 5, "five that failed are a lock");
            prop_assert_eq!(outcome.locked, state.locked_until > now);
            if outcome.locked {
                let mut later = state.clone();
                prop_assert!(!later.apply(&policy, now + outcome.wait - 1, Change::Begin(99)).admitted);
            }
        }
    }

    /// Merging is idempotent, forgets no failure of either side, and lowers no lock.
    #[test]
    fn a_merge_knows_at_least_what_both_knew(
        ours in proptest::collection::vec((0u64..8, 0u64..10 * MINUTE), 0..4),
        theirs in proptest::collection::vec((0u64..8, 0u64..10 * MINUTE), 0..4),
        locks in (0u64..MINUTE, 0u64..MINUTE),
    ) {
        let policy = policy();
        let state = |slots: Vec<(u64, u64)>, lock: u64| {
            let mut state = State { locked_until: if lock > 0 { T0 + lock } else { 0 }, ..State::default() };
            for (nonce, age) in slots {
                state.apply(&policy, T0 - age, Change::Fail(nonce));
            }
            state.apply(&policy, T0, Change::Read);
            state
        };
        let (ours, theirs) = (state(ours, locks.0), state(theirs, locks.1));
        let mut merged = ours.clone();
        let outcome = merged.merge(&policy, T0, &theirs);
        let mut again = merged.clone();
        again.merge(&policy, T0, &theirs);
        prop_assert!(outcome.locked || again == merged);
        prop_assert!(merged.locked_until >= ours.locked_until.max(theirs.locked_until));
        for slot in ours.slots.iter().chain(&theirs.slots) {
            let kept = merged.slots.iter().any(|known| known.nonce == slot.nonce && known.failed);
            prop_assert!(kept || outcome.locked);
        }
    }
}
