//! What a client shows at a logout ends, however it shows it; and cookies as the layer was told.

use evenkeel::layer::{SameSite, SessionLayer};
use http::StatusCode;

use super::{
    app::{Instance, keys},
    client::{Client, SD, SID, get},
    support::{Fault, RedisServer},
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

#[tokio::test]
async fn more_sessions_than_a_client_can_have_are_not_said_to_have_ended() {
    let server = RedisServer::start().await;
    let a = Instance::start(&server).await;
    let alice = Client::logged_in(&a, "alice").await;
    let others = (0..40_u8).map(|n| format!("{SID}={n:02}{}", &alice.jar[SID][2..]));
    let shown = others.chain([alice.cookies()]).collect::<Vec<_>>().join("; ");
    assert_eq!(get(&a, "/logout", &shown).await.status, StatusCode::SERVICE_UNAVAILABLE);
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
