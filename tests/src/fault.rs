// SPDX-License-Identifier: Apache-2.0
//! An HTTP origin that fails by script, and remembers every request that reached it.
//!
//! It exists because the promises of a retry or a breaker are promises about arrivals. The script decides per request.

use std::io::BufReader;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;

use crate::http::{Arrival, Part, Response, header, read_request, write_response};
use crate::listener::{TcpPeer, reset};
use crate::namespace::Namespace;
use crate::wait;

/// What the origin does with one request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Answers.
    Answer(Answer),
    /// Closes with RST when the request was read, before any byte of an answer.
    Reset,
    /// Sends the head and half of the body of a 200, then RST.
    ResetMidway,
    /// Closes with FIN when the request was read.
    Close,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    response: Response,
    delay: Duration,
    closes: bool,
}

impl Answer {
    /// A response with a small body that names the status.
    pub fn status(status: u16) -> Self {
        let body = format!("status {status}\n").into_bytes();
        Self {
            response: Response { status, headers: Vec::new(), body },
            delay: Duration::ZERO,
            closes: false,
        }
    }

    /// The same with one more header line, `name: value`.
    #[must_use]
    pub fn header(mut self, line: &str) -> Self {
        self.response.headers.push(line.to_owned());
        self
    }

    /// The same with this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.response.body = body.into();
        self
    }

    /// The same, `delay` after the request was read.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The same, after which the origin closes the connection without having said so.
    #[must_use]
    pub fn then_close(mut self) -> Self {
        self.closes = true;
        self
    }
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

/// A running origin.
pub struct FaultUpstream {
    /// The listener below, to refuse connects for a while and to count connections.
    pub tcp: TcpPeer,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
}

impl FaultUpstream {
    /// Starts the origin; `script` gets each request with its number from 0 on.
    pub fn start(
        namespace: &Namespace,
        address: SocketAddr,
        script: impl Fn(&Arrival) -> Reply + Send + Sync + 'static,
    ) -> Result<Self> {
        let arrivals = Arc::<Mutex<Vec<Arrival>>>::default();
        let log = Arc::clone(&arrivals);
        let tcp = TcpPeer::start(namespace, address, move |stream, connection| {
            serve(stream, connection, &log, &script)
        })?;
        Ok(Self { tcp, arrivals })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.tcp.address()
    }

    /// Every request that arrived, in order.
    pub fn arrivals(&self) -> Vec<Arrival> {
        lock(&self.arrivals).clone()
    }

    /// How many requests arrived.
    pub fn count(&self) -> usize {
        lock(&self.arrivals).len()
    }

    /// Forgets the arrivals; numbering starts again.
    pub fn forget(&self) {
        lock(&self.arrivals).clear();
    }
}

fn serve(
    stream: &TcpStream,
    connection: usize,
    log: &Mutex<Vec<Arrival>>,
    script: &impl Fn(&Arrival) -> Reply,
) -> Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(mut arrival) = read_request(&mut reader, connection)? {
        {
            let mut log = lock(log);
            arrival.index = log.len();
            log.push(arrival.clone());
        }
        match script(&arrival) {
            Reply::Answer(answer) => {
                wait::pass(answer.delay);
                write_response(stream, &answer.response, Part::Whole)?;
                let asked = header(&arrival.head, "connection")
                    .is_some_and(|value| value.eq_ignore_ascii_case("close"));
                if answer.closes || asked {
                    return Ok(());
                }
            }
            Reply::Reset => return reset(stream),
            Reply::ResetMidway => {
                let body = vec![b'x'; 64 * 1024];
                write_response(stream, &Response { status: 200, headers: Vec::new(), body }, Part::Half)?;
                return reset(stream);
            }
            Reply::Close => return Ok(()),
        }
    }
    Ok(())
}

fn lock(arrivals: &Mutex<Vec<Arrival>>) -> MutexGuard<'_, Vec<Arrival>> {
    arrivals.lock().unwrap_or_else(PoisonError::into_inner)
}
