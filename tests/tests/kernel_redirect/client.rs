// SPDX-License-Identifier: Apache-2.0
//! A program under interception: it dials what its standard input says, one line at a time.

use std::{
    env,
    io::{self, BufRead as _, BufReader, Write as _},
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd as _,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    storm,
    world::{Cgroup, Site},
};

/// How a client dials.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    Plain,
    /// Through an IPv6 socket to `::ffff:`.
    Mapped,
    /// Non-blocking, then poll.
    NonBlocking,
    /// `TCP_FASTOPEN_CONNECT`, with the first write.
    FastOpen,
    Mptcp,
    /// The held socket once more, after `AF_UNSPEC`.
    Again,
}

/// What a client was told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// `connect()` succeeded, and getpeername said this.
    Peer(SocketAddr),
    Errno(i32),
}

/// The parent's end of a client.
pub(crate) struct Client {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Client {
    /// Starts a client in a namespace and a cgroup.
    pub(crate) fn start(site: &Site, cgroup: &Cgroup) -> Self {
        let spawn = || {
            Command::new(env::current_exe().expect("own path"))
                .args(["--exact", "client_entry", "--nocapture", "--test-threads=1"])
                .env(MARKER, "1")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("start a client")
        };
        let mut child = site.namespace.run(spawn).expect("enter the namespace");
        // It has made no socket yet: it waits for its first line.
        cgroup.add(child.id());
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, input, output }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Dials, and holds the socket until the next dial.
    pub(crate) fn connect(&mut self, manner: Manner, dst: SocketAddr) -> Answer {
        let answer = self.ask(&format!("{manner:?} {dst}"));
        match answer.split_once(' ').expect("two words") {
            ("peer", peer) => Answer::Peer(peer.parse().expect("address")),
            ("errno", errno) => Answer::Errno(errno.parse().expect("number")),
            other => panic!("the client said {other:?}"),
        }
    }

    /// Sends a line and waits for the answer, which is marked to tell it from the test harness's output.
    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.send(line);
        self.answer()
    }

    pub(crate) fn send(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("ask the client");
    }

    pub(crate) fn answer(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.output.read_line(&mut line).expect("read"), 0, "the client ended");
            if let Some((_, answer)) = line.split_once(ANSWER) {
                return answer.trim().to_owned();
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The client itself.
pub(crate) fn main() {
    if env::var_os(MARKER).is_none() {
        return;
    }
    let mut held = None;
    for line in io::stdin().lines() {
        let line = line.expect("read");
        let (word, rest) = line.split_once(' ').expect("two words");
        let answer = if word == "Storm" {
            storm::client(rest)
        } else {
            let dst = rest.parse().expect("address");
            match dial(word, dst, &mut held) {
                Ok(peer) => format!("peer {peer}"),
                Err(error) => format!("errno {}", error.raw_os_error().unwrap_or(-1)),
            }
        };
        println!("{ANSWER}{answer}");
    }
}

fn dial(manner: &str, dst: SocketAddr, held: &mut Option<Socket>) -> io::Result<SocketAddr> {
    let socket = match manner {
        "Again" => {
            let socket = held.take().expect("a socket is held");
            disconnect(&socket)?;
            socket
        }
        "Mapped" => Socket::new(Domain::IPV6, Type::STREAM, None)?,
        "Mptcp" => Socket::new(Domain::for_address(dst), Type::STREAM, Some(Protocol::MPTCP))?,
        _ => Socket::new(Domain::for_address(dst), Type::STREAM, None)?,
    };
    let target = match (manner, dst.ip()) {
        ("Mapped", IpAddr::V4(v4)) => SocketAddr::new(v4.to_ipv6_mapped().into(), dst.port()),
        _ => dst,
    };
    match manner {
        "NonBlocking" => socket.connect_timeout(&target.into(), Duration::from_secs(5))?,
        "FastOpen" => {
            set_fastopen_connect(&socket)?;
            socket.connect(&target.into())?;
            (&socket).write_all(b"hello")?;
        }
        _ => socket.connect(&target.into())?,
    }
    let peer = socket.peer_addr()?.as_socket().expect("an IP peer");
    *held = Some(socket);
    Ok(peer)
}

fn disconnect(socket: &Socket) -> io::Result<()> {
    // SAFETY: all zero is a valid sockaddr of family AF_UNSPEC.
    let address: libc::sockaddr = unsafe { std::mem::zeroed() };
    let length = libc::socklen_t::try_from(size_of_val(&address)).map_err(io::Error::other)?;
    // SAFETY: the address is valid for its length.
    let result = unsafe { libc::connect(socket.as_raw_fd(), &raw const address, length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn set_fastopen_connect(socket: &Socket) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&on)).map_err(io::Error::other)?;
    let (level, option) = (libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT);
    // SAFETY: the option takes an int.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const on).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

const MARKER: &str = "AMBASSADOR_KERNEL_REDIRECT_CLIENT";
const ANSWER: &str = "@answer ";
