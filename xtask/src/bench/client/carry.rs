// SPDX-License-Identifier: Apache-2.0
//! Connections that last: one that is read as fast as it goes, and many that are kept idle.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// `BYTES NANOSECONDS` of what the server pours.
pub(crate) fn bulk(length: Duration, address: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    let mut buffer = vec![0; PIECE];
    // The first piece is there before the time begins: a connect is not what is measured.
    stream.read_exact(&mut buffer)?;
    let (started, mut bytes) = (Instant::now(), 0);
    while started.elapsed() < length {
        let count = stream.read(&mut buffer)?;
        ensure!(count > 0, "the server ended the stream");
        bytes += count;
    }
    Ok(format!("{bytes} {}", started.elapsed().as_nanos()))
}

/// `COUNT` connections that stay open, each after its first byte or its first reply.
pub(crate) fn hold(
    kind: &str,
    count: usize,
    address: SocketAddr,
    held: &mut Vec<TcpStream>,
) -> Result<String> {
    for number in 0..count {
        let mut stream = TcpStream::connect(address).with_context(|| format!("connection {number}"))?;
        match kind {
            "byte" => stream.read_exact(&mut [0])?,
            "http" => request(&mut stream)?,
            _ => bail!("no such kind: {kind}"),
        }
        held.push(stream);
    }
    Ok(held.len().to_string())
}

/// One request, and the whole of its small reply.
pub(crate) fn request(stream: &mut TcpStream) -> Result<()> {
    write!(stream, "GET / HTTP/1.1\r\nHost: origin\r\n\r\n")?;
    let (mut reply, mut buffer) = (Vec::new(), [0; 1024]);
    while !reply.ends_with(b"origin\n") {
        let count = stream.read(&mut buffer)?;
        ensure!(count > 0, "the reply ended early");
        reply.extend_from_slice(&buffer[..count]);
    }
    ensure!(reply.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&reply));
    Ok(())
}

const PIECE: usize = 256 * 1024;
