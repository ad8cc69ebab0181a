//! A child process that never outlives the test, however the test ends.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// Kills the process `$1` and removes the directory `$2` when its own standard input ends, which
/// the system sees to even when the test process is killed outright.
const WATCHER: &str = "trap '' INT TERM HUP; read -r _; kill -9 \"$1\"; rm -rf \"$2\"";

/// A running (or stopped, or dead) child; killed on drop.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    watcher: Child,
}

impl Process {
    /// Starts `command` without standard streams. `dir` is removed if the test process dies
    /// without dropping this.
    pub(crate) fn spawn(mut command: Command, dir: &Path) -> std::io::Result<Process> {
        let mut child = silent(&mut command).stdin(Stdio::null()).spawn()?;
        let mut watcher = Command::new("sh");
        watcher.args(["-c", WATCHER, "watcher", &child.id().to_string()]).arg(dir);
        match silent(&mut watcher).stdin(Stdio::piped()).spawn() {
            Ok(watcher) => Ok(Process { child, watcher }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Whether it has not exited (a frozen process is running).
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGSTOP; returns when the process has stopped.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
        // NOWAIT: an exit seen here is left for `Child` to collect.
        let seen = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let _ = waitid(WaitId::Pid(self.pid()), seen);
    }

    /// SIGCONT.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Asks for a graceful end and waits for it; kills when it takes longer than `patience`.
    pub(crate) async fn terminate(mut self, patience: Duration) -> Option<ExitStatus> {
        if self.is_running() {
            self.thaw();
            self.signal(Signal::TERM);
        }
        let deadline = Instant::now() + patience;
        while self.is_running() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.child.try_wait().ok().flatten()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn signal(&self, signal: Signal) {
        let _ = kill_process(self.pid(), signal);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        // Before the child is collected: afterwards its number may belong to another process.
        let _ = self.watcher.kill();
        let _ = self.watcher.wait();
        let _ = self.child.wait();
    }
}

fn silent(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::null()).stderr(Stdio::null())
}
