// SPDX-License-Identifier: Apache-2.0
//! A program under interception, which may have to wait: it dials what its standard input says, and answers when its
//! `connect()` returns.

use std::{
    env,
    io::{self, BufRead as _, BufReader, Write as _},
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd as _,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    storm,
    world::{Cgroup, PATIENCE, Site},
};

/// How a client dials.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    Plain,
    /// Through an IPv6 socket to `::ffff:`.
    Mapped,
    /// From a source port of its own choice, [`SOURCE_PORT`].
    Bound,
    /// With data in the SYN.
    FastOpen,
    Mptcp,
    /// Begins to dial, and answers at once.
    Begin,
    /// Disconnects what `Begin` began, and begins to dial anew with the same socket.
    Again,
    /// Closes what `Begin` began; the address does not matter.
    Abandon,
    /// Begins to dial and closes, so often as the port says.
    Flood,
}

/// What a client was told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// `connect()` succeeded, and getpeername said this.
    Peer(SocketAddr),
    Errno(i32),
    Done,
}

/// The parent's end of a client.
pub(crate) struct Client {
    child: Child,
    input: ChildStdin,
    answers: Receiver<String>,
}

impl Client {
    /// Starts a client in a namespace and a cgroup.
    pub(crate) fn start(site: &Site, cgroup: &Cgroup) -> Self {
        let spawn = || {
            Command::new(env::current_exe().unwrap())
                .args(["--exact", "client_entry", "--nocapture", "--test-threads=1"])
                .env(MARKER, "1")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        };
        let mut child = site.namespace.run(spawn).unwrap();
        // It has made no socket yet: it waits for its first line.
        cgroup.add(child.id());
        let input = child.stdin.take().unwrap();
        let answers = answers(BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, answers }
    }

    /// Dials and waits for the answer; the socket is held until the next dial.
    pub(crate) fn connect(&mut self, manner: Manner, dst: SocketAddr) -> Answer {
        self.dial(manner, dst);
        self.answer()
    }

    pub(crate) fn dial(&mut self, manner: Manner, dst: SocketAddr) {
        self.send(&format!("{manner:?} {dst}"));
    }

    pub(crate) fn send(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    pub(crate) fn answer(&self) -> Answer {
        self.answer_within(PATIENCE).expect("the client did not answer")
    }

    /// `None` while `connect()` has not returned.
    pub(crate) fn answer_within(&self, patience: Duration) -> Option<Answer> {
        let line = self.answers.recv_timeout(patience).ok()?;
        Some(match line.split_once(' ').unwrap() {
            ("peer", peer) => Answer::Peer(peer.parse().unwrap()),
            ("errno", errno) => Answer::Errno(errno.parse().unwrap()),
            _ => Answer::Done,
        })
    }

    /// What it answers to a storm.
    pub(crate) fn text(&self) -> String {
        self.answers.recv_timeout(6 * PATIENCE).expect("the client did not answer")
    }

    /// Whether one of its namespace's sockets has sent a SYN and heard nothing.
    pub(crate) fn waits_in_syn_sent(&self) -> bool {
        ["tcp", "tcp6"].iter().any(|table| {
            let path = format!("/proc/{}/net/{table}", self.child.id());
            let sockets = std::fs::read_to_string(path).unwrap();
            sockets.lines().any(|line| line.split_whitespace().nth(3) == Some("02"))
        })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The answers, which are marked to tell them from the test harness's output.
fn answers(output: BufReader<ChildStdout>) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in output.lines() {
            let Ok(line) = line else { return };
            if let Some((_, answer)) = line.split_once(ANSWER)
                && sender.send(answer.trim().to_owned()).is_err()
            {
                return;
            }
        }
    });
    receiver
}

/// The client itself.
pub(crate) fn main() {
    if env::var_os(MARKER).is_none() {
        return;
    }
    let mut held = None;
    for line in io::stdin().lines() {
        let line = line.unwrap();
        let (word, rest) = line.split_once(' ').unwrap();
        let answer = if word == "Storm" {
            storm::client(rest)
        } else {
            match dial(word, rest.parse().unwrap(), &mut held) {
                Ok(Some(peer)) => format!("peer {peer}"),
                Ok(None) => "done .".to_owned(),
                Err(error) => format!("errno {}", error.raw_os_error().unwrap_or(-1)),
            }
        };
        println!("{ANSWER}{answer}");
    }
}

fn dial(manner: &str, dst: SocketAddr, held: &mut Option<Socket>) -> io::Result<Option<SocketAddr>> {
    if manner == "Again" {
        let socket = held.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        disconnect(socket)?;
        return connect_at_once(socket, dst).map(|()| None);
    }
    *held = None;
    let socket = match manner {
        "Abandon" => return Ok(None),
        "Flood" => {
            (0..dst.port()).try_for_each(|_| begin(dst).map(drop))?;
            return Ok(None);
        }
        "Begin" => {
            *held = Some(begin(dst)?);
            return Ok(None);
        }
        "Mapped" => Socket::new(Domain::IPV6, Type::STREAM, None)?,
        "Mptcp" => Socket::new(Domain::for_address(dst), Type::STREAM, Some(Protocol::MPTCP))?,
        _ => Socket::new(Domain::for_address(dst), Type::STREAM, None)?,
    };
    let target = match (manner, dst.ip()) {
        ("Mapped", IpAddr::V4(v4)) => SocketAddr::new(v4.to_ipv6_mapped().into(), dst.port()),
        _ => dst,
    };
    if manner == "Bound" {
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::new([0; 4].into(), SOURCE_PORT).into())?;
    }
    if manner == "FastOpen" {
        set_fastopen_without_cookie(&socket)?;
        socket.send_to_with_flags(&[b'x'; 200], &target.into(), libc::MSG_FASTOPEN)?;
    } else {
        socket.connect(&target.into())?;
    }
    let peer = socket.peer_addr()?.as_socket().unwrap();
    *held = Some(socket);
    Ok(Some(peer))
}

/// A socket whose connect is under way.
fn begin(dst: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(dst), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    connect_at_once(&socket, dst)?;
    Ok(socket)
}

fn connect_at_once(socket: &Socket, dst: SocketAddr) -> io::Result<()> {
    match socket.connect(&dst.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(()),
    }
}

/// Back to a socket that is connected to nothing.
fn disconnect(socket: &Socket) -> io::Result<()> {
    let nowhere = libc::sockaddr { sa_family: 0, sa_data: [0; 14] };
    let length = libc::socklen_t::try_from(size_of_val(&nowhere)).map_err(io::Error::other)?;
    // SAFETY: the address lives through the call and is as long as it says.
    let result = unsafe { libc::connect(socket.as_raw_fd(), &raw const nowhere, length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn set_fastopen_without_cookie(socket: &Socket) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&on)).map_err(io::Error::other)?;
    let (level, option) = (libc::IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE);
    // SAFETY: the option takes an int.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const on).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What [`Manner::Bound`] dials from.
pub(crate) const SOURCE_PORT: u16 = 20_077;
/// Of `<linux/tcp.h>`.
const TCP_FASTOPEN_NO_COOKIE: libc::c_int = 34;
const MARKER: &str = "AMBASSADOR_KERNEL_TRUTHFUL_CLIENT";
const ANSWER: &str = "@answer ";
