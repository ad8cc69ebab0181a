//! A TCP proxy that breaks the wire on demand.

use std::collections::BTreeSet;
use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::net::{Shutdown, shutdown};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use super::fault::Fault;
use super::pipe::Pipe;
use super::ports::Port;
use super::resp::Frame;
use super::server::RedisServer;

/// Stands in front of any TCP address (made for Redis) and does what its [`Fault`] says.
///
/// It runs on the runtime that started it and ends, with all its connections, on drop.
#[derive(Debug)]
pub(crate) struct FaultProxy {
    port: u16,
    shared: Arc<Shared>,
    acceptor: AbortHandle,
}

impl FaultProxy {
    /// Starts a proxy that passes everything to `upstream`.
    pub(crate) async fn start(upstream: SocketAddr) -> FaultProxy {
        let port = Port::take();
        let number = port.number();
        let listener = listen(number).await.expect("the proxy's reserved port");
        let shared = Arc::new(Shared::new(upstream));
        let acceptor = tokio::spawn(accept(shared.clone(), port, listener)).abort_handle();
        FaultProxy { port: number, shared, acceptor }
    }

    /// Starts a proxy that passes everything to this server.
    pub(crate) async fn in_front_of(server: &RedisServer) -> FaultProxy {
        FaultProxy::start(server.addr()).await
    }

    /// Changes the fault. On return it holds: the listening socket is closed or open again, and
    /// the connections that had to be reset are gone.
    pub(crate) async fn set(&self, fault: Fault) {
        let next = self.accepted() as u64;
        let resets = fault.resets();
        let mut change = 0;
        self.shared.control.send_modify(|control| {
            control.changes += 1;
            change = control.changes;
            if resets {
                control.reset_before = next;
            }
            control.existing_before = next;
            control.fault = fault;
        });
        let mut applied = self.shared.applied.subscribe();
        wait_for("the proxy's listener", applied.wait_for(|applied| *applied >= change)).await;
        if resets {
            self.closed_before(next).await;
        }
    }

    /// The fault in force.
    pub(crate) fn fault(&self) -> Fault {
        self.shared.control.borrow().fault.clone()
    }

    /// Sends new connections to another address (as a name does that moved); old ones stay.
    pub(crate) fn set_upstream(&self, upstream: SocketAddr) {
        self.shared.control.send_modify(|control| control.upstream = upstream);
    }

    /// Closes every open connection; new ones are welcome.
    pub(crate) async fn cut_all(&self) {
        let next = self.accepted() as u64;
        self.shared.control.send_modify(|control| control.closed_before = next);
        self.closed_before(next).await;
    }

    /// How many connections clients hold open now.
    pub(crate) fn connections(&self) -> usize {
        self.shared.open.borrow().len()
    }

    /// How many connections were accepted in all.
    pub(crate) fn accepted(&self) -> usize {
        self.shared.accepted.lock().unwrap().len()
    }

    /// When each connection was accepted.
    pub(crate) fn accept_times(&self) -> Vec<Instant> {
        self.shared.accepted.lock().unwrap().clone()
    }

    /// Where clients connect.
    pub(crate) fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// `redis://127.0.0.1:<port>/`
    pub(crate) fn url(&self) -> String {
        format!("redis://{}/", self.addr())
    }

    async fn closed_before(&self, id: u64) {
        let mut open = self.shared.open.subscribe();
        let closed = open.wait_for(|open| open.range(..id).next().is_none());
        wait_for("the proxy's old connections", closed).await;
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.acceptor.abort(); // the connections' tasks go with it
    }
}

/// What the proxy, its acceptor and its connections have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) control: watch::Sender<Control>,
    /// The last change that the acceptor has carried out.
    applied: watch::Sender<u64>,
    accepted: Mutex<Vec<Instant>>,
    open: watch::Sender<BTreeSet<u64>>,
}

/// Stands for one connection that a client holds open; until dropped.
#[derive(Debug)]
pub(super) struct Open {
    id: u64,
    shared: Arc<Shared>,
}

impl Open {
    fn new(id: u64, shared: Arc<Shared>) -> Open {
        shared.open.send_if_modified(|open| open.insert(id));
        Open { id, shared }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.open.send_if_modified(|open| open.remove(&self.id));
    }
}

/// The orders. Connections are numbered as they come, from 0.
#[derive(Debug, Clone)]
pub(super) struct Control {
    pub(super) fault: Fault,
    pub(super) upstream: SocketAddr,
    /// Connections before this one were open when the fault was set.
    pub(super) existing_before: u64,
    pub(super) reset_before: u64,
    pub(super) closed_before: u64,
    changes: u64,
}

impl Shared {
    fn new(upstream: SocketAddr) -> Shared {
        let control = Control {
            fault: Fault::Pass,
            upstream,
            existing_before: 0,
            reset_before: 0,
            closed_before: 0,
            changes: 0,
        };
        Shared {
            control: watch::Sender::new(control),
            applied: watch::Sender::new(0),
            accepted: Mutex::default(),
            open: watch::Sender::default(),
        }
    }

    /// Whether the answer to this request is the one to lose; `true` once only.
    pub(super) fn claim_loss(&self, request: &Frame) -> bool {
        self.control.send_if_modified(|control| {
            let claimed = control.fault.loses(request);
            if claimed {
                control.fault = Fault::Pass;
            }
            claimed
        })
    }
}

async fn accept(shared: Arc<Shared>, port: Port, listener: Listener) {
    let mut control = shared.control.subscribe();
    let mut listener = Some(listener);
    let mut pipes = JoinSet::new();
    loop {
        let (listens, change) = {
            let control = control.borrow_and_update();
            (control.fault.listens(), control.changes)
        };
        if !listens {
            listener = None;
        } else if listener.is_none() {
            listener = listen(port.number()).await.ok();
        }
        if listener.is_some() == listens {
            shared.applied.send_replace(change);
        }
        tokio::select! {
            biased;
            _ = control.changed() => {}
            Some(_) = pipes.join_next() => {}
            client = next_client(listener.as_ref()) => {
                let Ok(client) = client else { continue };
                let id = {
                    let mut accepted = shared.accepted.lock().unwrap();
                    accepted.push(Instant::now());
                    accepted.len() as u64 - 1
                };
                let open = Open::new(id, shared.clone());
                pipes.spawn(Pipe::new(id, client, shared.clone(), open).run());
            }
        }
    }
}

async fn next_client(listener: Option<&Listener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => listener.0.accept().await.map(|(client, _)| client),
        None => pending().await,
    }
}

/// Listens until dropped, and no longer: closing alone would leave that to every process on its
/// way from fork to exec, for each has a copy of the socket.
struct Listener(TcpListener);

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = shutdown(&self.0, Shutdown::Both);
    }
}

async fn listen(port: u16) -> io::Result<Listener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map(Listener)
}

async fn wait_for<T>(what: &str, done: impl Future<Output = T>) {
    if tokio::time::timeout(Duration::from_secs(10), done).await.is_err() {
        panic!("{what} did not follow the change within 10 s");
    }
}
