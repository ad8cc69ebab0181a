//! The router merged into one of axum.

use axum::Router;

use super::router::HealthRouter;

/// For [`Router::merge`]. (`Router::nest_service` and `Router::fallback_service` take the
/// [`HealthRouter`] itself.)
impl<S> From<HealthRouter> for Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    fn from(health: HealthRouter) -> Self {
        let mount = |router: Self, (path, _)| router.route_service(path, health.clone());
        health.routes().fold(Self::new(), mount)
    }
}
