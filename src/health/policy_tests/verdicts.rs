//! What follows from what is seen, one arm at a time.

use super::*;

fn late(latency: Duration) -> Result<ProbeAnswer, Fault> {
    Ok(ProbeAnswer::new(latency).with_writes(Writes::Work))
}

#[test]
fn a_lost_connection_is_no_outage_when_a_new_one_works() {
    let mut watched = Watched::connected(1);
    watched.policy.evidence(REFUSED, watched.now);
    assert_eq!(watched.policy.state(), State::Suspect);
    assert!(!watched.policy.reads());
    let options = watched.asks();
    assert_eq!((options.via, watched.policy.facts().outages), (Via::Both, 0));
    watched.policy.probed(late(MS), watched.now);
    assert!(watched.policy.reads() && watched.policy.writes());
    assert_eq!((watched.policy.facts().outages, watched.policy.cause()), (0, None));
}

#[test]
fn one_that_went_and_came_back_unseen_is_recovered_before_it_is_used() {
    let restarted = |writes| Ok(ProbeAnswer::new(MS).with_writes(writes).with_restarted(true));
    for suspect in [false, true] {
        let mut watched = Watched::connected(1);
        if suspect {
            watched.policy.evidence(REFUSED, watched.now);
        }
        watched.answers(restarted(Writes::Work));
        assert_eq!(watched.policy.state(), State::Recovering);
        assert_eq!(watched.policy.next(), Next::Recover);
        watched.policy.recovered(watched.now);
        assert!(watched.policy.writes());
        assert_eq!(watched.policy.facts().outages, 1);
    }
    // Without writes the steps wait for them, and reads go on.
    let mut watched = Watched::connected(1);
    watched.policy.evidence(OOM, watched.now);
    watched.answers(restarted(Writes::Gone(OOM)));
    assert!(watched.policy.reads());
}

#[test]
fn three_late_answers_in_a_row_are_an_outage_until_they_come_in_half_the_time() {
    let mut watched = Watched::connected(1);
    for _ in 0..2 {
        watched.answers(late(150 * MS));
        assert_eq!(watched.policy.state(), State::Suspect);
    }
    watched.answers(late(50 * MS));
    assert_eq!(watched.policy.state(), State::Connected, "the row is broken");
    for _ in 0..3 {
        watched.answers(late(150 * MS));
    }
    assert_eq!(watched.policy.state(), State::Disconnected);
    assert_eq!(watched.policy.cause(), Some(Fault::SLOW));
    assert!(watched.policy.keeps_connections());
    watched.answers(late(60 * MS));
    assert_eq!(watched.policy.state(), State::Disconnected, "in time, and not in half of it");
    watched.answers(late(50 * MS));
    assert_eq!(watched.policy.state(), State::Recovering);
}

#[test]
fn a_server_that_does_not_serve_is_asked_every_second_on_what_is_there() {
    let mut watched = Watched::connected(1);
    watched.goes_down(LOADING);
    for _ in 0..10 {
        let wait = watched.wait();
        assert!((900 * MS..1100 * MS).contains(&wait), "{wait:?}");
        assert_eq!(watched.asks().via, Via::Kept);
        watched.policy.probed(Err(LOADING), watched.now);
    }
}

#[test]
fn credentials_are_tried_at_the_cap_whatever_requests_ask_for() {
    let mut watched = Watched::connected(1);
    watched.goes_down(NOAUTH);
    for _ in 0..5 {
        watched.policy.probe_requested(watched.now);
        let wait = watched.wait();
        assert!((13 * SECOND..17 * SECOND).contains(&wait), "{wait:?}");
        watched.fails(NOAUTH);
    }
}

#[test]
fn writes_go_alone_and_their_return_is_announced_after_the_steps() {
    let mut watched = Watched::connected(1);
    watched.policy.evidence(OOM, watched.now);
    assert!(watched.policy.reads() && !watched.policy.writes());
    assert!(watched.asks().write);
    watched.policy.probed(Ok(ProbeAnswer::new(MS).with_writes(Writes::Gone(OOM))), watched.now);
    assert!(watched.policy.reads() && !watched.policy.writes());
    watched.well();
    assert_eq!(watched.policy.next(), Next::Recover);
    assert!(watched.policy.reads() && !watched.policy.writes(), "not before the steps");
    watched.policy.recovered(watched.now);
    assert!(watched.policy.writes());
    assert_eq!(watched.policy.facts().outages, 0);
}

