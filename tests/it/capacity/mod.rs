//! Seats, with several instances, a real server, the wire between them, and a database that can be
//! slow, wrong or away.

mod gate;
mod gateway;
mod input;
mod outage;
mod reconciliation;
mod rush;
mod soft;
mod sold_out;

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use evenkeel::{
    Served,
    redis::Redis,
    store::capacity::{
        Booking, BookingError, Cancellation, Capacity, CapacityBuilder, CapacityError,
        CapacityVerdict, Occupancy, ReleaseVerdict, RequestId, SeatRequest, Token, Truth,
    },
    telemetry::Metrics,
};
use tokio::time::sleep;

use crate::{
    guards::{available, away, quick},
    support,
};

pub(crate) const HALL: u64 = 100;

/// What the database does with a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Works,
    /// Refuses, and changes nothing.
    Refuses,
    /// Does it, and its answer is lost.
    LosesAnswers,
    /// Does it, and never answers.
    Hangs,
    /// Does it, and panics.
    Panics,
}

/// Rows behind a lock, as a transaction has them.
#[derive(Clone)]
pub(crate) struct Database(Arc<Rows>);

struct Rows {
    /// By request id: event, token, seats.
    rows: Mutex<HashMap<String, (String, Token, u32)>>,
    mood: Mutex<Mood>,
    delay: Mutex<Duration>,
    asked: AtomicUsize,
}

impl Database {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Rows {
            rows: Mutex::default(),
            mood: Mutex::new(Mood::Works),
            delay: Mutex::default(),
            asked: AtomicUsize::new(0),
        }))
    }

    pub(crate) fn is(&self, mood: Mood) {
        *self.0.mood.lock().unwrap() = mood;
    }

    pub(crate) fn takes(&self, delay: Duration) {
        *self.0.delay.lock().unwrap() = delay;
    }

    pub(crate) fn taken(&self, event: &str) -> u64 {
        let rows = self.0.rows.lock().unwrap();
        rows.values().filter(|row| row.0 == event).map(|row| u64::from(row.2)).sum()
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.0.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn truth(&self, event: &str) -> Truth {
        let occupancy = Occupancy::new(HALL, self.taken(event));
        Truth { event: event.to_owned(), occupancy }
    }

    pub(crate) async fn book(&self, ask: SeatRequest) -> Result<Booking, BookingError<io::Error>> {
        self.done(|| self.write(&ask)).await
    }

    fn write(&self, ask: &SeatRequest) -> Booking {
        let mut rows = self.0.rows.lock().unwrap();
        let event = || rows.values().filter(|row| row.0 == *ask.event);
        let taken: u64 = event().map(|row| u64::from(row.2)).sum();
        if let Some((_, token, _)) = rows.get(&*ask.request_id) {
            return Booking::Repeated(*token, Occupancy::new(HALL, taken));
        }
        if ask.only_repeated || taken + u64::from(ask.seats) > HALL {
            return Booking::Full(Occupancy::new(HALL, taken));
        }
        let row = (ask.event.to_string(), ask.token, ask.seats);
        rows.insert(ask.request_id.to_string(), row);
        Booking::Taken(Occupancy::new(HALL, taken + u64::from(ask.seats)))
    }

    pub(crate) async fn cancel(
        &self,
        event: Arc<str>,
        token: Token,
    ) -> Result<Cancellation, BookingError<io::Error>> {
        self.done(|| {
            let mut rows = self.0.rows.lock().unwrap();
            let held = rows.iter().find(|(_, row)| row.0 == *event && row.1 == token);
            let seats = held.map(|(id, row)| (id.clone(), row.2));
            if let Some((id, _)) = &seats {
                rows.remove(id);
            }
            drop(rows);
            let now = Occupancy::new(HALL, self.taken(&event));
            seats.map_or(Cancellation::Unknown(now), |(_, n)| Cancellation::Released(n, now))
        })
        .await
    }

    async fn done<T>(&self, write: impl FnOnce() -> T) -> Result<T, BookingError<io::Error>> {
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        let (mood, delay) = (*self.0.mood.lock().unwrap(), *self.0.delay.lock().unwrap());
        if !delay.is_zero() {
            sleep(delay / 2).await;
        }
        if mood == Mood::Refuses {
            return Err(BookingError::NotDone(io::Error::other("no connection")));
        }
        let answer = write();
        if !delay.is_zero() {
            sleep(delay / 2).await;
        }
        match mood {
            Mood::LosesAnswers => Err(io::Error::other("connection reset"))?,
            Mood::Hangs => std::future::pending().await,
            Mood::Panics => panic!("a closure that panics"),
            _ => Ok(answer),
        }
    }
}

pub(crate) struct Instance {
    pub(crate) redis: Redis,
    pub(crate) seats: Capacity,
    pub(crate) database: Database,
    pub(crate) metrics: Metrics,
}

pub(crate) type Reserved = Result<Served<CapacityVerdict>, CapacityError<io::Error>>;

impl Instance {
    pub(crate) fn at(url: &str, database: &Database) -> Self {
        Self::with(url, database, |builder| builder)
    }

    /// Gates live for the whole test, unless it says otherwise.
    pub(crate) fn with(
        url: &str,
        database: &Database,
        set: impl FnOnce(CapacityBuilder) -> CapacityBuilder,
    ) -> Self {
        let metrics = Metrics::prometheus("test", "a");
        let redis = Redis::new(quick(url, &metrics)).unwrap();
        let builder = Capacity::builder(&redis, "seats").with_gate_lifetime(LONG);
        let seats = set(builder).build().unwrap();
        Self { redis, seats, database: database.clone(), metrics }
    }

    pub(crate) async fn ready(self) -> Self {
        available(&self.redis).await;
        self
    }

    pub(crate) async fn away(&self) {
        away(&self.redis).await;
    }

    pub(crate) async fn reserve_as(&self, event: &str, n: u32, request: &RequestId) -> Reserved {
        let database = &self.database;
        self.seats.reserve(event, n, request, async |ask| database.book(ask).await).await
    }

    pub(crate) async fn reserve(&self, event: &str, n: u32) -> Reserved {
        self.reserve_as(event, n, &RequestId::fresh()).await
    }

    /// Reserves, which must succeed.
    pub(crate) async fn token(&self, event: &str, n: u32) -> Token {
        match self.reserve(event, n).await.unwrap().value {
            CapacityVerdict::Granted { token, .. } => token,
            refused => panic!("{refused:?}"),
        }
    }

    pub(crate) async fn release(&self, event: &str, token: &Token) -> ReleaseVerdict {
        let database = &self.database;
        let released = self
            .seats
            .release(event, token, async |event, token| database.cancel(event, token).await);
        released.await.unwrap().value
    }

    pub(crate) async fn remaining(&self, event: &str) -> Option<u64> {
        self.seats.remaining(event).await.value
    }
}

pub(crate) const LONG: Duration = Duration::from_secs(600);

pub(crate) const FULL: CapacityVerdict = CapacityVerdict::Full { left: 0 };
