// SPDX-License-Identifier: Apache-2.0
//! [`Sentinel`]: how the proxy knows the probes of its own self-test, and what it answers them.
//!
//! A probe is known by its socket's cookie, so that no program can be mistaken for one, whatever it dials. What a
//! probe does is neither a request nor a flow: it must never appear in lines, summary or metrics of traffic.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::net::probe::{Probe, Token};

/// The probes of this process. Without any, it is nobody's.
#[derive(Debug, Default)]
pub struct Sentinel {
    cookies: Vec<u64>,
    token: Token,
    answered: AtomicU64,
    held: AtomicU64,
}

impl Sentinel {
    /// That of these probes.
    pub fn of(probes: &[Probe]) -> Self {
        let mut token = Token::default();
        fastrand::Rng::new().fill(&mut token);
        Self { cookies: probes.iter().map(Probe::cookie).collect(), token, ..Self::default() }
    }

    /// What the probes are answered.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// How many connections of probes were accepted: the kernel side counts them as connections like any other.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// How many of them were held before.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Whether a socket is a probe.
    pub(super) fn knows(&self, socket_cookie: u64) -> bool {
        self.cookies.contains(&socket_cookie)
    }

    /// Notes that a probe was held.
    pub(super) fn note_held(&self) {
        self.held.fetch_add(1, Ordering::Relaxed);
    }

    /// Answers a probe. It never waits: an empty socket has room for a token.
    pub(super) async fn answer(&self, mut probe: TcpStream) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        // A probe that has given up says so itself.
        let _ = probe.write_all(&self.token).await;
    }
}
