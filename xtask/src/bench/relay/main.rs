// SPDX-License-Identifier: Apache-2.0
//! The least that a proxy can do: two threads that copy between two sockets and look at nothing.
//!
//! It is no peer: it shows about what the kernel alone asks for the same work, and so how much a proxy that waits by
//! epoll and copies can still gain. It has no way to wait for a full socket: connections with more than small messages fail.
//!
//! `bench-relay PORT DESTINATION COUNTERS`, all on loopback but the destination.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, connect, listen, setsockopt, socket,
    sockopt,
};

/// Connections that were taken.
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);
/// Pieces that programs have sent: requests, as long as they are small.
static PIECES: AtomicU64 = AtomicU64::new(0);

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let mut word = || words.next().context("bench-relay PORT DESTINATION COUNTERS");
    let (port, destination, counters) = (word()?.parse()?, word()?.parse()?, word()?.parse()?);
    for _ in 0..2 {
        let listener = shared_listener(port)?;
        thread::spawn(move || Relay::new(listener, destination).and_then(Relay::run));
    }
    serve_counters(counters)
}

/// One of several listeners of `port`, among which the kernel divides connections.
fn shared_listener(port: u16) -> Result<TcpListener> {
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_NONBLOCK, None)?;
    setsockopt(&socket, sockopt::ReusePort, &true)?;
    bind(socket.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)))?;
    listen(&socket, Backlog::new(4096)?)?;
    Ok(socket.into())
}

/// One thread, and what it carries.
struct Relay {
    epoll: Epoll,
    listener: TcpListener,
    destination: SockaddrIn,
    /// By descriptor.
    ends: Vec<Option<End>>,
    buffer: Vec<u8>,
}

/// One of the two sockets of a connection.
struct End {
    stream: TcpStream,
    peer: usize,
    side: Side,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Program,
    /// Not connected yet.
    Dialling,
    Server,
}

impl Relay {
    fn new(listener: TcpListener, destination: SocketAddrV4) -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::empty())?;
        epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
        Ok(Self {
            epoll,
            listener,
            destination: destination.into(),
            ends: Vec::new(),
            buffer: vec![0; PIECE],
        })
    }

    fn run(mut self) -> Result<()> {
        let mut events = vec![EpollEvent::empty(); 256];
        loop {
            let count = self.epoll.wait(&mut events, EpollTimeout::NONE)?;
            for event in &events[..count] {
                match event.data() {
                    LISTENER => self.accept()?,
                    descriptor => self.carry(usize::try_from(descriptor)?, event.events())?,
                }
            }
        }
    }

    fn accept(&mut self) -> Result<()> {
        let program = match self.listener.accept() {
            Ok((program, _)) => program,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        program.set_nonblocking(true)?;
        program.set_nodelay(true)?;
        let server = self.dial()?;
        let (from, to) = (descriptor(&program)?, descriptor(&server)?);
        let events =
            EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        self.epoll.add(&server, EpollEvent::new(events, to as u64))?;
        self.ends.resize_with(self.ends.len().max(from.max(to) + 1), || None);
        self.ends[from] = Some(End { stream: program, peer: to, side: Side::Program });
        self.ends[to] = Some(End { stream: server, peer: from, side: Side::Dialling });
        CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn dial(&self) -> Result<TcpStream> {
        let socket: OwnedFd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_NONBLOCK, None)?;
        match connect(socket.as_raw_fd(), &self.destination) {
            Ok(()) | Err(Errno::EINPROGRESS) => {}
            Err(error) => return Err(error).context("dial"),
        }
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Copies what has come to the socket `from`; an end or an error of either socket ends both.
    fn carry(&mut self, from: usize, events: EpollFlags) -> Result<()> {
        // A pair that has ended earlier in the same batch.
        let Some(Some(end)) = self.ends.get_mut(from) else { return Ok(()) };
        let peer = end.peer;
        if end.side == Side::Dialling {
            end.side = Side::Server;
            let events = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
            if let Some(program) = &self.ends[peer] {
                self.epoll.add(&program.stream, EpollEvent::new(events, peer as u64))?;
            }
        }
        // Without an end a short read has emptied the socket.
        let ends = events.intersects(EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR);
        loop {
            let (Some(end), Some(other)) = (&self.ends[from], &self.ends[peer]) else { return Ok(()) };
            match (&end.stream).read(&mut self.buffer) {
                Ok(count @ 1..) if (&other.stream).write_all(&self.buffer[..count]).is_ok() => {
                    if end.side == Side::Program {
                        PIECES.fetch_add(1, Ordering::Relaxed);
                    }
                    if count < PIECE && !ends {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Ok(_) | Err(_) => {
                    self.ends[from] = None;
                    self.ends[peer] = None;
                    return Ok(());
                }
            }
        }
    }
}

fn descriptor(stream: &TcpStream) -> Result<usize> {
    Ok(usize::try_from(stream.as_raw_fd())?)
}

/// Shows the counters to whoever asks.
fn serve_counters(port: u16) -> Result<()> {
    for asked in TcpListener::bind((Ipv4Addr::LOCALHOST, port))?.incoming() {
        let mut asked = asked?;
        // To the end of its head: a close that leaves some of it unread would be a reset.
        for line in BufReader::new(&asked).lines() {
            if line?.is_empty() {
                break;
            }
        }
        let (connections, pieces) = (CONNECTIONS.load(Ordering::Relaxed), PIECES.load(Ordering::Relaxed));
        let page = format!("connections {connections}\npieces {pieces}\n");
        let length = page.len();
        write!(asked, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{page}")?;
    }
    Ok(())
}

/// Stands for the listener among the descriptors.
const LISTENER: u64 = u64::MAX;
const PIECE: usize = 32 * 1024;
