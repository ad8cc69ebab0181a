//! What a client shows at a logout ends, however it shows it; and cookies as the layer was told.

use evenkeel::layer::{SameSite, SessionLayer};
use http::StatusCode;
use proptest::{
    prelude::*,
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use tower::ServiceExt;

use super::{
    app::{Instance, OP_TIMEOUT, PATIENCE, keys},
    client::{Client, SD, SID, get},
    support::{Fault, RedisServer, eventually},
};

/// Logged in twice, with a cookie for each: nobody can say which of the two is meant.
async fn both_ways(on: &Instance) -> (Client, Client, Vec<String>) {
    let (one, other) = (Client::logged_in(on, "alice").await, Client::logged_in(on, "bob").await);
    let ([sid, sd], [other_sid, other_sd]) =
        [&one, &other].map(|client| [&client.jar[SID], &client.jar[SD]]).into();
    let ways = vec![
        format!("{SID}={sid}; {SID}={other_sid}"),
        format!("{SID}={sid}; sid={other_sid}"),
        format!("{SID}=\"{sid}\"; __Secure-sid=\"{other_sid}\""),
        format!("{SD}={sd}; {SD}={other_sd}"),
        format!("{SD}=\"{sd}\"; {SID}={other_sid}; x=y"),
        format!("{SID}={sid}; {SD}={other_sd}"),
    ];
    (one, other, ways)
}

#[tokio::test]
async fn a_logout_ends_whatever_sessions_the_cookies_name() {
    let server = RedisServer::start().await;
    let (a, b) = (Instance::start(&server).await, Instance::start(&server).await);
    for is_away in [false, true] {
        for way in 0..6 {
            let (one, other, ways) = both_ways(&a).await;
            if is_away {
                a.proxy.set(Fault::Refuse).await;
                a.knows_the_outage().await;
            }
            let answer = get(&a, "/logout", &ways[way]).await;
            assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", ways[way]);
            if is_away {
                a.proxy.set(Fault::Pass).await;
                a.recovers().await;
            }
            for client in [&one, &other] {
                for on in [&a, &b] {
                    let status = client.status(on, "/me").await;
                    assert_eq!(status, StatusCode::UNAUTHORIZED, "{is_away} {}", ways[way]);
                }
            }
        }
    }
}

/// One cookie at a logout: of which of three sessions, and how it is shown.
#[derive(Debug, Clone)]
struct Shown {
    of: usize,
    is_snapshot: bool,
    /// Of the names that an id may have had.
    name: usize,
    is_quoted: bool,
    /// In the second `Cookie` line.
    is_apart: bool,
}

/// Cookies of three sessions in any number, order and form, with others' in between.
fn arrangement() -> impl Strategy<Value = Vec<Shown>> {
    let one = (0..3_usize, any::<bool>(), 0..3_usize, any::<bool>(), any::<bool>());
    let one = one.prop_map(|(of, is_snapshot, name, is_quoted, is_apart)| Shown {
        of,
        is_snapshot,
        name,
        is_quoted,
        is_apart,
    });
    proptest::collection::vec(one, 0..6)
}

async fn log_out(on: &Instance, sessions: &[Client], shown: &[Shown]) -> StatusCode {
    let mut lines = [String::from("theme=dark"), String::from("sid=none of ours")];
    for Shown { of, is_snapshot, name, is_quoted, is_apart } in shown {
        // A snapshot is sealed for the name that it was given.
        let (name, value) = match is_snapshot {
            true => (SD, &sessions[*of].jar[SD]),
            false => ([SID, "__Secure-sid", "sid"][*name], &sessions[*of].jar[SID]),
        };
        let quote = if *is_quoted { "\"" } else { "" };
        let cookie = format!("; {name}={quote}{value}{quote};x=\"y");
        lines[usize::from(*is_apart)].push_str(&cookie);
    }
    let mut request = http::Request::get("/logout");
    for line in &lines {
        request = request.header(http::header::COOKIE, line);
    }
    let request = request.body(axum::body::Body::empty()).unwrap();
    on.router.clone().oneshot(request).await.unwrap().status()
}

#[tokio::test]
async fn whatever_cookies_are_shown_what_they_name_ends_and_nothing_else_does() {
    const ARRANGEMENTS: usize = 24;
    let server = RedisServer::start().await;
    let (a, b) = (Instance::start(&server).await, Instance::start(&server).await);
    let mut random = TestRunner::default();
    for is_away in [false, true] {
        let mut all = Vec::new();
        for _ in 0..ARRANGEMENTS {
            let shown = arrangement().new_tree(&mut random).unwrap().current();
            let mut sessions = Vec::new();
            for user in ["alice", "bob", "carol"] {
                sessions.push(Client::logged_in(&a, user).await);
            }
            all.push((shown, sessions));
        }
        if is_away {
            a.proxy.set(Fault::Refuse).await;
            a.knows_the_outage().await;
        }
        for (shown, sessions) in &all {
            assert_eq!(log_out(&a, sessions, shown).await, StatusCode::NO_CONTENT, "{shown:?}");
        }
        if is_away {
            a.proxy.set(Fault::Pass).await;
            a.recovers().await;
        }
        for (shown, sessions) in &all {
            for (at, session) in sessions.iter().enumerate() {
                let expected = match shown.iter().any(|shown| shown.of == at) {
                    true => StatusCode::UNAUTHORIZED,
                    false => StatusCode::OK,
                };
                for on in [&a, &b] {
                    let status = session.status(on, "/peek").await;
                    assert_eq!(status, expected, "away: {is_away}, {at} of {shown:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_goes_away_in_the_middle_has_logged_out_of_all_that_it_showed() {
    let server = RedisServer::start().await;
    let (a, b) = (Instance::start(&server).await, Instance::start(&server).await);
    let (one, other) = (Client::logged_in(&a, "alice").await, Client::logged_in(&a, "bob").await);
    a.proxy.set(Fault::BlackHole).await;
    let cookies = format!("{SD}={}; {SD}={}", one.jar[SD], other.jar[SD]);
    let given_up = tokio::time::timeout(OP_TIMEOUT / 8, get(&a, "/logout", &cookies)).await;
    assert!(given_up.is_err(), "it was answered before it could go away");
    a.proxy.set(Fault::Pass).await;
    a.recovers().await;
    for client in [&one, &other] {
        for on in [&a, &b] {
            let out = eventually(PATIENCE, || async {
                client.status(on, "/peek").await == StatusCode::UNAUTHORIZED
            });
            assert!(out.await, "it lives on");
        }
    }
}

#[tokio::test]
async fn a_logout_with_cookies_without_number_takes_no_time() {
    let server = RedisServer::start().await;
    let a = Instance::start(&server).await;
    let cookies: Vec<String> = (0..60_000).map(|n| format!("{SID}={n}")).collect();
    let (cookies, began) = (cookies.join(";"), std::time::Instant::now());
    assert_eq!(get(&a, "/logout", &cookies).await.status, StatusCode::NO_CONTENT);
    assert!(began.elapsed() < std::time::Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn more_sessions_than_a_client_can_have_are_not_said_to_have_ended() {
    let server = RedisServer::start().await;
    let a = Instance::start(&server).await;
    let alice = Client::logged_in(&a, "alice").await;
    let others = (0..40_u8).map(|n| format!("{SID}={n:02}{}", &alice.jar[SID][2..]));
    let shown = others.chain([alice.cookies()]).collect::<Vec<_>>().join("; ");
    let answer = get(&a, "/logout", &shown).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.sets_nothing(), "the cookies stay");
}

#[tokio::test]
async fn the_attributes_and_names_are_those_that_the_layer_was_told() {
    let server = RedisServer::start().await;
    let a = Instance::with(&server, |redis| {
        let layer =
            SessionLayer::new(redis, keys()).with_stateless_keys(["visits"]).with_session_cookies();
        let layer = layer.with_domain("example.com").unwrap().with_path("/").unwrap();
        let layer = layer.with_same_site(SameSite::Strict).unwrap();
        layer.with_cookie_names("shop", "__Secure-shop-copy").unwrap()
    })
    .await;
    let mut client = Client::default();
    let answer = client.get(&a, "/login?value=alice").await;
    for line in answer.headers.get_all("set-cookie") {
        let line = line.to_str().unwrap();
        for attribute in ["HttpOnly", "SameSite=Strict", "Secure", "Path=/", "Domain=example.com"] {
            assert!(line.contains(attribute), "{line}");
        }
        assert!(!line.contains("Max-Age"), "{line}");
    }
    let names: Vec<_> = client.jar.keys().map(String::as_str).collect();
    assert_eq!(names, ["__Secure-shop-copy", "shop"]);
    assert_eq!(client.status(&a, "/peek").await, StatusCode::OK);
    // They carry a session through an outage, and a logout takes both away.
    a.proxy.set(Fault::Refuse).await;
    a.knows_the_outage().await;
    assert_eq!(client.status(&a, "/peek").await, StatusCode::OK);
    assert_eq!(client.get(&a, "/logout").await.status, StatusCode::NO_CONTENT);
    assert!(client.jar.is_empty());
}
