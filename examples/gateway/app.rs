//! What the handlers share, and the routes put together.

use axum::{
    Router,
    extract::Request,
    middleware::{map_request, map_response},
};
use evenkeel::{
    health_router::HealthRouter,
    jobs::Jobs,
    layer::{
        RequestHead, SessionLayer,
        client_key::{ClientKey, TrustedProxies},
    },
    redis::Redis,
    store::{rate::Quota, revocation::Revocations},
    telemetry::Metrics,
};
use tower_http::limit::RequestBodyLimitLayer;

use crate::{
    database::Database,
    errors,
    items::{self, Items},
    jobs, limited,
    login_guard::{ClientAddress, LoginGuard},
    pages, redis_routes,
    seats::{self, Seats},
    sessions,
    tokens::{self, TokenKeys},
};

/// More than any route needs.
const MAX_BODY: usize = 64 * 1024;

/// What the routes stand on.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) redis: Redis,
    pub(crate) database: Database,
    pub(crate) rate_limit: Quota,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) sessions: SessionLayer,
    pub(crate) revocations: Revocations,
    pub(crate) token_keys: TokenKeys,
    pub(crate) login_guard: LoginGuard,
    pub(crate) items: Items,
    pub(crate) seats: Seats,
    pub(crate) jobs: Jobs,
    /// `None`: `METRICS=off`.
    pub(crate) metrics: Option<Metrics>,
}

impl App {
    /// Every route. Each feature brings its own.
    pub(crate) fn router(&self) -> Router {
        Router::new()
            .merge(pages::routes())
            .merge(redis_routes::routes(self))
            .merge(limited::routes(&self.redis, &self.rate_limit, &self.trusted_proxies))
            .merge(self.sessions_by_address())
            .merge(tokens::routes(self))
            .merge(items::routes(self.items.clone()))
            .merge(seats::routes(self.seats.clone()))
            .merge(jobs::routes(self.jobs.clone()))
            .merge(self.health())
            .fallback(errors::no_such_route)
            .layer(self.sessions.clone())
            .layer(RequestBodyLimitLayer::new(MAX_BODY))
            .layer(map_response(errors::as_json))
    }

    fn sessions_by_address(&self) -> Router {
        let address = ClientKey::address(self.trusted_proxies.clone());
        sessions::routes(self.login_guard.clone()).layer(map_request(
            move |mut request: Request| {
                if let Some(address) = address.subject(&RequestHead::new(&request)) {
                    request.extensions_mut().insert(ClientAddress(address));
                }
                std::future::ready(request)
            },
        ))
    }

    /// Redis may be away; without its database the gateway is of no use.
    fn health(&self) -> HealthRouter {
        let database = self.database.clone();
        let health =
            HealthRouter::new(self.redis.monitor()).with_version(env!("CARGO_PKG_VERSION"));
        let health = health.critical("database", move || {
            let database = database.clone();
            async move { database.check().await }
        });
        match &self.metrics {
            Some(metrics) => health.with_metrics(metrics),
            None => health,
        }
    }
}
