// SPDX-License-Identifier: Apache-2.0
//! A client namespace and a server namespace, joined by a veth pair.
//!
//! It exists because every suite needs the same two machines. The addresses are the same in every link: namespaces
//! keep them apart.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Result;

use crate::namespace::Namespace;

/// Two joined namespaces. Servers listen on [`Link::SERVER_V4`] and [`Link::SERVER_V6`].
#[derive(Debug)]
pub struct Link {
    /// Where the program and ambassador run.
    pub client: Namespace,
    /// Where the servers run.
    pub server: Namespace,
}

impl Link {
    /// The server's IPv4 address.
    pub const SERVER_V4: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
    /// The client's IPv4 address.
    pub const CLIENT_V4: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
    /// The server's IPv6 address.
    pub const SERVER_V6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2);
    /// The name of the device in both namespaces.
    pub const DEVICE: &str = "wire0";

    /// Makes both namespaces and joins them.
    pub fn new() -> Result<Self> {
        let link = Self { client: Namespace::new("client")?, server: Namespace::new("server")? };
        let (device, peer) = (Self::DEVICE, link.server.name());
        link.client.ip(&format!("link add name {device} type veth peer name {device} netns {peer}"))?;
        for (namespace, host) in [(&link.client, 1), (&link.server, 2)] {
            namespace.ip(&format!("addr add 10.77.0.{host}/24 dev {device}"))?;
            namespace.ip(&format!("addr add fd77::{host}/64 dev {device} nodad"))?;
            namespace.ip(&format!("link set {device} up"))?;
        }
        Ok(link)
    }

    /// The server's IPv4 address with `port`.
    pub fn v4(port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Self::SERVER_V4), port)
    }

    /// The server's IPv6 address with `port`.
    pub fn v6(port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V6(Self::SERVER_V6), port)
    }

    /// `http://SERVER:PORT` followed by `path`.
    pub fn url(port: u16, path: &str) -> String {
        format!("http://{}{path}", Self::v4(port))
    }
}
