//! Requests that go on through everything, and what became of them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::Router;
use tokio::task::JoinSet;

use super::app::{ROUTES, ask};

/// Of each route.
const CLIENTS: usize = 4;
const PAUSE: Duration = Duration::from_millis(3);

/// What the clients saw.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// The longest that any request took.
    pub(crate) longest: Duration,
    answers: BTreeMap<(&'static str, u16), usize>,
}

impl Seen {
    /// How many answers of this status the route has given.
    pub(crate) fn count(&self, route: &str, status: u16) -> usize {
        let matching = self.answers.iter().filter(|((r, s), _)| *r == route && *s == status);
        matching.map(|(_, count)| count).sum()
    }

    /// Answers of this route other than 200.
    pub(crate) fn refused(&self, route: &str) -> usize {
        let matching = self.answers.iter().filter(|((r, s), _)| *r == route && *s != 200);
        matching.map(|(_, count)| count).sum()
    }
}

/// Clients that ask every route again and again; until dropped.
#[derive(Debug)]
pub(crate) struct Traffic {
    _clients: JoinSet<()>,
    seen: Arc<Mutex<Seen>>,
}

impl Traffic {
    pub(crate) fn start(app: &Router) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut clients = JoinSet::new();
        for route in ROUTES {
            for _ in 0..CLIENTS {
                clients.spawn(client(app.clone(), route, Arc::clone(&seen)));
            }
        }
        Self { _clients: clients, seen }
    }

    /// What was seen since the start, or since this was last asked.
    pub(crate) fn seen(&self) -> Seen {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

async fn client(app: Router, route: &'static str, seen: Arc<Mutex<Seen>>) {
    loop {
        let began = Instant::now();
        let (status, _) = ask(&app, route).await;
        let took = began.elapsed();
        {
            let mut seen = seen.lock().unwrap();
            seen.longest = seen.longest.max(took);
            *seen.answers.entry((route, status.as_u16())).or_default() += 1;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
