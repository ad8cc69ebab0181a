//! The page that lists the routes.

use axum::{Router, response::Html, routing::get};

pub(crate) fn routes() -> Router {
    Router::new().route("/", get(home))
}

async fn home() -> Html<&'static str> {
    Html(include_str!("home.html"))
}
