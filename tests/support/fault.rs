//! What can be wrong with the wire.

use std::{collections::BTreeSet, time::Duration};

use super::resp::Frame;

/// How a [`FaultProxy`](super::FaultProxy) behaves. Every fault holds at once for open connections
/// too, unless it says otherwise. A fault that holds bytes back delivers them when it ends, as TCP
/// does after a network outage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Everything passes.
    Pass,
    /// Nothing listens (connects get ECONNREFUSED); open connections are reset.
    Refuse,
    /// Connects succeed and are reset; open connections are reset.
    Reset,
    /// New connects get ECONNREFUSED; open connections pass.
    RefuseNew,
    /// Connects succeed, nothing passes in either direction.
    BlackHole,
    /// Open connections are black-holed; new ones pass.
    HoldExisting,
    /// Connections on which this command is sent are black-holed, from then on; others pass.
    HoldThatSends(String),
    /// Open connections on which this command was sent are black-holed; others and new ones pass.
    HoldUsersOf(String),
    /// Nothing passes from the client to the server; answers pass.
    CutToServer,
    /// Requests reach the server; nothing passes back.
    CutToClient,
    /// Answers come this much later.
    Delay(Duration),
    /// Requests and answers each come this much later.
    DelayBoth(Duration),
    /// Answers come this many bytes at a time.
    Drip {
        /// How many bytes at a time.
        bytes: usize,
        /// The pause after each piece.
        every: Duration,
    },
    /// Every request is answered with bytes that are not RESP; the server sees none of them.
    Garbage,
    /// Every request is answered with this error (without the leading `-`), for example
    /// `LOADING Redis is loading the dataset in memory`; the server sees none of them.
    ErrorReply(String),
    /// Requests of one command are answered with this error; all others pass.
    ErrorReplyTo {
        /// The command's name, such as `SET`.
        command: String,
        /// The error, without the leading `-`.
        error: String,
    },
    /// The next command (of this name, if one is given) reaches the server; its answer is lost and
    /// the connection closed. Then everything passes. Without a name any command is taken, also
    /// a probe's PING.
    LoseNextAnswer(Option<String>),
}

impl Fault {
    /// The server's -LOADING, for every command.
    pub(crate) fn loading() -> Fault {
        Fault::ErrorReply("LOADING Redis is loading the dataset in memory".into())
    }

    /// [`Fault::LoseNextAnswer`] for this command, which may have its first arguments after it.
    pub(crate) fn lose_answer_to(command: &str) -> Fault {
        Fault::LoseNextAnswer(Some(command.into()))
    }

    /// Whether a connection that is open already is black-holed. `sent` are the commands that went
    /// through it.
    pub(super) fn holds_existing(&self, sent: &BTreeSet<String>) -> bool {
        match self {
            Fault::HoldExisting => true,
            Fault::HoldUsersOf(command) => sent.contains(command),
            _ => false,
        }
    }

    pub(super) fn listens(&self) -> bool {
        !matches!(self, Fault::Refuse | Fault::RefuseNew)
    }

    pub(super) fn resets(&self) -> bool {
        matches!(self, Fault::Refuse | Fault::Reset)
    }

    /// Whether a connection needs the server at all.
    pub(super) fn reaches_server(&self) -> bool {
        use Fault::{BlackHole, CutToServer, ErrorReply, Garbage, Refuse, Reset};
        !matches!(self, BlackHole | CutToServer | ErrorReply(_) | Garbage | Refuse | Reset)
    }

    /// The speed of bytes to the server.
    pub(super) fn to_server(&self) -> Flow {
        match self {
            Fault::BlackHole | Fault::CutToServer => Flow::Held,
            Fault::DelayBoth(by) => Flow::Late(*by),
            _ => Flow::Free,
        }
    }

    /// The speed of bytes to the client.
    pub(super) fn to_client(&self) -> Flow {
        match self {
            Fault::BlackHole | Fault::CutToClient => Flow::Held,
            Fault::Delay(by) | Fault::DelayBoth(by) => Flow::Late(*by),
            Fault::Drip { bytes, every } => Flow::Drip { bytes: (*bytes).max(1), every: *every },
            _ => Flow::Free,
        }
    }

    /// What the proxy itself answers to `command`, if it does.
    pub(super) fn answer_to(&self, command: &str) -> Option<Vec<u8>> {
        match self {
            Fault::Garbage => Some(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
            Fault::ErrorReply(error) => Some(format!("-{error}\r\n").into_bytes()),
            Fault::ErrorReplyTo { command: only, error } if only.eq_ignore_ascii_case(command) => {
                Some(format!("-{error}\r\n").into_bytes())
            }
            _ => None,
        }
    }

    /// Whether this request black-holes its connection.
    pub(super) fn holds(&self, request: &Frame) -> bool {
        matches!(self, Fault::HoldThatSends(only) if request.begins_with(only))
    }

    /// Whether the answer to this request is the one to lose.
    pub(super) fn loses(&self, request: &Frame) -> bool {
        match self {
            Fault::LoseNextAnswer(None) => true,
            Fault::LoseNextAnswer(Some(only)) => request.begins_with(only),
            _ => false,
        }
    }
}

/// How bytes move in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Free,
    Held,
    Late(Duration),
    Drip { bytes: usize, every: Duration },
}
