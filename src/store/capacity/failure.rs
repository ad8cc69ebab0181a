//! What can go wrong with the truth.

use std::{error::Error as StdError, fmt};

use crate::Error;

/// How the database's part failed. `?` makes an error of it whose outcome is not known, which is
/// right of any error that may come after the write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BookingError<E> {
    /// Nothing was changed, for certain: there is no such event, the connection was refused.
    NotDone(E),
    /// It may have been done.
    Unknown(E),
}

impl<E> From<E> for BookingError<E> {
    fn from(error: E) -> Self {
        Self::Unknown(error)
    }
}

/// Why there is no answer. Never about Redis.
#[derive(Debug)]
#[non_exhaustive]
pub enum CapacityError<E> {
    /// What was asked for makes no sense: no seats, or a name of another length.
    Invalid(Error),
    /// The database failed, and has changed nothing.
    NotDone(E),
    /// The database failed, and it may have been done.
    Unknown(E),
    /// The database did not answer within the [time-out](super::CapacityBuilder::with_timeout); it
    /// may have been done.
    TimedOut,
    /// The closure panicked; it may have been done.
    Panicked,
}

impl<E> CapacityError<E> {
    /// Whether it may have been done all the same. Asked again with the same request id, or about
    /// the same token, it is not done twice.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self, Self::Unknown(_) | Self::TimedOut | Self::Panicked)
    }
}

impl<E> From<BookingError<E>> for CapacityError<E> {
    fn from(error: BookingError<E>) -> Self {
        match error {
            BookingError::NotDone(error) => Self::NotDone(error),
            BookingError::Unknown(error) => Self::Unknown(error),
        }
    }
}

impl<E: fmt::Display> fmt::Display for CapacityError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(error) => error.fmt(f),
            Self::NotDone(_) => f.write_str("the database has failed"),
            Self::Unknown(_) => f.write_str("the database has failed and may have done it"),
            Self::TimedOut => f.write_str("the database has not answered in time"),
            Self::Panicked => f.write_str("what asks the database has panicked"),
        }
    }
}

impl<E: StdError + 'static> StdError for CapacityError<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Invalid(error) => error.source(),
            Self::NotDone(error) | Self::Unknown(error) => Some(error),
            Self::TimedOut | Self::Panicked => None,
        }
    }
}
