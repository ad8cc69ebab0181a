//! A client that keeps cookies.

use std::collections::BTreeMap;

use axum::body::Body;
use http::{HeaderMap, Request, StatusCode, header, request::Builder};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use super::app::Instance;

pub(crate) const SID: &str = "__Host-sid";
pub(crate) const SD: &str = "__Host-sd";

/// Its cookies; a copy of it has the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) jar: BTreeMap<String, String>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The cookies that it sets, by name.
    pub(crate) fn set_cookies(&self) -> Vec<(String, String)> {
        let lines = self.headers.get_all(header::SET_COOKIE).iter();
        let pairs = lines.map(|line| line.to_str().unwrap().split(';').next().unwrap().to_owned());
        pairs.map(|pair| pair.split_once('=').map(|(n, v)| (n.into(), v.into())).unwrap()).collect()
    }

    pub(crate) fn sets_nothing(&self) -> bool {
        !self.headers.contains_key(header::SET_COOKIE)
    }
}

impl Client {
    /// Logs in as `user` and has a stored session.
    pub(crate) async fn logged_in(on: &Instance, user: &str) -> Self {
        let mut client = Self::default();
        let answer = client.get(on, &format!("/login?value={user}")).await;
        assert_eq!((answer.status, &answer.json()["session"]), (StatusCode::OK, &"stored".into()));
        assert!(client.jar.contains_key(SID) && client.jar.contains_key(SD));
        client
    }

    pub(crate) fn without(mut self, cookie: &str) -> Self {
        self.jar.remove(cookie).unwrap();
        self
    }

    /// Sends a request and keeps the cookies of its answer.
    pub(crate) async fn get(&mut self, on: &Instance, path: &str) -> Answer {
        let answer = self.peek(on, path).await;
        self.keep(answer)
    }

    /// The same with a JSON body.
    pub(crate) async fn post(&mut self, on: &Instance, path: &str, json: &str) -> Answer {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        let answer = send(on, request, &self.cookies(), json).await;
        self.keep(answer)
    }

    fn keep(&mut self, answer: Answer) -> Answer {
        for (name, value) in answer.set_cookies() {
            assert!(name.len() + 1 + value.len() <= 4096, "a browser would drop {name}");
            if value.is_empty() {
                self.jar.remove(&name);
            } else {
                self.jar.insert(name, value);
            }
        }
        answer
    }

    /// Sends a request and leaves its cookies as they are.
    pub(crate) async fn peek(&self, on: &Instance, path: &str) -> Answer {
        get(on, path, &self.cookies()).await
    }

    /// As they are sent.
    pub(crate) fn cookies(&self) -> String {
        let pairs: Vec<_> =
            self.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    pub(crate) async fn status(&self, on: &Instance, path: &str) -> StatusCode {
        self.peek(on, path).await.status
    }

    /// The value of a key of the session.
    pub(crate) async fn read(&self, on: &Instance, key: &str) -> Value {
        let answer = self.peek(on, &format!("/get?key={key}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()
    }
}

/// A request with these cookies.
pub(crate) async fn get(on: &Instance, path: &str, cookies: &str) -> Answer {
    send(on, Request::get(path), cookies, "").await
}

async fn send(on: &Instance, mut request: Builder, cookies: &str, body: &str) -> Answer {
    if !cookies.is_empty() {
        request = request.header(header::COOKIE, cookies.as_bytes());
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let response = on.router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = String::from_utf8_lossy(&body).into_owned();
    Answer { status: parts.status, headers: parts.headers, body }
}
