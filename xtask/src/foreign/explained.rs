// SPDX-License-Identifier: Apache-2.0
//! Which tests of others may end otherwise under ambassador, and why; docs/transparency.md has a test of each reason.

/// Why `test` may differ, if it may.
pub(super) fn why(suite: &str, mode: &str, test: &str) -> Option<&'static str> {
    let applies =
        |(of, when, end, _): &&(&str, When, &str, &str)| *of == suite && when.is(mode) && test.ends_with(end);
    EXPLAINED.iter().find(applies).map(|(.., why)| *why)
}

/// In which modes a test may differ.
#[derive(Clone, Copy)]
enum When {
    /// In all of them.
    Always,
    /// Where a policy answers failures and repeats requests.
    WithPolicy,
}

impl When {
    fn is(self, mode: &str) -> bool {
        matches!(self, Self::Always) || mode.contains("--retry")
    }
}

/// Suites, modes, ends of the names of tests, and reasons.
const EXPLAINED: &[(&str, When, &str, &str)] = &[
    ("node-net", When::Always, "/test-net-localport", PORT),
    ("sockets", When::Always, ".TestEPoll.test_fromfd", AT_ONCE),
    ("node-http", When::WithPolicy, "/test-http-blank-header", PIPELINED),
    ("node-http", When::WithPolicy, "/test-http-highwatermark", PIPELINED),
    ("node-http", When::WithPolicy, "/test-http-incoming-pipelined-socket-destroy", PIPELINED),
    ("node-http", When::WithPolicy, "/test-http-keep-alive-drop-requests", PIPELINED),
    ("node-http", When::WithPolicy, "/test-http-pipeline-socket-parser-typeerror", PIPELINED),
    ("node-http", When::WithPolicy, "/test-http-server-headers-timeout-pipelining", PIPELINED),
    ("node-http", When::WithPolicy, "/test-http-server-request-timeout-pipelining", PIPELINED),
    ("node-http", When::WithPolicy, "/test-http-server-keep-alive-timeout", PIPELINED),
    ("node-http", When::WithPolicy, "/test-http-set-timeout-server", PIPELINED),
    ("node-http", When::Always, "/test-http-server-headers-timeout-keepalive", WHOLE),
    ("node-http", When::Always, "/test-http-server-request-timeout-keepalive", WHOLE),
    ("node-http", When::Always, "/test-http-server-request-timeouts-mixed", WHOLE),
    ("node-http", When::Always, "/test-http-server-keep-alive-timeout-slow-client-headers", WHOLE),
    ("node-http2", When::Always, "/test-http2-client-data-end", PUSH),
    ("node-http2", When::Always, "/test-http2-compat-serverresponse-createpushresponse", PUSH),
    ("node-http2", When::Always, "/test-http2-dont-lose-data", PUSH),
    ("node-http2", When::Always, "/test-http2-options-max-reserved-streams", PUSH),
    ("node-http2", When::Always, "/test-http2-respond-file-push", PUSH),
    ("node-http2", When::Always, "/test-http2-server-push-stream", PUSH),
    ("node-http2", When::Always, "/test-http2-server-push-stream-errors", PUSH),
    ("node-http2", When::Always, "/test-http2-server-push-stream-errors-args", PUSH),
    ("node-http2", When::Always, "/test-http2-server-push-stream-head", PUSH),
    ("node-http2", When::Always, "/test-http2-client-settings-before-connect", TWO_CONNECTIONS),
    ("node-http2", When::Always, "/test-http2-max-concurrent-streams", TWO_CONNECTIONS),
    ("node-http2", When::Always, "/test-http2-max-settings", TWO_CONNECTIONS),
    ("node-http2", When::Always, "/test-http2-misbehaving-flow-control", TWO_CONNECTIONS),
    ("node-http2", When::Always, "/test-http2-misbehaving-flow-control-paused", TWO_CONNECTIONS),
    ("node-http2", When::Always, "/test-http2-misbehaving-multiplex", TWO_CONNECTIONS),
    ("node-http2", When::Always, "/test-http2-onping", TWO_CONNECTIONS),
    ("node-http2", When::Always, "/test-http2-ping-unsolicited-ack", TWO_CONNECTIONS),
    ("node-http2", When::Always, "/test-http2-session-settings", TWO_CONNECTIONS),
    ("node-http2", When::Always, "/test-http2-settings-unsolicited-ack", TWO_CONNECTIONS),
    ("node-http2", When::Always, "/test-http2-too-many-settings", TWO_CONNECTIONS),
    ("node-http2", When::Always, "/test-http2-too-many-streams", TWO_CONNECTIONS),
    ("node-http2", When::Always, "/test-http2-ping-flood", TWO_CONNECTIONS),
    ("node-http2", When::Always, "/test-http2-settings-flood", TWO_CONNECTIONS),
    ("node-http2", When::Always, "/test-http2-server-sessionerror", TWO_CONNECTIONS),
    ("node-http2", When::Always, "/test-http2-max-invalid-frames", TWO_CONNECTIONS),
    ("node-http2", When::Always, "/test-http2-goaway-opaquedata", GOAWAY),
    ("node-http2", When::Always, "/test-http2-propagate-session-destroy-code", GOAWAY),
    ("node-http2", When::Always, "/test-http2-altsvc", FRAMES),
    ("node-http2", When::Always, "/test-http2-client-set-priority", FRAMES),
    ("node-http2", When::Always, "/test-http2-priority-event", FRAMES),
    ("node-http2", When::Always, "/test-http2-connect-method-extended", EXTENDED_CONNECT),
    ("node-http2", When::Always, "/test-http2-options-max-headers-exceeds-nghttp2", LARGE_HEAD),
    ("urllib3", When::Always, ".test_source_address_works", PORT),
    ("urllib3", When::Always, ".test_recovery_when_server_closes_connection", END_AT_ONCE),
    ("urllib3", When::Always, ".TestConnectionPoolTimeouts.test_conn_closed", A_MILLISECOND),
    ("urllib3", When::Always, ".TestConnectionPoolTimeouts.test_total_timeout", A_MILLISECOND),
    ("urllib3", When::Always, ".test_ssl_load_default_certs_when_empty", A_MILLISECOND),
    ("urllib3", When::Always, ".test_ssl_custom_validation_failure_terminates", A_MILLISECOND),
    ("urllib3", When::WithPolicy, ".test_release_conn_param_is_respected_after_timeout_retry", ANSWERED),
    ("urllib3", When::WithPolicy, ".TestRetryAfter.test_retry_after", REPEATED),
    ("urllib3", When::WithPolicy, ".test_response_headers_are_returned_in_the_original_order", CUT),
    ("aiohttp", When::WithPolicy, ".test_request_conn_closed[pyloop]", ANSWERED),
    (
        "aiohttp",
        When::WithPolicy,
        ".test_upload_retry_persistent_connection_unseekable_body[pyloop]",
        ANSWERED,
    ),
    ("aiohttp", When::WithPolicy, ".test_http1_pipelined_requests_are_count_limited[pyloop]", PIPELINED),
    ("aiohttp", When::WithPolicy, ".test_http1_pipelined_queue_resumes_after_drain[pyloop]", PIPELINED),
    ("aiohttp", When::Always, ".test_drop_auth_on_redirect_to_other_host[pyloop-http -> https]", END_AT_ONCE),
    ("aiohttp", When::Always, ".test_request_body_closed_on_cancellation[pyloop]", END_AT_ONCE),
    ("aiohttp", When::Always, ".test_tcp_connector_raise_connector_ssl_error[pyloop]", END_AT_ONCE),
    ("aiohttp", When::Always, ".test_sendfile_after_client_disconnect[pyloop]", END_AT_ONCE),
    ("curl", When::Always, "1079", KEPT),
    ("curl", When::WithPolicy, "0030", ANSWERED),
    ("curl", When::WithPolicy, "0037", ANSWERED),
    ("curl", When::WithPolicy, "0158", ANSWERED),
    ("curl", When::WithPolicy, "0170", ANSWERED),
    ("curl", When::WithPolicy, "0197", REPEATED),
    ("curl", When::WithPolicy, "1297", ANSWERED),
    ("curl", When::WithPolicy, "1327", ANSWERED),
    ("requests", When::WithPolicy, ".test_chunked_encoding_error", ANSWERED),
    ("sockets", When::Always, ".test_connection_attributes", AT_ONCE),
    ("sockets", When::Always, ".test_control_and_wait", BYTES_AT_ONCE),
    ("tls", When::Always, ".test_preauth_data_to_tls_server", RESET_AT_ONCE),
    ("sockets", When::Always, ".test_unclosed_resource_warnings", END_AT_ONCE),
    ("go-net", When::Always, "TestMultiPathTCP", MULTIPATH),
    ("go-http", When::WithPolicy, "TestTransportPersistConnLeakNeverIdle", ANSWERED),
    ("go-http", When::WithPolicy, "TestTransportPersistConnLeakNeverIdle/h1", ANSWERED),
    ("go-http", When::WithPolicy, "TestWriteHeader0", ANSWERED),
    ("go-http", When::WithPolicy, "TestWriteHeader0/h1", ANSWERED),
];

