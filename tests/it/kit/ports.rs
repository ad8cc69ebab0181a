//! Ports that stay ours, and waiting for a condition.

use std::{collections::BTreeSet, io::ErrorKind, time::Duration};

use tokio::net::TcpStream;

use super::LONG;
use crate::support::{Port, eventually, free_port};

#[test]
fn ports_are_not_given_twice() {
    let ports: Vec<Port> = (0..50).map(|_| Port::take()).collect();
    let numbers: BTreeSet<u16> = ports.iter().map(Port::number).collect();
    assert_eq!(numbers.len(), ports.len());
    assert!(Port::reserve(ports[0].number()).is_none());
}

#[tokio::test]
async fn nothing_listens_on_a_free_port() {
    let error = TcpStream::connect(("127.0.0.1", free_port())).await.expect_err("nobody there");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn eventually_tells_true_from_never() {
    let mut asked = 0;
    let third_time = eventually(LONG, || {
        asked += 1;
        let now = asked == 3;
        async move { now }
    });
    assert!(third_time.await);
    assert!(!eventually(Duration::from_millis(20), || async { false }).await);
    assert!(eventually(Duration::ZERO, || async { true }).await);
}
