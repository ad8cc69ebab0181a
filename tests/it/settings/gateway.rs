//! The example `gateway` as a process with an environment of its own.

use std::{
    process::{Output, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
};

use super::support::{Port, eventually};
use crate::example;

pub(crate) const LONG: Duration = Duration::from_secs(20);

fn command(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(example::gateway());
    command.env_clear().env("DATABASE_PATH", ":memory:").env("LISTEN_ADDR", "127.0.0.1:0");
    command.envs(variables.iter().copied()).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end, which settings that cannot be read bring about.
pub(crate) async fn run(variables: &[(&str, &str)]) -> Output {
    let output = command(variables).output();
    tokio::time::timeout(LONG, output).await.expect("it does not end").unwrap()
}

/// One that serves.
pub(crate) struct Gateway {
    process: Child,
    port: Port,
}

impl Gateway {
    pub(crate) async fn start(variables: &[(&str, &str)]) -> Self {
        let port = Port::take();
        let mut command = command(variables);
        command.env("LISTEN_ADDR", format!("127.0.0.1:{}", port.number()));
        let gateway = Self { process: command.spawn().unwrap(), port };
        let serves = eventually(LONG, || async { gateway.get("/health/live").await.is_some() });
        assert!(serves.await, "the gateway does not serve");
        gateway
    }

    /// The whole answer, head and body.
    pub(crate) async fn get(&self, path: &str) -> Option<String> {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port.number())).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    }

    /// Ends it, and gives all that it has written.
    pub(crate) async fn stop(mut self) -> String {
        self.process.start_kill().unwrap();
        let output = self.process.wait_with_output().await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        text(&output.stdout) + &text(&output.stderr)
    }
}