const WHOLE: &str = "a head reaches the server when it is whole";
const PUSH: &str = "a server of HTTP/2 is asked not to push";
const TWO_CONNECTIONS: &str = "settings, pings and windows are those of the connection with ambassador";
const FRAMES: &str = "priorities and frames of extensions of HTTP/2 end at ambassador";
const GOAWAY: &str = "a GOAWAY of the server arrives without its code and data";
const EXTENDED_CONNECT: &str = "CONNECT with :protocol is not built";
const LARGE_HEAD: &str = "a head above 64 KiB is answered 431";
const AT_ONCE: &str = "expects that a non-blocking connect on loopback is complete at once";
const A_MILLISECOND: &str =
    "gives a connect or a handshake one millisecond, which a busy machine does not always keep";
const BYTES_AT_ONCE: &str = "expects that what one end sends is at the other before the call returns";
const RESET_AT_ONCE: &str = "expects that a reset is at the other end before the call returns";
const END_AT_ONCE: &str = "expects that the end of a connection is at the other end at once";
const KEPT: &str = "a GET that meets the end of its kept connection is sent again once";
const PIPELINED: &str = "expects pipelined requests at once";
const PORT: &str = "expects the port that the client is bound to: on one host it is taken";
const MULTIPATH: &str = "expects Multipath TCP at both ends";
const CUT: &str = "a reply that is cut within its head is repeated, and answered 502, where a policy says so";
const REPEATED: &str = "a 503 is repeated where a policy says so";
const ANSWERED: &str = "a reply that never begins is repeated, and answered 502, where a policy says so";
