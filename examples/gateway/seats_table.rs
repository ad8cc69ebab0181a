//! Events and who has their seats, on disk: the truth, whatever a gate says.

use evenkeel::store::capacity::{Booking, Cancellation, Occupancy, SeatRequest, Token, Truth};
use tokio_rusqlite::rusqlite::{
    self, OptionalExtension, Transaction, TransactionBehavior::Immediate, params,
};

use super::database::Database;

/// What each event holds.
const SEATS: u32 = 100;
/// Events in one read of the reconciliation.
const PAGE: u32 = 500;

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS events (
    id TEXT PRIMARY KEY, capacity INTEGER NOT NULL, sold INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reservations (
    token TEXT PRIMARY KEY, event TEXT NOT NULL, request_id TEXT NOT NULL, seats INTEGER NOT NULL,
    UNIQUE (event, request_id)
) WITHOUT ROWID";

type Error = tokio_rusqlite::Error<rusqlite::Error>;

impl Database {
    pub(crate) async fn prepare_seats(&self) -> Result<(), Error> {
        self.call(|connection| connection.execute_batch(SCHEMA)).await
    }

    /// One transaction, which takes the lock before it reads: what it reads is so when it writes.
    pub(crate) async fn book(&self, ask: SeatRequest) -> Result<Booking, Error> {
        self.call(move |connection| {
            if ask.only_repeated {
                let found = repeated(connection, &ask)?;
                let now = occupancy(connection, &ask.event)?;
                return Ok(found.map_or(Booking::Full(now), |token| Booking::Repeated(token, now)));
            }
            let write = connection.transaction_with_behavior(Immediate)?;
            let booking = book_in(&write, &ask)?;
            write.commit()?;
            Ok(booking)
        })
        .await
    }

    pub(crate) async fn cancel(&self, event: &str, token: Token) -> Result<Cancellation, Error> {
        let (event, token) = (event.to_owned(), token.to_string());
        self.call(move |connection| {
            let write = connection.transaction_with_behavior(Immediate)?;
            let delete = "DELETE FROM reservations WHERE token = ?1 AND event = ?2 RETURNING seats";
            let seats: Option<u32> =
                write.query_row(delete, [&token, &event], |row| row.get(0)).optional()?;
            if let Some(seats) = seats {
                let update = "UPDATE events SET sold = sold - ?1 WHERE id = ?2";
                write.execute(update, params![seats, event])?;
            }
            let now = occupancy(&write, &event)?;
            write.commit()?;
            Ok(seats.map_or(Cancellation::Unknown(now), |n| Cancellation::Released(n, now)))
        })
        .await
    }

    pub(crate) async fn seats_left(&self, event: &str) -> Result<u64, Error> {
        let event = event.to_owned();
        self.call(move |connection| Ok(occupancy(connection, &event)?.left())).await
    }

    /// The next events after this one, in the order of their names.
    pub(crate) async fn events_after(&self, last: String) -> Result<Vec<Truth>, Error> {
        self.call(move |connection| {
            let select = "SELECT id, capacity, sold FROM events WHERE id > ?1 ORDER BY id LIMIT ?2";
            let mut select = connection.prepare_cached(select)?;
            let rows = select.query_map(params![last, PAGE], |row| {
                let occupancy = Occupancy::new(number(row, 1)?, number(row, 2)?);
                Ok(Truth { event: row.get(0)?, occupancy })
            })?;
            rows.collect()
        })
        .await
    }
}

fn book_in(write: &Transaction<'_>, ask: &SeatRequest) -> Result<Booking, rusqlite::Error> {
    if let Some(token) = repeated(write, ask)? {
        return Ok(Booking::Repeated(token, occupancy(write, &ask.event)?));
    }
    let update = "INSERT INTO events VALUES (?1, ?2, ?3) ON CONFLICT (id) DO UPDATE \
                  SET sold = sold + ?3 WHERE sold + ?3 <= capacity";
    let fits = ask.seats <= SEATS;
    if !fits || write.execute(update, params![&*ask.event, SEATS, ask.seats])? == 0 {
        return Ok(Booking::Full(occupancy(write, &ask.event)?));
    }
    let insert = "INSERT INTO reservations VALUES (?1, ?2, ?3, ?4)";
    let row = params![ask.token.to_string(), &*ask.event, &*ask.request_id, ask.seats];
    write.execute(insert, row)?;
    Ok(Booking::Taken(occupancy(write, &ask.event)?))
}

/// The token of the reservation that this request has already.
fn repeated(
    connection: &rusqlite::Connection,
    ask: &SeatRequest,
) -> Result<Option<Token>, rusqlite::Error> {
    let select = "SELECT token FROM reservations WHERE event = ?1 AND request_id = ?2";
    let mut select = connection.prepare_cached(select)?;
    let token = select.query_row([&*ask.event, &*ask.request_id], |row| row.get(0)).optional()?;
    let token = token.map(|token: String| Token::parse(&token)).transpose();
    token.map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error.into())
    })
}

/// An event that nobody has a seat of has no row.
fn occupancy(connection: &rusqlite::Connection, event: &str) -> Result<Occupancy, rusqlite::Error> {
    let select = "SELECT capacity, sold FROM events WHERE id = ?1";
    let mut select = connection.prepare_cached(select)?;
    let row = select
        .query_row([event], |row| Ok(Occupancy::new(number(row, 0)?, number(row, 1)?)))
        .optional()?;
    Ok(row.unwrap_or(Occupancy::new(SEATS.into(), 0)))
}

fn number(row: &rusqlite::Row<'_>, column: usize) -> Result<u64, rusqlite::Error> {
    Ok(row.get::<_, u32>(column)?.into())
}
