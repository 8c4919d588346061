// SPDX-License-Identifier: Apache-2.0
//! Origins that never end what they say, say more than is taken, or say what must not be looked into.

use std::io::{Read, Write};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ambassador_tests::ambassador::LONG;
use ambassador_tests::{Answer, Attack, FaultUpstream, Link, Process, Siege, TcpPeer};
use anyhow::{Context, Result, ensure};

use crate::{attack, siege};

/// An origin that answers the first bytes with `first` and then with `again`, up to `most` bytes, and the count of
/// what was taken of it.
fn pouring(
    siege: &Siege,
    first: &'static [u8],
    again: &[u8],
    most: u64,
) -> Result<(TcpPeer, Arc<AtomicU64>)> {
    let written = Arc::<AtomicU64>::default();
    let count = Arc::clone(&written);
    let again = again.repeat((64 * 1024_usize).div_ceil(again.len()));
    let peer = TcpPeer::start(&siege.link.server, Link::v4(Attack::PORT), move |mut stream, _| {
        let mut request = [0; 4096];
        ensure!(stream.read(&mut request)? > 0);
        stream.write_all(first)?;
        let mut left = most;
        while left > 0 {
            let taken = stream.write(&again)? as u64;
            count.fetch_add(taken, Ordering::Relaxed);
            left = left.saturating_sub(taken);
        }
        Ok(())
    })?;
    Ok((peer, written))
}

/// An origin whose replies have a gigabyte each.
pub(crate) fn gigabytes(siege: &Siege) -> Result<(TcpPeer, Arc<AtomicU64>)> {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
    pouring(siege, head, b"z", 1_000_000_000)
}

/// What begins with `first` and goes on with `again` for ever is passed on as it comes, and harms nobody.
fn check_endless(first: &'static [u8], again: &[u8]) -> Result<()> {
    let mut siege = siege()?;
    let (_origin, _written) = pouring(&siege, first, again, u64::MAX)?;
    siege.withstand(|siege| {
        let said = attack(siege, "swallow", 10)?;
        let bytes = said.strip_prefix("10 of 10 open, ").and_then(|rest| rest.strip_suffix(" bytes"));
        let bytes: u64 = bytes.with_context(|| said.clone())?.parse()?;
        ensure!(bytes > 10 << 20, "{said}");
        Ok(())
    })?;
    Ok(())
}

#[test]
fn reply_heads_that_never_end_harm_nobody() -> Result<()> {
    check_endless(b"HTTP/1.1 200 OK\r\n", b"X-Endless: eeeeeeeeeeeeeeeeeeeeeee\r\n")
}

#[test]
fn interim_replies_that_never_end_harm_nobody() -> Result<()> {
    check_endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
}

#[test]
fn a_chunk_extension_that_never_ends_harms_nobody() -> Result<()> {
    check_endless(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5",
        b";x=yyyyyyyyyyyyyyyyyyyyyyyyyyyy",
    )
}

#[test]
fn trailers_that_never_end_harm_nobody() -> Result<()> {
    check_endless(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        b"X-T: tttttttttttttttttttt\r\n",
    )
}

#[test]
fn slow_readers_hold_their_origins_back() -> Result<()> {
    const READERS: u64 = 40;
    let mut siege = siege()?;
    let (_origin, written) = gigabytes(&siege)?;
    siege.withstand(|siege| {
        let said = attack(siege, "slow_readers", 40)?;
        ensure!(said == "40 of 40 open", "{said}");
        Ok(())
    })?;
    let written = written.load(Ordering::Relaxed);
    // What the kernel buffers on both sides of ambassador, and no more.
    ensure!(written < READERS * (64 << 20), "{written} bytes were taken");
    Ok(())
}

#[test]
fn gzip_bombs_pass_as_they_are() -> Result<()> {
    let mut gzip = Command::new("sh");
    gzip.args(["-c", "head -c 67108864 /dev/zero | gzip -9"]);
    let member = Process::run(&mut gzip, LONG)?.expect_success()?.stdout;
    // 10 MB that unpack to 10 GB.
    let bomb = member.repeat(160);
    let mut siege = siege()?;
    let body = bomb.clone();
    let _origin = FaultUpstream::start(&siege.link.server, Link::v4(Attack::PORT), move |_| {
        Answer::status(200).header("content-encoding: gzip").body(body.clone()).into()
    })?;
    siege.withstand(|siege| {
        let curls =
            (0..4).map(|_| siege.attack(&["curl", "-sS", "--raw", &Link::url(Attack::PORT, "/bomb")]));
        for curl in curls.collect::<Result<Vec<_>>>()? {
            ensure!(curl.finish(LONG)?.expect_success()?.stdout == bomb, "other bytes arrived");
        }
        Ok(())
    })?;
    Ok(())
}