#[test]
fn one_silent_write_is_asked_about_again() {
    let silent = || Ok(ProbeAnswer::new(MS).with_writes(Writes::Gone(Fault::WRITES_HANG)));
    let mut watched = Watched::connected(1);
    watched.answers(silent());
    assert!(watched.policy.writes());
    assert_eq!(watched.wait(), Duration::ZERO);
    assert!(watched.asks().write);
    watched.policy.probed(silent(), watched.now);
    assert!(watched.policy.reads() && !watched.policy.writes());
    let mut lucky = Watched::connected(1);
    lucky.answers(silent());
    lucky.well();
    lucky.answers(silent());
    assert!(lucky.policy.writes(), "not twice in a row");
}

#[test]
fn steps_that_fail_for_want_of_writes_leave_reads() {
    let mut watched = Watched::connected(1);
    watched.goes_down(REFUSED);
    watched.well();
    watched.policy.recovery_failed(OOM, watched.now);
    assert!(watched.policy.reads() && !watched.policy.writes());
    assert_eq!(watched.policy.cause(), Some(OOM));
}

#[test]
fn steps_that_fail_when_writes_come_back_leave_reads() {
    for fault in [OOM, Fault::new(FaultClass::Recovery, "timeout")] {
        let mut watched = Watched::connected(1);
        watched.policy.evidence(OOM, watched.now);
        watched.well();
        watched.policy.recovery_failed(fault, watched.now);
        assert!(watched.policy.reads() && !watched.policy.writes(), "{fault}");
    }
}

#[test]
fn a_step_that_hangs_is_no_surprise_while_writes_hang() {
    let mut watched = Watched::connected(1);
    watched.goes_down(REFUSED);
    watched.answers(Ok(ProbeAnswer::new(MS).with_writes(Writes::Gone(Fault::WRITES_HANG))));
    watched.policy.recovery_failed(Fault::HANG, watched.now);
    assert!(watched.policy.reads() && !watched.policy.writes());
    assert_eq!(watched.policy.cause(), Some(Fault::WRITES_HANG));
}

#[test]
fn a_new_connection_that_cannot_be_had_is_no_outage() {
    let mut watched = Watched::connected(1);
    let fresh = loop {
        let options = watched.asks();
        if options.via == Via::Fresh {
            break watched.now;
        }
        watched.policy.probed(Ok(ProbeAnswer::new(MS)), watched.now);
    };
    assert!((60 * SECOND..70 * SECOND).contains(&fresh), "{fresh:?}");
    watched.policy.probed(Err(REFUSED), watched.now);
    assert!(watched.policy.reads());
    let options = watched.asks();
    assert_eq!((options.via, watched.now), (Via::Kept, fresh), "the old ones are asked at once");
}

#[test]
fn what_was_asked_before_the_newest_evidence_says_nothing() {
    let mut watched = Watched::connected(1);
    watched.asks();
    watched.policy.evidence(REFUSED, watched.now);
    assert!(!watched.policy.awaits_answer());
    watched.policy.probed(late(MS), watched.now);
    assert_eq!(watched.policy.state(), State::Suspect);

    let mut watched = Watched::connected(1);
    watched.asks();
    watched.policy.force_down(watched.now + SECOND, watched.now);
    watched.policy.probed(late(MS), watched.now);
    assert_eq!(watched.policy.state(), State::Disconnected);
}

#[test]
fn forced_ends_by_itself_and_asks_at_once() {
    let mut watched = Watched::connected(1);
    let until = watched.now + 30 * SECOND;
    watched.policy.force_down(until, watched.now);
    watched.policy.probe_requested(watched.now);
    assert!(watched.policy.forced() && !watched.policy.reads());
    assert_eq!(watched.policy.next(), Next::Rest(until), "nobody is asked meanwhile");
    watched.policy.release(until);
    watched.now = until;
    assert_eq!(watched.wait(), Duration::ZERO);
    watched.comes_up();
    assert!(!watched.policy.forced());
}

#[test]
fn forced_before_the_first_connection() {
    let mut watched = Watched::new(1);
    watched.policy.force_down(SECOND, Duration::ZERO);
    assert_eq!(watched.policy.state(), State::Disconnected);
    watched.policy.release(SECOND);
    watched.now = SECOND;
    watched.comes_up();
    assert!(watched.policy.writes());
}

