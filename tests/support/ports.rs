//! TCP ports that stay ours, also while nothing listens on them.
//!
//! A port from the system's ephemeral range can be handed to somebody else while a server is
//! killed or a proxy refuses, and a connect to it can even reach itself. So ports are taken from
//! below that range, and a UDP socket on the same number reserves each one against every other
//! user of this kit, in this process or another. The system frees it when the process ends.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::net::TcpSocket;

const FIRST: u16 = 15_000;
const COUNT: u16 = 15_000;

/// A reserved port on 127.0.0.1; given back on drop.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _reservation: UdpSocket,
}

impl Port {
    /// Reserves a port that nothing listens on.
    pub(crate) fn take() -> Port {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        // Spread over processes; within one, one after the other.
        let start = (std::process::id().wrapping_mul(997) % u32::from(COUNT)) as u16;
        for _ in 0..COUNT {
            let step = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
            let number = FIRST + (start + step) % COUNT;
            if let Some(port) = Port::reserve(number)
                && is_free(number)
            {
                return port;
            }
        }
        panic!("no free port from {FIRST} to {}", FIRST + COUNT - 1);
    }

    /// Reserves this very port, or `None` when another user of the kit has it.
    pub(crate) fn reserve(number: u16) -> Option<Port> {
        let _reservation = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        Some(Port { number, _reservation })
    }

    /// The port's number.
    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}

/// Looks without listening: a copy of a listening socket can live on for a moment in a process that
/// another test starts, and would be in the new owner's way.
fn is_free(number: u16) -> bool {
    let Ok(socket) = TcpSocket::new_v4() else { return false };
    socket.set_reuseaddr(true).is_ok() && socket.bind((Ipv4Addr::LOCALHOST, number).into()).is_ok()
}

/// A port on which nothing listens, and nothing of this kit will until the process ends.
pub(crate) fn free_port() -> u16 {
    let port = Port::take();
    let number = port.number();
    std::mem::forget(port);
    number
}
