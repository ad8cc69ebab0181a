//! What is known about a request before it is sent, from its commands alone.

use deadpool_redis::redis::Cmd;

use super::{
    commands::{self, Command, Nature},
    conn::Request,
};

/// What a request needs, and how it is counted.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub(super) command: Command,
    pub(super) nature: Nature,
    /// It changes nothing in Redis.
    pub(super) is_read: bool,
}

impl Plan {
    pub(super) fn of(request: Request<'_>) -> Self {
        match request {
            Request::Command(cmd) => Self::of_command(cmd),
            Request::Pipeline(pipeline, ..) => {
                let all = pipeline.cmd_iter().map(Self::of_command).reduce(|one, other| Self {
                    command: Command::PIPELINE,
                    nature: one.nature.max(other.nature),
                    is_read: one.is_read && other.is_read,
                });
                let empty =
                    Self { command: Command::PIPELINE, nature: Nature::Read, is_read: true };
                Self { command: Command::PIPELINE, ..all.unwrap_or(empty) }
            }
        }
    }

    fn of_command(cmd: &Cmd) -> Self {
        let command = Command::of(cmd);
        let is_read = command.nature() == Nature::Read;
        Self { command, nature: commands::nature(command, cmd), is_read }
    }

    /// Sending it twice is as good as once.
    pub(super) fn is_repeatable(self) -> bool {
        self.nature == Nature::Read
    }
}
