//! What was seen to go wrong, as plain data: a class, and a code that is safe to show anyone.

use std::fmt;

/// A kind of fault, by what it says about the dependency and about the connection it was seen on.
///
/// The class decides the verdict: see the table in `docs/health.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultClass {
    /// The connection could not be made, was closed, or carried something that is not the protocol.
    Transport,
    /// No answer within the deadline.
    Hang,
    /// Answers come, but later than the deadline of a command.
    Slow,
    /// The server answers that it cannot serve now (`LOADING`, `MASTERDOWN`, `CLUSTERDOWN`,
    /// `BUSY`).
    NotServing,
    /// This is not the node to write to (`READONLY`, `MOVED`).
    WrongNode,
    /// Reads work and writes do not (`OOM`, `MISCONF`, `NOREPLICAS`).
    WritesGone,
    /// The server does not accept us (`NOAUTH`, `WRONGPASS`, `NOPERM`, no such database).
    Credentials,
    /// The server accepts us, but refuses a command that the features need: writes count as gone.
    /// Shown as [`Credentials`](Self::Credentials), with the right that is missing.
    Rights,
    /// An operator took the dependency away, see [`HealthMonitor::force_down`].
    ///
    /// [`HealthMonitor::force_down`]: crate::health::HealthMonitor::force_down
    Forced,
    /// A recovery step did not finish, so the dependency was not announced as available.
    Recovery,
}

impl FaultClass {
    /// The words used in logs and health answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transport => "transport",
            Self::Hang => "hang",
            Self::Slow => "slow",
            Self::NotServing => "not serving",
            Self::WrongNode => "wrong node",
            Self::WritesGone => "writes gone",
            Self::Credentials | Self::Rights => "credentials",
            Self::Forced => "forced",
            Self::Recovery => "recovery",
        }
    }
}

/// A fault: its [class](FaultClass) and a code.
///
/// The code is one of a fixed set of words, never text from outside, so a fault can be shown to
/// anyone: `transport: refused`, `hang`, `not serving: LOADING`.
///
/// ```
/// use evenkeel::health::{Fault, FaultClass};
///
/// let fault = Fault::new(FaultClass::NotServing, "LOADING");
/// assert_eq!(fault.to_string(), "not serving: LOADING");
/// assert_eq!(Fault::HANG.to_string(), "hang");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fault {
    class: FaultClass,
    code: &'static str,
}

impl Fault {
    /// No answer within the deadline.
    pub const HANG: Self = Self::new(FaultClass::Hang, "");
    /// Answers come too late to be of use.
    pub const SLOW: Self = Self::new(FaultClass::Slow, "");
    /// A write goes unanswered while reads are answered (`CLIENT PAUSE WRITE`, as in a failover).
    pub const WRITES_HANG: Self = Self::new(FaultClass::WritesGone, "hang");
    /// Taken away by hand.
    pub const FORCED: Self = Self::new(FaultClass::Forced, "");

    /// A fault of this class; an empty code leaves the class alone.
    pub const fn new(class: FaultClass, code: &'static str) -> Self {
        Self { class, code }
    }

    /// The class.
    pub const fn class(self) -> FaultClass {
        self.class
    }

    /// The code, empty when the class says all.
    pub const fn code(self) -> &'static str {
        self.code
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.class.as_str())?;
        if !self.code.is_empty() {
            write!(f, ": {}", self.code)?;
        }
        Ok(())
    }
}
