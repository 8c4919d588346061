// SPDX-License-Identifier: Apache-2.0
//! Names and help texts of every metric, in one table, so that a reader of a dashboard finds them and a rename is one
//! line. Names follow Prometheus (base units, `_total`) and map one to one to OpenTelemetry's HTTP client conventions.

/// A metric's name and help text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
}

const fn name(name: &'static str, help: &'static str) -> Name {
    Name { name, help }
}

pub(crate) const REQUEST_DURATION: Name = name(
    "ambassador_http_client_request_duration_seconds",
    "Time of a whole HTTP request as the program saw it, all attempts and waits included.",
);
pub(crate) const ATTEMPT_DURATION: Name = name(
    "ambassador_http_client_attempt_duration_seconds",
    "Time of one attempt of an HTTP request at the upstream.",
);
pub(crate) const GRPC_RESPONSES: Name =
    name("ambassador_grpc_responses_total", "gRPC replies to the program by grpc-status.");
pub(crate) const RETRIES: Name =
    name("ambassador_retries_total", "Retries made, and retries that were due but not made, by outcome.");
pub(crate) const RETRY_GIVEN_UP: Name = name(
    "ambassador_retry_given_up_total",
    "Requests that could no longer be retried although their route allows it, by reason.",
);
pub(crate) const BREAKER_STATE: Name = name(
    "ambassador_circuit_breaker_state",
    "1 for the state that the circuit breaker of an upstream is in, 0 for the others. With mode=shadow it refuses nothing.",
);
pub(crate) const BREAKER_TRANSITIONS: Name =
    name("ambassador_circuit_breaker_transitions_total", "State changes of circuit breakers.");
pub(crate) const REJECTED: Name = name(
    "ambassador_rejected_requests_total",
    "Requests and flows that ambassador itself refused (mode=enforce) or would have (mode=shadow), by reason.",
);
pub(crate) const TIMEOUTS: Name = name(
    "ambassador_timeouts_total",
    "Requests, attempts and flows that a limit of `timeouts` ended (mode=enforce) or would have (mode=shadow).",
);
pub(crate) const CONNECTIONS_ACTIVE: Name =
    name("ambassador_connections_active", "Intercepted connections that are open now.");
pub(crate) const CONNECTIONS_WAITING: Name = name(
    "ambassador_connections_waiting",
    "Intercepted connections that wait until the limit of open files has room for them; of each listener the first one.",
);
pub(crate) const CONNECTIONS: Name =
    name("ambassador_connections_total", "Intercepted connections accepted, by detected protocol.");
pub(crate) const CONNECT_FAILURES: Name =
    name("ambassador_connect_failures_total", "Dials to upstreams that failed, by reason.");
pub(crate) const HOLD_DURATION: Name = name(
    "ambassador_connect_hold_seconds",
    "Time that connect() waited for its destination, by what came of it.",
);
pub(crate) const CONNECT_LIES: Name = name(
    "ambassador_connect_lies_total",
    "Connections whose connect() had succeeded at once and whose dial then failed.",
);
pub(crate) const CONNECT_TRUTHFUL: Name = name(
    "ambassador_connect_truthful",
    "1 if connect() can wait for its destination's answer; 0 if it always succeeds at once.",
);
pub(crate) const SELF_TESTS: Name = name(
    "ambassador_self_tests_total",
    "Tests that connections of the intercepted cgroup come to ambassador, by result.",
);
pub(crate) const CONNECT_DURATION: Name =
    name("ambassador_connect_duration_seconds", "Time of successful dials to upstreams.");
pub(crate) const TCP_BYTES: Name =
    name("ambassador_tcp_bytes_total", "Bytes that programs sent over their connections, and received.");
pub(crate) const HOST_MISMATCH: Name = name(
    "ambassador_host_mismatch_total",
    "Requests whose Host header claims a route that the dialled address does not belong to.",
);
pub(crate) const MISSING_DESTINATION: Name = name(
    "ambassador_bpf_missing_destination_total",
    "Accepted connections without an original destination; they are reset.",
);
pub(crate) const PANICS: Name = name(
    "ambassador_panics_total",
    "Panics, which are defects of ambassador: each ended at most the flow that it was met in, and has a line in the log.",
);
pub(crate) const ACCESS_LOG_DROPPED: Name = name(
    "ambassador_access_log_dropped_total",
    "Access log lines lost because their reader was too slow or the sink failed.",
);
pub(crate) const BUILD_INFO: Name =
    name("ambassador_build_info", "Always 1; the labels tell what is running.");
pub(crate) const RESIDENT_MEMORY: Name =
    name("process_resident_memory_bytes", "Resident memory size in bytes.");
pub(crate) const OPEN_FDS: Name = name("process_open_fds", "Number of open file descriptors.");

/// Help of a counter that the kernel programs keep; they name it themselves.
pub(crate) fn kernel_help(name: &str) -> &'static str {
    match name {
        "ambassador_bpf_connects_total" => "connect() calls that the kernel programs decided on, by verdict.",
        "ambassador_bpf_syns_total" => "SYNs that the listeners' filter decided on, by verdict.",
        "ambassador_bpf_lost_events_total" => {
            "Held SYNs that could not be told, because the ring buffer was full."
        }
        _ => "Events counted by the kernel programs.",
    }
}

/// Buckets of HTTP durations: OpenTelemetry's, with finer ones below 5 ms for destinations of the same network.
pub(crate) const HTTP_BUCKETS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Buckets of dial durations: a loopback dial takes 50 µs, a lost SYN 1 s, 3 s or 7 s.
pub(crate) const CONNECT_BUCKETS: [f64; 12] =
    [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 3.5, 10.0];
