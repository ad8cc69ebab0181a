//! The law: the truth decides, and the gate may only refuse. No clock, no store.

use super::truth::Occupancy;

/// What a gate knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    /// At least so many were left when the truth was last heard of, less what was taken since.
    Known { left: u64 },
    /// Nothing: it refuses nobody.
    Unknown,
}

/// What a gate says to whoever wants seats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// They were taken from it; the truth is asked.
    Taken,
    /// It does not know; the truth is asked.
    Unknown,
    /// They do not fit. The truth is asked only about a repetition.
    Full,
    /// There was nobody to ask; the truth is asked.
    NotAsked,
}

/// What became of the question to the truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Taken(Occupancy),
    /// The same request had them before.
    Repeated(Occupancy),
    Full(Occupancy),
    /// It failed, and has certainly changed nothing.
    NotDone,
    /// It failed, and may have changed something.
    Unknown,
}

/// What the gate is to be told afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settlement {
    Nothing,
    /// What was taken from it.
    GiveBack,
    /// What is left, if it is still unknown.
    Seed(Occupancy),
    /// What is left, whatever it says.
    Set(Occupancy),
    /// It has missed something: it is given up as soon as Redis is there.
    Forget,
}

impl Gate {
    /// The decision of the script `take.lua`. A gate never admits by itself: what is not refused is
    /// for the truth to decide.
    #[cfg(test)]
    pub(super) fn take(self, seats: u64) -> (Seen, Self) {
        match self {
            Self::Unknown => (Seen::Unknown, self),
            Self::Known { left } if left < seats => (Seen::Full, self),
            Self::Known { left } => (Seen::Taken, Self::Known { left: left - seats }),
        }
    }
}

