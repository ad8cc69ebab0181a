//! Seats: never oversold, Redis or no Redis, over all gateways on one database.

use std::{num::NonZeroU32, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use evenkeel::{
    Error,
    redis::Redis,
    store::capacity::{
        BookingError, Capacity, CapacityError, CapacityVerdict, Reconciled, ReleaseVerdict,
        RequestId, Token, Truth,
    },
};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::json;

use crate::{database::Database, errors};

type DatabaseError = tokio_rusqlite::Error<tokio_rusqlite::rusqlite::Error>;

/// Longer than SQLite waits for another process's lock.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest name of an event.
const LONGEST_NAME: usize = 64;

/// The seats of all events.
#[derive(Clone)]
pub(crate) struct Seats {
    capacity: Capacity,
    database: Database,
}

impl Seats {
    pub(crate) async fn open(
        redis: &Redis,
        database: &Database,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        database.prepare_seats().await?;
        let capacity = Capacity::builder(redis, "seats").with_timeout(DATABASE_TIMEOUT).build()?;
        Ok(Self { capacity, database: database.clone() })
    }

    /// Puts the gates of all events right.
    pub(crate) async fn reconcile(&self) -> Reconciled {
        self.capacity.reconcile(self.truths()).await
    }

    /// All events, read page by page.
    fn truths(&self) -> impl Stream<Item = Result<Truth, DatabaseError>> {
        let pages = stream::try_unfold(Some(String::new()), |after| async {
            let Some(after) = after else { return Ok(None) };
            let page = self.database.events_after(after).await?;
            let last = page.last().map(|truth| truth.event.clone());
            Ok::<_, DatabaseError>(last.map(|last| (stream::iter(page).map(Ok), Some(last))))
        });
        pages.try_flatten()
    }
}

pub(crate) fn routes(seats: Seats) -> Router {
    Router::new()
        .route("/events/{id}/reserve", post(reserve))
        .route("/events/{id}/release", post(release))
        .with_state(seats)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    seats: NonZeroU32,
    request_id: Option<String>,
}

async fn reserve(
    State(seats): State<Seats>,
    Path(event): Path<String>,
    Json(order): Json<Order>,
) -> Response {
    if !is_event(&event) {
        return no_such_event();
    }
    let request = match order.request_id.as_deref().map(RequestId::given) {
        Some(Ok(request)) => request,
        Some(Err(error)) => return bad_request(&error),
        None => RequestId::fresh(),
    };
    let database = &seats.database;
    let book = async |ask| database.book(ask).await.map_err(BookingError::from);
    let verdict = match seats.capacity.reserve(&event, order.seats.get(), &request, book).await {
        Ok(verdict) => verdict,
        Err(error) => return refused(error),
    };
    match verdict.value {
        CapacityVerdict::Granted { token, left, .. } => {
            let source = verdict.source.as_str();
            let token = token.to_string();
            Json(json!({ "token": token, "remaining": left, "source": source })).into_response()
        }
        CapacityVerdict::TooMany { capacity } => {
            conflict(format!("the event has {capacity} seats in all"), None)
        }
        CapacityVerdict::Full { left } => conflict(format!("{left} seats are left"), Some(left)),
        _ => conflict("they do not fit".to_owned(), None),
    }
}

#[derive(Deserialize)]
struct Return {
    token: String,
}

async fn release(
    State(seats): State<Seats>,
    Path(event): Path<String>,
    Json(back): Json<Return>,
) -> Response {
    if !is_event(&event) {
        return no_such_event();
    }
    let database = &seats.database;
    // What is no token at all is not known either.
    let Ok(token) = Token::parse(&back.token) else {
        return match database.seats_left(&event).await {
            Ok(left) => released(false, left),
            Err(error) => errors::database_is_down(&error),
        };
    };
    let cancel = async |event: std::sync::Arc<str>, token| {
        database.cancel(&event, token).await.map_err(BookingError::from)
    };
    match seats.capacity.release(&event, &token, cancel).await.map(|verdict| verdict.value) {
        Ok(ReleaseVerdict::Released { left, .. }) => released(true, left),
        Ok(ReleaseVerdict::Unknown { left }) => released(false, left),
        Ok(_) => StatusCode::OK.into_response(),
        Err(error) => refused(error),
    }
}

fn released(is_released: bool, left: u64) -> Response {
    Json(json!({ "released": is_released, "remaining": left })).into_response()
}

/// Each event of a name that can be one has seats.
fn is_event(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic())
}

fn no_such_event() -> Response {
    (StatusCode::NOT_FOUND, "an event has 1 to 64 letters, digits or signs").into_response()
}

fn bad_request(error: &Error) -> Response {
    (StatusCode::BAD_REQUEST, format!("requestId: {error}")).into_response()
}

fn conflict(message: String, left: Option<u64>) -> Response {
    let mut body = json!({ "error": "Conflict", "message": message });
    if let Some(left) = left {
        body["remaining"] = left.into();
    }
    (StatusCode::CONFLICT, Json(body)).into_response()
}

fn refused(error: CapacityError<DatabaseError>) -> Response {
    match error {
        CapacityError::Invalid(error) => {
            (StatusCode::BAD_REQUEST, error.to_string()).into_response()
        }
        error => errors::database_is_down(&error),
    }
}
