// SPDX-License-Identifier: Apache-2.0
//! A client that is linked statically: nothing can be preloaded into it. Compiled by the transparency suite.

#[path = "../src/path.rs"]
mod path;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).ok_or("usage: static_client ADDRESS")?;
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"who\n")?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    let (_, dialled) = line.trim().split_once(' ').ok_or("no answer")?;
    let path = path::path(stream.local_addr()?, dialled.parse()?)?;
    println!("dialled={dialled} peer={} path={path}", stream.peer_addr()?);
    Ok(())
}
