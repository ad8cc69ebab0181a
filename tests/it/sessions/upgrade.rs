//! Releases side by side: records in the form before this one, and in one that comes after.

use http::StatusCode;
use serde_json::json;

use super::{
    app::Instance,
    client::{Client, SD},
    support::RedisServer,
};

/// How the release before ended a session.
const DELETE_BEFORE: &str = r"
local record, gone = KEYS[1], KEYS[2]
local existed = redis.call('EXISTS', record)
if existed == 0 and ARGV[2] ~= '1' then return 0 end
local created = redis.pcall('HGET', record, 'c')
if ARGV[3] ~= '' and type(created) == 'string' and tonumber(created) > tonumber(ARGV[3]) then return 0 end
local stands = tonumber(ARGV[1])
local ends = redis.pcall('HGET', record, 'a')
if type(ends) == 'string' and tonumber(ends) then
  local time = redis.call('TIME')
  stands = math.max(stands, tonumber(ends) - (time[1] * 1000 + math.floor(time[2] / 1000)))
end
redis.call('SET', gone, '1', 'PX', string.format('%.0f', math.max(stands, 1)))
redis.call('DEL', record)
return existed";

/// How it touched one.
const TOUCH_BEFORE: &str = r"
local record = KEYS[1]
local held = redis.call('HMGET', record, 'i', 'a')
if not held[1] or not held[2] then return false end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function int(number) return string.format('%.0f', number) end
redis.call('HSET', record, 't', int(now))
redis.call('PEXPIREAT', record, int(math.min(now + tonumber(held[1]), tonumber(held[2]))))
return int(now)";

/// Moves the end in a record's header.
const END_LATER: &str = r"
local ends = struct.unpack('>I8', redis.call('GETRANGE', KEYS[1], 48, 55))
return redis.call('SETRANGE', KEYS[1], 48, struct.pack('>I8', ends + ARGV[1]))";

/// Longer than any session lives by itself, in ms.
const MONTH: u64 = 30 * 24 * 60 * 60 * 1_000;

async fn record(server: &RedisServer) -> String {
    let keys: Vec<String> = server.query(&["KEYS", "evenkeel:session:{*}"]).await.unwrap();
    let records: Vec<_> = keys.into_iter().filter(|key| key.ends_with('}')).collect();
    let [record] = records.as_slice() else { panic!("{records:?}") };
    record.clone()
}

async fn form(server: &RedisServer, record: &str) -> String {
    server.query(&["TYPE", record]).await.unwrap()
}

/// Puts the record into the form in which the release before wrote it. Returns its key.
async fn as_before(server: &RedisServer, user: &str, values: &[(&str, &str)]) -> String {
    let record = record(server).await;
    let value: Vec<u8> = server.query(&["GET", &record]).await.unwrap();
    let number = |at: usize| u64::from_be_bytes(value[at..at + 8].try_into().unwrap()).to_string();
    let ttl: i64 = server.query(&["PTTL", &record]).await.unwrap();
    server.cli(&["DEL", &record]).await.unwrap();
    let mut hset = vec!["HSET".to_owned(), record.clone(), "s".into(), user.into()];
    for (name, at) in [("v", 8), ("c", 24), ("t", 32), ("i", 40), ("a", 48)] {
        hset.extend([name.to_owned(), number(at)]);
    }
    for (key, json) in values {
        hset.extend([format!("k:{key}"), format!("1:{json}")]);
    }
    let hset: Vec<&str> = hset.iter().map(String::as_str).collect();
    server.cli(&hset).await.unwrap();
    server.cli(&["PEXPIRE", &record, &ttl.to_string()]).await.unwrap();
    record
}

