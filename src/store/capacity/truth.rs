//! What the caller's database is asked, and what it answers.

use std::{fmt, sync::Arc, time::Duration};

use crate::{Error, ErrorKind, label::is_label};

/// Longer names of events and requests are refused.
const LONGEST_NAME: usize = 256;

/// How many seats an event has, and how many of them are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Occupancy {
    /// All seats.
    pub capacity: u64,
    /// Those that somebody has. Holds that have ended do not count.
    pub taken: u64,
}

impl Occupancy {
    /// So many of so many.
    pub const fn new(capacity: u64, taken: u64) -> Self {
        Self { capacity, taken }
    }

    /// What is left; 0 also where more are taken than there are.
    pub const fn left(self) -> u64 {
        self.capacity.saturating_sub(self.taken)
    }
}

/// What the database is asked to take. The fields are what a row of it holds.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SeatRequest {
    /// Whose seats.
    pub event: Arc<str>,
    /// How many, at least 1.
    pub seats: u32,
    /// By which a repetition is known: a unique key of the table.
    pub request_id: Arc<str>,
    /// Names the reservation from now on, if it is made.
    pub token: Token,
    /// How long the seats are held at most; `None`: until they are released.
    pub hold: Option<Duration>,
    /// The gate says that there is no room. Only a reservation that this `request_id` has already
    /// is looked for, and [`Booking::Full`] is the answer if it has none. To make the reservation
    /// after all, as if this were `false`, is right, too, and costs the database more.
    pub only_repeated: bool,
}

/// What the database did about a [`SeatRequest`], and what stands in it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Booking {
    /// The seats were taken, under the token of the request.
    Taken(Occupancy),
    /// This request id has them already, under this token. Nothing was changed.
    Repeated(Token, Occupancy),
    /// They do not fit. Nothing was changed.
    Full(Occupancy),
}

/// What the database did about the release of a token, and what stands in it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancellation {
    /// So many seats were given back.
    Released(u32, Occupancy),
    /// This event has no such reservation (any more). Nothing was changed.
    Unknown(Occupancy),
}

/// What one event's row says, for [`Capacity::reconcile`](super::Capacity::reconcile).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truth {
    /// Whose seats.
    pub event: String,
    /// What stands in the database.
    pub occupancy: Occupancy,
}

/// Names a reservation: 128 random bits, 32 hexadecimal digits as text. Whoever has it can release
/// the seats.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(u128);

impl Token {
    pub(super) fn random() -> Self {
        Self(rand::random())
    }

    /// Reads a token.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for anything but 32 hexadecimal digits in lower case.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let is_digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        let number = match text.len() == 32 && text.bytes().all(is_digit) {
            true => u128::from_str_radix(text, 16).ok(),
            false => None,
        };
        number.map(Self).ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "a token is 32 hexadecimal digits in lower case")
        })
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Token {
    /// Whoever reads a log releases nobody's seats.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// By what a repetition of a request is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId {
    text: Arc<str>,
    is_fresh: bool,
}

impl RequestId {
    /// An id that nobody has used: this request is no repetition. Only such a request is refused on
    /// the gate's word alone.
    pub fn fresh() -> Self {
        Self { text: format!("{:032x}", rand::random::<u128>()).into(), is_fresh: true }
    }

    /// The id that the client gave. Whether an earlier request had it only the database knows, so
    /// that is asked also where the gate is full.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] unless it has 1 to 256 bytes.
    pub fn given(text: &str) -> Result<Self, Error> {
        check("request id", text)?;
        Ok(Self { text: text.into(), is_fresh: false })
    }

    pub(super) fn text(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    pub(super) fn is_fresh(&self) -> bool {
        self.is_fresh
    }
}

/// # Errors
///
/// [`ErrorKind::Invalid`] unless `name` has 1 to 256 bytes.
pub(super) fn check(what: &str, name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err(Error::new(ErrorKind::Invalid, format!("the {what} has 1 to 256 bytes")));
    }
    Ok(())
}

/// # Errors
///
/// [`ErrorKind::Config`] unless the name of a capacity is 1 to 64 letters, digits, `-` or `_`.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    if !is_label(name) {
        return Err(Error::config("the name of a capacity is 1 to 64 letters, digits, '-' or '_'"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_token_reads_as_it_was_written(number: u128) {
            let token = Token(number);
            prop_assert_eq!(Token::parse(&token.to_string()).unwrap(), token);
        }

        #[test]
        fn anything_else_is_no_token(text in "\\PC{0,40}") {
            let is_one = text.len() == 32
                && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            prop_assert_eq!(Token::parse(&text).is_ok(), is_one);
        }
    }

    #[test]
    fn a_token_is_not_for_the_log() {
        assert_eq!(format!("{:?}", Token(7)), "Token(…)");
        assert!(Token::parse(&"+".repeat(32)).is_err());
    }

    #[test]
    fn more_taken_than_there_are_leaves_nothing() {
        assert_eq!(Occupancy::new(3, 5).left(), 0);
    }
}
