//! What the lockout's script does with what an instance still knows: it is raised again where Redis
//! has lost it, and not over what was unlocked or settled since.

use std::time::Duration;

use super::support::RedisServer;

const SCRIPT: &str = include_str!("../../../src/store/lockout/apply.lua");
const MINUTE: u64 = 60_000;

struct Subject {
    server: RedisServer,
    lock_time: u64,
}

/// What the script answers.
#[derive(Debug)]
struct Told {
    at: u64,
    locked_for: u64,
    attempts: usize,
}

impl Subject {
    async fn new(lock_time: u64) -> Self {
        Self { server: RedisServer::start().await, lock_time }
    }

    async fn apply(&self, op: &str, operand: u64, known: &[u64]) -> Told {
        // Threshold, window, lock time, growth, longest lock, memory of locks, attempt timeout.
        let policy = [5, 15 * MINUTE, self.lock_time, 1, 15 * MINUTE, 0, MINUTE];
        let numbers = [&policy[..], &[operand], known].concat();
        let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
        let mut command = vec!["EVAL", SCRIPT, "1", "subject", op];
        command.extend(numbers.iter().map(String::as_str));
        let answer: Vec<u64> = self.server.query(&command).await.unwrap();
        Told { at: answer[1] / 1_000, locked_for: answer[2], attempts: answer[4..].len() / 3 }
    }

    async fn knows(&self, known: &[u64]) -> Told {
        self.apply("read", 0, known).await
    }

    /// Until Redis's clock shows another millisecond.
    async fn later(&self) -> u64 {
        tokio::time::sleep(Duration::from_millis(2)).await;
        self.knows(&[]).await.at
    }
}

/// A lock that was known at that time.
fn lock(locked_for: u64, as_of: u64) -> [u64; 3] {
    [locked_for, 1, as_of]
}

/// A failure that was known at that time.
fn failure(as_of: u64) -> [u64; 6] {
    [0, 0, as_of, 1, 0, 1]
}

#[tokio::test]
async fn what_was_forgotten_is_raised_again_unless_it_was_unlocked_since() {
    let subject = Subject::new(15 * MINUTE).await;
    let start = subject.knows(&[]).await.at;
    assert!(subject.knows(&lock(MINUTE, start)).await.locked_for > 0);
    subject.later().await;
    let unlocked = subject.apply("unlock", 0, &[]).await;
    assert_eq!(unlocked.locked_for, 0);
    assert_eq!(subject.knows(&lock(MINUTE, start)).await.locked_for, 0, "it was unlocked since");
    let then = subject.knows(&lock(MINUTE, unlocked.at)).await;
    assert_eq!(then.locked_for, 0, "or at that moment");
    let again = subject.knows(&lock(MINUTE, unlocked.at + 1)).await;
    assert!(again.locked_for > 0, "it was locked again");
}

#[tokio::test]
async fn failures_count_again_unless_they_were_settled_since() {
    let subject = Subject::new(50).await;
    let start = subject.knows(&[]).await.at;
    assert_eq!(subject.knows(&failure(start)).await.attempts, 1);
    assert_eq!(subject.knows(&failure(start)).await.attempts, 1, "once");
    subject.later().await;
    let settled = subject.apply("succeed", 2, &[]).await;
    assert_eq!(settled.attempts, 0);
    assert_eq!(subject.knows(&failure(start)).await.attempts, 0, "a success came since");
    assert_eq!(subject.knows(&failure(settled.at)).await.attempts, 0, "or at that moment");
    assert_eq!(subject.knows(&failure(settled.at + 1)).await.attempts, 1, "it failed again");

    // A lock settles those that led to it.
    let before = subject.later().await;
    for nonce in 2..=5 {
        subject.apply("fail", nonce, &[]).await;
    }
    tokio::time::sleep(Duration::from_millis(60)).await;
    let after = subject.knows(&failure(before)).await;
    assert_eq!((after.locked_for, after.attempts), (0, 0));
}

/// Told back, an end comes later by what a trip took.
#[tokio::test]
async fn the_end_of_a_lock_moves_only_by_more_than_a_trip_takes() {
    let subject = Subject::new(15 * MINUTE).await;
    let locked = subject.apply("lock", MINUTE, &[]).await;
    let end = locked.at + locked.locked_for;
    let told = subject.knows(&lock(MINUTE + 500, locked.at)).await;
    let is_late = told.at - locked.at > 500;
    assert!(told.at + told.locked_for == end || is_late, "{told:?}");
    let told = subject.knows(&lock(2 * MINUTE, locked.at)).await;
    assert!(told.at + told.locked_for > end + MINUTE - 1);
}
