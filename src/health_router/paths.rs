//! Under which paths a router answers what.

use std::borrow::Cow;

/// A document of a [`HealthRouter`](super::HealthRouter), and its path unless
/// [`with_path`](super::HealthRouter::with_path) sets another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HealthPath {
    /// `/health/live`.
    Live,
    /// `/health/ready`.
    Ready,
    /// `/health`.
    Health,
    /// `/health/dependencies`.
    Dependencies,
    /// `/metrics`.
    Metrics,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Document(HealthPath),
    /// The group of this number.
    Group(usize),
}

#[derive(Debug, Clone)]
pub(super) struct Paths(Vec<(Cow<'static, str>, Route)>);

impl Paths {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Route)> {
        self.0.iter().map(|(path, route)| (&**path, *route))
    }

    /// `route` is at `path` from now on, and nothing else is.
    pub(super) fn set(&mut self, route: Route, path: Cow<'static, str>) {
        let path = absolute(path);
        self.0.retain(|(other, of)| *other != path && *of != route);
        self.0.push((path, route));
    }

    pub(super) fn add_prefix(&mut self, prefix: &str) {
        for (path, _) in &mut self.0 {
            *path = absolute(format!("{}{path}", prefix.trim_end_matches('/')).into());
        }
    }
}

impl Default for Paths {
    fn default() -> Self {
        use HealthPath::{Dependencies, Health, Live, Metrics, Ready};
        let paths = [
            ("/health/live", Live),
            ("/health", Health),
            ("/health/ready", Ready),
            ("/health/dependencies", Dependencies),
            ("/metrics", Metrics),
        ];
        Self(paths.map(|(path, document)| (path.into(), Route::Document(document))).into())
    }
}

fn absolute(path: Cow<'static, str>) -> Cow<'static, str> {
    if path.starts_with('/') { path } else { format!("/{path}").into() }
}