#[test]
fn failed_after_the_startup_attempts_and_attempts_go_on() {
    let mut watched = Watched::new(1);
    for _ in 0..19 {
        watched.fails(REFUSED);
        assert_eq!(watched.policy.state(), State::Connecting);
    }
    for _ in 0..30 {
        watched.fails(REFUSED);
        assert_eq!(watched.policy.state(), State::Failed);
        assert!(watched.wait() <= 16_500 * MS, "{:?}", watched.wait());
    }
    watched.well();
    assert_eq!(watched.policy.state(), State::Recovering);
    watched.policy.recovered(watched.now);
    // Later outages are outages: the start is over.
    watched.goes_down(REFUSED);
    for _ in 0..30 {
        watched.fails(REFUSED);
        assert_eq!(watched.policy.state(), State::Disconnected);
    }
    assert_eq!(watched.policy.facts().outages, 2);
}

/// Successes that have to be shown for a return.
fn needed(watched: &mut Watched) -> u32 {
    let mut shown = 0;
    while watched.policy.state() != State::Recovering {
        watched.well();
        shown += 1;
    }
    watched.policy.recovered(watched.now);
    shown
}

#[test]
fn relapses_double_what_is_asked_for_and_peace_halves_it() {
    let mut watched = Watched::connected(1);
    let mut asked = Vec::new();
    for _ in 0..6 {
        watched.goes_down(REFUSED);
        asked.push(needed(&mut watched));
    }
    assert_eq!(asked, [1, 2, 4, 8, 8, 8]);
    for (minutes, expected) in [(1, 4), (2, 1), (5, 1)] {
        watched.now += minutes * 60 * SECOND + SECOND;
        watched.goes_down(REFUSED);
        assert_eq!(needed(&mut watched), expected, "after {minutes} minutes");
    }
}

#[test]
fn each_probe_has_the_time_that_its_question_leaves() {
    // A new connection has to be made.
    let mut watched = Watched::new(1);
    let options = watched.asks();
    assert_eq!((options.via, options.deadline), (Via::Renew, 4 * SECOND));
    watched.policy.probed(late(MS), watched.now);
    watched.comes_up();
    // As long as a command …
    let options = watched.asks();
    assert_eq!((options.via, options.deadline), (Via::Kept, 100 * MS));
    // … and what is left of one probe timeout for the doubt that follows.
    watched.policy.probed(Err(Fault::HANG), watched.now);
    assert_eq!(watched.policy.state(), State::Suspect);
    assert_eq!(watched.asks().deadline, 1_900 * MS);
    // Without writes the connection to try them on may have to be made.
    let mut read_only = Watched::connected(1);
    read_only.policy.evidence(OOM, read_only.now);
    let options = read_only.asks();
    assert_eq!((options.via, options.deadline), (Via::Kept, 2 * SECOND));
    // A server that answers is given a probe's time and no more.
    let mut loading = Watched::connected(1);
    loading.goes_down(LOADING);
    assert_eq!(loading.asks().deadline, 2 * SECOND);
}

#[test]
fn a_doubt_has_a_commands_time_at_least_and_a_probe_no_more_than_its_own() {
    let slow = Rules { op_timeout: 3 * SECOND, ..rules() };
    let policy = Policy::new(slow, StdRng::seed_from_u64(1));
    let mut watched = Watched { policy, now: Duration::ZERO };
    watched.comes_up();
    assert_eq!(watched.asks().deadline, 2 * SECOND);
    watched.policy.evidence(REFUSED, watched.now);
    assert_eq!(watched.asks().deadline, 3 * SECOND);
}

#[test]
fn connections_are_kept_only_where_the_server_answered() {
    for (fault, kept) in [(LOADING, true), (REFUSED, false), (NOAUTH, false), (Fault::HANG, false)]
    {
        let mut watched = Watched::connected(1);
        watched.goes_down(fault);
        assert_eq!(watched.policy.keeps_connections(), kept, "{fault}");
    }
}

#[test]
fn successes_that_are_asked_for_come_in_a_row() {
    let mut watched = Watched::connected(1);
    for _ in 0..4 {
        watched.goes_down(REFUSED);
        needed(&mut watched);
    }
    watched.goes_down(REFUSED);
    for _ in 0..7 {
        watched.well();
        assert_eq!(watched.wait(), 50 * MS, "not all in one instant");
    }
    watched.fails(REFUSED);
    assert_eq!(needed(&mut watched), 8, "from the beginning");
}
