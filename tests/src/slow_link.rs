// SPDX-License-Identifier: Apache-2.0
//! A second wire between the namespaces of a link, on which SYNs to chosen ports, or all packets, take their time.
//!
//! It exists because a slow dial must be slow by milliseconds, and `netem` is not in every kernel: two TUN devices,
//! and two threads that carry each packet from one to the other. Nothing is lost; where only SYNs are late, nothing
//! else is reordered.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::link::Link;
use crate::namespace::Namespace;
use crate::wait;

/// The slow wire; its threads end with it.
#[derive(Debug)]
pub struct SlowLink {
    stop: Arc<AtomicBool>,
}

impl SlowLink {
    /// The server's IPv4 address on this wire.
    pub const SERVER_V4: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 2);
    /// The server's IPv6 address on this wire.
    pub const SERVER_V6: Ipv6Addr = Ipv6Addr::new(0xfd78, 0, 0, 0, 0, 0, 0, 2);

    /// Joins the namespaces of `link`; a SYN to a port of `delays` arrives so much later.
    pub fn between(link: &Link, delays: &'static [(u16, Duration)]) -> Result<Self> {
        Self::with(link, [Late::Syns(delays), Late::Syns(&[])])
    }

    /// Joins the namespaces of `link`; everything takes `delay`, in both directions.
    pub fn far(link: &Link, delay: Duration) -> Result<Self> {
        Self::with(link, [Late::All(delay); 2])
    }

    fn with(link: &Link, [there, back]: [Late; 2]) -> Result<Self> {
        let client = Arc::new(device(&link.client, 1)?);
        let server = Arc::new(device(&link.server, 2)?);
        let stop = Arc::new(AtomicBool::new(false));
        for (from, to, late) in [(&client, &server, there), (&server, &client, back)] {
            let (from, to, stop) = (Arc::clone(from), Arc::clone(to), Arc::clone(&stop));
            std::thread::spawn(move || carry(&from, &to, late, &stop));
        }
        Ok(Self { stop })
    }

    /// The server's IPv4 address with `port`.
    pub fn v4(port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Self::SERVER_V4), port)
    }

    /// The server's IPv6 address with `port`.
    pub fn v6(port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V6(Self::SERVER_V6), port)
    }
}

impl Drop for SlowLink {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn device(namespace: &Namespace, host: u8) -> Result<File> {
    let file = namespace.enter(|| {
        let mut open = OpenOptions::new();
        let file = open.read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun");
        let file = file.context("open /dev/net/tun")?;
        let mut request =
            Request { name: *b"slow0\0\0\0\0\0\0\0\0\0\0\0", flags: IFF_TUN_NO_PI, rest: [0; 22] };
        // SAFETY: `request` has the layout of `struct ifreq`, and lives through the call.
        let result = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, &raw mut request) };
        ensure!(result == 0, "TUNSETIFF: {}", std::io::Error::last_os_error());
        Ok(file)
    })?;
    namespace.ip(&format!("addr add 10.78.0.{host}/24 dev slow0"))?;
    namespace.ip("link set slow0 up")?;
    namespace.ip(&format!("addr add fd78::{host}/64 dev slow0 nodad"))?;
    Ok(file)
}

/// Which packets are late, and by how much.
#[derive(Clone, Copy)]
enum Late {
    Syns(&'static [(u16, Duration)]),
    All(Duration),
}

impl Late {
    fn of(self, packet: &[u8]) -> Option<Duration> {
        match self {
            Self::Syns(delays) => {
                let port = port_of_syn(packet);
                delays.iter().find(|(slow, _)| Some(*slow) == port).map(|(_, delay)| *delay)
            }
            Self::All(delay) => Some(delay),
        }
    }
}

fn carry(from: &File, to: &Arc<File>, late: Late, stop: &AtomicBool) {
    let mut packet = [0; 2048];
    while !stop.load(Ordering::Relaxed) {
        let mut ready = libc::pollfd { fd: from.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, which lives through the call.
        unsafe { libc::poll(&raw mut ready, 1, 50) };
        let mut from = from;
        while let Ok(length) = from.read(&mut packet) {
            let packet = packet[..length].to_vec();
            let to = Arc::clone(to);
            match late.of(&packet) {
                Some(delay) => {
                    std::thread::spawn(move || {
                        wait::pass(delay);
                        (&*to).write(&packet).ok()
                    });
                }
                None => {
                    let _ = (&*to).write(&packet);
                }
            }
        }
    }
}

/// The destination port of a packet that is a SYN without ACK.
fn port_of_syn(packet: &[u8]) -> Option<u16> {
    let (protocol, start) = match packet.first()? >> 4 {
        4 => (*packet.get(9)?, usize::from(packet[0] & 0xf) * 4),
        _ => (*packet.get(6)?, 40),
    };
    let header = packet.get(start..start + 14)?;
    (protocol == 6 && header[13] & 0x12 == 0x02).then(|| u16::from_be_bytes([header[2], header[3]]))
}

/// `struct ifreq` (linux/if.h).
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

const TUNSETIFF: libc::Ioctl = 0x4004_54ca;
/// `IFF_TUN | IFF_NO_PI`: packets as they are.
const IFF_TUN_NO_PI: u16 = 0x1001;
