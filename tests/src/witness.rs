// SPDX-License-Identifier: Apache-2.0
//! A server that tells each client from where it sees it come, and where it was dialled.
//!
//! It exists because only the server can prove that a connection went through the proxy: the client is shown what it
//! dialled in both cases. It never speaks first.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;

use anyhow::Result;

use crate::listener::TcpPeer;
use crate::namespace::Namespace;

/// A running witness: to each line it answers `PEER-ADDRESS LOCAL-ADDRESS`.
pub struct Witness {
    tcp: TcpPeer,
}

impl Witness {
    /// Starts a witness at `address`.
    pub fn start(namespace: &Namespace, address: SocketAddr) -> Result<Self> {
        let tcp = TcpPeer::start(namespace, address, |mut stream, _| {
            let (peer, local) = (stream.peer_addr()?, stream.local_addr()?);
            let mut lines = BufReader::new(stream).lines();
            while lines.next().transpose()?.is_some() {
                stream.write_all(format!("{peer} {local}\n").as_bytes())?;
            }
            Ok(())
        })?;
        Ok(Self { tcp })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.tcp.address()
    }

    /// How many connections it saw.
    pub fn seen(&self) -> usize {
        self.tcp.accepted()
    }
}
