// SPDX-License-Identifier: Apache-2.0
//! One page of HTTP from the loopback of a namespace: the counters of a contender.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};

use ambassador_tests::Namespace;
use anyhow::{Context as _, Result, ensure};

/// The body and head of `path` at 127.0.0.1:`port`, which must answer 200.
pub(crate) fn page(namespace: &Namespace, port: u16, path: &str) -> Result<String> {
    let page = namespace.enter(|| {
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let mut stream = TcpStream::connect(address).with_context(|| format!("dial {address}"))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        Ok(page)
    })?;
    ensure!(page.starts_with("HTTP/1.1 200 "), "the counters at {path}: {page}");
    Ok(page)
}
