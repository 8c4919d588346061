// SPDX-License-Identifier: Apache-2.0
//! A scripted TCP server: every accepted connection runs a closure on a thread of its own.
//!
//! It exists as the ground of the faulty HTTP upstream, the witness, and every raw peer of a suite. It can be closed
//! and opened again at the same address, so that connects are refused for a while.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::socket::{Shutdown as Direction, shutdown};
use socket2::SockRef;

use crate::namespace::Namespace;

/// A listening server. Dropping it closes the listener and every connection.
pub struct TcpPeer {
    address: SocketAddr,
    serve: Arc<Serve>,
    listener: Option<Arc<TcpListener>>,
    accepted: Arc<AtomicUsize>,
    open: Arc<Mutex<Vec<Weak<TcpStream>>>>,
}

type Serve = dyn Fn(&TcpStream, usize) -> Result<()> + Send + Sync;

impl TcpPeer {
    /// Listens at `address` (port 0: any) in `namespace`; `serve` gets each connection and its number from 0 on. The
    /// connection is closed when `serve` returns.
    pub fn start(
        namespace: &Namespace,
        address: SocketAddr,
        serve: impl Fn(&TcpStream, usize) -> Result<()> + Send + Sync + 'static,
    ) -> Result<Self> {
        let serve = Arc::new(serve);
        let mut peer =
            Self { address, serve, listener: None, accepted: Arc::default(), open: Arc::default() };
        peer.listen(namespace)?;
        Ok(peer)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it accepted.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Stops listening: new connects are refused. Accepted connections go on.
    pub fn refuse(&mut self) {
        if let Some(listener) = self.listener.take() {
            // Wakes the accepting thread, which holds the other reference.
            let _ = shutdown(listener.as_raw_fd(), Direction::Both);
        }
    }

    /// Closes every connection that is open.
    pub fn hang_up(&self) {
        for stream in lock(&self.open).drain(..).filter_map(|stream| stream.upgrade()) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Listens again after [`TcpPeer::refuse`].
    pub fn listen(&mut self, namespace: &Namespace) -> Result<()> {
        let wanted = self.address;
        let bound = namespace.enter(move || Ok(TcpListener::bind(wanted)?));
        let listener = Arc::new(bound.with_context(|| format!("listen at {wanted}"))?);
        self.address = listener.local_addr()?;
        self.listener = Some(Arc::clone(&listener));
        let (serve, accepted, open) =
            (Arc::clone(&self.serve), Arc::clone(&self.accepted), Arc::clone(&self.open));
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let number = accepted.fetch_add(1, Ordering::SeqCst);
                let stream = Arc::new(stream);
                let mut streams = lock(&open);
                streams.retain(|stream| stream.strong_count() > 0);
                streams.push(Arc::downgrade(&stream));
                let serve = Arc::clone(&serve);
                // A client that goes away in the middle is an ordinary end of a connection.
                std::thread::spawn(move || serve(&stream, number).ok());
            }
        });
        Ok(())
    }
}

impl Drop for TcpPeer {
    fn drop(&mut self) {
        self.refuse();
        self.hang_up();
    }
}

/// Closes the connection with RST instead of FIN.
pub fn reset(stream: &TcpStream) -> Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).context("set SO_LINGER to 0")
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
