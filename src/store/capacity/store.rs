//! The handle.

use std::{fmt, future::Future, sync::Arc};

use super::{
    failure::{BookingError, CapacityError},
    inner::{Inner, Pending},
    law::{Gate, Outcome, Seen},
    truth::{Booking, Cancellation, RequestId, SeatRequest, Token, check},
    truth_call::ask,
    verdict::{CapacityVerdict, ReleaseVerdict},
};
use crate::{Error, ErrorKind, Served, Source};

/// Seats of many events, each with a capacity, that are never oversold. Cheap to clone.
///
/// See the [module](super) for how it works.
#[derive(Clone)]
pub struct Capacity {
    pub(super) inner: Arc<Inner>,
}

impl Capacity {
    /// Reserves `seats` of the event. `book` makes the reservation in the database, by one
    /// conditional write; nothing else makes one. It is not called where the gate refuses; with a
    /// [given](RequestId::given) id it is called all the same, to look for an earlier reservation
    /// ([`SeatRequest::only_repeated`]).
    ///
    /// The [source](Served::source) is `Redis` where the gate was asked, `Memory` where the event
    /// was known here to be full, and `Database` where Redis was not there to be asked.
    ///
    /// A future that is dropped leaves the seats taken, as far as the gate goes, until the next
    /// [reconciliation](Self::reconcile), because the database may have made the reservation.
    ///
    /// # Errors
    ///
    /// [`CapacityError::Invalid`] without seats, or for an event whose name has not 1 to 256 bytes.
    /// All others come from `book`. Never about Redis.
    ///
    /// # When Redis is down
    ///
    /// `book` is called at once, without I/O to Redis. Where the outage is found out by this very
    /// request it waits for one `op_timeout` first.
    ///
    /// ```no_run
    /// # use evenkeel::store::capacity::*;
    /// # struct Database;
    /// # impl Database {
    /// #     async fn book(&self, _: SeatRequest) -> Result<Booking, std::io::Error> {
    /// #         Ok(Booking::Full(Occupancy::new(100, 100)))
    /// #     }
    /// # }
    /// # async fn demo(seats: Capacity, db: Database) -> Result<(), CapacityError<std::io::Error>> {
    /// let request = RequestId::fresh();
    /// let verdict = seats.reserve("hall", 2, &request, async |ask| Ok(db.book(ask).await?)).await?;
    /// if let CapacityVerdict::Granted { token, left, .. } = verdict.value {
    ///     println!("{token}: two seats, and {left} left");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn reserve<F, Fut, E>(
        &self,
        event: &str,
        seats: u32,
        request: &RequestId,
        book: F,
    ) -> Result<Served<CapacityVerdict>, CapacityError<E>>
    where
        F: FnOnce(SeatRequest) -> Fut,
        Fut: Future<Output = Result<Booking, BookingError<E>>>,
    {
        let shared = &*self.inner.shared;
        if request.is_fresh()
            && seats > 0
            && let Some(left) = shared.sold_out.refuses(event, seats)
        {
            return Ok(self.decided(CapacityVerdict::Full { left }, Source::Memory));
        }
        check("event", event).map_err(CapacityError::Invalid)?;
        if seats == 0 {
            let none = Error::new(ErrorKind::Invalid, "at least one seat has to be asked for");
            return Err(CapacityError::Invalid(none));
        }
        let begun = shared.sold_out.begin(event);
        let (entered, refusal) = self.inner.enter(event, seats).await;
        if let Some(refusal) = refusal
            && request.is_fresh()
        {
            if let CapacityVerdict::Full { left } = refusal {
                shared.sold_out.remember(begun, left);
            }
            return Ok(self.decided(refusal, entered.source));
        }
        let asked = SeatRequest {
            event: event.into(),
            seats,
            request_id: request.text(),
            token: Token::random(),
            hold: shared.hold,
            only_repeated: entered.seen == Seen::Full,
        };
        let token = asked.token;
        let answer = {
            let _pending =
                (entered.seen == Seen::NotAsked).then(|| Pending::new(&self.inner, event));
            let answer = ask(shared.timeout, || book(asked)).await;
            if let (Some(pending), Err(CapacityError::NotDone(_))) = (&_pending, &answer) {
                pending.settle();
            }
            answer
        };
        let (outcome, verdict) = match answer {
            Ok(Booking::Taken(truth)) => {
                (Outcome::Taken(truth), granted(token, truth.left(), false))
            }
            Ok(Booking::Repeated(token, truth)) => {
                (Outcome::Repeated(truth), granted(token, truth.left(), true))
            }
            Ok(Booking::Full(truth)) => {
                (Outcome::Full(truth), CapacityVerdict::refusal(seats, truth))
            }
            Err(error) => {
                let is_not_done = matches!(error, CapacityError::NotDone(_));
                let outcome = if is_not_done { Outcome::NotDone } else { Outcome::Unknown };
                self.inner.tell(event, seats, &entered, outcome).await;
                shared.metrics.failed(entered.source);
                return Err(error);
            }
        };
        self.inner.tell(event, seats, &entered, outcome).await;
        if let CapacityVerdict::Full { left } = verdict {
            shared.sold_out.remember(begun, left);
        }
        Ok(self.decided(verdict, entered.source))
    }

    /// Gives back the seats of a reservation. `cancel` does so in the database, by one conditional
    /// write; it is asked always. The same token a second time releases nothing.
    ///
    /// # Errors
    ///
    /// As [`reserve`](Self::reserve), from `cancel`. Where it is not known what the database did
    /// the gate is given up, and the next request asks the database.
    ///
    /// # When Redis is down
    ///
    /// `cancel` is called all the same. The gate is given up before Redis counts as available
    /// again.
    pub async fn release<F, Fut, E>(
        &self,
        event: &str,
        token: &Token,
        cancel: F,
    ) -> Result<Served<ReleaseVerdict>, CapacityError<E>>
    where
        F: FnOnce(Arc<str>, Token) -> Fut,
        Fut: Future<Output = Result<Cancellation, BookingError<E>>>,
    {
        let shared = &*self.inner.shared;
        check("event", event).map_err(CapacityError::Invalid)?;
        // Before the database is asked: however this ends, the gate does not stay too low.
        let pending = Pending::new(&self.inner, event);
        let answer = ask(shared.timeout, || cancel(event.into(), *token)).await;
        let is_up = shared.switch.is_up();
        let source = if is_up { Source::Redis } else { Source::Database };
        let verdict = match answer {
            Ok(Cancellation::Released(seats, truth)) => {
                shared.sold_out.release(event);
                if is_up {
                    self.inner.tell_release(event, seats, &pending).await;
                }
                ReleaseVerdict::Released { seats, left: truth.left() }
            }
            Ok(Cancellation::Unknown(truth)) => {
                pending.settle();
                ReleaseVerdict::Unknown { left: truth.left() }
            }
            Err(error) => {
                if !error.is_outcome_unknown() {
                    pending.settle();
                }
                shared.sold_out.release(event);
                shared.metrics.failed(source);
                return Err(error);
            }
        };
        shared.metrics.released(source);
        if !is_up {
            shared.switch.record_fallback();
        }
        Ok(Served::new(verdict, source))
    }

    /// What the gate has left: at most what the database has. `None`: the gate does not know (yet),
    /// or Redis is away.
    pub async fn remaining(&self, event: &str) -> Served<Option<u64>> {
        let shared = &*self.inner.shared;
        let (gates, since) = (&shared.touched.gates, shared.touched.since());
        let mut connection = shared.redis.connection();
        let gate = gates.look(&mut connection, event, since);
        let gate = shared.switch.ask(gate, || Gate::Unknown).await;
        gate.map(|gate| match gate {
            Gate::Known { left } => Some(left),
            Gate::Unknown => None,
        })
    }

    fn decided(&self, verdict: CapacityVerdict, source: Source) -> Served<CapacityVerdict> {
        self.inner.shared.metrics.decided(&verdict, source);
        Served::new(verdict, source)
    }
}

const fn granted(token: Token, left: u64, is_repeated: bool) -> CapacityVerdict {
    CapacityVerdict::Granted { token, left, is_repeated }
}

impl fmt::Debug for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capacity").field("name", &self.inner.name).finish_non_exhaustive()
    }
}
