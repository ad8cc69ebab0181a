//! Cookies of a stranger, with Redis away: whatever they are, no panic, no error page, and nobody's
//! session.
//!
//! `cargo +nightly fuzz run session`
#![no_main]

use std::{convert::Infallible, sync::LazyLock};

use evenkeel::{layer::{Session, SessionLayer}, redis::{Redis, RedisConfig}, respond::ResponseBody, store::session::SessionKeys};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::Runtime;
use tower::{Layer, ServiceExt, service_fn};

type Body = Full<bytes::Bytes>;

struct App {
    runtime: Runtime,
    layer: SessionLayer,
    /// The cookies of somebody who is logged in: id and snapshot.
    good: [String; 2],
}

static APP: LazyLock<App> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let layer = runtime.block_on(async {
        // Nobody listens there.
        let redis = Redis::new(RedisConfig::new("redis://127.0.0.1:9".parse().unwrap())).unwrap();
        SessionLayer::new(&redis, SessionKeys::random()).with_stateless_keys(["a"])
    });
    let mut app = App { runtime, layer, good: Default::default() };
    let answer = app.serve("/login", None);
    let cookies: Vec<_> = answer.headers().get_all(header::SET_COOKIE).iter().collect();
    let pair = |at: usize| cookies[at].to_str().unwrap().split(';').next().unwrap().to_owned();
    app.good = [pair(0), pair(1)];
    app
});

async fn handle(request: Request<()>) -> Result<Response<Body>, Infallible> {
    let session = request.extensions().get::<Session>().unwrap().clone();
    let done = async {
        if request.uri().path() == "/login" {
            session.set_subject("alice").await?;
            session.insert("a", "1").await?;
        }
        session.subject().await
    };
    Ok(match done.await {
        Ok(Some(subject)) => Response::new(Body::from(subject)),
        Ok(None) => {
            Response::builder().status(StatusCode::UNAUTHORIZED).body(Body::default()).unwrap()
        }
        Err(error) => error.response(),
    })
}

impl App {
    fn serve(&self, path: &str, cookies: Option<HeaderValue>) -> Response<ResponseBody<Body>> {
        let mut request = Request::builder().uri(path).body(()).unwrap();
        if let Some(cookies) = cookies {
            request.headers_mut().insert(header::COOKIE, cookies);
        }
        let service = self.layer.layer(service_fn(handle));
        self.runtime.block_on(service.oneshot(request)).unwrap()
    }

    fn refuses(&self, cookies: &[u8]) {
        let Ok(cookies) = HeaderValue::from_bytes(cookies) else { return };
        let answer = self.serve("/", Some(cookies));
        assert!(matches!(
            answer.status(),
            StatusCode::UNAUTHORIZED | StatusCode::SERVICE_UNAVAILABLE
        ));
        assert!(!answer.headers().contains_key(header::SET_COOKIE));
    }
}

fuzz_target!(|data: &[u8]| {
    let app = &*APP;
    let [id, snapshot] = &app.good;
    let both = format!("{id}; {snapshot}");
    assert_eq!(app.serve("/", Some(both.parse().unwrap())).status(), StatusCode::OK);

    // Alone, as an id, as a snapshot beside a good id.
    app.refuses(data);
    app.refuses(&[b"__Host-sid=", data, b"; ", snapshot.as_bytes()].concat());
    app.refuses(&[id.as_bytes(), b"; __Host-sd=", data].concat());

    // The good snapshot, bent: where and how the data says.
    let mut bent = both.clone().into_bytes();
    let value = both.len() - snapshot.len() + "__Host-sd=".len();
    for pair in data.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([pair[0], pair[1]])) % (bent.len() - value);
        bent[value + at] = pair[2];
    }
    if bent != both.as_bytes() {
        app.refuses(&bent);
    }
});
