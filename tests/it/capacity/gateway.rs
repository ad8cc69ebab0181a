//! `/events` of gateways on one database, as their clients see it.

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_rusqlite::Connection;

use super::support::{RedisServer, eventually};
use crate::guards::{
    PATIENCE,
    gateway::{Answer, Gateway},
};

impl Gateway {
    /// Posts a body to a route of an event.
    pub(super) async fn event(&self, path: &str, body: &str) -> Answer {
        let length = body.len();
        let request = format!(
            "POST /events/{path} HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        self.raw(request.as_bytes()).await
    }

    async fn reserve(&self, event: &str, seats: u32) -> Answer {
        self.event(&format!("{event}/reserve"), &json!({ "seats": seats }).to_string()).await
    }

    async fn release(&self, event: &str, token: &Value) -> Answer {
        self.event(&format!("{event}/release"), &json!({ "token": token }).to_string()).await
    }
}

/// Reservations of the event, and the seats that are sold of it.
pub(super) async fn rows(disk: &TempDir, event: &str) -> (u32, u32) {
    let path = disk.path().join("gateway.sqlite3");
    let event = event.to_owned();
    let read = Connection::open(path).await.unwrap();
    let rows = read.call(move |read| {
        let rows = "SELECT count(*), (SELECT sold FROM events WHERE id = ?1) FROM reservations \
                    WHERE event = ?1";
        read.query_row(rows, [event], |row| Ok((row.get(0)?, row.get(1)?)))
    });
    rows.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hall_through_every_kind_of_outage() {
    let server = RedisServer::start().await;
    let disk = TempDir::new().unwrap();
    let a = Gateway::start(&server.url(), &disk).await.ready().await;
    let b = Gateway::start(&server.url(), &disk).await.ready().await;

    let first = a.reserve("hall", 60).await;
    assert_eq!((first.status, &first.body["remaining"]), (200, &json!(40)), "{}", first.body);
    assert_eq!(first.body["source"], "redis");
    assert_eq!(first.body.as_object().unwrap().len(), 3);
    let full = b.reserve("hall", 41).await;
    assert_eq!((full.status, &full.body["remaining"]), (409, &json!(40)), "{}", full.body);
    assert_eq!(b.reserve("hall", 101).await.status, 409);

    // The same request, in whichever way it comes again.
    let order = json!({ "seats": 5, "requestId": "r1" }).to_string();
    let (one, other) =
        tokio::join!(a.event("hall/reserve", &order), b.event("hall/reserve", &order));
    assert_eq!((one.status, other.status), (200, 200), "{} {}", one.body, other.body);
    assert_eq!(one.body["token"], other.body["token"]);
    assert_eq!(rows(&disk, "hall").await, (2, 65));

    server.kill();
    a.redis_is(false).await;
    b.redis_is(false).await;
    let again = b.event("hall/reserve", &order).await;
    assert_eq!(again.body["token"], one.body["token"]);
    assert_eq!(again.body["source"], "database");
    let rest = a.reserve("hall", 35).await;
    assert_eq!((rest.status, &rest.body["remaining"]), (200, &json!(0)));
    assert_eq!(b.reserve("hall", 1).await.status, 409);
    let back = b.release("hall", &first.body["token"]).await;
    assert_eq!((back.status, back.body), (200, json!({ "released": true, "remaining": 60 })));
    let twice = a.release("hall", &first.body["token"]).await;
    assert_eq!((twice.status, twice.body), (200, json!({ "released": false, "remaining": 60 })));

    server.restart_empty().await;
    a.redis_is(true).await;
    b.redis_is(true).await;
    let bought = a.reserve("hall", 60).await;
    assert_eq!((bought.status, &bought.body["remaining"]), (200, &json!(0)), "{}", bought.body);
    let again = a.event("hall/reserve", &order).await;
    assert_eq!((again.status, &again.body["token"]), (200, &one.body["token"]));
    assert_eq!(rows(&disk, "hall").await, (3, 100));
    let metrics = a.send("GET", "/metrics", "").await;
    assert_eq!(metrics.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_a_4xx_and_changes_nothing() {
    let server = RedisServer::start().await;
    let disk = TempDir::new().unwrap();
    let gateway = Gateway::start(&server.url(), &disk).await.ready().await;
    let long = format!(r#"{{"seats":1,"requestId":"{}"}}"#, "x".repeat(257));
    for body in [
        "",
        "{",
        "[]",
        "null",
        "{}",
        r#"{"seats":0}"#,
        r#"{"seats":-1}"#,
        r#"{"seats":1.5}"#,
        r#"{"seats":"1"}"#,
        r#"{"seats":null}"#,
        r#"{"seats":4294967296}"#,
        r#"{"seats":1e300}"#,
        r#"{"seats":1,"requestId":7}"#,
        r#"{"seats":1,"requestId":""}"#,
        &long,
    ] {
        let answer = gateway.event("hall/reserve", body).await;
        assert!((400..500).contains(&answer.status), "{body} {}", answer.status);
        assert_ne!(answer.status, 409, "{body}");
        assert!(answer.body["message"].is_string(), "{body} {}", answer.body);
    }
    for seats in [101, u32::MAX] {
        assert_eq!(gateway.reserve("hall", seats).await.status, 409);
    }
    for body in ["", "{}", r#"{"token":7}"#] {
        let answer = gateway.event("hall/release", body).await;
        assert!((400..500).contains(&answer.status), "{body} {}", answer.status);
    }
    let mine = gateway.reserve("hall", 1).await.body["token"].clone();
    let zeros = "0".repeat(32);
    for (event, token) in
        [("hall", "x"), ("hall", ""), ("hall", &zeros), ("yard", mine.as_str().unwrap())]
    {
        let answer = gateway.release(event, &json!(token)).await;
        let left = if event == "hall" { 99 } else { 100 };
        assert_eq!(
            (answer.status, answer.body),
            (200, json!({ "released": false, "remaining": left }))
        );
    }
    for event in ["%00", "%F0%9F%A6%80", "%20", &"x".repeat(65)] {
        let answer = gateway.reserve(event, 1).await;
        assert_eq!(answer.status, 404, "{event} {}", answer.body);
    }
    assert_eq!(gateway.reserve("%FF", 1).await.status, 400);
    assert_eq!(gateway.send("GET", "/events/hall/reserve", "").await.status, 405);
    assert_eq!(rows(&disk, "hall").await, (1, 1));
    assert_eq!(
        gateway.release("hall", &mine).await.body,
        json!({ "released": true, "remaining": 100 })
    );
}

/// Somebody sells past the gates, and the job says what it found.
#[tokio::test(flavor = "multi_thread")]
async fn the_job_puts_the_gates_right_and_says_so() {
    let server = RedisServer::start().await;
    let disk = TempDir::new().unwrap();
    let settings = [("JOB_INTERVAL", "500ms"), ("RUST_LOG", "info")];
    let logs = ["a", "b"].map(|name| disk.path().join(name));
    let mut gateways = Vec::new();
    for log in &logs {
        let to = std::fs::File::create(log).unwrap().into();
        gateways.push(Gateway::with(&server.url(), &disk, &settings, to).await.ready().await);
    }
    let [a, b] = &gateways[..] else { unreachable!() };
    let sold = a.reserve("hall", 100).await;
    assert_eq!(sold.status, 200);
    assert_eq!(b.reserve("hall", 1).await.status, 409);
    // By hand, in the database.
    let write = Connection::open(disk.path().join("gateway.sqlite3")).await.unwrap();
    write
        .call(|write| {
            write.busy_timeout(PATIENCE)?;
            write.execute_batch("DELETE FROM reservations; UPDATE events SET sold = 0")
        })
        .await
        .unwrap();
    let sold_again = async || b.reserve("hall", 1).await.status == 200;
    assert!(eventually(PATIENCE, sold_again).await, "the gate stays closed");
    let jobs = a.send("GET", "/jobs", "").await.body;
    let names: Vec<&Value> =
        jobs["jobs"].as_array().unwrap().iter().map(|job| &job["name"]).collect();
    assert!(names.contains(&&json!("reconcile-seats")), "{jobs}");
    // Whichever of the two has run it.
    let told = async || {
        let texts = logs.iter().map(|log| std::fs::read_to_string(log).unwrap());
        texts.into_iter().any(|text| text.contains("right=0 mended=1 failed=0"))
    };
    assert!(eventually(PATIENCE, told).await, "nobody says what was mended");
}
