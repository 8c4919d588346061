// SPDX-License-Identifier: Apache-2.0
//! The unmodified client: it dials each address that its standard input names, and says what it saw.
//!
//! It knows nothing of ambassador. `connect ADDRESS` blocks as long as the kernel lets it; `try ADDRESS` gives up after
//! [`PATIENCE`].

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::path::path;

/// What one `connect()` came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// It succeeded: what `getpeername(2)` says, and whether it is connected to it and not to a listener.
    Peer { peer: SocketAddr, direct: bool },
    /// It succeeded, and the connection ended before a byte came.
    Reset,
    /// It failed with this number.
    Errno(i32),
    /// The client gave up.
    GaveUp,
}

/// Greets, and answers each line with one.
pub(crate) fn run() -> Result<()> {
    say(GREETING)?;
    for line in std::io::stdin().lines() {
        let line = line?;
        let (word, address) = line.split_once(' ').context("two words")?;
        say(&dial(word, address.parse()?).to_line())?;
    }
    Ok(())
}

/// Dials, and asks the witness.
pub(crate) fn dial(word: &str, address: SocketAddr) -> Sight {
    let connected = match word {
        "try" => TcpStream::connect_timeout(&address, PATIENCE),
        _ => TcpStream::connect(address),
    };
    match connected {
        Ok(stream) => ask(&stream).unwrap_or(Sight::Reset),
        Err(error) => error.raw_os_error().map_or(Sight::GaveUp, Sight::Errno),
    }
}

/// The witness says from where it sees the connection come.
fn ask(mut stream: &TcpStream) -> Result<Sight> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"who\n")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    line.trim().parse::<SocketAddr>()?;
    let peer = stream.peer_addr()?;
    Ok(Sight::Peer { peer, direct: path(stream.local_addr()?, peer)? == "direct" })
}

impl Sight {
    fn to_line(&self) -> String {
        match self {
            Self::Peer { peer, direct } => format!("peer {peer} {direct}"),
            Self::Reset => "reset".to_owned(),
            Self::Errno(errno) => format!("errno {errno}"),
            Self::GaveUp => "gave-up".to_owned(),
        }
    }

    /// Reads what [`Sight::to_line`] wrote.
    pub(crate) fn from_line(line: &str) -> Result<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        Ok(match words.as_slice() {
            ["peer", peer, direct] => Self::Peer { peer: peer.parse()?, direct: direct.parse()? },
            ["errno", errno] => Self::Errno(errno.parse()?),
            ["reset"] => Self::Reset,
            ["gave-up"] => Self::GaveUp,
            _ => anyhow::bail!("the client said {line:?}"),
        })
    }
}

fn say(line: &str) -> Result<()> {
    println!("{line}");
    Ok(std::io::stdout().flush()?)
}

/// What it says when it runs.
pub(crate) const GREETING: &str = "ready";
const PATIENCE: Duration = Duration::from_secs(1);
