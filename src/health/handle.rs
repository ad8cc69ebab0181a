//! The handle of a monitor: what layers and stores ask, and where they report what they met.

use std::{
    fmt,
    future::Future,
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use rand::RngExt;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

use super::{
    Details, Fault, FaultClass, Recovery, Registration, Stage, State, Status, Transitions,
    atomic_state::StateWord,
    shared::{Message, Shared},
};
use crate::{Error, ErrorKind};

/// Is a dependency there? Cheap to clone and to ask; recovers by itself.
///
/// One monitor watches one dependency (usually Redis: `Redis::monitor` has it) for the whole
/// process. Every layer and store asks it before it does any I/O, and tells it what it met. Asking
/// is one atomic load.
///
/// The monitor's task ends when the last handle is dropped or at [`shutdown`](Self::shutdown).
///
/// # When Redis is down
///
/// That is what this is for: [`is_available`](Self::is_available) turns false with the first
/// command that is not answered in time, and true again when Redis answers and every
/// [recovery step](Self::on_recovery) is done.
#[derive(Clone)]
pub struct HealthMonitor {
    pub(super) shared: Arc<Shared>,
    pub(super) messages: mpsc::UnboundedSender<Message>,
}

/// What was known when something was begun. [`HealthMonitor::report`] needs it to tell a fault of
/// now from one of an earlier state.
#[derive(Debug, Clone, Copy)]
pub struct Admission(StateWord);

impl Admission {
    /// Reads work.
    #[inline]
    pub fn can_read(self) -> bool {
        self.0.reads()
    }

    /// Writes work.
    #[inline]
    pub fn can_write(self) -> bool {
        self.0.writes()
    }

    /// The state of that moment.
    #[inline]
    pub fn state(self) -> State {
        self.0.state()
    }

    /// Held down by [`force_down`](HealthMonitor::force_down) at that moment.
    #[inline]
    pub fn is_forced(self) -> bool {
        self.0.forced()
    }
}

impl HealthMonitor {
    /// Reads and writes both work. One relaxed atomic load.
    #[inline]
    pub fn is_available(&self) -> bool {
        self.shared.state.load().is_available()
    }

    /// Reads work.
    #[inline]
    pub fn can_read(&self) -> bool {
        self.shared.state.load().reads()
    }

    /// Writes work.
    #[inline]
    pub fn can_write(&self) -> bool {
        self.shared.state.load().writes()
    }

    /// The state.
    #[inline]
    pub fn state(&self) -> State {
        self.shared.state.load().state()
    }

    /// Held down by [`force_down`](Self::force_down).
    pub fn is_forced(&self) -> bool {
        self.shared.state.load().forced()
    }

    /// The name of what is watched, as in logs and health answers.
    pub fn name(&self) -> &'static str {
        self.shared.name
    }

    /// What is known about the dependency itself.
    pub fn details(&self) -> Details {
        self.shared.probe.details()
    }

    /// The time since the monitor was started.
    pub fn uptime(&self) -> Duration {
        self.shared.started.elapsed()
    }

    /// Everything that is known, of one moment. A verdict that nobody has confirmed for two probe
    /// intervals reads as not available, whatever it was.
    pub fn status(&self) -> Status {
        let mut status = *self.shared.status.borrow();
        let word = self.shared.state.load();
        status.state = word.state();
        let stale = status.verified.is_none_or(|at| at.elapsed() > self.shared.stale_after);
        status.reads = word.reads() && !stale;
        status.writes = word.writes() && !stale;
        status.forced = word.forced();
        status
    }

    /// What is it now? Holds the newest [`Status`] and wakes at each change that is announced.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.shared.status.subscribe()
    }

    /// What happened? Every transition from now on, as a stream.
    pub fn transitions(&self) -> Transitions {
        Transitions::new(self.shared.transitions.subscribe(), self.shared.ended.subscribe())
    }

    /// Waits until reads and writes work, at most for this long. `false`: the time is over.
    pub async fn wait_available(&self, at_most: Duration) -> bool {
        let mut watch = self.watch();
        let available = watch.wait_for(|_| self.is_available());
        matches!(tokio::time::timeout(at_most, available).await, Ok(Ok(_)))
    }

    /// How long a client is best told to wait: until the next probe is due, at least a second. Up
    /// to a second and a fifth of that are added at random, so that clients that are refused
    /// together do not come back together.
    pub fn retry_after(&self) -> Duration {
        let due = self.shared.status.borrow().next_attempt;
        let wait = due.saturating_duration_since(Instant::now()).max(Duration::from_secs(1));
        let spread = wait.mul_f64(0.2) + Duration::from_secs(1);
        wait + spread.mul_f64(rand::rng().random::<f64>())
    }

    /// Runs `step` each time the dependency answers again, before it is announced as available. See
    /// [`Stage`] for the order. A step that meets a fault of the dependency ends the attempt, and
    /// all steps run again at the next one; an error of its own is logged and holds up nobody. Each
    /// step is cut off after
    /// [`HealthConfig::with_step_timeout`](crate::health::HealthConfig::with_step_timeout).
    pub fn on_recovery<F, Fut>(&self, stage: Stage, name: &'static str, step: F) -> Registration
    where
        F: Fn(Recovery) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Error>> + Send + 'static,
    {
        self.shared.steps.add(stage, name, step)
    }

    /// Takes the dependency away, for a drill or while an operator works on it. It shows as
    /// `forced` everywhere and ends by itself after `at_most`, or at [`release`](Self::release).
    pub fn force_down(&self, reason: &str, at_most: Duration) {
        let from = self.state();
        let word = self.shared.state.force(State::Disconnected, true);
        // The transition's one line: the task, which announces it, does not know the reason.
        tracing::warn!(
            dependency = self.shared.name,
            %from,
            reason,
            ?at_most,
            "taken away by hand: going on without it"
        );
        let until = Instant::now() + at_most;
        self.send(Message::Force { until, word });
    }

    /// Ends [`force_down`](Self::force_down): the dependency is probed at once.
    pub fn release(&self) {
        self.send(Message::Release);
    }

    /// Ends the monitor's task, and returns when it has ended. From then on the dependency reads as
    /// disconnected.
    pub async fn shutdown(&self) {
        let (done, ended) = oneshot::channel();
        if self.messages.send(Message::Shutdown(done)).is_ok() {
            let _ = ended.await;
        }
    }

    /// Waits until the monitor's task has ended. Cancel-safe.
    #[cfg_attr(not(feature = "redis"), allow(dead_code))]
    pub(crate) async fn ended(&self) {
        self.messages.closed().await;
    }

    /// Waits for the same, and does not keep the monitor alive meanwhile.
    #[cfg_attr(not(feature = "tonic"), allow(dead_code))]
    pub(crate) fn end(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut ended = self.shared.ended.subscribe();
        async move {
            // An error: the last handle is gone.
            let _ = ended.wait_for(|ended| *ended).await;
        }
    }

    /// What is known now, for something that is about to begin.
    #[inline]
    pub fn admit(&self) -> Admission {
        Admission(self.shared.state.load())
    }

    /// Something that began under `admission` at `since` met this fault. The first to report it
    /// turns the state at once; a report that is older than the newest verdict changes nothing.
    /// Returns whether it turned the state.
    pub fn report(&self, admission: Admission, fault: Fault, since: Instant) -> bool {
        let word = match fault.class() {
            FaultClass::WrongNode | FaultClass::WritesGone | FaultClass::Rights => {
                self.shared.state.writes_gone(admission.0)
            }
            _ => self.shared.state.suspect(admission.0),
        };
        let Some(word) = word else { return false };
        self.send(Message::Evidence { fault, word, since });
        true
    }

    /// A request had to do without the dependency: it is to be probed soon. However many requests
    /// say so, at most one probe in half a second comes of it.
    #[inline]
    pub fn request_probe(&self) {
        if !self.shared.probe_requested.load(Ordering::Relaxed)
            && !self.shared.probe_requested.swap(true, Ordering::Relaxed)
        {
            self.shared.probe_request.notify_one();
        }
    }

    /// Something was refused that says nothing against the dependency itself, but may be true of
    /// every write: a write is tried with the next probe, at most one in half a second.
    #[cfg_attr(not(feature = "redis"), allow(dead_code))]
    pub(crate) fn verify_writes(&self) {
        if !self.shared.write_suspected.swap(true, Ordering::Relaxed) {
            self.shared.probe_request.notify_one();
        }
    }

    /// An answer was given without the dependency: shown in the health documents, and a
    /// [request for a probe](Self::request_probe).
    #[inline]
    pub fn record_fallback(&self) {
        // Read first: a store by every thread that passes here would move the cache line about.
        if !self.shared.fallbacks.load(Ordering::Relaxed) {
            self.shared.fallbacks.store(true, Ordering::Relaxed);
        }
        self.request_probe();
    }

    /// The dependency is away, and answers have been given without it.
    pub fn uses_fallback(&self) -> bool {
        !self.is_available() && self.shared.fallbacks.load(Ordering::Relaxed)
    }

    /// The error for something that was not even tried.
    #[cfg_attr(not(feature = "redis"), allow(dead_code))]
    pub(crate) fn unavailable(&self) -> Error {
        let message = match self.state() {
            State::Connecting | State::Failed => "not reached yet",
            State::Recovering => "recovering",
            _ => "unavailable",
        };
        Error::new(ErrorKind::Unavailable, message)
    }

    /// Sends to the task. The channel is unbounded because no message may be lost: each goes with a
    /// state word that was set. Messages cannot pile up: there is at most one report for each
    /// generation, which only the task raises again, and an operator sends the others.
    fn send(&self, message: Message) {
        if self.messages.send(message).is_err() {
            tracing::debug!(dependency = self.shared.name, "the monitor has ended");
        }
    }
}

/// A handle that does not keep the monitor alive.
#[cfg_attr(not(feature = "redis"), allow(dead_code))]
#[derive(Clone)]
pub(crate) struct WeakMonitor {
    shared: Weak<Shared>,
    messages: mpsc::WeakUnboundedSender<Message>,
}

#[cfg_attr(not(feature = "redis"), allow(dead_code))]
impl WeakMonitor {
    pub(crate) fn upgrade(&self) -> Option<HealthMonitor> {
        Some(HealthMonitor { shared: self.shared.upgrade()?, messages: self.messages.upgrade()? })
    }
}

impl HealthMonitor {
    #[cfg_attr(not(feature = "redis"), allow(dead_code))]
    pub(crate) fn downgrade(&self) -> WeakMonitor {
        WeakMonitor { shared: Arc::downgrade(&self.shared), messages: self.messages.downgrade() }
    }
}

impl fmt::Debug for HealthMonitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthMonitor")
            .field("name", &self.shared.name)
            .field("status", &self.status())
            .finish()
    }
}
