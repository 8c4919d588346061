// SPDX-License-Identifier: Apache-2.0
//! The unmodified programs of the end-to-end tests: every way in which a program can dial, and a client that a test
//! drives step by step.
//!
//! It knows nothing of ambassador. `client connect KIND ADDRESS [SECOND]` prints what it saw of one connection;
//! `client drive` obeys the lines of stdin; `client exchange` plays scripted exchanges; `client storm COUNT THREADS
//! CANCELS` makes many at once; `client watch ADDRESS` asks all the time; `client raw ADDRESS` is netcat.
#![allow(clippy::print_stdout, reason = "stdout is how these programs answer")]

mod connect;
mod drive;
mod exchange;
mod sockets;
mod storm;
mod uring;
mod watch;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["connect", kind, addresses @ ..] => {
            let addresses = addresses.iter().map(|address| address.parse()).collect::<Result<Vec<_>, _>>()?;
            connect::run(kind, &addresses)
        }
        ["drive"] => drive::run(),
        ["exchange"] => exchange::run(),
        ["storm", count, threads, cancels] => storm::run(count.parse()?, threads.parse()?, cancels.parse()?),
        ["watch", address] => watch::run(address.parse()?),
        ["raw", address] => raw(TcpStream::connect(address)?),
        _ => bail!(
            "usage: client connect KIND ADDRESS [SECOND] | client drive | client exchange | client storm COUNT THREADS CANCELS | client watch ADDRESS | client raw ADDRESS"
        ),
    }
}

/// Sends stdin, closes that half, and copies what comes back to stdout.
fn raw(stream: TcpStream) -> Result<()> {
    let mut writer = stream.try_clone()?;
    let sender = std::thread::spawn(move || -> Result<()> {
        std::io::copy(&mut std::io::stdin(), &mut writer)?;
        Ok(writer.shutdown(Shutdown::Write)?)
    });
    let mut reader = stream;
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let count = reader.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        std::io::stdout().write_all(&chunk[..count])?;
    }
    std::io::stdout().flush()?;
    let _ = sender.join();
    Ok(())
}