#[tokio::test]
async fn a_record_of_the_form_before_is_read_and_becomes_one_value_when_it_is_written() {
    let server = RedisServer::start().await;
    let (a, b) = (Instance::start(&server).await, Instance::start(&server).await);
    let mut client = Client::logged_in(&a, "alice").await;
    let record = as_before(&server, "alice", &[("visits", "4"), ("other", "\"kept\"")]).await;
    let id_only = client.clone().without(SD);
    for client in [&client, &id_only] {
        assert_eq!(client.peek(&b, "/peek").await.json()["session"], "stored");
        assert_eq!(client.read(&a, "other").await, json!("kept"));
        assert_eq!(client.peek(&b, "/fresh").await.body, "alice");
    }
    assert_eq!(form(&server, &record).await, "hash", "a read changes nothing");
    assert_eq!(a.store.list("alice").await.unwrap().len(), 1);
    assert_eq!(client.get(&b, "/me").await.json()["visits"], 5);
    assert_eq!(form(&server, &record).await, "string");
    let ttl: i64 = server.query(&["PTTL", &record]).await.unwrap();
    assert!((1..=86_400_000).contains(&ttl), "{ttl}");
    for (client, visits) in [(&mut client, 6), (&mut id_only.clone(), 7)] {
        assert_eq!(client.read(&a, "other").await, json!("kept"));
        let expected = json!({ "user": "alice", "visits": visits, "session": "stored" });
        assert_eq!(client.get(&a, "/me").await.json(), expected);
    }
    assert_eq!(a.store.list("alice").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_record_of_the_form_before_that_is_only_read_becomes_one_value_in_time() {
    let server = RedisServer::start().await;
    let a = Instance::start(&server).await;
    let client = Client::logged_in(&a, "alice").await;
    let record = as_before(&server, "alice", &[("other", "\"kept\"")]).await;
    // A fifth of a day without use.
    let touched: u64 = server.query(&["HGET", &record, "t"]).await.unwrap();
    let earlier = (touched - 5 * 60 * 60 * 1_000).to_string();
    server.cli(&["HSET", &record, "t", &earlier]).await.unwrap();
    server.cli(&["PEXPIRE", &record, "60000"]).await.unwrap();
    assert_eq!(client.read(&a, "other").await, json!("kept"));
    assert_eq!(form(&server, &record).await, "string");
    let ttl: i64 = server.query(&["PTTL", &record]).await.unwrap();
    assert!(ttl > 60_000, "it was used: {ttl}");
    assert_eq!(client.read(&a, "other").await, json!("kept"));
}

#[tokio::test]
async fn a_restored_record_of_the_form_before_is_not_fresh_and_stays_so() {
    let server = RedisServer::start().await;
    let a = Instance::start(&server).await;
    let mut client = Client::logged_in(&a, "alice").await;
    let record = as_before(&server, "alice", &[]).await;
    server.cli(&["HSET", &record, "r", "1"]).await.unwrap();
    assert_eq!(client.status(&a, "/fresh").await, StatusCode::UNAUTHORIZED);
    client.get(&a, "/set?key=a&value=1").await;
    assert_eq!(form(&server, &record).await, "string");
    assert_eq!(client.status(&a, "/fresh").await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn what_an_instance_of_the_release_before_writes_meanwhile_is_kept_key_by_key() {
    let server = RedisServer::start().await;
    let a = Instance::start(&server).await;
    let client = Client::logged_in(&a, "alice").await;
    let record = as_before(&server, "alice", &[("visits", "0")]).await;
    let slow = tokio::spawn({
        use tower::ServiceExt;
        let request = http::Request::builder().uri("/slow").header("cookie", client.cookies());
        a.router.clone().oneshot(request.body(axum::body::Body::empty()).unwrap())
    });
    a.gate.arrived.acquire().await.unwrap().forget();
    for (key, json) in [("k:b", "2:\"before\""), ("k:visits", "2:9"), ("v", "2")] {
        server.cli(&["HSET", &record, key, json]).await.unwrap();
    }
    a.gate.go.add_permits(1);
    assert_eq!(slow.await.unwrap().unwrap().status(), StatusCode::OK);
    assert_eq!(form(&server, &record).await, "string");
    for (key, value) in [("a", json!("slow")), ("b", json!("before")), ("visits", json!(9))] {
        assert_eq!(client.read(&a, key).await, value, "{key}");
    }
}

#[tokio::test]
async fn an_end_holds_for_both_forms_whichever_release_tells_redis() {
    let server = RedisServer::start().await;
    let (a, b) = (Instance::start(&server).await, Instance::start(&server).await);
    let ended = async |client: Client| {
        for on in [&a, &b] {
            assert_eq!(client.status(on, "/me").await, StatusCode::UNAUTHORIZED);
        }
    };
    // Logged out here, in the form before.
    let client = Client::logged_in(&a, "alice").await;
    let record = as_before(&server, "alice", &[]).await;
    let ends: u64 = server.query(&["HGET", &record, "a"]).await.unwrap();
    let later = (ends + MONTH).to_string();
    server.cli(&["HSET", &record, "a", &later]).await.unwrap();
    assert_eq!(client.status(&a, "/logout").await, StatusCode::NO_CONTENT);
    let gone: u64 = server.query(&["PTTL", &format!("{record}:gone")]).await.unwrap();
    assert!(gone > MONTH, "for as long as it might have lived: {gone}");
    ended(client).await;
    // Everywhere; one that begins later is spared.
    let client = Client::logged_in(&a, "alice").await;
    as_before(&server, "alice", &[]).await;
    assert_eq!(b.store.revoke_all("alice").await.value, 1);
    ended(client).await;
    // By an instance of the release before, in this form.
    let client = Client::logged_in(&a, "alice").await;
    let record = self::record(&server).await;
    let gone = format!("{record}:gone");
    let call = ["EVAL", DELETE_BEFORE, "2", &record, &gone, "600000", "1", ""];
    assert_eq!(server.query::<i64>(&call).await.unwrap(), 1);
    ended(client).await;
}

/// Such a session is not served from Redis there: as in an outage, it goes on with its snapshot, or
/// is 503. Nobody is logged out, and nothing is overwritten.
#[tokio::test]
async fn the_release_before_meets_an_error_where_it_does_not_know_the_form() {
    let server = RedisServer::start().await;
    let a = Instance::start(&server).await;
    let client = Client::logged_in(&a, "alice").await;
    let record = record(&server).await;
    for call in [&["HGETALL", &record][..], &["EVAL", TOUCH_BEFORE, "1", &record]] {
        let error = server.query::<redis::Value>(call).await.unwrap_err();
        assert_eq!(error.code(), Some("WRONGTYPE"), "{error}");
    }
    assert_eq!(client.peek(&a, "/peek").await.json()["session"], "stored");
}

#[tokio::test]
async fn a_record_of_a_later_form_is_left_alone_and_can_be_ended() {
    let server = RedisServer::start().await;
    let a = Instance::start(&server).await;
    let mut client = Client::logged_in(&a, "alice").await;
    let record = record(&server).await;
    server.cli(&["SETRANGE", &record, "3", "\u{2}"]).await.unwrap();
    let before: Vec<u8> = server.query(&["GET", &record]).await.unwrap();
    assert_eq!(&before[..4], b"eks\x02");
    assert_eq!(client.get(&a, "/me").await.json()["session"], "stateless");
    let id_only = client.clone().without(SD);
    assert_eq!(id_only.status(&a, "/me").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(server.query::<Vec<u8>>(&["GET", &record]).await.unwrap(), before);
    // Back to the instance that knows it: what was written meanwhile is brought along.
    server.cli(&["SETRANGE", &record, "3", "\u{1}"]).await.unwrap();
    let expected = json!({ "user": "alice", "visits": 2, "session": "stored" });
    assert_eq!(client.get(&a, "/me").await.json(), expected);
    server.cli(&["SETRANGE", &record, "3", "\u{2}"]).await.unwrap();
    server.cli(&["EVAL", END_LATER, "1", &record, &MONTH.to_string()]).await.unwrap();
    assert_eq!(client.status(&a, "/logout").await, StatusCode::NO_CONTENT);
    let gone: u64 = server.query(&["PTTL", &format!("{record}:gone")]).await.unwrap();
    assert!(gone > MONTH, "its end is read from the header: {gone}");
    assert!(!server.query::<bool>(&["EXISTS", &record]).await.unwrap());
}
