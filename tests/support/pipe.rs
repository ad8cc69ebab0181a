//! One connection through the proxy.
//!
//! Requests wait in `requests` until the fault lets them go; then it is decided whether the server
//! gets them or the proxy answers. Answers wait in `answers`. What has left either queue is on the
//! wire and cannot be held back any more.

use std::collections::{BTreeSet, VecDeque};
use std::future::pending;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::fault::{Fault, Flow};
use super::proxy::{Open, Shared};
use super::resp::{Frame, Framer};

/// No more is read from a side while this much of its bytes waits.
const ENOUGH: usize = 256 * 1024;

/// One client's connection.
pub(super) struct Pipe {
    id: u64,
    shared: Arc<Shared>,
    client: TcpStream,
    server: Option<TcpStream>,
    server_ended: bool,
    from_client: Framer,
    from_server: Framer,
    requests: VecDeque<(Instant, Frame)>,
    answers: VecDeque<(Instant, Answer)>,
    /// What is to come back, in the order of the requests.
    expected: VecDeque<Expected>,
    to_server: BytesMut,
    to_client: BytesMut,
    next_drip: Instant,
    /// It has sent the command that [`Fault::HoldThatSends`] holds.
    held: bool,
    /// The lost answer's place was reached: close when `to_client` is written.
    cut: bool,
    /// The commands that went through so far.
    sent: BTreeSet<String>,
    /// `None` when the client has ended. The last field: dropped after the sockets are closed.
    open: Option<Open>,
}

enum Answer {
    Bytes(Bytes),
    Cut,
}

enum Expected {
    FromServer,
    Lost,
    FromProxy(Bytes),
}

/// Why the connection ends.
enum End {
    Close,
    Reset,
}

impl Pipe {
    pub(super) fn new(id: u64, client: TcpStream, shared: Arc<Shared>, open: Open) -> Pipe {
        let _ = client.set_nodelay(true);
        Pipe {
            id,
            shared,
            client,
            server: None,
            server_ended: false,
            from_client: Framer::default(),
            from_server: Framer::default(),
            requests: VecDeque::new(),
            answers: VecDeque::new(),
            expected: VecDeque::new(),
            to_server: BytesMut::new(),
            to_client: BytesMut::new(),
            next_drip: Instant::now(),
            held: false,
            cut: false,
            sent: BTreeSet::new(),
            open: Some(open),
        }
    }

    /// Serves the connection to its end.
    pub(super) async fn run(mut self) {
        if let End::Reset = self.serve().await {
            let _ = self.client.set_zero_linger();
        }
    }

