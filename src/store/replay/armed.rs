//! The race between those who leave something to be told and the one task that tells it.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU8, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU8, Ordering};

/// Something was left since the last pass began.
const PENDING: u8 = 1;
/// A task has undertaken to make passes until nothing is pending.
const RUNNING: u8 = 2;
const BOTH: u8 = PENDING | RUNNING;

/// Whether something is pending, and whether a task is after it.
///
/// Whoever leaves something first writes it into the backlog, then [arms](Self::arm). A pass first
/// [clears](Self::begin_pass) the mark, then reads the backlog. So what a pass does not see leaves
/// the mark behind, and the task [rests](Self::rest) only when there is none.
#[derive(Debug)]
pub(super) struct Armed(AtomicU8);

impl Armed {
    pub(super) fn new() -> Self {
        Self(AtomicU8::new(0))
    }

    /// Something is pending. `true`: no task runs, and the caller has to start one.
    ///
    /// `SeqCst`, as in `begin_pass`: the mark must not be read before the backlog was written.
    #[inline]
    pub(super) fn arm(&self) -> bool {
        self.0.load(Ordering::SeqCst) != BOTH
            && self.0.fetch_or(BOTH, Ordering::SeqCst) & RUNNING == 0
    }

    /// A pass begins: it sees everything that was left before.
    pub(super) fn begin_pass(&self) {
        self.0.fetch_and(!PENDING, Ordering::SeqCst);
    }

    /// The task wants to end. `false`: something is pending, and it has to go on.
    pub(super) fn rest(&self) -> bool {
        self.0.compare_exchange(RUNNING, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// The task ended without having rested: the next to arm starts another.
    pub(super) fn abandon(&self) {
        self.0.fetch_and(!RUNNING, Ordering::SeqCst);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn one_task_runs_until_nothing_is_pending() {
        let armed = Armed::new();
        assert!(armed.arm());
        assert!(!armed.arm());
        assert!(!armed.rest());
        armed.begin_pass();
        assert!(!armed.arm());
        assert!(!armed.rest());
        armed.begin_pass();
        assert!(armed.rest());
        assert!(armed.arm());
    }

    #[test]
    fn an_abandoned_task_is_replaced() {
        let armed = Armed::new();
        assert!(armed.arm());
        armed.abandon();
        assert!(armed.arm());
    }
}

#[cfg(all(test, loom))]
mod model {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use loom::{
        sync::{Arc, Mutex},
        thread,
    };

    use super::*;

    /// What a `Replay` does with it, with the backlog reduced to a number of items.
    struct Model {
        armed: Armed,
        backlog: Mutex<usize>,
        /// Tasks that were started and have not ended; not part of the model.
        tasks: AtomicUsize,
    }

    impl Model {
        fn leave(&self) {
            *self.backlog.lock().unwrap() += 1;
            if self.armed.arm() {
                self.run();
            }
        }

        fn run(&self) {
            assert_eq!(self.tasks.fetch_add(1, Relaxed), 0, "two tasks");
            loop {
                self.pass();
                self.tasks.fetch_sub(1, Relaxed);
                if self.armed.rest() {
                    return;
                }
                self.tasks.fetch_add(1, Relaxed);
            }
        }

        fn pass(&self) {
            self.armed.begin_pass();
            *self.backlog.lock().unwrap() = 0;
        }
    }

    fn check(leavers: usize, recovery: bool) {
        loom::model(move || {
            let model = Arc::new(Model {
                armed: Armed::new(),
                backlog: Mutex::new(0),
                tasks: AtomicUsize::new(0),
            });
            let threads: Vec<_> = (0..leavers)
                .map(|_| {
                    let model = Arc::clone(&model);
                    thread::spawn(move || model.leave())
                })
                .collect();
            if recovery {
                model.pass();
            }
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            assert_eq!(*model.backlog.lock().unwrap(), 0, "left behind");
        });
    }

    #[test]
    fn nothing_is_left_behind_and_one_task_runs() {
        check(2, false);
    }

    #[test]
    fn a_recovery_beside_the_task_takes_nothing_away() {
        check(1, true);
    }
}
