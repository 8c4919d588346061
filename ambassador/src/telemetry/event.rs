// SPDX-License-Identifier: Apache-2.0
//! One struct per fact that an operator can see.
//!
//! The data path says each fact once, and [`crate::telemetry::Telemetry::emit`] turns it into its metric, its log
//! line and its row of the summary. So the three can not disagree, and a flow never names a metric. Text that came
//! from traffic (host, path, SNI) goes to the log and the summary only, never into a label.

mod connects;
mod policies;

pub use connects::{ConnectFinished, ConnectHeld, ConnectLied, MissingDestination, SelfTested};
pub use policies::{BreakerCreated, BreakerTransition, Rejected, Retried, RetryGivenUp};

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::telemetry::labels::{ErrorType, GivenUpReason, Protocol};
use crate::telemetry::shadow::Shadowed;

/// Any of the facts.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant is documented at the struct it wraps")]
pub enum Event<'a> {
    RequestFinished(RequestFinished<'a>),
    AttemptFinished(AttemptFinished<'a>),
    FlowFinished(FlowFinished<'a>),
    ConnectFinished(ConnectFinished),
    BreakerCreated(BreakerCreated),
    BreakerTransition(BreakerTransition<'a>),
    Rejected(Rejected),
    Retried(Retried),
    RetryGivenUp(RetryGivenUp),
    HostMismatch(HostMismatch<'a>),
    MissingDestination(MissingDestination),
    ConnectHeld(ConnectHeld),
    ConnectLied(ConnectLied),
    SelfTested(SelfTested),
}

/// What a flow's traffic went to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Name of the configured upstream; `None` means the original destination, which is labelled `ip:port`.
    pub upstream: Option<Arc<str>>,
    /// The address that was dialled.
    pub endpoint: SocketAddr,
}

/// Who made the flow, as the kernel saw it at `connect()`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Process id in ambassador's pid namespace.
    pub pid: u32,
    /// The task's name, NUL-padded (`TASK_COMM_LEN`).
    pub comm: [u8; 16],
    /// Id of the cgroup that the socket was made in.
    pub cgroup_id: u64,
}

impl Caller {
    /// The task's name as text; bytes that are no UTF-8 are replaced.
    pub fn comm(&self) -> Cow<'_, str> {
        let end = self.comm.iter().position(|byte| *byte == 0).unwrap_or(self.comm.len());
        String::from_utf8_lossy(&self.comm[..end])
    }
}

/// What made a request be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryReason {
    /// The upstream's HTTP status.
    Status(u16),
    /// The upstream's gRPC status.
    Grpc(u16),
    /// The attempt got no answer.
    Error(ErrorType),
}

impl fmt::Display for RetryReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::Grpc(status) => write!(f, "grpc {status}"),
            Self::Error(error) => error.fmt(f),
        }
    }
}

/// A request of the program has been answered to its last byte, or has failed. Once per request, however many
/// attempts it took.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestFinished<'a> {
    /// Name of the matched route.
    pub route: Cow<'a, str>,
    /// Where the last attempt went.
    pub destination: Destination,
    /// `Http1` or `Http2`.
    pub protocol: Protocol,
    /// The method as it was sent.
    pub method: Cow<'a, str>,
    /// Host header or `:authority`; empty if there was none.
    pub host: Cow<'a, str>,
    /// The request target as it was sent.
    pub path: Cow<'a, str>,
    /// The status that the program got, `None` if it got none.
    pub status: Option<u16>,
    /// `grpc-status` of the reply, if it is a gRPC reply.
    pub grpc_status: Option<u16>,
    /// Why there was no complete reply, or why ambassador made the reply itself.
    pub error: Option<ErrorType>,
    /// From the first byte of the request to the last of the reply.
    pub duration: Duration,
    /// Attempts made; 0 if it was refused before the first.
    pub attempts: u32,
    /// What made the last further attempt necessary; with a single attempt, what would have in mode shadow.
    pub retry_reason: Option<RetryReason>,
    /// Why it was not tried again, or not once more, although its route retries what it ended with.
    pub given_up: Option<GivenUpReason>,
    /// A retry turned a failure into a success.
    pub rescued: bool,
    /// What policies in mode shadow would have done.
    pub shadow: Shadowed,
    /// Bytes towards the upstream, heads included.
    pub bytes_sent: u64,
    /// Bytes towards the program, heads included.
    pub bytes_received: u64,
    /// Who asked.
    pub caller: Caller,
}

