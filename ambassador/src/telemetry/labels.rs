// SPDX-License-Identifier: Apache-2.0
//! The closed sets that metric labels and log fields are drawn from.
//!
//! A label value that comes from traffic lets any program grow the number of time series without limit. So every
//! label is either a name out of the configuration or a variant of an enum here, and a value outside of its set is
//! folded into `_OTHER`. Request bytes must never become a label.

/// Declares an enum whose variants each have one stable text, used as label value and in logs.
macro_rules! label_set {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident => $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_meta])* $variant,)+ }

        impl $name {
            /// Every value of the set, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable text of this value in labels and logs.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

mod policy;

pub use policy::{
    BreakerCause, BreakerState, Enforcement, GivenUpReason, RejectReason, RetryOutcome, ShadowDecision,
    Timeout,
};

label_set! {
    /// The `http_request_method` label: the methods of RFC 9110 and RFC 5789, everything else is `_OTHER`
    /// (the OpenTelemetry convention).
    Method {
        /// GET
        Get => "GET",
        /// HEAD
        Head => "HEAD",
        /// POST
        Post => "POST",
        /// PUT
        Put => "PUT",
        /// DELETE
        Delete => "DELETE",
        /// CONNECT
        Connect => "CONNECT",
        /// OPTIONS
        Options => "OPTIONS",
        /// TRACE
        Trace => "TRACE",
        /// PATCH
        Patch => "PATCH",
        /// Any other token; the log has its raw text.
        Other => "_OTHER",
    }
}

impl Method {
    /// The label of a method as it was sent; methods are case-sensitive.
    pub fn of(raw: &str) -> Self {
        Self::ALL.iter().copied().find(|method| method.as_str() == raw).unwrap_or(Self::Other)
    }
}

label_set! {
    /// What a flow turned out to speak.
    Protocol {
        /// HTTP/1.0 or HTTP/1.1
        Http1 => "http1",
        /// HTTP/2 with prior knowledge
        Http2 => "http2",
        /// TLS made by the program: its bytes are relayed untouched
        Tls => "tls",
        /// Anything else
        Opaque => "opaque",
    }
}

label_set! {
    /// Why a request, an attempt, a dial or a flow failed: the `error_type` label and the log's `error`.
    ErrorType {
        /// The destination refused the connection (ECONNREFUSED).
        ConnectRefused => "connect_refused",
        /// The destination did not answer within the connect timeout.
        ConnectTimeout => "connect_timeout",
        /// No route, network or host unreachable.
        ConnectUnreachable => "connect_unreachable",
        /// This machine has no free local port for the dial.
        NoPorts => "no_ports",
        /// This process, or this machine, has no free descriptor for the dial.
        NoDescriptors => "no_descriptors",
        /// The dial failed in any other way, e.g. for want of memory.
        ConnectFailed => "connect_failed",
        /// The program gave up a connect that nothing had answered.
        ConnectUnanswered => "connect_unanswered",
        /// The upstream reset the connection.
        Reset => "reset",
        /// The upstream closed the connection before its reply was complete.
        ClosedEarly => "closed_early",
        /// The upstream refused the HTTP/2 stream, provably unprocessed.
        RefusedStream => "refused_stream",
        /// The upstream sent GOAWAY and did not process the stream.
        Goaway => "goaway",
        /// The whole request took longer than `timeouts.request`.
        TimeoutRequest => "timeout_request",
        /// One attempt took longer than `timeouts.perTry`.
        TimeoutPerTry => "timeout_per_try",
        /// Nothing moved for longer than `timeouts.idle`.
        TimeoutIdle => "timeout_idle",
        /// Local rejection: the circuit breaker is open.
        CircuitOpen => "circuit_open",
        /// Local rejection: a connection, request or pending limit is reached.
        Overflow => "overflow",
        /// Local rejection: a rate limit is reached.
        RateLimited => "rate_limited",
        /// Local rejection: policy denies the destination.
        Denied => "denied",
        /// The program sent something that is no valid request.
        Malformed => "malformed",
        /// The upstream sent something that is no valid response.
        MalformedResponse => "malformed_response",
        /// The program went away before the reply was complete.
        ClientGone => "client_gone",
        /// The kernel had no original destination for the flow.
        MissingDestination => "missing_destination",
        /// Ambassador is shutting down.
        Shutdown => "shutdown",
        /// A fault of ambassador itself.
        Internal => "internal",
    }
}

label_set! {
    /// What came of a connection whose SYN was held.
    HoldOutcome {
        /// The destination accepted, and so did ambassador.
        Allowed => "allowed",
        /// The destination refused, or the circuit breaker or a policy did: the program saw ECONNREFUSED.
        Refused => "refused",
        /// There was no way to the destination: the program saw that.
        Unreachable => "unreachable",
        /// Nothing was known: the program's own timers decided.
        Silent => "silent",
        /// The program gave up first.
        Abandoned => "abandoned",
        /// Let in without a dial: its route connects eagerly, or too many were held.
        Passed => "passed",
        /// The kernel side did not take the verdict.
        Failed => "failed",
    }
}

label_set! {
    /// What came of a self-test.
    TestResult {
        /// Every probe was answered.
        Passed => "passed",
        /// One was not: connections are not intercepted as they should be.
        Failed => "failed",
        /// Nothing can be said: too many connections are open.
        Inconclusive => "inconclusive",
    }
}

label_set! {
    /// Which way bytes went.
    Direction {
        /// From the program to the upstream.
        Sent => "sent",
        /// From the upstream to the program.
        Received => "received",
    }
}

/// The `http_response_status_code` label: 100 to 599 as they are, anything else is `_OTHER`, no reply is empty.
pub(crate) fn status_label(status: Option<u16>) -> String {
    match status {
        None => String::new(),
        Some(status @ 100..=599) => status.to_string(),
        Some(_) => String::from("_OTHER"),
    }
}

/// The `grpc_status` label: the sixteen codes and OK as numbers, anything else is `_OTHER`.
pub(crate) fn grpc_label(status: u16) -> String {
    if status <= 16 { status.to_string() } else { String::from("_OTHER") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_outside_of_the_closed_set_is_other() {
        for (raw, want) in
            [("GET", "GET"), ("PATCH", "PATCH"), ("get", "_OTHER"), ("BREW", "_OTHER"), ("", "_OTHER")]
        {
            assert_eq!(Method::of(raw).as_str(), want, "{raw}");
        }
    }

    #[test]
    fn a_status_outside_of_the_registered_range_is_other() {
        for (status, want) in
            [(None, ""), (Some(200), "200"), (Some(599), "599"), (Some(999), "_OTHER"), (Some(0), "_OTHER")]
        {
            assert_eq!(status_label(status), want);
        }
    }

    #[test]
    fn label_texts_are_plain_snake_case() {
        for error in ErrorType::ALL {
            assert!(error.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{error}");
        }
    }
}
