// SPDX-License-Identifier: Apache-2.0
//! What the stages of one request tell each other: the route that was matched, and the trail that the request left.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{
            AtomicBool, AtomicU32, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};

use tokio::time::Instant;

use super::{RequestHead, flow::Flow};
use crate::{
    policy::{deadline::Deadline, route::Route},
    telemetry::{
        event::{Destination, RetryGivenUp, RetryReason},
        labels::{ErrorType, GivenUpReason},
        shadow::SharedShadow,
    },
    upstream::{admission::Asker, state::RouteState},
};

/// What all stages and attempts of a request share: what it is, and what was decided when it was matched to its route.
/// It lives until the reply's body has ended, so it must not hold the program's end of the connection.
pub struct Plan {
    /// The request's head.
    pub head: RequestHead,
    /// The connection that it came by.
    pub flow: Arc<Flow>,
    /// When its head was complete.
    pub arrived: Instant,
    /// The route and what its requests share.
    pub state: Arc<RouteState>,
    /// When the whole request must be over.
    pub deadline: Deadline,
    /// What happened to the request so far.
    pub trail: Trail,
    /// No route matches, and that is denied (`outboundTrafficPolicy: Deny`).
    pub denied: bool,
    /// The route was chosen by a name that does not fit the dialled address: its endpoints are not used.
    pub host_mismatch: bool,
}

impl Plan {
    /// What the request is accounted to at `endpoint`: not to an upstream whose endpoints it did not go to.
    pub fn destination(&self, endpoint: SocketAddr) -> Destination {
        if self.host_mismatch {
            Destination { upstream: None, endpoint }
        } else {
            self.state.destination(endpoint)
        }
    }

    /// Says why the request is not tried again although its route retries what it ended with.
    pub fn give_up(&self, reason: GivenUpReason) {
        self.trail.give_up_because(reason);
        let route = Arc::clone(&self.state.route.name);
        self.state.telemetry.emit(&RetryGivenUp { route, reason }.into());
    }

    /// Who asks the breakers.
    pub fn asker(&self) -> Asker<'_> {
        Asker { flow: &self.flow, head: Some(&self.head) }
    }

    /// A failure is the program's to see as it is: nothing is configured that would answer it.
    pub fn passes_failures(&self) -> bool {
        self.route().transparent || !self.route().mode.acts()
    }

    /// The matched route.
    pub fn route(&self) -> &Route {
        &self.state.route
    }
}

/// What happened to a request, for its line in the log. Stages add to it; the outermost one reads it at the end.
#[derive(Debug, Default)]
pub struct Trail {
    attempts: AtomicU32,
    retry_reason: AtomicU32,
    given_up: AtomicU32,
    sent: AtomicU64,
    /// Where the first attempt went, and the last one if it was another.
    first: OnceLock<SocketAddr>,
    last: Mutex<Option<SocketAddr>>,
    moved: AtomicBool,
    /// What mode shadow did not do to it.
    pub shadow: SharedShadow,
}

impl Trail {
    /// Notes a further attempt; returns its number, the first is 1.
    pub fn attempt(&self) -> u32 {
        self.attempts.fetch_add(1, Relaxed) + 1
    }

    /// Attempts so far.
    pub fn attempts(&self) -> u32 {
        self.attempts.load(Relaxed)
    }

    /// Notes which of its upstream's endpoints the present attempt goes to, for those who see only its failure.
    pub fn goes_to(&self, endpoint: SocketAddr) {
        // A lock is taken only for a request that is tried again.
        if self.first.set(endpoint).is_err() {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(endpoint);
            self.moved.store(true, Release);
        }
    }

    /// Where the last attempt went; `None` if none was made, or only to the original destination.
    pub fn endpoint(&self) -> Option<SocketAddr> {
        if self.moved.load(Acquire) {
            return *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        }
        self.first.get().copied()
    }

    /// Notes why the request is tried again.
    pub fn retry_because(&self, reason: RetryReason) {
        let (kind, value) = match reason {
            RetryReason::Status(status) => (1, u32::from(status)),
            RetryReason::Grpc(status) => (2, u32::from(status)),
            RetryReason::Error(error) => (3, error as u32),
        };
        self.retry_reason.store(kind << 16 | value, Relaxed);
    }

    /// Why it was last tried again.
    pub fn retry_reason(&self) -> Option<RetryReason> {
        let word = self.retry_reason.load(Relaxed);
        let value = word & 0xffff;
        match word >> 16 {
            1 => Some(RetryReason::Status(u16::try_from(value).ok()?)),
            2 => Some(RetryReason::Grpc(u16::try_from(value).ok()?)),
            3 => ErrorType::ALL.iter().copied().find(|error| *error as u32 == value).map(RetryReason::Error),
            _ => None,
        }
    }

    /// Notes why the request is not tried again.
    fn give_up_because(&self, reason: GivenUpReason) {
        self.given_up.store(reason as u32 + 1, Relaxed);
    }

    /// Why it is not tried again.
    pub fn given_up(&self) -> Option<GivenUpReason> {
        let word = self.given_up.load(Relaxed);
        GivenUpReason::ALL.iter().copied().find(|reason| *reason as u32 + 1 == word)
    }

    /// Notes bytes that came from the program.
    pub fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Relaxed);
    }

    /// Bytes that came from the program so far.
    pub fn bytes_sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_endpoint_is_read_back() {
        let trail = Trail::default();
        assert_eq!(trail.endpoint(), None);
        for port in 1..4 {
            let endpoint = SocketAddr::from(([192, 0, 2, 1], port));
            trail.goes_to(endpoint);
            assert_eq!(trail.endpoint(), Some(endpoint));
        }
    }

    #[test]
    fn the_last_reason_is_read_back() {
        let trail = Trail::default();
        assert_eq!(trail.retry_reason(), None);
        for reason in [
            RetryReason::Status(503),
            RetryReason::Grpc(14),
            RetryReason::Error(ErrorType::ConnectRefused),
            RetryReason::Error(ErrorType::Reset),
        ] {
            trail.retry_because(reason);
            assert_eq!(trail.retry_reason(), Some(reason));
        }
    }
}
