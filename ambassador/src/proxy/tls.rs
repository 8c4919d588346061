// SPDX-License-Identifier: Apache-2.0
//! Reads the names out of a TLS `ClientHello`, for routes and labels.
//!
//! The bytes stay as they are: the handshake is the program's and the upstream's. What cannot be read (a fragmented
//! hello that never completes, encrypted names) is simply not known.

use std::{io, time::Duration};

use bytes::BytesMut;
use rustls::server::Acceptor;
use tokio::{net::TcpStream, time::timeout};

/// How long the rest of a `ClientHello` is waited for.
const LIMIT: Duration = Duration::from_secs(1);

/// Longest `ClientHello` that is read: with post-quantum key shares they take some 2 KiB.
const MAX_HELLO: usize = 16 * 1024;

/// What a `ClientHello` says in clear text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// Server name indication (RFC 6066 §3).
    pub sni: Option<String>,
    /// The application protocols on offer, the preferred one first (RFC 7301).
    pub alpn: Vec<String>,
}

/// Reads on until the `ClientHello` is complete, appending to `first` what arrives.
pub async fn read_hello(client: &TcpStream, first: &mut BytesMut) -> io::Result<Hello> {
    let complete = async {
        loop {
            match parse(first) {
                Parsed::Hello(hello) => return Ok(hello),
                Parsed::Unreadable => return Ok(Hello::default()),
                Parsed::Incomplete if first.len() >= MAX_HELLO => return Ok(Hello::default()),
                Parsed::Incomplete => {}
            }
            client.readable().await?;
            match client.try_read_buf(first) {
                Ok(0) => return Ok(Hello::default()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    };
    timeout(LIMIT, complete).await.unwrap_or_else(|_| Ok(Hello::default()))
}

/// What the first bytes of a TLS flow are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// They begin with a complete `ClientHello`.
    Hello(Hello),
    /// They may become one.
    Incomplete,
    /// They are none.
    Unreadable,
}

/// Looks for a `ClientHello` at the start of `bytes`. Pure; total for any input.
pub fn parse(bytes: &[u8]) -> Parsed {
    let mut acceptor = Acceptor::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        if acceptor.read_tls(&mut rest).is_err() {
            return Parsed::Unreadable;
        }
    }
    match acceptor.accept() {
        Ok(None) => Parsed::Incomplete,
        Ok(Some(accepted)) => {
            let hello = accepted.client_hello();
            let alpn = hello.alpn().into_iter().flatten();
            Parsed::Hello(Hello {
                sni: hello.server_name().map(str::to_owned),
                alpn: alpn.map(|name| String::from_utf8_lossy(name).into_owned()).collect(),
            })
        }
        Err(_) => Parsed::Unreadable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A TLS 1.2 hello of its own making: SNI `api.example`, ALPN `h2` and `http/1.1`.
    fn hello() -> Vec<u8> {
        let sni = b"api.example";
        let n = |len: usize| u16::try_from(len).expect("short").to_be_bytes();
        let mut names = vec![0];
        names.extend(n(sni.len()));
        names.extend(sni);
        let mut extensions = vec![0, 0];
        extensions.extend(n(names.len() + 2));
        extensions.extend(n(names.len()));
        extensions.extend(names);
        let protocols = b"\x02h2\x08http/1.1";
        extensions.extend([0, 16]);
        extensions.extend(n(protocols.len() + 2));
        extensions.extend(n(protocols.len()));
        extensions.extend(protocols);
        // signature_algorithms: rustls wants them of every hello.
        extensions.extend([0, 13, 0, 4, 0, 2, 4, 3]);
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0xc0, 0x2f, 1, 0]);
        body.extend(n(extensions.len()));
        body.extend(extensions);
        let mut handshake = vec![1, 0];
        handshake.extend(n(body.len()));
        handshake.extend(body);
        let mut record = vec![0x16, 3, 1];
        record.extend(n(handshake.len()));
        record.extend(handshake);
        record
    }

    #[test]
    fn the_names_are_read_and_parts_are_waited_for() {
        let hello = hello();
        for cut in 0..hello.len() {
            assert!(matches!(parse(&hello[..cut]), Parsed::Incomplete), "{cut} bytes");
        }
        let Parsed::Hello(read) = parse(&hello) else { panic!("a complete hello") };
        assert_eq!(read.sni.as_deref(), Some("api.example"));
        assert_eq!(read.alpn, ["h2", "http/1.1"]);
        assert!(matches!(parse(b"\x16\x03\x01\x00\x05hello"), Parsed::Unreadable));
    }
}
