//! The application under test, and instances of it.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    extract::Query,
    response::{IntoResponse, Response},
    routing::get,
};
use evenkeel::{
    health::{Backoff, HealthMonitor, State},
    layer::{FreshSession, Session, SessionError, SessionLayer},
    redis::{Redis, RedisConfig},
    store::session::{SessionKeys, SessionStore},
    telemetry::Metrics,
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::support::{FaultProxy, RedisServer, eventually};

/// Long enough for a machine under load; what must be fast is measured against it.
pub(crate) const OP_TIMEOUT: Duration = Duration::from_millis(400);
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn keys() -> SessionKeys {
    SessionKeys::parse(&key(1)).unwrap()
}

/// A secret of this number.
pub(crate) fn key(number: u8) -> String {
    use base64::Engine;
    base64::prelude::BASE64_STANDARD.encode([number; 32])
}

/// Holds `/slow` back until told.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) arrived: Arc<Semaphore>,
    pub(crate) go: Arc<Semaphore>,
}

/// One process of the application.
pub(crate) struct Instance {
    pub(crate) proxy: FaultProxy,
    pub(crate) redis: Redis,
    pub(crate) router: Router,
    pub(crate) store: SessionStore,
    pub(crate) gate: Gate,
    pub(crate) metrics: Metrics,
}

impl Instance {
    pub(crate) async fn start(server: &RedisServer) -> Self {
        Self::with(server, |redis| {
            SessionLayer::new(redis, keys()).with_stateless_keys(["visits", "a", "b", "c"])
        })
        .await
    }

    pub(crate) async fn with(
        server: &RedisServer,
        layer: impl FnOnce(&Redis) -> SessionLayer,
    ) -> Self {
        let instance = Self::unconnected(server, layer).await;
        assert!(instance.monitor().wait_available(PATIENCE).await);
        instance
    }

    /// Of the application that has this namespace and these keys.
    pub(crate) async fn of(server: &RedisServer, namespace: &str, keys: SessionKeys) -> Self {
        let layer =
            |redis: &Redis| SessionLayer::new(redis, keys).with_stateless_keys(["visits", "a"]);
        let instance = Self::configured(server, |c| c.with_namespace(namespace), layer).await;
        assert!(instance.monitor().wait_available(PATIENCE).await);
        instance
    }

    pub(crate) async fn unconnected(
        server: &RedisServer,
        layer: impl FnOnce(&Redis) -> SessionLayer,
    ) -> Self {
        Self::configured(server, |config| config, layer).await
    }

    async fn configured(
        server: &RedisServer,
        configure: impl FnOnce(RedisConfig) -> RedisConfig,
        layer: impl FnOnce(&Redis) -> SessionLayer,
    ) -> Self {
        let proxy = FaultProxy::in_front_of(server).await;
        let metrics = Metrics::prometheus("test", "test");
        let config = RedisConfig::new(proxy.url().parse().unwrap())
            .with_metrics(metrics.clone())
            .with_op_timeout(OP_TIMEOUT);
        let backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(300));
        let health = config.health().clone().with_backoff(backoff);
        let redis = Redis::new(configure(config.with_health(health))).unwrap();
        let layer = layer(&redis);
        let store = layer.store().clone();
        let gate = Gate { arrived: Arc::new(Semaphore::new(0)), go: Arc::new(Semaphore::new(0)) };
        let router = router(layer, gate.clone());
        Self { proxy, redis, router, store, gate, metrics }
    }

    pub(crate) fn monitor(&self) -> &HealthMonitor {
        self.redis.monitor()
    }

    /// Waits until this instance knows that Redis is away.
    pub(crate) async fn knows_the_outage(&self) {
        let down = eventually(PATIENCE, || async {
            self.monitor().request_probe();
            matches!(self.monitor().state(), State::Disconnected | State::Recovering)
                || !self.monitor().is_available()
        });
        assert!(down.await, "the outage was not noticed");
    }

    pub(crate) async fn recovers(&self) {
        let up = eventually(PATIENCE, || async {
            self.monitor().request_probe();
            self.monitor().is_available()
        });
        assert!(up.await, "{:?}", self.monitor().status());
    }

    /// The value of this series; 0 when it is not there.
    pub(crate) fn metric(&self, series: &str) -> u64 {
        let text = self.metrics.render();
        let mut lines = text.lines().filter(|line| {
            let name = series.split('{').next().unwrap();
            let labels =
                series.split_once('{').map_or("", |(_, labels)| labels.trim_end_matches('}'));
            line.starts_with(&format!("{name}{{"))
                && labels.split(',').all(|label| line.contains(label))
        });
        lines.next().and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
    }
}