    async fn serve(&mut self) -> End {
        let mut changes = self.shared.control.subscribe();
        loop {
            let control = changes.borrow_and_update().clone();
            if self.id < control.reset_before || control.fault.resets() {
                return End::Reset;
            }
            if self.id < control.closed_before {
                return End::Close;
            }
            let fault = control.fault;
            self.held &= matches!(fault, Fault::HoldThatSends(_));
            let existing = self.id < control.existing_before && fault.holds_existing(&self.sent);
            let held = existing || self.held;
            if self.server.is_none() && !held && fault.reaches_server() {
                let connect = timeout(Duration::from_secs(5), TcpStream::connect(control.upstream));
                tokio::select! {
                    biased;
                    _ = changes.changed() => {}
                    server = connect => match server {
                        Ok(Ok(server)) => {
                            let _ = server.set_nodelay(true);
                            self.server = Some(server);
                        }
                        _ => return End::Reset,
                    }
                }
                continue;
            }

            let to_server = if held { Flow::Held } else { fault.to_server() };
            let to_client = if held { Flow::Held } else { fault.to_client() };
            let next_request = self.release_requests(to_server, &fault);
            let next_answer = self.release_answers(to_client);
            if let Some(end) = self.ended(to_server, to_client) {
                return end;
            }
            let wake = [next_request, next_answer].into_iter().flatten().min();
            tokio::select! {
                biased;
                _ = changes.changed() => {}
                _ = self.client.writable(), if !self.to_client.is_empty() => {
                    if write(&self.client, &mut self.to_client).is_err() {
                        return End::Close;
                    }
                }
                _ = server_writable(self.server.as_ref()), if !self.to_server.is_empty() => {
                    if self.write_server().is_err() {
                        return End::Reset;
                    }
                }
                _ = self.client.readable(), if self.reads_client() => {
                    if self.read_client().is_err() {
                        return End::Close;
                    }
                }
                _ = server_readable(self.server.as_ref()), if self.reads_server() => {
                    if self.read_server().is_err() && to_client != Flow::Held {
                        return End::Reset;
                    }
                }
                _ = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
        }
    }

    /// Lets go the requests that are due; returns when the next one will be.
    fn release_requests(&mut self, flow: Flow, fault: &Fault) -> Option<Instant> {
        let delay = match flow {
            Flow::Held => return None,
            Flow::Late(by) => by,
            Flow::Free | Flow::Drip { .. } => Duration::ZERO,
        };
        let now = Instant::now();
        let mut next = None;
        while let Some((arrived, _)) = self.requests.front() {
            let due = *arrived + delay;
            if due > now {
                next = Some(due);
                break;
            }
            let Some((_, frame)) = self.requests.pop_front() else { break };
            self.decide(frame, fault);
        }
        self.release_own_answers();
        next
    }

    /// Sends one request to the server, or answers it here.
    fn decide(&mut self, frame: Frame, fault: &Fault) {
        let command = frame.command().unwrap_or_default();
        self.held |= fault.holds(&frame);
        self.sent.insert(command.to_uppercase());
        if let Some(answer) = fault.answer_to(&command) {
            self.expected.push_back(Expected::FromProxy(answer.into()));
            return;
        }
        if frame.is_resp {
            let lost = fault.loses(&frame) && self.shared.claim_loss(&frame);
            self.expected.push_back(if lost { Expected::Lost } else { Expected::FromServer });
        }
        self.to_server.extend_from_slice(&frame.data);
    }

    /// Lets go the answers that are due; returns when the next one will be.
    fn release_answers(&mut self, flow: Flow) -> Option<Instant> {
        let now = Instant::now();
        while let Some((arrived, answer)) = self.answers.front_mut() {
            let due = match flow {
                Flow::Held => return None,
                Flow::Free => now,
                Flow::Late(by) => *arrived + by,
                Flow::Drip { .. } => self.next_drip,
            };
            if due > now {
                return Some(due);
            }
            match (answer, flow) {
                (Answer::Cut, _) => {
                    self.cut = true;
                    return None;
                }
                (Answer::Bytes(data), Flow::Drip { bytes, every }) if data.len() > bytes => {
                    self.to_client.extend_from_slice(&data.split_to(bytes));
                    self.next_drip = now + every;
                }
                (Answer::Bytes(data), _) => {
                    self.to_client.extend_from_slice(data);
                    self.answers.pop_front();
                    if let Flow::Drip { every, .. } = flow {
                        self.next_drip = now + every;
                    }
                }
            }
        }
        None
    }

    /// Moves the proxy's own answers up when no answer of the server stands before them.
    fn release_own_answers(&mut self) {
        while let Some(Expected::FromProxy(_)) = self.expected.front() {
            let Some(Expected::FromProxy(data)) = self.expected.pop_front() else { break };
            self.answers.push_back((Instant::now(), Answer::Bytes(data)));
        }
    }

    /// Whether the connection is over, seen from what is still to be passed on.
    fn ended(&self, to_server: Flow, to_client: Flow) -> Option<End> {
        let sent = self.requests.is_empty() && self.to_server.is_empty();
        // A held direction hides the end too.
        let client_gone = self.open.is_none() && sent;
        if client_gone && (to_server != Flow::Held || self.server.is_none()) {
            return Some(End::Close);
        }
        let answered = self.answers.is_empty() && self.to_client.is_empty();
        let server_gone = self.server_ended && answered && to_client != Flow::Held;
        let cut = self.cut && self.to_client.is_empty();
        (server_gone || cut).then_some(End::Close)
    }

    fn reads_client(&self) -> bool {
        let waiting: usize = self.requests.iter().map(|(_, frame)| frame.data.len()).sum();
        self.open.is_some() && waiting + self.to_server.len() < ENOUGH
    }

    fn reads_server(&self) -> bool {
        let length = |answer: &(Instant, Answer)| match &answer.1 {
            Answer::Bytes(data) => data.len(),
            Answer::Cut => 0,
        };
        let waiting: usize = self.answers.iter().map(length).sum();
        !self.server_ended && waiting + self.to_client.len() < ENOUGH
    }

    fn read_client(&mut self) -> io::Result<()> {
        match read(&self.client)? {
            Read::Nothing => return Ok(()),
            Read::Bytes(bytes) => self.from_client.push(&bytes),
            Read::End => self.open = None,
        }
        let now = Instant::now();
        while let Some(frame) = self.from_client.next_frame() {
            self.requests.push_back((now, frame));
        }
        Ok(())
    }

    fn read_server(&mut self) -> io::Result<()> {
        let Some(server) = &self.server else { return Ok(()) };
        let now = Instant::now();
        match read(server) {
            Ok(Read::Nothing) => return Ok(()),
            Ok(Read::Bytes(bytes)) => self.from_server.push(&bytes),
            Ok(Read::End) => self.server_ended = true,
            Err(error) => {
                self.server_ended = true;
                return Err(error);
            }
        }
        while let Some(frame) = self.from_server.next_frame() {
            self.take_answer(now, frame);
        }
        if self.server_ended
            && let Some(rest) = self.from_server.rest()
        {
            self.answers.push_back((now, Answer::Bytes(rest.data)));
        }
        Ok(())
    }

    fn take_answer(&mut self, now: Instant, frame: Frame) {
        let mut answer = Answer::Bytes(frame.data.clone());
        if !frame.is_resp {
            // Nobody can say which request this answers: nothing waits for the server any more.
            self.expected.retain(|expected| matches!(expected, Expected::FromProxy(_)));
        } else if !frame.is_push()
            && let Some(Expected::Lost) = self.expected.pop_front()
        {
            answer = Answer::Cut;
        }
        self.answers.push_back((now, answer));
        self.release_own_answers();
    }

    fn write_server(&mut self) -> io::Result<()> {
        match &self.server {
            Some(server) => write(server, &mut self.to_server),
            None => Ok(()),
        }
    }
}

enum Read {
    Nothing,
    Bytes(Bytes),
    End,
}

fn read(socket: &TcpStream) -> io::Result<Read> {
    let mut bytes = BytesMut::with_capacity(16 * 1024);
    match socket.try_read_buf(&mut bytes) {
        Ok(0) => Ok(Read::End),
        Ok(_) => Ok(Read::Bytes(bytes.freeze())),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Read::Nothing),
        Err(error) => Err(error),
    }
}

fn write(socket: &TcpStream, bytes: &mut BytesMut) -> io::Result<()> {
    match socket.try_write(bytes) {
        Ok(written) => bytes.advance(written),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

async fn server_readable(server: Option<&TcpStream>) -> io::Result<()> {
    match server {
        Some(server) => server.readable().await,
        None => pending().await,
    }
}

async fn server_writable(server: Option<&TcpStream>) -> io::Result<()> {
    match server {
        Some(server) => server.writable().await,
        None => pending().await,
    }
}