/// What a gate that said `seen` is to be told of the `outcome`.
///
/// It may come to know too much, which costs a question to the truth, and too little for a while,
/// which refuses too early. Seats whose fate is not known stay taken until the reconciliation.
pub(super) fn settle(seen: Seen, outcome: Outcome) -> Settlement {
    match (seen, outcome) {
        (Seen::Taken, Outcome::Taken(_) | Outcome::Unknown) => Settlement::Nothing,
        (Seen::Taken, Outcome::Repeated(_) | Outcome::NotDone) => Settlement::GiveBack,
        // It has promised more than there is.
        (Seen::Taken, Outcome::Full(truth)) => Settlement::Set(truth),
        (
            Seen::Unknown,
            Outcome::Taken(truth) | Outcome::Repeated(truth) | Outcome::Full(truth),
        ) => Settlement::Seed(truth),
        // It was too low.
        (Seen::Full, Outcome::Taken(truth)) => Settlement::Set(truth),
        (Seen::Full, _) | (Seen::Unknown, Outcome::NotDone | Outcome::Unknown) => {
            Settlement::Nothing
        }
        (Seen::NotAsked, Outcome::NotDone) => Settlement::Nothing,
        (Seen::NotAsked, _) => Settlement::Forget,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CAPACITY: u64 = 20;

    /// A truth with a gate in front of it, and requests under way between the two.
    #[derive(Debug)]
    struct Hall {
        sold: u64,
        gate: Gate,
        /// Releases since the hall opened, by which a stale answer is known.
        released: usize,
        under_way: Vec<(u64, Seen, usize)>,
        answered: Vec<(u64, Seen, usize, Outcome)>,
    }

    impl Hall {
        fn new() -> Self {
            Self {
                sold: 0,
                gate: Gate::Unknown,
                released: 0,
                under_way: Vec::new(),
                answered: Vec::new(),
            }
        }

        fn truth(&self) -> Occupancy {
            Occupancy::new(CAPACITY, self.sold)
        }

        fn ask(&mut self, seats: u64, redis: bool) {
            let (seen, gate) =
                if redis { self.gate.take(seats) } else { (Seen::NotAsked, self.gate) };
            self.gate = gate;
            if seen != Seen::Full {
                self.under_way.push((seats, seen, self.released));
            }
        }

        fn decide(&mut self, which: usize, fate: u8) {
            if self.under_way.is_empty() {
                return;
            }
            let (seats, seen, begun) = self.under_way.swap_remove(which % self.under_way.len());
            let fits = self.sold + seats <= CAPACITY;
            let outcome = match fate {
                0 => Outcome::NotDone,
                1 => {
                    self.sold += if fits { seats } else { 0 };
                    Outcome::Unknown
                }
                _ if fits => {
                    self.sold += seats;
                    Outcome::Taken(self.truth())
                }
                _ => Outcome::Full(self.truth()),
            };
            self.answered.push((seats, seen, begun, outcome));
        }

        fn settle(&mut self, which: usize) {
            if self.answered.is_empty() {
                return;
            }
            let (seats, seen, begun, outcome) =
                self.answered.swap_remove(which % self.answered.len());
            let is_stale = self.released > begun;
            let back = |gate| match gate {
                Gate::Known { left } => Gate::Known { left: (left + seats).min(CAPACITY) },
                Gate::Unknown => Gate::Unknown,
            };
            self.gate = match settle(seen, outcome) {
                Settlement::Nothing => self.gate,
                Settlement::GiveBack => back(self.gate),
                Settlement::Seed(truth) if self.gate == Gate::Unknown && !is_stale => {
                    Gate::Known { left: truth.left() }
                }
                Settlement::Seed(_) => self.gate,
                Settlement::Set(truth) if !is_stale => Gate::Known { left: truth.left() },
                Settlement::Set(_) => back(self.gate),
                Settlement::Forget => Gate::Unknown,
            };
        }

        fn release(&mut self, seats: u64) {
            let seats = seats.min(self.sold);
            self.sold -= seats;
            self.released += 1;
            if let Gate::Known { left } = self.gate {
                self.gate = Gate::Known { left: (left + seats).min(CAPACITY) };
            }
        }

        /// The gate has at least what is left.
        fn refuses_nobody_who_fits(&self) -> bool {
            match self.gate {
                Gate::Unknown => true,
                Gate::Known { left } => left >= self.truth().left(),
            }
        }
    }

    proptest! {
        #[test]
        fn the_truth_is_never_exceeded_and_the_gate_never_stays_too_low(
            steps in proptest::collection::vec((0_u8..5, 1_u64..6, 0_usize..8, 0_u8..6), 1..120),
            known_outcomes: bool,
        ) {
            let mut hall = Hall::new();
            for (step, seats, which, fate) in steps {
                match step {
                    0 => hall.ask(seats, true),
                    1 => hall.ask(seats, false),
                    2 => hall.decide(which, if known_outcomes && fate == 1 { 2 } else { fate }),
                    3 => hall.settle(which),
                    _ => hall.release(seats),
                }
                prop_assert!(hall.sold <= CAPACITY);
                if let Gate::Known { left } = hall.gate {
                    prop_assert!(left <= CAPACITY);
                }
            }
            while !hall.under_way.is_empty() {
                hall.decide(0, 2);
            }
            while !hall.answered.is_empty() {
                hall.settle(0);
            }
            prop_assert!(!known_outcomes || hall.refuses_nobody_who_fits(), "{hall:?}");
        }
    }

    #[test]
    fn seats_of_unknown_fate_stay_taken() {
        assert_eq!(settle(Seen::Taken, Outcome::Unknown), Settlement::Nothing);
        assert_eq!(settle(Seen::Taken, Outcome::NotDone), Settlement::GiveBack);
    }

    #[test]
    fn what_is_taken_past_the_gate_gives_it_up() {
        for outcome in [Outcome::Taken(Occupancy::new(9, 1)), Outcome::Unknown] {
            assert_eq!(settle(Seen::NotAsked, outcome), Settlement::Forget);
        }
    }
}
