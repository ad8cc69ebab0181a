//! The task of a monitor: it feeds the policy with what is seen, and publishes what follows.

use std::{
    future::{Future, pending},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{
    Recovery, State, Status, Transition,
    atomic_state::StateWord,
    in_flight::{InFlight, Outcome, probe_once, recover},
    policy::{Next, Policy},
    shared::{Message, Shared},
};

enum Event {
    Message(Option<Message>),
    ProbeRequested,
    Outcome(Outcome),
    Due,
}

pub(super) struct Task {
    shared: Arc<Shared>,
    policy: Policy,
    /// The state word that the policy knows of.
    known: StateWord,
    /// State and writes as last announced.
    announced: (State, bool),
    step_timeout: Duration,
    sequence: u64,
    /// When the request that raised the present suspicion began.
    detection: Option<Instant>,
    /// Time spent in outages, as of the last announcement.
    degraded_before: Duration,
}

/// Turns the monitor to unavailable however the task ends: nobody would take back an old verdict.
struct DownOnDrop(Arc<Shared>);

impl Drop for DownOnDrop {
    fn drop(&mut self) {
        self.0.state.force(State::Disconnected, false);
        self.0.status.send_modify(|status| {
            status.state = State::Disconnected;
            status.reads = false;
            status.writes = false;
        });
        self.0.ended.send_replace(true);
    }
}

impl Task {
    pub(super) fn new(shared: Arc<Shared>, policy: Policy, step_timeout: Duration) -> Self {
        Self {
            policy,
            known: StateWord::START,
            announced: (State::Connecting, false),
            step_timeout,
            sequence: 0,
            detection: None,
            degraded_before: Duration::ZERO,
            shared,
        }
    }

    pub(super) async fn run(mut self, mut messages: mpsc::UnboundedReceiver<Message>) {
        let _down_on_drop = DownOnDrop(Arc::clone(&self.shared));
        let mut in_flight: Option<InFlight> = None;
        loop {
            let event = {
                let due = match (&in_flight, self.policy.next()) {
                    (Some(_), _) => None,
                    (None, Next::Probe(at, _) | Next::Rest(at)) => Some(self.shared.started + at),
                    (None, Next::Recover) => Some(Instant::now()),
                };
                let mut due = due.map(|at| Box::pin(sleep_until(at)));
                tokio::select! {
                    biased;
                    message = messages.recv() => Event::Message(message),
                    outcome = maybe(in_flight.as_mut()) => Event::Outcome(outcome),
                    () = self.shared.probe_request.notified() => Event::ProbeRequested,
                    () = maybe(due.as_mut()) => Event::Due,
                }
            };
            let now = self.shared.started.elapsed();
            match event {
                Event::Message(None) => return,
                Event::Message(Some(Message::Shutdown(done))) => {
                    drop(in_flight);
                    self.shared.probe.outage(false);
                    drop(_down_on_drop);
                    let _ = done.send(());
                    return;
                }
                Event::Message(Some(message)) => self.handle_message(message, now),
                // `probe_requested` stays set until a probe is sent: were it cleared here, the next
                // requests would set it again, and keep this task busy for as long as they come.
                Event::ProbeRequested => {
                    if self.shared.write_suspected.swap(false, Ordering::Relaxed) {
                        self.policy.writes_suspected(now);
                    }
                    if self.shared.probe_requested.load(Ordering::Relaxed) {
                        self.policy.probe_requested(now);
                    }
                }
                Event::Outcome(outcome) => {
                    in_flight = None;
                    self.handle_outcome(outcome, now);
                }
                Event::Due => in_flight = self.start_due(now),
            }
            if in_flight.is_some() && !self.still_wanted() {
                in_flight = None;
            }
            self.publish();
        }
    }

    fn handle_message(&mut self, message: Message, now: Duration) {
        match message {
            Message::Evidence { fault, word, since } => {
                self.known = word;
                self.detection.get_or_insert(since);
                self.policy.evidence(fault, now);
            }
            Message::Force { until, word } => {
                self.known = word;
                self.policy.force_down(until.saturating_duration_since(self.shared.started), now);
            }
            Message::Release => self.policy.release(now),
            Message::Shutdown(_) => {}
        }
    }

    fn start_due(&mut self, now: Duration) -> Option<InFlight> {
        match self.policy.next() {
            Next::Rest(until) if until <= now => {
                self.policy.release(now);
                None
            }
            Next::Probe(at, options) if at <= now => {
                self.policy.probe_sent(options, now);
                self.shared.probe_requested.store(false, Ordering::Relaxed);
                Some(probe_once(Arc::clone(&self.shared.probe), options))
            }
            Next::Recover => {
                let facts = self.policy.facts();
                let outage = facts.outage_since.map_or(Duration::ZERO, |began| now - began);
                let recovery = Recovery::new(!self.policy.reached(), outage);
                Some(recover(Arc::clone(&self.shared), recovery, self.step_timeout))
            }
            Next::Rest(_) | Next::Probe(..) => None,
        }
    }

    fn handle_outcome(&mut self, outcome: Outcome, now: Duration) {
        match outcome {
            Outcome::Probed(result) => {
                self.shared.metrics.probed(&result);
                self.policy.probed(result, now);
            }
            Outcome::Recovered => self.policy.recovered(now),
            Outcome::RecoveryFailed(fault) => self.policy.recovery_failed(fault, now),
        }
        // Requests may have asked while the answer was on its way.
        if self.shared.probe_requested.load(Ordering::Relaxed) {
            self.policy.probe_requested(now);
        }
    }

    /// What is in flight still counts: a report or an operator may have made it pointless.
    fn still_wanted(&self) -> bool {
        self.policy.awaits_answer() || self.policy.next() == Next::Recover
    }

    /// Makes known what the policy knows: to the state word, the watch, and whoever subscribed.
    fn publish(&mut self) {
        let policy = &self.policy;
        let was = self.known;
        let word = was.next(policy.state(), policy.reads(), policy.writes(), policy.forced());
        if !word.has_content_of(was) {
            // An error: a caller has changed the word meanwhile, and its report is on the way.
            let Ok(word) = self.shared.state.publish(was, word) else { return };
            self.known = word;
        }
        let status = self.policy.status(self.shared.started);
        let announce = (status.state, status.writes);
        let settled = status.state != State::Suspect;
        if settled && announce != self.announced {
            let from = std::mem::replace(&mut self.announced, announce).0;
            self.announce(from, status);
        } else if settled {
            self.detection = None;
        }
        self.shared.status.send_if_modified(|held| {
            self.shared.metrics.outages_begun(status.outages - held.outages);
            let changed = (held.state, held.reads, held.writes, held.forced)
                != (status.state, status.reads, status.writes, status.forced);
            *held = status;
            changed
        });
    }

    fn announce(&mut self, from: State, status: Status) {
        self.sequence += 1;
        let cause = self.policy.cause();
        let transition = Transition { sequence: self.sequence, from, status, cause };
        if status.state == State::Disconnected || status.state == State::Failed {
            self.shared.probe.outage(self.policy.keeps_connections());
        }
        let detection = self.detection.take().map(|since| since.elapsed());
        let outage = status.degraded.checked_sub(self.degraded_before).filter(|d| !d.is_zero());
        self.degraded_before = status.degraded;
        self.shared.metrics.transition(&transition, detection, outage);
        super::log::transition(self.shared.name, &transition);
        let _ = self.shared.transitions.send(transition);
    }
}

async fn maybe<F: Future + Unpin>(future: Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}