impl RequestFinished<'_> {
    /// Whether the summary counts it as failed: an error, a 5xx or a gRPC status that blames the server. A program
    /// that hangs up by itself is no failure of the destination.
    pub fn is_failure(&self) -> bool {
        is_failure(self.error)
            || self.status.is_some_and(|status| status >= 500)
            || self.grpc_status.is_some_and(|status| GRPC_SERVER_FAULTS.contains(&status))
    }
}

/// One try of a request has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptFinished<'a> {
    /// Name of the matched route.
    pub route: Cow<'a, str>,
    /// Where it went.
    pub destination: Destination,
    /// The upstream's status, `None` if there was none.
    pub status: Option<u16>,
    /// Why there was no complete reply.
    pub error: Option<ErrorType>,
    /// From the start of the attempt to the end of its reply.
    pub duration: Duration,
}

/// A flow that is relayed as bytes (opaque or TLS) has ended. HTTP flows end in [`RequestFinished`] instead.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowFinished<'a> {
    /// Name of the matched route.
    pub route: Arc<str>,
    /// Where it went.
    pub destination: Destination,
    /// `Tls` or `Opaque`.
    pub protocol: Protocol,
    /// Server name of the `ClientHello`.
    pub sni: Option<Cow<'a, str>>,
    /// First protocol offered in the `ClientHello`.
    pub alpn: Option<Cow<'a, str>>,
    /// Why it ended, unless both sides closed in order.
    pub error: Option<ErrorType>,
    /// From accept to close.
    pub duration: Duration,
    /// Dials made.
    pub attempts: u32,
    /// A repeated dial turned a failure into a success.
    pub rescued: bool,
    /// Why it was not dialled again, or not once more, although its route retries what the dial ended with.
    pub given_up: Option<GivenUpReason>,
    /// What policies in mode shadow would have done.
    pub shadow: Shadowed,
    /// All bytes towards the upstream.
    pub bytes_sent: u64,
    /// All bytes towards the program.
    pub bytes_received: u64,
    /// Who dialled.
    pub caller: Caller,
}

impl FlowFinished<'_> {
    /// Whether the summary counts it as failed.
    pub fn is_failure(&self) -> bool {
        is_failure(self.error)
    }
}

/// A Host header named a route whose names the dialled address was never an answer for.
#[derive(Clone, Debug, PartialEq)]
pub struct HostMismatch<'a> {
    /// Name of the route that the Host header claims.
    pub route: Arc<str>,
    /// The claimed host, for the log.
    pub host: Cow<'a, str>,
    /// The address that was dialled.
    pub endpoint: SocketAddr,
}

macro_rules! into_event {
    ($($name:ident $(<$life:lifetime>)?),+) => {
        $(impl<'a> From<$name$(<$life>)?> for Event<'a> {
            fn from(fact: $name$(<$life>)?) -> Self {
                Self::$name(fact)
            }
        })+
    };
}

into_event!(
    RequestFinished<'a>,
    AttemptFinished<'a>,
    FlowFinished<'a>,
    ConnectFinished,
    BreakerCreated,
    BreakerTransition<'a>,
    Rejected,
    Retried,
    RetryGivenUp,
    HostMismatch<'a>,
    MissingDestination,
    ConnectHeld,
    ConnectLied,
    SelfTested
);

fn is_failure(error: Option<ErrorType>) -> bool {
    error.is_some_and(|error| !matches!(error, ErrorType::ClientGone | ErrorType::ConnectUnanswered))
}

/// UNKNOWN, `DEADLINE_EXCEEDED`, `RESOURCE_EXHAUSTED`, UNIMPLEMENTED, INTERNAL, UNAVAILABLE and `DATA_LOSS`: those that
/// OpenTelemetry's RPC conventions count as errors of the server, and the one that corresponds to 503.
const GRPC_SERVER_FAULTS: [u16; 7] = [2, 4, 8, 12, 13, 14, 15];
