//! Whose log lines are collected.

use tracing::Level;

use crate::support::LogCapture;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_of_every_thread_are_collected() {
    let logs = LogCapture::start();
    tracing::info!(target: "evenkeel::health", port = 6379, "connected to {}", "redis");
    tracing::info!(target: "evenkeel_other", "not ours");
    tracing::error!(target: "hyper", "not ours");
    let spawned = tokio::spawn(async { tracing::debug!(target: "evenkeel", "a probe") });
    spawned.await.expect("a task");
    let blocking = || tracing::warn!(target: "evenkeel", password = "hunter2", "oh");
    tokio::task::spawn_blocking(blocking).await.expect("a thread");
    let lines = logs.lines();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!((lines[0].message.as_str(), lines[0].level), ("connected to redis", Level::INFO));
    assert_eq!(
        (lines[0].fields.as_str(), lines[0].target.as_str()),
        ("port=6379", "evenkeel::health")
    );
    assert_eq!(logs.count_info(), 2);
    assert_eq!(logs.at_least(Level::WARN).len(), 1);
    assert!(logs.contains("hunter2") && !logs.contains("not ours"));
    logs.clear();
    assert!(logs.lines().is_empty());
}

#[test]
fn logs_of_two_runtimes_are_kept_apart() {
    let runtimes = [(), ()].map(|()| tokio::runtime::Runtime::new().expect("a runtime"));
    let captures =
        [0, 1].map(|index: usize| runtimes[index].block_on(async { LogCapture::start() }));
    runtimes[0].block_on(async { tracing::info!(target: "evenkeel", "one") });
    tracing::info!(target: "evenkeel", "outside");
    assert_eq!(captures.each_ref().map(|capture| capture.count_info()), [1, 0]);
    drop(captures);
    let outside = LogCapture::start();
    tracing::info!(target: "evenkeel", "outside");
    assert_eq!(outside.count_info(), 1);
}
