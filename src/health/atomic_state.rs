//! The state word, which every request reads, and the lock-free rules for changing it.
//!
//! Bits: state (0 to 2), reads (3), writes (4), forced (5), generation (8 to 63). Reads and writes
//! are set only while they work, so that asking is one load and one mask. Every change raises the
//! generation, and every change is a compare-exchange of the whole word: what was seen under an
//! older word never overwrites a newer verdict.
//!
//! The word is written by the monitor's task and by any caller that met a fault. A caller may only
//! take away (`Connected` to `Suspect`, writes to no writes), and then tells the task.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering};

use super::State;

const STATE: u64 = 0b111;
const READS: u64 = 1 << 3;
const WRITES: u64 = 1 << 4;
const FORCED: u64 = 1 << 5;
const BOTH: u64 = READS | WRITES;
const GENERATION: u64 = 1 << 8;

/// A value of [`AtomicState`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StateWord(u64);

impl StateWord {
    pub(crate) const START: Self = Self(0);

    pub(crate) const fn state(self) -> State {
        State::from_bits(self.0 & STATE)
    }

    pub(crate) const fn reads(self) -> bool {
        self.0 & READS != 0
    }

    pub(crate) const fn writes(self) -> bool {
        self.0 & WRITES != 0
    }

    pub(crate) const fn forced(self) -> bool {
        self.0 & FORCED != 0
    }

    pub(crate) const fn is_available(self) -> bool {
        self.0 & BOTH == BOTH
    }

    /// The word that follows this one, with this content.
    pub(crate) const fn next(self, state: State, reads: bool, writes: bool, forced: bool) -> Self {
        let flags = if reads { READS } else { 0 }
            | if writes { WRITES } else { 0 }
            | if forced { FORCED } else { 0 };
        Self((self.0 & !(GENERATION - 1)).wrapping_add(GENERATION) | state.to_bits() | flags)
    }

    /// Equal but for the generation.
    pub(crate) const fn has_content_of(self, other: Self) -> bool {
        self.0 % GENERATION == other.0 % GENERATION
    }
}

/// The state of a monitor as one atomic word.
#[derive(Debug)]
pub(crate) struct AtomicState(AtomicU64);

impl AtomicState {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(StateWord::START.0))
    }

    /// Relaxed: the word stands for itself and guards no other memory.
    #[inline]
    pub(crate) fn load(&self) -> StateWord {
        StateWord(self.0.load(Ordering::Relaxed))
    }

    fn swap(&self, seen: StateWord, new: StateWord) -> Result<StateWord, StateWord> {
        self.0
            .compare_exchange(seen.0, new.0, Ordering::AcqRel, Ordering::Relaxed)
            .map(|_| new)
            .map_err(StateWord)
    }

    /// A caller admitted under `seen` met a fault that makes reads and writes suspect.
    /// `None`: somebody knows newer things already.
    pub(crate) fn suspect(&self, seen: StateWord) -> Option<StateWord> {
        if seen.state() != State::Connected {
            return None;
        }
        self.swap(seen, seen.next(State::Suspect, false, false, false)).ok()
    }

    /// A caller admitted under `seen` was told that writes are gone.
    pub(crate) fn writes_gone(&self, seen: StateWord) -> Option<StateWord> {
        if seen.state() != State::Connected || !seen.writes() {
            return None;
        }
        self.swap(seen, seen.next(State::Connected, seen.reads(), false, false)).ok()
    }

    /// The task publishes `new`, derived from `known`. An error holds the word that a caller has
    /// set since; that caller's report is on the way.
    pub(crate) fn publish(&self, known: StateWord, new: StateWord) -> Result<StateWord, StateWord> {
        self.swap(known, new)
    }

    /// Sets this state, whatever the word is. Only for verdicts that need no evidence: those of an
    /// operator, and the one at the end of the task.
    pub(crate) fn force(&self, state: State, forced: bool) -> StateWord {
        let mut seen = self.load();
        loop {
            match self.swap(seen, seen.next(state, false, false, forced)) {
                Ok(new) => return new,
                Err(newer) => seen = newer,
            }
        }
    }
}

/// Connected, and the word that says so.
#[cfg(test)]
fn connected(writes: bool) -> (AtomicState, StateWord) {
    let state = AtomicState::new();
    let connected = StateWord::START.next(State::Connected, true, writes, false);
    let known = state.publish(StateWord::START, connected).unwrap();
    (state, known)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_late_fault_never_overwrites_a_newer_verdict() {
        let (cell, connected) = connected(true);
        let suspect = cell.suspect(connected).unwrap();
        assert!(!suspect.is_available());
        let again =
            cell.publish(suspect, suspect.next(State::Connected, true, true, false)).unwrap();
        assert_eq!(cell.suspect(connected), None);
        assert_eq!(cell.writes_gone(connected), None);
        assert_eq!(cell.load(), again);
    }

    #[test]
    fn the_task_never_overwrites_a_callers_suspicion() {
        let (cell, known) = connected(false);
        let suspected = cell.suspect(known).unwrap();
        assert_eq!(
            cell.publish(known, known.next(State::Connected, true, true, false)),
            Err(suspected)
        );
        assert_eq!(cell.load().state(), State::Suspect);
    }

    #[test]
    fn every_state_survives_the_word() {
        for state in State::SHOWN.into_iter().chain([State::Suspect]) {
            for flags in 0..8_u8 {
                let (r, w, f) = (flags & 1 != 0, flags & 2 != 0, flags & 4 != 0);
                let word = StateWord::START.next(state, r, w, f);
                assert_eq!(
                    (word.state(), word.reads(), word.writes(), word.forced()),
                    (state, r, w, f)
                );
                assert_eq!(word.is_available(), r && w);
            }
        }
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::*;
    use loom::{sync::Arc, thread};

    /// Two callers of one generation: at most one of them takes away, and the task's word of an
    /// older generation never comes back.
    #[test]
    fn one_winner_and_no_resurrection() {
        loom::model(|| {
            let (cell, known) = connected(true);
            let cell = Arc::new(cell);
            let callers: Vec<_> = (0..2)
                .map(|_| {
                    let cell = Arc::clone(&cell);
                    thread::spawn(move || cell.suspect(known).is_some())
                })
                .collect();
            let published =
                cell.publish(known, known.next(State::Connected, true, false, false)).is_ok();
            let winners = callers.into_iter().map(|c| c.join().unwrap()).filter(|won| *won).count();
            assert_eq!(winners + usize::from(published), 1);
            if winners == 1 {
                assert_eq!(cell.load().state(), State::Suspect);
            }
        });
    }

    /// What an operator forces holds against a caller that is late.
    #[test]
    fn a_forced_word_is_final_for_older_callers() {
        loom::model(|| {
            let (cell, known) = connected(true);
            let cell = Arc::new(cell);
            let caller = {
                let cell = Arc::clone(&cell);
                thread::spawn(move || cell.suspect(known))
            };
            cell.force(State::Disconnected, true);
            caller.join().unwrap();
            assert_eq!(cell.load().state(), State::Disconnected);
            assert!(cell.load().forced());
        });
    }
}
