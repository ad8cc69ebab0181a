//! Whatever a stranger sends for a cookie, it is no session, and never an error page.

use http::StatusCode;

use super::{
    app::Instance,
    client::{Client, SD, SID, get},
    support::{Fault, RedisServer},
};

/// Tampered, truncated, oversized, duplicated, foreign.
fn bad(good: &Client) -> Vec<String> {
    let (sid, sd) = (&good.jar[SID], &good.jar[SD]);
    let mut tampered = sd.clone().into_bytes();
    let at = tampered.len() / 2;
    tampered[at] = if tampered[at] == b'A' { b'B' } else { b'A' };
    let tampered = String::from_utf8(tampered).unwrap();
    let cases = [
        format!("{SID}={}; {SD}={sd}", &sid[1..]),
        format!("{SID}={sid}A; {SD}={sd}"),
        format!("{SID}=; {SD}="),
        format!("{SID}; {SD}"),
        format!("{SID}={}; {SD}={sd}", "A".repeat(5_000)),
        format!("{SID}={sid}; {SID}=AAAAAAAAAAAAAAAAAAAAAA; {SD}={sd}"),
        format!("{SID}=\"{sid}\"; {SD}={sd}"),
        format!("{SID}=AAAAAAAAAAAAAAAAAAAAAA; {SD}={sd}"),
        format!("sid={sid}; sd={sd}; session=eyJhbGciOiJub25lIn0; =; ;;"),
        format!("{SD}={sd}"),
        // Those whose id is good and whose snapshot is not: only Redis can say.
        format!("{SID}={sid}; {SD}={tampered}"),
        format!("{SID}={sid}; {SD}={}", &sd[..sd.len() / 2]),
        format!("{SID}={sid}; {SD}={}", "A".repeat(20_000)),
        format!("{SID}={sid}; {SD}={sd}; {SD}={tampered}"),
    ];
    cases.into()
}

const ID_IS_GOOD_FROM: usize = 10;

/// What it carries is not opened again from here on, which helps nobody else.
async fn be_remembered(good: &Client, on: &Instance) {
    for _ in 0..3 {
        assert_eq!(good.status(on, "/peek").await, StatusCode::OK);
    }
}

#[tokio::test]
async fn bad_cookies_are_no_session() {
    let server = RedisServer::start().await;
    let a = Instance::start(&server).await;
    let good = Client::logged_in(&a, "alice").await;
    for (at, cookies) in bad(&good).iter().enumerate() {
        let expected = if at < ID_IS_GOOD_FROM { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
        let shown = cookies.chars().take(60).collect::<String>();
        assert_eq!(get(&a, "/peek", cookies).await.status, expected, "{at}: {shown}");
    }
    a.proxy.set(Fault::Refuse).await;
    a.knows_the_outage().await;
    be_remembered(&good, &a).await;
    for (at, cookies) in bad(&good).iter().enumerate() {
        // An id that may be one can only be judged by Redis; a snapshot that does not open never
        // speaks for it.
        let status = get(&a, "/peek", cookies).await.status;
        let expected: &[StatusCode] = match at {
            ID_IS_GOOD_FROM.. => &[StatusCode::SERVICE_UNAVAILABLE],
            7 => &[StatusCode::SERVICE_UNAVAILABLE],
            _ => &[StatusCode::UNAUTHORIZED],
        };
        assert!(expected.contains(&status), "{at}: {status}");
    }
    assert_eq!(good.status(&a, "/peek").await, StatusCode::OK);
}

#[tokio::test]
async fn every_flipped_bit_is_rejected() {
    let server = RedisServer::start().await;
    let a = Instance::start(&server).await;
    let good = Client::logged_in(&a, "alice").await;
    a.proxy.set(Fault::Refuse).await;
    a.knows_the_outage().await;
    be_remembered(&good, &a).await;
    for at in 0..good.jar[SD].len() {
        for bit in 0..7 {
            let mut bent = good.jar[SD].clone().into_bytes();
            bent[at] ^= 1 << bit;
            // What no header can hold does not arrive.
            if !(b' '..=b'~').contains(&bent[at]) {
                continue;
            }
            let mut client = good.clone();
            client.jar.insert(SD.into(), String::from_utf8(bent).unwrap());
            let status = client.status(&a, "/peek").await;
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "character {at}, bit {bit}");
        }
    }
}

#[tokio::test]
async fn a_subject_of_any_characters_is_kept_apart() {
    let server = RedisServer::start().await;
    let a = Instance::start(&server).await;
    for user in ["a%3Ab", "%7Ba%7D", "%0A", "%F0%9F%8E%A3", "x".repeat(500).as_str()] {
        let mut client = Client::default();
        let user_says =
            client.get(&a, &format!("/login?value={user}")).await.json()["user"].clone();
        assert_eq!(client.get(&a, "/me").await.json()["user"], user_says);
        assert_eq!(a.store.list(user_says.as_str().unwrap()).await.unwrap().len(), 1);
    }
}