#[derive(Deserialize)]
struct Params {
    #[serde(default)]
    key: String,
    #[serde(default)]
    value: String,
}

fn router(layer: SessionLayer, gate: Gate) -> Router {
    Router::new()
        .route("/login", get(login))
        .route("/me", get(me))
        .route("/logout", get(logout))
        .route("/peek", get(peek))
        .route("/get", get(read))
        .route("/set", get(set))
        .route("/remove", get(remove))
        .route("/cycle", get(cycle))
        .route("/fresh", get(fresh))
        .route("/renew", get(renew))
        .route("/become", get(become_another))
        .route("/slow", get(slow))
        .route("/untouched", get(|| async { "done" }))
        .layer(Extension(gate))
        .layer(layer)
}

async fn state(session: &Session) -> Result<&'static str, SessionError> {
    Ok(if session.is_stateless().await? { "stateless" } else { "stored" })
}

async fn login(
    session: Session,
    Query(params): Query<Params>,
) -> Result<Json<Value>, SessionError> {
    session.set_subject(params.value.clone()).await?;
    session.insert("visits", 0).await?;
    session.save().await?;
    Ok(Json(json!({ "user": params.value, "session": state(&session).await? })))
}

async fn me(session: Session) -> Result<Response, SessionError> {
    let Some(user) = session.subject().await? else {
        return Ok(StatusCode::UNAUTHORIZED.into_response());
    };
    let visits = session.get::<u64>("visits").await?.unwrap_or(0) + 1;
    session.insert("visits", visits).await?;
    session.save().await?;
    let session = state(&session).await?;
    Ok(Json(json!({ "user": user, "visits": visits, "session": session })).into_response())
}

async fn logout(session: Session) -> Result<StatusCode, SessionError> {
    session.flush().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reads, and changes nothing.
async fn peek(session: Session) -> Result<Response, SessionError> {
    let Some(user) = session.subject().await? else {
        return Ok(StatusCode::UNAUTHORIZED.into_response());
    };
    Ok(Json(json!({ "user": user, "session": state(&session).await? })).into_response())
}

async fn read(
    session: Session,
    Query(params): Query<Params>,
) -> Result<Json<Option<Value>>, SessionError> {
    Ok(Json(session.get(&params.key).await?))
}

async fn set(session: Session, Query(params): Query<Params>) -> Result<&'static str, SessionError> {
    session.insert(&params.key, params.value).await?;
    Ok("set")
}

async fn remove(
    session: Session,
    Query(params): Query<Params>,
) -> Result<&'static str, SessionError> {
    session.remove(&params.key).await?;
    Ok("removed")
}

async fn cycle(session: Session) -> Result<&'static str, SessionError> {
    session.cycle_id().await?;
    Ok("cycled")
}

/// The user has shown the password again.
async fn renew(session: Session) -> Result<&'static str, SessionError> {
    session.renew().await?;
    Ok("renewed")
}

async fn become_another(
    session: Session,
    Query(params): Query<Params>,
) -> Result<&'static str, SessionError> {
    session.set_subject_keeping_values(params.value).await?;
    Ok("renamed")
}

async fn fresh(session: FreshSession) -> Result<String, SessionError> {
    Ok(session.subject().await?.unwrap_or_default())
}

/// Loads and changes its session, and takes its time.
async fn slow(
    session: Session,
    Extension(gate): Extension<Gate>,
) -> Result<&'static str, SessionError> {
    session.insert("a", "slow").await?;
    gate.arrived.add_permits(1);
    gate.go.acquire().await.unwrap().forget();
    Ok("slow")
}
