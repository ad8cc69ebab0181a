//! Which path leads where, and what is answered there.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Either, Ready, join_all, ready},
};
use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE},
    request::Parts,
};
use serde::Serialize;

use super::{
    check::Outcome,
    entry::Standing,
    format,
    health_json::{self, Document},
    paths::{HealthPath, Route},
    report::Report,
    router::{HealthRouter, Settings, Visibility},
};
use crate::{
    respond::prefers,
    telemetry::{Metrics, PROMETHEUS_TEXT},
};

const JSON: &str = "application/json";

/// A response that is there at once, or when the checks have been run.
pub(super) type Answer = Either<Ready<Response<Bytes>>, BoxFuture<'static, Response<Bytes>>>;

impl HealthRouter {
    /// The paths that lead somewhere.
    pub(super) fn routes(&self) -> impl Iterator<Item = (&str, Route)> {
        let has_metrics = self.settings.metrics.is_some();
        let metrics = Route::Document(HealthPath::Metrics);
        self.settings.paths.iter().filter(move |(_, route)| has_metrics || *route != metrics)
    }

    /// Where a path leads; `None`: not to this router.
    pub(super) fn route(&self, path: &str) -> Option<Route> {
        self.routes().find_map(|(known, route)| (known == path).then_some(route))
    }

    pub(super) fn answer(&self, parts: &Parts) -> Answer {
        let Some(route) = self.route(parts.uri.path()) else {
            return at_once(parts, error(StatusCode::NOT_FOUND, "There is nothing at this path."));
        };
        if parts.method != Method::GET && parts.method != Method::HEAD {
            let text = "This path can only be read: use GET or HEAD.";
            let mut response = error(StatusCode::METHOD_NOT_ALLOWED, text);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return at_once(parts, response);
        }
        let form = Form::asked_for(parts);
        let (with_details, group) = match route {
            Route::Document(HealthPath::Live) => return at_once(parts, self.settings.alive(form)),
            Route::Document(HealthPath::Metrics) => {
                return at_once(parts, self.settings.metrics());
            }
            Route::Document(HealthPath::Health | HealthPath::Ready) => (false, None),
            Route::Document(HealthPath::Dependencies) => (self.settings.shows_details(parts), None),
            Route::Group(number) => (false, self.settings.groups.get(number)),
        };
        let settings = match group {
            Some(names) => Arc::new(self.settings.only(names)),
            None => Arc::clone(&self.settings),
        };
        if settings.checks.is_empty() {
            return at_once(parts, settings.report(&[], form, with_details));
        }
        let head = parts.method == Method::HEAD;
        Either::Right(
            async move {
                let checks = settings.checks.iter().map(Arc::clone);
                let outcomes = join_all(checks.map(|check| check.outcome(settings.limits))).await;
                finished(head, settings.report(&outcomes, form, with_details))
            }
            .boxed(),
        )
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    HealthJson,
}

impl Form {
    fn asked_for(parts: &Parts) -> Self {
        if prefers(&parts.headers, health_json::TYPE) { Self::HealthJson } else { Self::Plain }
    }
}

#[derive(Serialize)]
struct Liveness {
    status: &'static str,
    uptime: f64,
}

#[derive(Serialize)]
struct ErrorBody {
    error: &'static str,
    message: &'static str,
}

impl Settings {
    fn shows_details(&self, parts: &Parts) -> bool {
        match &self.details {
            Visibility::Everybody => true,
            Visibility::Nobody => false,
            Visibility::If(shown) => shown(parts),
        }
    }

    fn alive(&self, form: Form) -> Response<Bytes> {
        let uptime = format::seconds(self.monitor.uptime());
        match form {
            Form::Plain => json(StatusCode::OK, JSON, &Liveness { status: "ok", uptime }),
            Form::HealthJson => json(StatusCode::OK, health_json::TYPE, &Document::alive(uptime)),
        }
    }

    fn report(&self, outcomes: &[Outcome], form: Form, with_details: bool) -> Response<Bytes> {
        let report = Report::new(self, outcomes, with_details);
        let status = match report.overall {
            Standing::Up | Standing::Degraded => StatusCode::OK,
            Standing::Down => StatusCode::SERVICE_UNAVAILABLE,
        };
        match form {
            Form::Plain => json(status, JSON, &report),
            Form::HealthJson => json(status, health_json::TYPE, &Document::of(&report)),
        }
    }

    fn metrics(&self) -> Response<Bytes> {
        let text = self.metrics.as_ref().and_then(Metrics::exposition);
        response(StatusCode::OK, PROMETHEUS_TEXT, text.unwrap_or_default().into())
    }
}

fn error(status: StatusCode, message: &'static str) -> Response<Bytes> {
    let error = status.canonical_reason().unwrap_or_default();
    json(status, JSON, &ErrorBody { error, message })
}

fn json(status: StatusCode, content_type: &'static str, body: &impl Serialize) -> Response<Bytes> {
    match serde_json::to_vec(body) {
        Ok(body) => response(status, content_type, body.into()),
        // Of numbers, words and names there is nothing that cannot be written.
        Err(error) => {
            tracing::error!(%error, "a health answer could not be written");
            response(StatusCode::INTERNAL_SERVER_ERROR, content_type, Bytes::new())
        }
    }
}

fn response(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Bytes> {
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_LENGTH, length);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn at_once(parts: &Parts, response: Response<Bytes>) -> Answer {
    Either::Left(ready(finished(parts.method == Method::HEAD, response)))
}

/// `HEAD` is `GET` without the body: the headers, the length among them, stay.
fn finished(head: bool, response: Response<Bytes>) -> Response<Bytes> {
    if head { response.map(|_| Bytes::new()) } else { response }
}
