// SPDX-License-Identifier: Apache-2.0
//! Many connects at once, each of which must be told what its own destination says, among connects that are given up.
//!
//! Every destination is an address of its own below 10.99.0.0/16, so that none is known to accept; port 7010 is open
//! there and says at which address it was reached, port 7011 is closed. Prints `wrong N missing N cancelled N` and an
//! example of what was wrong.

use std::io::{BufRead, BufReader, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ambassador_tests::wait;
use anyhow::{Result, anyhow};
use socket2::{Domain, Socket, Type};

/// Makes `count` connects, a quarter of them to a closed port, from so many threads, and gives up `cancels` more.
pub(crate) fn run(count: u32, threads: u32, cancels: u32) -> Result<()> {
    let (next, wrong, cancelled) = (AtomicU32::new(0), Mutex::new(Vec::new()), AtomicU32::new(0));
    let done = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (next, wrong, cancelled, done) = (&next, &wrong, &cancelled, &done);
            scope.spawn(move || {
                let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ u64::from(thread + 1));
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    // Spread evenly over the run.
                    let due = |number: u32| u64::from(number) * u64::from(cancels) / u64::from(count);
                    for _ in due(number)..due(number + 1) {
                        cancel(&mut random, count);
                        cancelled.fetch_add(1, Ordering::Relaxed);
                    }
                    if let Err(error) = connect(number)
                        && let Ok(mut wrong) = wrong.lock()
                    {
                        wrong.push(error);
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let wrong = wrong.into_inner().map_err(|_| anyhow!("a thread panicked"))?;
    let (missing, cancelled) = (count - done.into_inner(), cancelled.into_inner());
    println!("wrong {} missing {missing} cancelled {cancelled}", wrong.len());
    for error in wrong.iter().take(10) {
        println!("{error:#}");
    }
    Ok(())
}

fn destination(number: u32, port: u16) -> SocketAddr {
    let [_, _, high, low] = number.to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(10, 99, high, low), port))
}

fn connect(number: u32) -> Result<()> {
    let address = destination(number, if number.is_multiple_of(4) { CLOSED } else { OPEN });
    match (TcpStream::connect_timeout(&address, LIMIT), address.port()) {
        (Ok(stream), OPEN) => {
            stream.set_read_timeout(Some(LIMIT))?;
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).map_err(|error| anyhow!("{address}: {error}"))?;
            if line == format!("{} {OPEN}\n", address.ip()) {
                Ok(())
            } else {
                Err(anyhow!("{address} was reached at {line:?}"))
            }
        }
        (Err(error), CLOSED) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        (Ok(_), _) => Err(anyhow!("{address} is closed and was connected")),
        (Err(error), _) => Err(anyhow!("{address}: {error}")),
    }
}

/// Begins a connect and gives it up within 3 ms, half of the time with a reset. Its destination is none of the first
/// `others`, or one of those would be known to accept when its own turn comes.
fn cancel(random: &mut Random, others: u32) {
    let number = others + random.below(40_000);
    let address = match random.below(3) {
        0 => destination(number, OPEN),
        1 => destination(number, CLOSED),
        _ => SocketAddr::from((Ipv4Addr::new(10, 77, 0, 9), OPEN)),
    };
    let Ok(socket) = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None) else { return };
    let _ = socket.connect(&address.into());
    wait::pass(Duration::from_micros(u64::from(random.below(3000))));
    if random.below(2) == 0 {
        let _ = socket.set_linger(Some(Duration::ZERO));
    }
}

/// xorshift64: the same run each time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from(self.0 % u64::from(bound)).unwrap_or(0)
    }
}

const OPEN: u16 = 7010;
const CLOSED: u16 = 7011;
const LIMIT: Duration = Duration::from_secs(20);
