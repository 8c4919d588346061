// SPDX-License-Identifier: Apache-2.0
//! `client exchange`: plays the program's side of scripted exchanges, one for each line of stdin.
//!
//! It exists because no client library sends what it is not supposed to. A line is `ADDRESS STEP...`; the answer is one
//! line that tells every byte that came, and how the connection ended.

use std::io::stdin;
use std::net::TcpStream;

use ambassador_tests::script::{PATIENCE, Went, perform, rest, shown, step};
use anyhow::{Context, Result};

/// Plays all lines, one after the other.
pub(crate) fn run() -> Result<()> {
    for line in stdin().lines() {
        println!("{}", play(&line?)?);
    }
    Ok(())
}

fn play(line: &str) -> Result<String> {
    let mut words = line.split_whitespace();
    let stream = TcpStream::connect(words.next().context("no address")?)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut seen = Vec::new();
    for word in words {
        if let Went::Over(end) = perform(&stream, &step(word)?, &mut seen)? {
            return Ok(shown(&seen, end));
        }
    }
    Ok(rest(&stream, seen))
}
