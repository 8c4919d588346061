// SPDX-License-Identifier: Apache-2.0
//! 40 readers that take their gigabyte in their own time.

use std::io::{Read, Write};
use std::time::Duration;

use ambassador_tests::{Attack, Link, TcpPeer};
use anyhow::{Result, ensure};

use crate::{progress, siege};

#[test]
fn every_slow_reader_gets_its_gigabyte() -> Result<()> {
    let mut siege = siege()?;
    let _origin = TcpPeer::start(&siege.link.server, Link::v4(Attack::PORT), move |mut stream, _| {
        let mut request = [0; 4096];
        ensure!(stream.read(&mut request)? > 0);
        stream.write_all(HEAD)?;
        let piece = vec![b'z'; 1 << 20];
        let mut left = LENGTH;
        while left > 0 {
            left -= stream.write(&piece[..left.min(piece.len())])?;
        }
        Ok(())
    })?;
    let ordeal = siege.withstand(|siege| {
        let mut attack = Attack::begin(siege, "swallow_slowly", READERS)?;
        let said = attack.until("bytes", Duration::from_mins(4))?;
        ensure!(said.contains(&format!(" {} bytes", READERS * (HEAD.len() + LENGTH))), "{said}");
        Ok(())
    })?;
    progress(&format!("40 GB went through: {ordeal:?}"));
    ensure!(ordeal.grown < 32 << 20, "{ordeal:?}");
    Ok(())
}

const READERS: usize = 40;
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\nConnection: close\r\n\r\n";
const LENGTH: usize = 1_000_000_000;
